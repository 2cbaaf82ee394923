"""The engine of studies: training runs too long for a page, that can be stopped and resumed.

`python -m dlbook_utils.runner --help` is the way in. The modules, each one idea:

- ``settings``: what one run does, as plain data; ``grids``: which runs make up a study;
- ``feed``: images, their division, each epoch's draws; ``models`` and ``speedy``: the networks;
- ``steps``: one training step, plain or fast; ``scores``: what predictions are worth;
- ``engine``: one run from its setting to its record; ``workers``: many runs, several at once;
- ``checkpoint``: its state on the disk, whole or not at all; results are ``records``;
- ``together``: one run in several processes; ``costs``: how dear;
- ``verdicts``: the protocol's rules; ``report``: tables.

Only torch and NumPy are imported at the top, so that it runs on a bare GPU machine.
"""
