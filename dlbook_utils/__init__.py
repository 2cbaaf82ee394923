"""Deep Learning in Depth: the package that the chapters build and import.

What the page ``book/PART/CHAPTER.md`` builds for others stands in ``dlbook_utils.PART.CHAPTER``,
under the same name with the same code. The other rooms are plumbing, for readers who don't look
inside:

- ``page``: what a page needs from one import line: claims, figures, devices, seeds;
- ``data``: data sets as tensors in memory, and augmentation of whole batches;
- ``records``: results of runs too long for a page, with their provenance;
- ``runner``: the engine that makes such runs; it can be stopped and resumed.
"""

__version__ = "0.1.0"
