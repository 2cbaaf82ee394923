"""A model with all that trains it: normalisation, optimisers, step and sums.

Steps are of four kinds, a plain one and three that are faster and compute the same:

- "plain": as anybody would write it;
- "fast": convolutions on (n, h, w, c) in memory, and an optimiser that is one fused operation;
- "graph": "fast", recorded once as a CUDA graph and played back, which spares the launching of
  hundreds of small kernels (at batch 32 that is most of the time);
- "compile": "fast" through torch.compile.

The modern recipe's optimisers and views are K. Jordan's, from his later program
(https://github.com/KellerJordan/cifar10-airbench, airbench94_muon.py), whose rates these are.
"""

from __future__ import annotations

from contextlib import nullcontext
from math import sqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.foundations.optimisation import newton_schulz
from dlbook_utils.page.devices import seed_everything

from . import models
from .settings import Setting
from .together import Group

KINDS = ("plain", "fast", "graph", "compile")
Channels = tuple[tuple[float, ...], tuple[float, ...]]  # mean and deviation of each
EVEN: Channels = ((0.5,) * 3, (0.25,) * 3)  # for times, on which they have no effect
WARM_UP = 3  # steps before a graph is recorded
NEWTON_SCHULZ = 3  # rounds: enough for this recipe
BIAS_RATE, HEAD_RATE, DECAY = 0.053, 0.67, 2e-6  # of SGD on the sum of a batch's losses
ADAM_RATE = 1e-3  # of what Muon does not move in other networks
FIRST_LEARNS = 3 / 8  # part of the training in which the first layer's bias does


class Tally:
    """Running sums on the device: loss times images, hits, images, steps, first step gone wrong.

    The CPU waits for them only when they are taken, never for a single step.
    """

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


class Muon(torch.optim.Optimizer):
    """Move filters by orthogonalised momentum, and keep their norm at sqrt(number of filters).

    The rule of the recipe, not the book's `optim.muon`: Nesterov momentum is not averaged, three
    Newton-Schulz steps are enough, and the norm stands in for weight decay.
    """

    def __init__(self, parameters, lr: float, momentum: float = 0.6):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["velocity"] = torch.zeros_like(p)
                v = state["velocity"].mul_(group["momentum"]).add_(p.grad)
                g = p.grad.add(v, alpha=group["momentum"])
                p.mul_(sqrt(len(p)) / p.norm())
                rounds = newton_schulz(g.reshape(len(g), -1), NEWTON_SCHULZ)
                p.sub_(group["lr"] * rounds.view_as(p))


def muon(
    setting: Setting, model: nn.Module, step_kind: str, device: torch.device
) -> list[torch.optim.Optimizer]:
    """Muon for filters and hidden matrices; for the rest what the model was made for.

    The modern network's biases and head take the recipe's SGD with Nesterov momentum, whose rates
    belong to the sum of a batch's losses, ours to their mean, hence the factor `batch`. Group
    option "until": the part of the training after which the rate is 0. Those rates are made for
    that network, which divides its scores; others take Adam at the source's rate.
    """
    learns = {name: p for name, p in model.named_parameters() if p.requires_grad}
    head = [p for name, p in learns.items() if name.startswith("head.")]
    hidden = [p for name, p in learns.items() if p.ndim in (2, 4) and name != "head.weight"]
    rest = [p for name, p in learns.items() if p.ndim not in (2, 4) and "head" not in name]
    if not isinstance(model, models.SpeedyNet):
        return [Muon(hidden, setting.lr), torch.optim.Adam([*rest, *head], ADAM_RATE)]
    batch, first = setting.batch, [model.whiten.bias]
    groups: list[dict[str, Any]] = [
        {"params": first, "lr": BIAS_RATE * batch, "until": FIRST_LEARNS},
        {"params": [p for p in rest if p is not first[0]], "lr": BIAS_RATE * batch},
        {"params": head, "lr": HEAD_RATE * batch},
    ]
    for group in groups:
        group["weight_decay"] = DECAY * batch / group["lr"]
    return [Muon(hidden, setting.lr), torch.optim.SGD(groups, momentum=0.85, nesterov=True)]


