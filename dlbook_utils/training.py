"""The training loop of the book, as built in the chapter on linear models."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.devices import generator
from dlbook_utils.guards import check_data, check_loss, check_scores, progress


def batches(n: int, size: int, shuffle: torch.Generator | None = None) -> Iterator[Tensor]:
    """Yield index tensors that cover 0..n-1 exactly once, `size` at a time.

    The order is random if a generator is given; the last batch may be smaller.
    """
    order = torch.arange(n) if shuffle is None else torch.randperm(n, generator=shuffle)
    yield from order.split(size)


@torch.no_grad()
def evaluate(
    model: nn.Module, x: Tensor, y: Tensor, loss: Callable = F.cross_entropy, size: int = 1024
) -> dict[str, float]:
    """Return the mean loss over (x, y) and, where y (n,) holds class labels, the accuracy.

    The model is put in evaluation mode and left there; no gradient is computed. `loss` is a mean
    over the examples of a batch. Raises like `fit` for data that do not fit.
    """
    check_data(x, y, "evaluation data")
    model.eval()
    total, correct = 0.0, 0
    for idx in batches(len(x), size):
        scores = model(x[idx])
        check_scores(scores, y[idx])
        total += loss(scores, y[idx]).item() * len(idx)
        if y.dtype == torch.int64:
            correct += (scores.argmax(-1) == y[idx]).sum().item()
    result = {"loss": total / len(x)}
    if y.dtype == torch.int64:
        result["accuracy"] = correct / y.numel()
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
    ValueError, with the shapes, for data that do not fit (see `guards`).
    """
    x, y = train
    check_data(x, y)
    shuffle, history = generator(seed), []
    for epoch in progress(range(1, epochs + 1), "epochs"):
        model.train()
        total = 0.0
        for step, idx in enumerate(batches(len(x), size, shuffle), 1):
            inputs, targets = x[idx], y[idx]
            if transform is not None:
                inputs = transform(inputs)
            scores = model(inputs)
            check_scores(scores, targets)
            value = loss(scores, targets)
            total += check_loss(value, epoch, step) * len(idx)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        row = {"epoch": epoch, "train_loss": total / len(x)}
        if valid is not None:
            held_out = evaluate(model, *valid, loss=loss)
            row |= {f"valid_{key}": held_out[key] for key in held_out}
        history.append(row)
    return history
