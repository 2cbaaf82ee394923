"""Settings for every way of running pytest here, `pytest --nbval` by itself included."""

import os
from pathlib import Path


def pytest_configure(config):
    """Have notebooks raise where a claim fails, and one thread per kernel: cores are few."""
    if config.getoption("nbval", False):
        os.environ.setdefault("DLBOOK_STRICT", "1")
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        for name in ("DLBOOK_DATA", "DLBOOK_CACHE"):  # kernels run in the notebooks' folders
            if os.environ.get(name):
                os.environ[name] = str(Path(os.environ[name]).expanduser().absolute())