def adam(
    setting: Setting, model: nn.Module, step_kind: str, device: torch.device
) -> list[torch.optim.Optimizer]:
    """Adam or AdamW. For a graph the rate is a tensor, which can change after the recording."""
    make = torch.optim.AdamW if setting.rule == "adamw" else torch.optim.Adam
    lr = torch.tensor(setting.lr, device=device) if step_kind == "graph" else setting.lr
    fast: dict[str, Any] = {} if step_kind == "plain" else {"fused": True}
    if step_kind == "graph":
        fast["capturable"] = True
    return [make(model.parameters(), lr=lr, weight_decay=setting.decay, **fast)]


# By the names that settings.CHOICES allows.
OPTIMIZERS = {"adam": adam, "adamw": adam, "muon": muon}


def views(x: Tensor, number: int) -> list[tuple[float, Tensor]]:
    """Return `number` (1, 2 or 6) views of images x (n, c, h, w) with their weights.

    The image and its mirror image; with 6, both shifted by a pixel up and left, or down and right,
    at half the weight.
    """
    if number == 1:
        return [(1.0, x)]
    if number == 2:
        return [(0.5, x), (0.5, x.flip(-1))]
    wide = F.pad(x, (1, 1, 1, 1), "reflect")
    h, w = x.shape[2:]
    shifted = [wide[..., k : k + h, k : k + w] for k in (0, 2)]
    mirrored = [(0.25, x), (0.25, x.flip(-1))]
    return mirrored + [(0.125, view) for s in shifted for view in (s, s.flip(-1))]


