"""What training loops and layers check and show, kept out of their way: data, shapes, loss,
progress. Each guard returns or raises; none changes what it is given.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterable, Sequence
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

IGNORED = -100  # the target that PyTorch's cross-entropy leaves out


class TrainingFailed(RuntimeError):
    """Training cannot go on: the loss is not a finite number any more."""


def check_count(n: Any, name: str, least: int = 1, most: float = inf) -> int:
    """Return a whole number of Python or NumPy as an int, if it lies between `least` and `most`.

    Raises TypeError for another kind of number, ValueError for one that is too small or too large.
    """
    try:
        count = operator.index(n)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {n!r}") from None
    if not least <= count <= most:
        wanted = f"{least} or more" if most == inf else f"in {least}..{most}"
        if most < least:
            wanted = f"{least} or more, and at most {most}: there is too little to count in"
        raise ValueError(f"{name} must be {wanted}, got {count}")
    return count


def check_batches(model: nn.Module, x: Tensor, size: int) -> None:
    """Raise ValueError if an epoch's last batch would be one example and the model standardises
    features over the batch: of one there is no variance.
    """
    size = check_count(size, "size")
    kinds = {type(layer).__name__ for layer in model.modules()}
    over_batch = "BatchNorm1d" in kinds or ("BatchNorm" in kinds and x.ndim == 2)
    if over_batch and x.ndim != 3 and len(x) % size == (1 if size > 1 else 0):
        raise ValueError(
            f"{len(x)} examples in batches of {size} leave a batch of one, over which batch "
            "normalisation has no variance: choose another size, or drop an example"
        )


def check_shape(x: Tensor, shape: Sequence[Any], name: str = "x") -> Tensor:
    """Return x if it is a tensor of this shape, in which a word stands for any length, and dots
    (...) at its beginning for any number of axes.

    Raises TypeError for anything but a tensor, ValueError, with both shapes, for another shape.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor, not {type(x).__name__}")
    axes, sizes = [*shape], [*x.shape]
    if axes[:1] == [...] and len(sizes) >= len(axes) - 1:
        axes, sizes = axes[1:], sizes[len(sizes) - len(axes) + 1 :]
    fits = len(axes) == len(sizes) and all(
        isinstance(wanted, str) or wanted == n for wanted, n in zip(axes, sizes, strict=True)
    )
    if not fits:
        said = ["..." if wanted is ... else str(wanted) for wanted in shape]
        wanted = ", ".join(said) + ("," if len(said) == 1 else "")
        raise ValueError(f"{name} must have shape ({wanted}), got {tuple(x.shape)}")
    return x


def check_edges(edges: Tensor, senders: int, receivers: int) -> Tensor:
    """Return edges, int64 (2, E), if all are between so many senders and receivers; else raise."""
    if edges.dtype != torch.int64 or edges.ndim != 2 or len(edges) != 2:
        got = f"{edges.dtype} {tuple(edges.shape)}"
        raise ValueError(f"edges must be int64 (2, E), got {got}")
    for row, n in zip(edges, (senders, receivers), strict=True):
        if row.numel() and not 0 <= int(row.min()) <= int(row.max()) < n:
            got = f"{int(row.min())} to {int(row.max())}"
            raise ValueError(f"edges between nodes {got}, expected 0 to {n - 1}")
    return edges


def check_boxes(boxes: Tensor, shape: Sequence[Any], name: str = "boxes") -> Tensor:
    """Return boxes (..., 4) if they are left, top, right, bottom, of this shape (`check_shape`).

    Raises TypeError for whole numbers too, as in bytes 3 - 5 is 254, and ValueError for NaN and for
    boxes that end before they begin, as those of a left, top, width and height may.
    """
    if not check_shape(boxes, shape, name).is_floating_point():
        raise TypeError(f"{name} must be floating-point numbers, not {boxes.dtype}")
    if boxes.isnan().any():
        raise ValueError(f"{name} hold NaN: {int(boxes.isnan().sum())} of {boxes.numel()} numbers")
    if (boxes[..., 2:] < boxes[..., :2]).any():
        raise ValueError(f"{name} must be left, top, right, bottom: one ends before it begins")
    return boxes


