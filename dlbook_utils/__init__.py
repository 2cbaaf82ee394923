"""Deep Learning in Depth: the package that the chapters build and import.

Two kinds of modules:

- plumbing, importable anywhere, for readers who don't look inside: ``claims``, ``sayings``,
  ``data``, ``augment``, ``plotting``, ``interactive``, ``notebook``, ``devices``, ``guards``,
  ``records``, ``study``;
- built, whose every function a chapter derives under the same name with the same code:
  ``training``, ``metrics`` and those that later chapters add.
"""

__version__ = "0.1.0"
