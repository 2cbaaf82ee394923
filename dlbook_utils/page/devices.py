"""Where a page computes, how much it may compute, and from which random numbers."""

from __future__ import annotations

import operator
import os
import random
from typing import TypeVar

import numpy as np
import torch

T = TypeVar("T")


def device(name: str | None = None) -> torch.device:
    """Return the GPU where there is one (CUDA), else the CPU; another device ("mps") by name.

    Pages do not take Apple's MPS by themselves: it has no float64, in which some of them compute
    (FLOAT64 in tests/site/test_sources.py lists where). Raises RuntimeError if the device asked for
    is not there.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=name)
    except Exception as error:
        raise RuntimeError(f"no device {name!r} here: {error}") from error
    return torch.device(name)


def budget(*, cpu: T, gpu: T) -> T:
    """Return the amount of work that suits the machine, as in ``budget(cpu=2, gpu=30)``.

    ``DLBOOK_BUDGET``, "cpu" or "gpu", asks for one of the two on any machine; ValueError if it is
    anything else.
    """
    asked = os.environ.get("DLBOOK_BUDGET") or ("gpu" if device().type == "cuda" else "cpu")
    if asked not in ("cpu", "gpu"):
        raise ValueError(f"DLBOOK_BUDGET is 'cpu' or 'gpu', not {asked!r}")
    return gpu if asked == "gpu" else cpu


def seed_everything(seed: int = 0) -> None:
    """Seed the global generators of Python, NumPy and PyTorch (CPU and GPU)."""
    random.seed(_shifted(seed))
    np.random.seed(_shifted(seed))  # noqa: NPY002 (for libraries that draw from it)
    torch.manual_seed(_shifted(seed))


def generator(seed: int = 0) -> torch.Generator:
    """Return a CPU random-number generator of its own, so that no other draw disturbs it."""
    return torch.Generator().manual_seed(_shifted(seed))


def _shifted(seed: int) -> int:
    """Shift a seed by ``DLBOOK_SEED_OFFSET``: ``make robust`` runs the book on other seeds."""
    try:
        seed = operator.index(seed)  # a NumPy integer, too
    except TypeError:
        raise TypeError(f"a seed is a non-negative integer, not {seed!r}") from None
    if seed < 0:
        raise ValueError(f"a seed is a non-negative integer, not {seed}")
    return seed + 100_000 * int(os.environ.get("DLBOOK_SEED_OFFSET", "0"))