class Learner:
    """A model, its normalisation, optimisers, tally and step, and its scores.

    Arguments:
        setting: of the run; its seed draws the initial weights.
        channels: mean and deviation of the training images' channels, of pixels in 0..1.
        device: where everything lies.
        step_kind: one of KINDS. A "graph" is played once it is recorded, see `record`.
        first: images x uint8 (n, 3, h, w) from which the modern network's first layer is computed;
            without them it is random, as other layers are.
        processes: of the run, if there are several.

    Raises together.Impossible for a model that cannot be shared out to the processes.
    """

    def __init__(
        self,
        setting: Setting,
        channels: Channels,
        device: torch.device,
        step_kind: str = "fast",
        first: Tensor | None = None,
        processes: Group | None = None,
    ):
        self.setting, self.device, self.step_kind = setting, device, step_kind
        self.context = precision(setting.amp, device)  # before the first product, in `prepare`
        self.layout = torch.contiguous_format if step_kind == "plain" else torch.channels_last
        self.mean, self.std = (255 * torch.tensor(v).view(-1, 1, 1).to(device) for v in channels)
        seed_everything(setting.seed)
        model: Any = models.build(setting.model)
        self.model: Any = model.to(device, memory_format=self.layout)
        if first is not None and hasattr(self.model, "prepare"):
            self.model.prepare(self.normalise(first))
        self.processes = processes.size if processes else 1
        self.net = processes.wrap(self.model) if processes else self.model
        # Shapes are fixed: for the last, shorter batch of an epoch there is a program of its own.
        self.forward = (
            torch.compile(self.net, dynamic=False) if step_kind == "compile" else self.net
        )
        self.optimizers = OPTIMIZERS[setting.rule](setting, self.model, step_kind, device)
        for group in _groups(self.optimizers):
            group.setdefault("until", 1.0)
            group["first_lr"] = float(group["lr"])
        self.tally = Tally(device)
        self.recorded: tuple[torch.cuda.CUDAGraph, Tensor, Tensor] | None = None

    def normalise(self, x: Tensor) -> Tensor:
        """Bytes (n, 3, h, w) to numbers with mean 0 and deviation 1, laid out as the model is."""
        x = (x.to(self.mean.dtype) - self.mean) / self.std
        return x.contiguous(memory_format=self.layout)

    def set_rates(self, done: float) -> float:
        """Set the learning rates after `done` epochs (a fraction, within an epoch); return the
        first.

        Halved every `halve_every` epochs, or down to 0 in a straight line (`setting.falls`).
        """
        setting, factor = self.setting, 1.0
        if setting.halve_every and not setting.falls:
            factor = 0.5 ** (int(done) // setting.halve_every)
        for group in _groups(self.optimizers):
            if setting.falls:
                factor = max(0.0, 1 - done / (setting.epochs * group["until"]))
            rate = group["first_lr"] * factor
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)  # in the memory that a graph reads
            else:
                group["lr"] = rate
        return float(self.optimizers[0].param_groups[0]["lr"])

    def rest(self) -> None:
        """Compute no gradient for parameters whose rate is 0, nor what only they need.

        For the modern recipe's first layer this spares a tenth of a step, and changes no weight.
        """
        for group in _groups(self.optimizers):
            for p in group["params"]:
                p.requires_grad_(float(group["lr"]) > 0)

    def step(self, x: Tensor, y: Tensor, own: int, total: int) -> None:
        """Update the model on bytes x (n, 3, h, w) and labels y (n,); loss and hits are tallied.

        `total` images in all are shared out to the processes, whose gradients are averaged; `own`
        of them belong to this one, which therefore weighs its mean by own * processes / total.
        """
        if self.recorded is None or x.shape != self.recorded[1].shape:
            self._update(x, y, own, total)
            return
        graph, graph_x, graph_y = self.recorded
        graph_x.copy_(x)
        graph_y.copy_(y)
        graph.replay()

    def _update(self, x: Tensor, y: Tensor, own: int, total: int) -> None:
        with self.context:
            scores = self.forward(self.normalise(x))
            loss = F.cross_entropy(
                scores.to(self.mean.dtype), y, label_smoothing=self.setting.smoothing
            )
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        weight = own * self.processes / total
        (loss if weight == 1 else loss * weight).backward()
        for optimizer in self.optimizers:
            optimizer.step()
        self.tally.add(loss, scores, y, own)

    def record(self, x: Tensor, y: Tensor) -> None:
        """Record a step on the GPU as a graph; batches of another shape are stepped one by one.

        Model, optimisers and tally are what they were before. Raises RuntimeError where no graph
        can be recorded.
        """
        x, y = x.clone(), y.clone()
        # Detached: a copy with a history would tie the parameters' gradients to the stream that is
        # current now, and a graph cannot be recorded on another one then.
        before = [tensor.detach().clone() for tensor in self.tensors()]
        fresh = not any(optimizer.state for optimizer in self.optimizers)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries choose their kernels and take their memory here
            for _ in range(WARM_UP):
                self._update(x, y, len(y), len(y))
        torch.cuda.current_stream().wait_stream(side)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._update(x, y, len(y), len(y))
        self._undo(before, fresh)
        self.recorded = graph, x, y

    @torch.no_grad()
    def _undo(self, before: list[Tensor], fresh: bool) -> None:
        """Undo what the trial steps did, in the memory that the graph knows."""
        after = self.tensors()
        for tensor, old in zip(after, before):
            tensor.copy_(old)
        if fresh:  # the optimisers had no state: all of it, which comes last, was zero
            for tensor in after[len(before) :]:
                tensor.zero_()
        self.tally.sums.zero_()

    def tensors(self) -> list[Tensor]:
        """Every tensor that a step changes: parameters, buffers, what the optimisers remember."""
        tensors = [*self.model.parameters(), *self.model.buffers()]
        for optimizer in self.optimizers:
            states = [optimizer.state.get(p, {}) for p in self.model.parameters()]
            tensors += [v for state in states for v in state.values() if torch.is_tensor(v)]
        return tensors

    @torch.no_grad()
    def predict(self, x: Tensor, looks: int | None = None, size: int = 1000) -> Tensor:
        """Return scores (n, classes) of bytes x (n, 3, h, w), float32 on the CPU.

        In evaluation mode. Of several views of each image (`looks`; unless given, the setting's)
        the scores are averaged.
        """
        self.model.eval()
        scores = []
        with precision(self.setting.amp, x.device):
            for some in x.split(size):
                seen = views(self.normalise(some), looks or self.setting.views)
                scores.append(sum(weight * self.model(view).float() for weight, view in seen))
        return torch.cat(scores).cpu()

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold of it."""
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        return {"model": self.model.state_dict(), "optimizers": optimizers}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def _groups(optimizers: list[torch.optim.Optimizer]) -> list[dict[str, Any]]:
    return [group for optimizer in optimizers for group in optimizer.param_groups]


def wait(device: torch.device) -> None:
    """Let the device finish, so that a clock is honest."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
