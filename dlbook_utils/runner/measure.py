"""What is measured beside training: the test set, inference times, loading, and linear probes.

Each measurement is a line of a record of its own, `<study>-test.jsonl` and so on. What stands there
is not measured again, but for times, of which the newest counts.

A linear probe tells how well a stage of a network separates the classes for a linear map. Its
feature maps are averaged over a grid of fields, and a ridge regression of the classes on these
numbers is fitted in closed form: nothing about it is random. The same is done with the weights
that the network started from: a deeper stage sees more of the image and has more channels, and
that alone may help. Source of the idea: G. Alain and Y. Bengio (2016), arXiv:1610.01644.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlbook_utils.records import ledger, provenance

from . import feed, grids, models, scores
from .learner import EVEN, Learner, precision, wait
from .settings import Setting, from_dict
from .store import Place, load

BATCHES = (1, 256)  # of the inference times
LEAST_PASSES, PASSES, MOST_SECONDS = 5, 1_000, 20
LEAST_WARM, WARM, WARM_SECONDS = 2, 20, 2  # passes that are not timed
QUARTILES = (0.25, 0.5, 0.75)
IMAGES, EPOCH = 6_400, 45_000  # whose loading is timed, and for how many the time is told
LOADING = Setting("loading", "cnn-32", examples=IMAGES)
LOADERS = (0, 2)  # worker processes of a DataLoader; besides, as many as there are cores
GRID, RIDGE = 2, 1e-3  # fields a side; penalty per example
AT_ONCE = 1_000  # images whose features are computed together

Say = Callable[[str], None]


def _finished(place: Place, name: str) -> Iterator[tuple[dict, Setting]]:
    """The finished runs whose weights are here and which the record of this name lacks.

    Runs whose weights are on another machine are left to that one.
    """
    seen = {line["key"] for line in place.recorded(name)}
    for run in place.recorded():
        here = place.weights(run["key"]).exists()
        if here and run["status"] == "done" and run["key"] not in seen:
            yield run, from_dict(run["setting"])


def _begin(setting: Setting, device: torch.device) -> Learner:
    images = feed.load(setting.data)
    return Learner(setting, (images.mean, images.std), device)


def _load_weights(learner: Learner, place: Place) -> None:
    state = load(place.weights(learner.setting.key), learner.device)
    assert state is not None  # `_finished` has seen the file
    learner.model.load_state_dict(state["model"])


def score_on_test(place: Place, device: torch.device, say: Say) -> None:
    """Score every finished run's selected weights on the test set, if it has not been done before.

    The record is the log of all looks at the test set.
    """
    count = 0
    for run, setting in _finished(place, "test"):
        if setting.arm in grids.CHOOSING:
            continue
        began = time.monotonic()
        learner = _begin(setting, device)
        _load_weights(learner, place)
        part = feed.held_back(setting.data).to(device)
        result = scores.describe(learner.predict(part.x), part.y)
        line = {"key": run["key"], "setting": run["setting"], "test": result}
        data, seconds = feed.digest(setting.data, "test"), round(time.monotonic() - began, 3)
        line |= provenance.origin(device, setting.seed, data, seconds)
        ledger.append(place.record("test"), line)
        say(f"{run['key']}: test accuracy {result['accuracy']:.2%}")
        count += 1
    say(f"the test set was read for {count} runs")


def costs(place: Place, device: torch.device, say: Say, names: Sequence[str] = ()) -> None:
    """Record operations, parameters and inference times on this device, of the models named.

    None named: of those that have not been timed on it, the study's main models on a CPU, where a
    pass of the largest takes minutes, and every model elsewhere.
    """
    here = provenance.device_name(device)
    lines = place.recorded("costs")
    timed = {(r["model"], r["amp"]) for r in lines if r["device"] == here and not names}
    every = grids.MAIN if device.type == "cpu" else models.REAL
    if place.study == "trial":
        every = ("tiny-cnn", "tiny-resnet")
    amps = ("fp32", "bf16") if device.type == "cuda" else ("fp32",)
    for name, amp in product(names or every, amps):
        if (name, amp) in timed:
            continue
        began, counts = provenance.now(), models.count(name)
        times = [inference_time(name, device, batch, amp) for batch in BATCHES]
        line: dict[str, Any] = {"key": f"{name} {amp} {here} {began}", "model": name}
        line |= {"amp": amp, "inference": times, **counts}
        line |= provenance.origin(device, 0, "random bytes")
        ledger.append(place.record("costs"), line)
        (single, _), (many, n) = ((t["ms"], t["batch"]) for t in times)
        say(
            f"{name} {amp}: {counts['flops'] / 1e6:.1f} MFLOP an image, "
            f"{single:.3f} ms for one, {many / n:.4f} ms each of {n}"
        )


@torch.no_grad()
def inference_time(
    name: str, device: torch.device, batch: int, amp: str = "fp32", passes: int = PASSES
) -> dict[str, Any]:
    """Return the median time of a forward pass of `batch` random images, in milliseconds.

    Warmed up, synchronised after every pass; "low" and "high" are the quartiles. From bytes on the
    device to scores on the device, so that neither loading nor copying counts. Stops after 20 s,
    with at least 5 passes.
    """
    learner = Learner(Setting("costs", name, amp=amp), EVEN, device)
    model, normalise = learner.model.eval(), learner.normalise
    x = torch.randint(0, 256, (batch, 3, 32, 32), dtype=torch.uint8, device=device)
    times: list[float] = []
    with precision(amp, device):
        warm = time.perf_counter() + WARM_SECONDS
        for k in range(WARM):
            if k < LEAST_WARM or time.perf_counter() < warm:
                model(normalise(x))
        stop = time.perf_counter() + MOST_SECONDS
        while len(times) < passes and (len(times) < LEAST_PASSES or time.perf_counter() < stop):
            times.append(1000 * _seconds(lambda: model(normalise(x)), device))
    low, median, high = torch.tensor(times).quantile(torch.tensor(QUARTILES)).tolist()
    return {"batch": batch, "ms": median, "low": low, "high": high, "passes": len(times)}


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    wait(device)
    began = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - began


class Pictures(torch.utils.data.Dataset):
    """Images x uint8 (n, 3, h, w) as PIL pictures that go through a transform, one by one."""

    def __init__(self, x: Tensor, transform: Callable):
        self.pixels, self.transform = x.permute(0, 2, 3, 1).contiguous().numpy(), transform

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Tensor:
        from PIL import Image

        return self.transform(Image.fromarray(self.pixels[index]))


def usual(x: Tensor, workers: int, batch: int = 32, rotation: float = 15.0) -> Iterable[Tensor]:
    """Return a DataLoader over torchvision's transforms: crop, flip, rotation, normalisation.

    So do most training loops of the kind that the source describes: pictures in PIL, each one's
    crop, flip and rotation drawn in Python, worker processes to share the work.
    """
    from torchvision import transforms

    chain = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
    if rotation:
        bilinear = transforms.InterpolationMode.BILINEAR
        chain.append(transforms.RandomRotation(rotation, interpolation=bilinear))
    chain += [transforms.ToTensor(), transforms.Normalize(*EVEN)]
    pictures = Pictures(x, transforms.Compose(chain))
    return torch.utils.data.DataLoader(
        pictures, batch_size=batch, shuffle=True, num_workers=workers
    )


def load_usually(loader: Iterable[Tensor], device: torch.device) -> None:
    """One pass, copied to the device batch by batch."""
    for batch in loader:
        batch.to(device)


def load_ours(part: feed.Part, learner: Learner) -> None:
    """One pass of the study's own feed, which augments two thousand images at once, over a part on
    the device.
    """
    for some in feed.batches(part, feed.draw(LOADING, len(part), 1), LOADING):
        for x, *_ in some:
            learner.normalise(x)


def loading(place: Place, device: torch.device, say: Say) -> None:
    """Record seconds for an epoch of 45,000 images, by workers and for the study's own feed.

    Measured on 6,400 random images, all in turn, the second of two passes.
    """
    g = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8, generator=g)
    part = feed.Part(x, torch.zeros(IMAGES, dtype=torch.int64), "random").to(device)
    cores = torch.multiprocessing.cpu_count()
    contestants = {"resident": partial(load_ours, part, Learner(LOADING, EVEN, device))}
    for n in sorted({*LOADERS, cores}):
        contestants[f"PIL, {n} workers"] = partial(load_usually, usual(x, n), device)
    times: dict[str, float] = {}
    for _ in range(2):
        for name, work in contestants.items():
            times[name] = _seconds(work, device) * EPOCH / IMAGES
    origin = provenance.origin(device, 0, "random bytes")
    line: dict[str, Any] = {"key": f"loading {origin['device']} {origin['date']}"}
    line |= {"seconds_an_epoch": times, "cores": cores}
    ledger.append(place.record("loading"), line | origin)
    for name, value in times.items():
        say(f"{name}: {value:.1f} s for {EPOCH:,} images")


@torch.no_grad()
def features(learner: Learner, x: Tensor) -> list[Tensor]:
    """Return, for each stage, the pooled maps of images x uint8 (n, 3, h, w): (n, channels * 4)."""
    learner.model.eval()
    stages: list[list[Tensor]] = []
    for some in x.split(AT_ONCE):
        maps = learner.model.maps(learner.normalise(some))
        stages = stages or [[] for _ in maps]
        for stage, m in zip(stages, maps, strict=True):
            stage.append(F.adaptive_avg_pool2d(m, GRID).flatten(1))
    return [torch.cat(stage) for stage in stages]


def ridge(x: Tensor, y: Tensor, classes: int = 10) -> Callable[[Tensor], Tensor]:
    """Fit scores (n, classes) linearly to features x (n, d) of labels y (n,); return the map.

    Features are brought to mean 0 and deviation 1; the penalty is RIDGE per example.
    """
    # A feature that never changes is left as it is: its weight will be 0.
    mean, std = x.double().mean(0), x.double().std(0).clamp(min=1e-6)
    z = (x.double() - mean) / std
    targets = F.one_hot(y, classes).double()
    gram = z.T @ z / len(z) + RIDGE * torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    weights = torch.linalg.solve(gram, z.T @ (targets - targets.mean(0)) / len(z))
    return lambda new: (new.double() - mean) / std @ weights + targets.mean(0)


def probe(learner: Learner, train: feed.Part, valid: feed.Part) -> list[float]:
    """Return the validation accuracy of a linear probe on each stage."""
    stages = zip(features(learner, train.x), features(learner, valid.x), strict=True)
    return [
        (ridge(fit, train.y)(new).argmax(1) == valid.y).double().mean().item()
        for fit, new in stages
    ]


def probes(place: Place, device: torch.device, say: Say) -> None:
    """Probe every finished run of the main arm whose network has stages.

    In a line of the record, "trained" and "untrained" hold a stage's accuracy each.
    """
    count = 0
    for run, setting in _finished(place, "probe"):
        learner = _begin(setting, device)
        if setting.arm != "published" or not hasattr(learner.model, "maps"):
            continue
        train, valid = (part.to(device) for part in feed.divide(setting))
        precision("fp32", device)  # whatever the run's was
        line = {"key": run["key"], "setting": run["setting"]}
        line["untrained"] = probe(learner, train, valid)
        _load_weights(learner, place)
        line["trained"] = probe(learner, train, valid)
        line |= provenance.origin(device, setting.seed, feed.digest(setting.data))
        ledger.append(place.record("probe"), line)
        after, before = (
            ", ".join(f"{100 * value:.1f}" for value in line[name])
            for name in ("trained", "untrained")
        )
        say(f"{run['key']}: {after}; with the weights of the start {before}")
        count += 1
    say(f"{count} runs were probed")