def check_lengths(lengths: Tensor, n: int, most: int, name: str = "lengths") -> Tensor:
    """Return lengths if they are int64 (n,), each of them in 1..most.

    Raises TypeError for anything else than such a tensor, ValueError for another shape or a value
    out of range.
    """
    check_shape(lengths, [n], name)
    if lengths.dtype != torch.int64:
        raise TypeError(f"{name} must be int64, not {lengths.dtype}")
    if n == 0 or lengths.min() < 1 or lengths.max() > most:
        raise ValueError(f"{name} must be in 1..{most}, got {lengths.tolist()}")
    return lengths


def check_state(state: Any, *like: Tensor) -> Any:
    """Return the state of a recurrent network if it is as `like`: a tensor, or a pair of tensors.

    Raises TypeError for another kind of thing or another dtype or device, ValueError for another
    shape.
    """
    if len(like) == 1:
        state = (state,)
    elif not isinstance(state, (tuple, list)) or len(state) != len(like):
        raise TypeError(f"the state must be a pair (h, c) of tensors, not {type(state).__name__}")
    for part, wanted in zip(state, like, strict=True):
        check_shape(part, wanted.shape, "the state")
        if (part.dtype, part.device) != (wanted.dtype, wanted.device):
            raise TypeError(
                f"the state must be {wanted.dtype} on {wanted.device} as the inputs are, "
                f"not {part.dtype} on {part.device}"
            )
    return state[0] if len(like) == 1 else tuple(state)


def check_finite(x: Tensor, name: str = "x") -> Tensor:
    """Return x if all its numbers are finite; raise ValueError for NaN and infinities."""
    if not x.isfinite().all():
        bad = int((~x.isfinite()).sum())
        raise ValueError(f"{name} must be finite: {bad} of {x.numel()} numbers are NaN or infinite")
    return x


def check_ids(ids: Tensor, K: int, name: str = "ids") -> Tensor:
    """Return ids if they are int64 in 0..K-1; an index below 0 would count from the end.

    Raises TypeError for another type, ValueError for a value out of range.
    """
    if not isinstance(ids, Tensor) or ids.dtype != torch.int64:
        raise TypeError(f"{name} must be int64, not {getattr(ids, 'dtype', type(ids).__name__)}")
    return check_between(ids, 0, K - 1, name)


def check_between(x: Tensor, low: float, high: float, name: str = "x") -> Tensor:
    """Return x if all its numbers lie in low..high, both included; else raise ValueError."""
    least, most = (end.item() for end in torch.aminmax(x)) if x.numel() else (low, high)
    if not (least >= low and most <= high):  # so NaN is refused, too
        raise ValueError(f"{name} must lie in {low}..{high}, found {least}..{most}")
    return x


def check_sides(x: Tensor, step: int) -> None:
    """Raise ValueError unless x holds images (n, c, h, w) whose sides are multiples of `step`."""
    if x.ndim != 4 or x.shape[2] % step or x.shape[3] % step:
        raise ValueError(
            f"expected images (n, c, h, w), h and w multiples of {step}, got {tuple(x.shape)}"
        )


