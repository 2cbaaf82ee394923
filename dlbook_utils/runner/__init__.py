"""The engine of studies: training runs too long for a page, that can be stopped and resumed.

`python -m dlbook_utils.runner --help` is the way in. The modules, each one idea:

- ``settings``: what one run does, as plain data; ``grids``: which runs make up a study;
- ``feed``: images, their division, each epoch's draws; ``models``: the networks, and their costs;
- ``learner``: a model with all that trains it; ``together``: in several processes;
- ``engine``: one run from its setting to its record, and one after another;
- ``store``: what a run leaves on the disk; ``measure``: what is measured beside training;
- ``scores``: what predictions are worth; ``statistics``: how sure that is;
- ``verdicts``: the protocol's rules; ``report``: what has been found; ``tables``: how it is shown.

Only torch and NumPy are imported at the top, so that it runs on a bare GPU machine.
"""
