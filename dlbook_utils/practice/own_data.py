"""A training run that can be interrupted and resumed, a test for its rate, and what to ship.

As built in the chapter on your own data. A run is a dictionary: the model, the optimiser, the
generator that shuffles, the step, the history and the best weights so far.
"""

from __future__ import annotations

import copy
from math import ceil, inf
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.foundations.gradient_flow import clip_gradients
from dlbook_utils.foundations.linear import batches, evaluate
from dlbook_utils.foundations.optimisation import cosine, warm_up
from dlbook_utils.page.devices import generator
from dlbook_utils.page.guards import check_count, check_data, check_loss, check_shape, checked_pair

Run = dict[str, Any]
KEPT = ("step", "history", "best")


def rate_at(step: int, steps: int, peak: float, rise: float = 0.1) -> float:
    """Return the rate of a step: up in a straight line for a share `rise` of all steps, and down
    along half a cosine. Raises ValueError for a step, peak or share out of range.
    """
    if not (0 <= step < steps and 0 < peak < inf and 0 <= rise < 1):
        raise ValueError(
            f"expected a step in 0..{steps - 1}, a peak above 0 and a "
            f"share below 1 that rises, got {step}, {peak} and {rise}"
        )
    return peak * warm_up(step + 1, max(1, rise * steps)) * cosine(step, steps)


def start_run(model: nn.Module, seed: int = 0, decay: float = 0.01) -> Run:
    """Return all that a training run of a model has to remember; `seed` is that of the order in
    which examples are drawn, `decay` AdamW's.
    """
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=decay, fused=True)
    return {
        "model": model,
        "optimizer": optimizer,
        "shuffle": generator(seed),
        "step": 0,
        "history": [],
        "best": {"loss": inf, "epoch": 0, "weights": {}},
    }


def train_epoch(run: Run, x: Tensor, y: Tensor, steps: int, peak: float, size: int = 64) -> float:
    """Take a run once through x (n, ...) and labels y (n,), and return its mean loss.

    `steps`, of the whole run, and `peak` are those of `rate_at`; gradients are clipped to length 1.
    Raises TypeError or ValueError for data that do not fit, TrainingFailed as soon as the loss is
    not finite.
    """
    check_data(x, y)
    model, optimizer, total = run["model"], run["optimizer"], 0.0
    model.train()
    for idx in batches(len(x), size, run["shuffle"]):
        loss = F.cross_entropy(model(x[idx]), y[idx])
        total += check_loss(loss, len(run["history"]) + 1, run["step"]) * len(idx)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(run["step"], steps, peak)
        optimizer.zero_grad()
        loss.backward()
        clip_gradients(model.parameters(), 1.0)
        optimizer.step()
        run["step"] += 1
    return total / len(x)


def train_run(
    run: Run,
    train: tuple[Tensor, Tensor],
    valid: tuple[Tensor, Tensor],
    epochs: int,
    peak: float,
    size: int = 64,
    patience: int | None = None,
    path: str | Path | None = None,
) -> list[dict[str, float]]:
    """Train until `epochs` are done, give the model the weights of its best epoch, and return the
    history: "train_loss" and, of `valid`, "loss" and "accuracy" for each epoch.

    With `patience` the run ends once the present epoch is more than so many behind the best one;
    with `path` it is saved there after each epoch (`save_run`), and a run that `resume_run` took
    from there goes on as if nothing had happened. Raises as `train_epoch` does.
    """
    x, y = checked_pair(train)
    steps = check_count(epochs, "epochs") * ceil(len(x) / check_count(size, "size"))
    model, best, history = run["model"], run["best"], run["history"]
    while len(history) < epochs:
        row = {"train_loss": train_epoch(run, x, y, steps, peak, size)}
        held_out = evaluate(model, *checked_pair(valid, "validation data"))
        history.append(row | held_out)
        if held_out["loss"] < best["loss"]:
            weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            best.update(loss=held_out["loss"], epoch=len(history), weights=weights)
        if path is not None:
            save_run(run, path)
        if patience is not None and len(history) > best["epoch"] + patience:
            break
    if best["weights"]:
        model.load_state_dict(best["weights"])
    return history


def save_run(run: Run, path: str | Path) -> None:
    """Write all that a run remembers, and the states of PyTorch's global generators, to a file.

    It is written beside the old file, which it then replaces: a crash leaves one of the two whole.
    """
    state = {
        "model": run["model"].state_dict(),
        "optimizer": run["optimizer"].state_dict(),
        "shuffle": run["shuffle"].get_state(),
        "random": torch.get_rng_state(),  # dropout draws from this one
        "random_gpu": torch.cuda.get_rng_state_all(),
    }
    part = Path(f"{path}.part")
    torch.save(state | {name: run[name] for name in KEPT}, part)
    part.replace(path)


def resume_run(run: Run, path: str | Path) -> Run:
    """Give a fresh run of a model of the same make what `save_run` wrote, and return it.

    The file may come from another device. The states of the GPUs' generators are taken over where
    there are as many GPUs as there were.
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    run["model"].load_state_dict(state["model"])
    run["optimizer"].load_state_dict(state["optimizer"])
    run["shuffle"].set_state(state["shuffle"])
    torch.set_rng_state(state["random"])
    if len(state["random_gpu"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["random_gpu"])
    run.update({name: state[name] for name in KEPT})
    return run


class FromBytes(nn.Module):
    """A classifier of standardised pictures as one of bytes (n, c, h, w), which returns
    probabilities (n, K); `mean` and `std` are those of pixels in [0, 1], one of each per channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        if len(mean) != len(std) or not all(s > 0 for s in std):
            raise ValueError(f"expected as many stds above 0 as means, got {mean} and {std}")
        self.model = model
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, ["n", len(self.mean), "h", "w"], "pictures")
        scores = self.model((x.float() / 255 - self.mean) / self.std)
        return scores.softmax(1)  # (n, K)


def rate_test(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    low: float = 1e-5,
    high: float = 10.0,
    steps: int = 120,
    size: int = 64,
    seed: int = 0,
) -> tuple[list[float], list[float]]:
    """Return steps + 1 rates from `low` to `high` and the loss of a batch before the step at each.

    The model is a copy; the rates grow by a constant factor. Raises ValueError unless
    0 < low < high, and as `train_epoch` for data that do not fit.
    Source: L. N. Smith (2015), arXiv:1506.01186, whose rates grow by a constant amount.
    """
    if not 0 < low < high < inf:
        raise ValueError(f"expected 0 < low < high, got {low} and {high}")
    check_data(x, y)
    model, draw, losses = copy.deepcopy(model), generator(seed), []
    model.train()
    rates = [low * (high / low) ** (t / steps) for t in range(check_count(steps, "steps") + 1)]
    optimizer = torch.optim.AdamW(model.parameters())
    for rate in rates:
        idx = torch.randperm(len(x), generator=draw)
        idx = idx[: check_count(size, "size")]
        loss = F.cross_entropy(model(x[idx]), y[idx])
        losses.append(loss.item())
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return rates, losses
