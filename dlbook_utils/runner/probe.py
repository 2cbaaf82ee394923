"""Linear probes: how well each stage of a network tells the classes apart, for a linear map.

The feature maps of a stage are averaged over a grid of 2 x 2 fields, and a ridge regression of the
classes on these numbers is fitted in closed form: nothing about it is random. It is fitted on the
training part and scored on the validation part. The same is done with the weights that the network
started from: a deeper stage sees more of the image and has more channels, and that alone may help.

Source of the idea: G. Alain and Y. Bengio (2016), arXiv:1610.01644.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.page.devices import seed_everything
from dlbook_utils.records import ledger, provenance

from . import checkpoint, feed, models, steps
from .feed import Part
from .settings import from_dict
from .workers import recorded

GRID, RIDGE = 2, 1e-3


@torch.no_grad()
def features(model: nn.Module, normalise: steps.Normalise, x: Tensor) -> list[Tensor]:
    """Return, for each stage, the pooled maps of images x uint8 (n, 3, h, w): (n, channels * 4).

    `model` has a method `maps` that returns its stages' feature maps.
    """
    model.eval()
    stages: list[list[Tensor]] = []
    for some in x.split(1000):
        pooled = [F.adaptive_avg_pool2d(m, GRID).flatten(1) for m in model.maps(normalise(some))]
        stages = stages or [[] for _ in pooled]
        for stage, found in zip(stages, pooled, strict=True):
            stage.append(found)
    return [torch.cat(stage) for stage in stages]


def ridge(x: Tensor, y: Tensor, classes: int = 10) -> Callable[[Tensor], Tensor]:
    """Fit scores (n, classes) linearly to features x (n, d) of labels y (n,); return the map.

    Features are brought to mean 0 and deviation 1; the penalty is RIDGE per example.
    """
    mean, std = x.double().mean(0), x.double().std(0).clamp(min=1e-6)
    z = (x.double() - mean) / std
    targets = F.one_hot(y, classes).double()
    gram = z.T @ z / len(z) + RIDGE * torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    weights = torch.linalg.solve(gram, z.T @ (targets - targets.mean(0)) / len(z))
    return lambda new: (new.double() - mean) / std @ weights + targets.mean(0)


def probe(model: nn.Module, normalise: steps.Normalise, train: Part, valid: Part) -> list[float]:
    """Return the validation accuracy of a linear probe on each stage."""
    pairs = zip(
        features(model, normalise, train.x), features(model, normalise, valid.x), strict=True
    )
    return [
        (ridge(fit, train.y)(new).argmax(1) == valid.y).double().mean().item() for fit, new in pairs
    ]


def has_maps(name: str) -> bool:
    """Whether a model, by its name, shows its stages."""
    with torch.device("meta"):  # its shape only: some have a hundred million weights
        return hasattr(models.build(name), "maps")


def measure(
    study: str, record: Path, rest: Path, device: torch.device, say: Callable[[str], None]
) -> int:
    """Probe every finished run of the main arm whose weights are here; returns how many.

    Each is a line of `<study>-probe.jsonl`: "trained" and "untrained" hold a stage's accuracy each.
    """
    path = record / f"{study}-probe.jsonl"
    seen = {line["key"] for line in recorded(f"{study}-probe", record)}
    count = 0
    steps.precision("fp32", device)
    for run in recorded(study, record):
        setting = from_dict(run["setting"])
        wanted = setting.arm == "published" and run["status"] == "done" and run["key"] not in seen
        if not wanted or not has_maps(setting.model):
            continue
        weights = checkpoint.load(rest / "weights" / f"{run['key']}.pt", device)
        if weights is None:
            continue
        images = feed.load(setting.data)
        normalise = steps.Normalise(images.mean, images.std, True).to(device)
        train, valid = (part.to(device) for part in feed.divide(setting))
        seed_everything(setting.seed)
        model = models.build(setting.model).to(device)
        found = {"untrained": probe(model, normalise, train, valid)}
        model.load_state_dict(weights["model"])
        found["trained"] = probe(model, normalise, train, valid)
        line = {"key": run["key"], "setting": run["setting"], **found}
        data = feed.digest(setting.data)
        ledger.append(path, line | provenance.origin(device, setting.seed, data))
        after, before = (accuracies(found[name]) for name in ("trained", "untrained"))
        say(f"{run['key']}: {after}; with the weights of the start {before}")
        count += 1
    return count


def accuracies(values: Sequence[float]) -> str:
    """Accuracies of the stages, in per cent, from the first to the last."""
    return ", ".join(f"{100 * value:.1f}" for value in values)


def lines_of(model: str, lines: Sequence[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The probes of a model's runs on the first split, by seed."""
    found = {}
    for line in lines:
        setting = line["setting"]
        if (setting["model"], setting["split"], setting["arm"]) == (model, 0, "published"):
            found[setting["seed"]] = line
    return dict(sorted(found.items()))