def widened(x: Tensor) -> Tensor:
    """Return x in float32 if it is in half precision, whose squares end at 65,504; else x."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def check_inputs(x: Tensor, y: Tensor | None = None, where: str = "training data") -> None:
    """Raise unless x (n, ...) holds floating-point numbers, n > 0, and y, if given, is as long.

    Raises TypeError and ValueError like `check_data`, and TypeError for integers.
    """
    check_data(x, x if y is None else y, where)
    if not x.is_floating_point():
        raise TypeError(f"{where}: x must be float, not {x.dtype}; use .inputs()")


def checked_pair(data: Any, where: str = "training data") -> tuple[Tensor, Tensor]:
    """Return (x, y) if `data` is such a pair of tensors that fit; see `check_data`.

    Raises TypeError for anything else, such as a data set or a DataLoader.
    """
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        raise TypeError(
            f"{where} must be a pair of tensors (x, y), not {type(data).__name__}; "
            "of a data set it is (data.inputs(), data.y)"
        )
    x, y = data
    check_data(x, y, where)
    return x, y


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


def check_scores(scores: Tensor, y: Tensor) -> int:
    """Return how many targets count; raise unless class scores (..., k) fit labels (...) in
    0..k-1, and predictions of numbers have the shape of their targets: (n, 1) against (n,) would
    silently become (n, n) in a loss.

    Of labels for sequences, (n, T), those that are IGNORED do not count. Raises ValueError for
    shapes and values, or if no target counts; TypeError for labels of another type than int64.
    """
    if y.is_floating_point() and scores.shape != y.shape:
        raise ValueError(
            f"predictions have shape {tuple(scores.shape)}, targets {tuple(y.shape)}: "
            "reshape one of them"
        )
    if not (y.is_floating_point() or y.dtype == torch.int64):
        raise TypeError(f"labels must be int64, not {y.dtype}: use y.long()")
    if y.is_floating_point():
        return len(y)
    return check_labels(scores, y, None if y.ndim == 1 else IGNORED)


def check_labels(scores: Tensor, y: Tensor, ignored: int | None = None) -> int:
    """Return how many of the labels y (...) are not `ignored`; raise unless they fit scores.

    Scores are (..., k), labels int64 in 0..k-1. Raises like `check_scores`.
    """
    if y.dtype != torch.int64:
        raise TypeError(f"labels must be int64, not {y.dtype}: use y.long()")
    if scores.ndim != y.ndim + 1 or scores.shape[:-1] != y.shape:
        wanted = ", ".join([*map(str, y.shape), "classes"])
        raise ValueError(f"expected scores of shape ({wanted}), got {tuple(scores.shape)}")
    kept = y if ignored is None else y[y != ignored]
    if kept.numel() == 0:
        raise ValueError(f"no target counts, labels of shape {tuple(y.shape)} are all {ignored}")
    low, high = (int(end) for end in torch.aminmax(kept))
    if low < 0 or high >= scores.shape[-1]:
        raise ValueError(
            f"labels must lie in 0..{scores.shape[-1] - 1} for {scores.shape[-1]} scores, "
            f"found {low}..{high}"
        )
    return kept.numel()


def check_loss(loss: Tensor, epoch: int, step: int) -> float:
    """Return the loss as a float; raise TrainingFailed if it is NaN or infinite."""
    value = loss.item()
    if value - value != 0:  # true for NaN and both infinities
        raise TrainingFailed(
            f"the loss is {value} in epoch {epoch}, step {step}: "
            "try a smaller learning rate, or clip the gradients"
        )
    return value


def check_number(loss: Tensor, where: str = "evaluation data") -> float:
    """Return the loss as a float; raise TrainingFailed if it is not a number (NaN)."""
    value = loss.item()
    if value != value:
        raise TrainingFailed(
            f"the loss on the {where} is {value}: is there a NaN in the data, or in the weights?"
        )
    return value


def progress(steps: Iterable[Any], label: str = "") -> Iterable[Any]:
    """Wrap an iterable in a progress bar where somebody watches; none in the built book.

    Raises ValueError for a range that ends before it begins: a negative number of steps.
    """
    if isinstance(steps, range) and steps.stop < steps.start:
        raise ValueError(f"{label or 'steps'} must be 0 or more, got {steps.stop - steps.start}")
    from tqdm.auto import tqdm

    return tqdm(steps, desc=label, leave=False, disable=not _watched())


def _watched() -> bool:
    """Whether a person sees the output: a terminal, or a notebook outside build and tests."""
    import os

    if "DLBOOK_STRICT" in os.environ:
        return False
    return sys.stderr.isatty() or "ipykernel" in sys.modules
