"""Augmented loading against torchvision's usual pipeline, as ratios of time.

Both make the same thing from 5,000 uint8 images of 3x32x32: float32 batches of 500, each image
shifted by up to 4 pixels, flipped, in the second comparison rotated by up to 15 degrees (bilinear),
and normalised. torchvision's pipeline works on PIL images in a DataLoader, with 0 or 2 workers;
ours works on whole batches in this process, with 1 or 2 threads. Each side has both cores to use as
it can: the faster of its two ways counts in each round. The two sides are measured in turn, and the
ratio of the medians counts.

    python -m tools.bench_data
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import torch

from dlbook_utils.data import augment
from dlbook_utils.runner import measure

IMAGES, BATCH, ROUNDS = 5_000, 500, 3
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def images() -> torch.Tensor:
    """Random images uint8 (5000, 3, 32, 32): the time does not depend on what they show."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8, generator=generator)


def ours(x: torch.Tensor, rotation: bool) -> Callable[[], None]:
    """One pass over x in augmented batches, as in `for` over a training epoch."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.tensor(MEAN).view(3, 1, 1) * 255
    std = torch.tensor(STD).view(3, 1, 1) * 255

    def epoch() -> None:
        for index in torch.randperm(len(x), generator=generator).split(BATCH):
            batch = augment.shift_crop(x.index_select(0, index), generator=generator)
            batch = augment.flip(batch, generator=generator).float()
            if rotation:
                batch = augment.rotate(batch, generator=generator)
            batch.sub_(mean).div_(std)

    return epoch


def theirs(x: torch.Tensor, rotation: bool, workers: int) -> Callable[[], None]:
    """One pass over x through torchvision's transforms in a DataLoader."""
    loader = measure.usual(x, workers, BATCH, 15.0 if rotation else 0.0)

    def epoch() -> None:
        for _ in loader:
            pass

    return epoch


def seconds(epoch: Callable[[], None]) -> float:
    """The wall time of one call."""
    start = time.perf_counter()
    epoch()
    return time.perf_counter() - start


def middle(epoch: Callable[[], None]) -> float:
    """The median wall time of five calls."""
    return statistics.median(seconds(epoch) for _ in range(5))


def with_threads(epoch: Callable[[], None], threads: int) -> Callable[[], None]:
    """The same pass, in so many threads."""

    def threaded() -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            epoch()
        finally:
            torch.set_num_threads(before)

    return threaded


def ratio(x: torch.Tensor, rotation: bool, rounds: int = ROUNDS) -> float:
    """How many times longer torchvision's pipeline takes, measured in turn."""
    fast = [with_threads(ours(x, rotation), threads) for threads in (1, 2)]
    slow = [theirs(x, rotation, workers) for workers in (0, 2)]
    for epoch in fast:
        epoch()  # the first pass allocates
    times = [(min(map(seconds, slow)), min(map(middle, fast))) for _ in range(rounds)]
    return statistics.median(t for t, _ in times) / statistics.median(t for _, t in times)


def bench() -> Iterator[tuple[str, float, float]]:
    """Name, measured ratio and goal of each comparison."""
    x = images()
    yield "augmented loading, crop + flip, against torchvision", ratio(x, False), 20
    yield "augmented loading, with rotation, against torchvision", ratio(x, True), 12


if __name__ == "__main__":
    for name, value, goal in bench():
        print(f"{name}: {value:.1f} x (goal {goal:g})")
