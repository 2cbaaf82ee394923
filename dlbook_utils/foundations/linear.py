"""The book's training loop, and how sure a score is, as built in the chapter on linear models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import sqrt

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.page.devices import generator
from dlbook_utils.page.guards import (
    check_batches,
    check_count,
    check_data,
    check_loss,
    check_number,
    check_scores,
    checked_pair,
    progress,
)


def batches(n: int, size: int, shuffle: torch.Generator | None = None) -> Iterator[Tensor]:
    """Yield index tensors that cover 0..n-1 exactly once, `size` at a time.

    The order is random if a generator is given; the last batch may be smaller. Raises ValueError
    unless size is 1 or more.
    """
    check_count(n, "n", 0)
    order = torch.arange(n) if shuffle is None else torch.randperm(n, generator=shuffle)
    yield from order.split(check_count(size, "size"))


@torch.no_grad()
def evaluate(
    model: nn.Module, x: Tensor, y: Tensor, loss: Callable = F.cross_entropy, size: int = 1024
) -> dict[str, float]:
    """Return the mean loss over (x, y) and, where y holds class labels, the accuracy.

    The model is put in evaluation mode and left there; no gradient is computed. `loss` is a mean
    over the examples of a batch or, for labels y (n, T) of sequences, over its targets; those that
    are -100, which PyTorch's cross-entropy leaves out, count in neither number. Raises like `fit`
    for data that do not fit, and TrainingFailed if the loss is NaN.
    """
    check_data(x, y, "evaluation data")
    model.eval()
    total, correct, count = 0.0, 0, 0
    for idx in batches(len(x), size):
        scores, targets = model(x[idx]), y[idx]
        n = check_scores(scores, targets)  # how many of them count
        total += check_number(loss(scores, targets)) * n
        count += n
        if y.dtype == torch.int64:
            correct += (scores.argmax(-1) == targets).sum().item()
    result = {"loss": total / count}
    if y.dtype == torch.int64:
        result["accuracy"] = correct / count
    return result


def fit(
    model: nn.Module,
    train: tuple[Tensor, Tensor],
    valid: tuple[Tensor, Tensor] | None = None,
    *,
    optimizer: torch.optim.Optimizer,
    epochs: int,
    size: int = 64,
    loss: Callable = F.cross_entropy,
    transform: Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
) -> list[dict[str, float]]:
    """Train a model by minibatch gradient descent and return its history, a dict per epoch.

    Arguments:
        train, valid: pairs (x, y), resident on the model's device; x is (n, ...), y is (n, ...).
        size: examples per batch.
        loss: maps (scores, targets) to a mean, a 0-d tensor.
        transform: applied to each training batch of x, for augmentation.
        seed: of the order in which examples are drawn.

    A row holds "epoch", "train_loss" (the mean over the epoch's batches, each measured before its
    step) and, with `valid`, what `evaluate` returns as "valid_loss" and "valid_accuracy".

    Raises TrainingFailed, naming epoch and step, as soon as the loss is not finite; TypeError or
    ValueError, with the shapes, for data that do not fit, or if batch normalisation would meet a
    last batch of one example (see `guards`).
    """
    x, y = checked_pair(train)
    check_batches(model, x, size)
    shuffle, history = generator(seed), []
    for epoch in progress(range(1, epochs + 1), "epochs"):
        model.train()
        total, count = 0.0, 0
        for step, idx in enumerate(batches(len(x), size, shuffle), 1):
            inputs, targets = x[idx], y[idx]
            if transform is not None:
                inputs = transform(inputs)
            scores = model(inputs)
            n = check_scores(scores, targets)
            value = loss(scores, targets)
            total += check_loss(value, epoch, step) * n
            count += n
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        row = {"epoch": epoch, "train_loss": total / count}
        if valid is not None:
            held_out = evaluate(model, *checked_pair(valid, "evaluation data"), loss=loss)
            row |= {f"valid_{key}": held_out[key] for key in held_out}
        history.append(row)
    return history


def wilson(correct: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's interval for a proportion of `correct` out of `n` (95 % for z = 1.96).

    Unlike p ± z sqrt(p (1 - p) / n) it stays inside [0, 1] and keeps its level near the ends.
    Raises ValueError unless 0 <= correct <= n and n > 0.
    Source: E. B. Wilson (1927), doi:10.1080/01621459.1927.10502953.
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"expected 0 <= correct <= n and n > 0, got {correct} of {n}")
    p, n = correct / n, float(n)  # type: ignore[assignment]  # a NumPy byte overflows
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def mean_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the mean of the values and the half-width of Student's t interval for it.

    For values that are independent and roughly normal, such as the accuracies of runs that differ
    in their seed alone. Raises ValueError for fewer than two values, and for
    a level that is no share, such as 95.
    """
    from scipy import stats  # slow to import, and rarely needed

    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not 0 < level < 1:
        raise ValueError(
            f"expected two numbers or more and 0 < level < 1, got {values.shape}, {level}"
        )
    error = values.std(ddof=1) / sqrt(len(values))
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * error
    return float(values.mean()), float(half)
