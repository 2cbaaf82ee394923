"""What `fit` checks and shows, kept out of its way: data, loss, progress."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class TrainingFailed(RuntimeError):
    """Training cannot go on: the loss is not a finite number any more."""


def check_data(x: Tensor, y: Tensor, where: str = "training data") -> None:
    """Raise unless x (n, ...) and y (n, ...) are tensors of one length n > 0.

    Raises TypeError for anything but tensors and for inputs that are not floating-point or token
    ids (int64), ValueError for lengths that differ or are 0.
    """
    for name, value in (("x", x), ("y", y)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{where}: {name} must be a tensor, not {type(value).__name__}")
    if not (x.is_floating_point() or x.dtype == torch.int64):
        raise TypeError(f"{where}: x must be float or int64, not {x.dtype}; use .inputs()")
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise ValueError(
            f"{where}: x and y must have one length, got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    if len(x) == 0:
        raise ValueError(f"{where}: empty, x has shape {tuple(x.shape)}")


def check_scores(scores: Tensor, y: Tensor) -> None:
    """Raise unless class scores (n, k) fit labels (n,) in 0..k-1, and predictions of numbers have
    the shape of their targets: (n, 1) against (n,) would silently become (n, n) in a loss.

    Raises ValueError for shapes and values, TypeError for labels of another type than int64.
    """
    if y.is_floating_point() and scores.shape != y.shape:
        raise ValueError(
            f"predictions have shape {tuple(scores.shape)}, targets {tuple(y.shape)}: "
            "reshape one of them"
        )
    if not (y.is_floating_point() or y.dtype == torch.int64):
        raise TypeError(f"labels must be int64, not {y.dtype}: use y.long()")
    if y.dtype != torch.int64 or y.ndim != 1:
        return
    if scores.ndim != 2 or len(scores) != len(y):
        raise ValueError(f"expected scores of shape ({len(y)}, classes), got {tuple(scores.shape)}")
    low, high = (int(end) for end in torch.aminmax(y))
    if low < 0 or high >= scores.shape[1]:
        raise ValueError(
            f"labels must lie in 0..{scores.shape[1] - 1} for {scores.shape[1]} scores, "
            f"found {low}..{high}"
        )


def check_loss(loss: Tensor, epoch: int, step: int) -> float:
    """Return the loss as a float; raise TrainingFailed if it is NaN or infinite."""
    value = loss.item()
    if value - value != 0:  # true for NaN and both infinities
        raise TrainingFailed(
            f"the loss is {value} in epoch {epoch}, step {step}: "
            "try a smaller learning rate, or clip the gradients"
        )
    return value


def progress(steps: Iterable[Any], label: str = "") -> Iterable[Any]:
    """Wrap an iterable in a progress bar where somebody watches; none in the built book."""
    from tqdm.auto import tqdm

    return tqdm(steps, desc=label, leave=False, disable=not _watched())


def _watched() -> bool:
    """Whether a person sees the output: a terminal, or a notebook outside build and tests."""
    import os

    if "DLBOOK_STRICT" in os.environ:
        return False
    return sys.stderr.isatty() or "ipykernel" in sys.modules
