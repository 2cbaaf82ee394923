"""One training step: the plain way, and three that are faster and compute the same.

- "plain": as anybody would write it;
- "fast": convolutions on (n, h, w, c) in memory, and an optimiser that is one fused operation;
- "graph": "fast", recorded once as a CUDA graph and played back, which spares the launching of
  hundreds of small kernels (at batch 32 that is most of the time);
- "compile": "fast" through torch.compile.

A step takes bytes and labels and returns nothing: loss and hits are added to a `Tally` on the
device, so that the CPU never waits for a single step.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import speedy
from .settings import Setting

Step = Callable[[Tensor, Tensor, int, int], None]
KINDS = ("plain", "fast", "graph", "compile")


class Tally:
    """Running sums on the device: loss times images, hits, images, steps, first step gone wrong."""

    def __init__(self, device: torch.device | str):
        self.sums = torch.zeros(5, device=device)

    def add(self, loss: Tensor, scores: Tensor, y: Tensor, own: int) -> None:
        """Count a step with `own` images, `loss` being their mean loss; all on the device."""
        hits = (scores.argmax(1) == y).sum() * (own / len(y))
        self.sums[:3] += torch.stack([loss.detach().float() * own, hits, hits * 0 + own])
        self.sums[3] += 1
        wrong = ~torch.isfinite(loss.detach()) & (self.sums[4] == 0)
        self.sums[4] += wrong * self.sums[3]

    def take(self) -> list[float]:
        """Return the five sums (this waits for the device) and begin again from 0."""
        sums = self.sums.tolist()
        self.sums.zero_()
        return sums


def precision(amp: str, device: torch.device) -> torch.autocast | nullcontext:
    """Set the precision of float32 products for the process, and return the context of a pass."""
    fast = amp != "fp32"
    torch.backends.cuda.matmul.allow_tf32 = fast
    torch.backends.cudnn.allow_tf32 = fast
    if amp == "bf16":
        return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
    return nullcontext()


class Normalise(nn.Module):
    """Bytes (n, 3, h, w) to numbers with mean 0 and standard deviation 1 per channel."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], channels_last: bool):
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", 255 * torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format

    def forward(self, x: Tensor) -> Tensor:
        """Normalise a batch; its memory is laid out as the model wants it."""
        return ((x.to(self.mean.dtype) - self.mean) / self.std).contiguous(
            memory_format=self.layout
        )


def optimizers(
    setting: Setting, model: nn.Module, kind: str, device: torch.device
) -> list[torch.optim.Optimizer]:
    """The setting's optimisers. On a GPU the rate is a tensor, which a recorded graph can read."""
    if setting.rule == "muon":
        found = speedy.optimizers(model, setting.lr, setting.batch)
    else:
        make = torch.optim.AdamW if setting.rule == "adamw" else torch.optim.Adam
        extra: dict = {}
        lr: float | Tensor = setting.lr
        if kind != "plain":
            extra["fused"] = True
        if kind == "graph":
            extra["capturable"] = True
            lr = torch.tensor(setting.lr, device=device)
        try:
            found = [make(model.parameters(), lr=lr, weight_decay=setting.decay, **extra)]
        except RuntimeError:  # torch 2.3 has no fused Adam on the CPU
            extra.pop("fused")
            found = [make(model.parameters(), lr=lr, weight_decay=setting.decay, **extra)]
    for optimizer in found:
        for group in optimizer.param_groups:
            group.setdefault("until", 1.0)
            group["first_lr"] = float(group["lr"])
    return found


