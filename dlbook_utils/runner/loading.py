"""What it takes to bring an epoch's images to the model: one by one, or as the study does.

Most training loops of the kind that the source describes keep pictures in PIL, draw each one's
crop, flip and rotation in Python, and let worker processes share the work. The study keeps bytes on
the device and augments two thousand at once. Both make the same batches of 32.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from dlbook_utils.records import ledger, provenance

from . import feed, steps
from .settings import Setting

IMAGES, EPOCH = 6_400, 45_000
SETTING = Setting("loading", "cnn-32", examples=IMAGES)


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
    """Return a DataLoader over torchvision's transforms: crop, flip, rotation, normalisation."""
    from torchvision import transforms

    found = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
    if rotation:
        bilinear = transforms.InterpolationMode.BILINEAR
        found.append(transforms.RandomRotation(rotation, interpolation=bilinear))
    found += [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.25,) * 3)]
    pictures = Pictures(x, transforms.Compose(found))
    return torch.utils.data.DataLoader(
        pictures, batch_size=batch, shuffle=True, num_workers=workers
    )


def seconds_usual(x: Tensor, workers: int, device: torch.device) -> float:
    """Seconds for one pass over x, copied to the device batch by batch."""
    loader = usual(x, workers)
    began = time.perf_counter()
    for batch in loader:
        batch.to(device)
    _wait(device)
    return time.perf_counter() - began


def seconds_ours(part: feed.Part, device: torch.device) -> float:
    """Seconds for one pass of the study's own feed over a part, normalised on the device."""
    part = part.to(device)
    normalise = steps.Normalise((0.5,) * 3, (0.25,) * 3, True).to(device)
    began = time.perf_counter()
    for some in feed.batches(part, feed.draw(SETTING, len(part), 1), SETTING):
        for x, *_ in some:
            normalise(x)
    _wait(device)
    return time.perf_counter() - began


def measure(study: str, record: Path, device: torch.device, say: Callable[[str], None]) -> None:
    """Record seconds for an epoch of 45,000 images, by workers and for the study's own feed.

    Measured on 6,400 random images, both sides in turn, the second of two passes.
    """
    g = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8, generator=g)
    part = feed.Part(x, torch.zeros(IMAGES, dtype=torch.int64), "random")
    cores = torch.multiprocessing.cpu_count()
    ways: dict[str, Callable[[], float]] = {"resident": lambda: seconds_ours(part, device)}
    for workers in sorted({0, 2, cores}):
        ways[f"PIL, {workers} workers"] = lambda w=workers: seconds_usual(x, w, device)
    times: dict[str, float] = {}
    for _ in range(2):
        for name, way in ways.items():
            times[name] = way() * EPOCH / IMAGES
    found = provenance.origin(device, 0, "random bytes")
    key = f"loading {found['device']} {found['date']}"
    line = {"key": key, "seconds_an_epoch": times, "cores": cores}
    ledger.append(record / f"{study}-loading.jsonl", line | found)
    for name, value in times.items():
        say(f"{name}: {value:.1f} s for 45,000 images")


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