def set_rates(found: list[torch.optim.Optimizer], setting: Setting, done: float) -> float:
    """Set the learning rates after `done` epochs (a fraction, within an epoch); return the first.

    "adam" and "adamw": halved every `halve_every` epochs. "muon": down to 0 in a straight line.
    """
    for optimizer in found:
        for group in optimizer.param_groups:
            if setting.rule == "muon":
                factor = max(0.0, 1 - done / (setting.epochs * group["until"]))
            elif setting.halve_every:
                factor = 0.5 ** (int(done) // setting.halve_every)
            else:
                factor = 1.0
            rate = group["first_lr"] * factor
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
    return float(found[0].param_groups[0]["lr"])


def rest(found: list[torch.optim.Optimizer]) -> None:
    """Compute no gradient for parameters whose rate is 0, nor what only they need.

    For the modern recipe's first layer this spares a tenth of a step, and changes no weight.
    """
    for optimizer in found:
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.requires_grad_(float(group["lr"]) > 0)


def make_step(
    kind: str,
    model: nn.Module,
    normalise: Normalise,
    found: list[torch.optim.Optimizer],
    tally: Tally,
    setting: Setting,
    example: tuple[Tensor, Tensor],
    share: int = 1,
) -> Step:
    """Return step(x, y, own, total): an update of the model on bytes x (n, 3, h, w), labels y (n,).

    `total` images in all are shared out to `share` processes, whose gradients are averaged; `own`
    of them belong to this one, which therefore weighs its mean by own * share / total. `example` is
    a batch of full size, from which a graph is recorded; neither the model nor the optimiser is
    changed by that.
    """
    context = precision(setting.amp, example[0].device)
    # Shapes are fixed: for the last, shorter batch of an epoch there is a program of its own.
    forward = torch.compile(model, dynamic=False) if kind == "compile" else model

    def step(x: Tensor, y: Tensor, own: int, total: int) -> None:
        with context:
            scores = forward(normalise(x))
            loss = F.cross_entropy(
                scores.to(normalise.mean.dtype), y, label_smoothing=setting.smoothing
            )
        for optimizer in found:
            optimizer.zero_grad(set_to_none=True)
        weight = own * share / total
        (loss if weight == 1 else loss * weight).backward()
        for optimizer in found:
            optimizer.step()
        tally.add(loss, scores, y, own)

    return _recorded(step, model, found, tally, example) if kind == "graph" else step


def _recorded(
    step: Step,
    model: nn.Module,
    found: list[torch.optim.Optimizer],
    tally: Tally,
    example: tuple[Tensor, Tensor],
) -> Step:
    """Record a step on the GPU as a graph; batches of another shape are stepped one by one."""
    x, y = (tensor.clone() for tensor in example)
    # Detached: a copy with a history would tie the parameters' gradients to the stream that is
    # current now, and a graph cannot be recorded on another one then.
    before = [tensor.detach().clone() for tensor in _state(model, found)]
    fresh = not any(optimizer.state for optimizer in found)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries choose their kernels and take their memory here
        for _ in range(3):
            step(x, y, len(y), len(y))
    torch.cuda.current_stream().wait_stream(side)
    for optimizer in found:
        optimizer.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(x, y, len(y), len(y))
    with torch.no_grad():  # undo what the trial steps did, in the memory that the graph knows
        after = _state(model, found)
        for tensor, old in zip(after, before):
            tensor.copy_(old)
        if fresh:  # the optimiser had no state: all of it, which comes last, was zero
            for tensor in after[len(before) :]:
                tensor.zero_()
    tally.sums.zero_()

    def play(new_x: Tensor, new_y: Tensor, own: int, total: int) -> None:
        if new_x.shape != x.shape:
            step(new_x, new_y, own, total)
            return
        x.copy_(new_x)
        y.copy_(new_y)
        graph.replay()

    return play


def _state(model: nn.Module, found: list[torch.optim.Optimizer]) -> list[Tensor]:
    """Every tensor that a step changes: parameters, buffers, and what the optimisers remember."""
    tensors = [*model.parameters(), *model.buffers()]
    for optimizer in found:
        for group in optimizer.param_groups:
            for p in group["params"]:
                tensors += [v for v in optimizer.state.get(p, {}).values() if torch.is_tensor(v)]
    return tensors
