"""The images of a study: where they come from, how they are divided, and each epoch's batches.

All images stay on the device as bytes. What is random in an epoch (order, shifts, flips, angles)
is drawn beforehand on the CPU from the seed, the split and the epoch's number alone: every model,
every device and a resumed run see the same batches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dlbook_utils import data
from dlbook_utils.data import augment
from dlbook_utils.data.sets import Images, stratified_order
from dlbook_utils.page.devices import generator

from .settings import TENTHS, Setting

SPLIT_SEED = 2024  # of the one order from which every split and every subset is cut
SHAPES = 6_000  # images of the generated set
AHEAD = 64  # batches augmented at once: many small operations become few large ones
SHRUNK = 1_000  # images shrunk at once: as floats, all would take four times their memory
# Epochs, and pairs of seed and split, draw from generators of their own: so many lie between.
SEEDS_APART, EPOCHS_APART = 1_009, 100_003


Batch = tuple[Tensor, Tensor, int, int]  # x uint8 (m, 3, h, w), y (m,), own images, in all


class NoData(RuntimeError):
    """The real data set is not at hand."""


@dataclass(frozen=True)
class Part:
    """Images x uint8 (n, 3, h, w) and labels y int64 (n,), and a digest of which ones these are."""

    x: Tensor
    y: Tensor
    digest: str

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: torch.device | str) -> Part:
        """The same part on a device."""
        return Part(self.x.to(device), self.y.to(device), self.digest)


class Draws(NamedTuple):
    """What is random in an epoch of m images: `order` (m,), positions in the training part,
    `corners` (m, 2), `flips` bool (m,) and `angles` (m,) in degrees; and `side`, to which all are
    shrunk (0: not at all).
    """

    order: Tensor
    corners: Tensor
    flips: Tensor
    angles: Tensor
    side: int = 0

    def of(self, rows: slice | Tensor) -> Draws:
        """The draws of some of the epoch's images."""
        order, corners, flips, angles = (values[rows] for values in self[:-1])
        return Draws(order, corners, flips, angles, self.side)

    def to(self, device: torch.device | str) -> Draws:
        """The same draws on a device."""
        order, corners, flips, angles = (values.to(device) for values in self[:-1])
        return Draws(order, corners, flips, angles, self.side)


@lru_cache(2)
def load(name: str, split: str = "train") -> Images:
    """Return a real data set, or the generated "shapes", to try things out.

    Raises NoData where there would be a stand-in.
    """
    if name == "shapes":
        return data.load("shapes", split, n=SHAPES)
    images = data.load(name, split)
    if not isinstance(images, Images):
        raise ValueError(f"a study is run on images, and {name} is {type(images).__name__}")
    if not images.real:
        raise NoData(
            f"{name} is not at hand, and a study is not run on a stand-in: "
            f"`python -m dlbook_utils.data {name}` fetches it, DLBOOK_DATA names a folder with it"
        )
    return images


@lru_cache(4)
def digest(name: str, split: str = "train") -> str:
    """The names of data set and part, and the beginning of the SHA-256 of its images and labels."""
    images = load(name, split)
    sha = hashlib.sha256(images.x.numpy().tobytes())
    sha.update(images.y.numpy().tobytes())
    return f"{name} {split} {sha.hexdigest()[:16]}"


def divide(setting: Setting) -> tuple[Part, Part]:
    """Return the training and the validation part of a run.

    One random order, in which every beginning holds the classes evenly, is cut into tenths: tenth
    `split` is the validation part (5,000 of CIFAR-10), and the first `examples` of the others are
    trained on, so that a small training part lies inside every larger one. Validation images are
    sorted by class. With all images to train on the validation part is empty.

    Raises ValueError if there are not so many examples.
    """
    images = load(setting.data)
    n, held = len(images), len(images) // TENTHS
    order = torch.tensor(stratified_order(images.y.tolist(), seed=SPLIT_SEED))
    begin = setting.split * held
    valid, others = order[begin : begin + held], torch.cat([order[:begin], order[begin + held :]])
    if setting.examples == n:
        valid, others = order[:0], order
    elif setting.examples > n - held:
        raise ValueError(f"{setting.examples} of {n - held} examples: at most so many, or all {n}")
    train = others[: setting.examples].sort().values
    return _part(images, train), _part(images, _by_class(valid, images.y))


def held_back(name: str) -> Part:
    """The test images, sorted by class. For `measure` alone: whoever chooses by them, cheats."""
    images = load(name, "test")
    return _part(images, _by_class(torch.arange(len(images)), images.y))


def _by_class(index: Tensor, y: Tensor) -> Tensor:
    index = index.sort().values
    return index[y[index].argsort(stable=True)]


def _part(images: Images, index: Tensor) -> Part:
    sha = hashlib.sha256(index.to(torch.int64).numpy().tobytes()).hexdigest()[:16]
    return Part(images.x[index], images.y[index], sha)


def _draws_of(setting: Setting, epoch: int = 0) -> torch.Generator:
    pair = setting.seed * SEEDS_APART + setting.split
    return generator(pair * EPOCHS_APART + epoch)


def draw(setting: Setting, n: int, epoch: int) -> Draws:
    """Draw what is random in an epoch (counted from 1) over a training part of n examples.

    The draws of all kinds are made whatever the augmentation, so that an arm without rotation
    still has the order, shifts and flips of the one with it.
    """
    g = _draws_of(setting, epoch)
    m = setting.per_epoch or n
    order = torch.cat([torch.randperm(n, generator=g) for _ in range(-(-m // n))])[:m]
    corners = augment.draw_shifts(m, setting.pad, g)
    flips = augment.draw_flips(m, 0.5, g)
    angles = augment.draw_angles(m, setting.degrees, g)
    if setting.flip == "none":
        flips = torch.zeros_like(flips)
    elif setting.flip == "alternating":  # the side of each example in epoch 1, then turn by turn
        flips = augment.draw_flips(n, 0.5, _draws_of(setting))[order] ^ (epoch % 2 == 0)
    side = setting.small_side if epoch <= setting.small_epochs else 0
    return Draws(order, corners, flips, angles, side)


def augmented(x: Tensor, draws: Draws, setting: Setting) -> Tensor:
    """Shift, flip, rotate and shrink images x uint8 (m, 3, h, w), in this order, as was drawn."""
    if setting.pad and setting.border == "black":
        x = augment.apply_shift_crop(x, draws.corners, setting.pad)
    elif setting.pad:  # mirror the edges, shift within them, cut the middle out
        pad = setting.pad
        wide = _reflect(x, pad)
        x = augment.apply_shift_crop(wide, draws.corners, pad)[..., pad:-pad, pad:-pad]
    if setting.flip != "none":
        x = augment.apply_flip(x, draws.flips)
    if setting.degrees:
        x = augment.apply_rotate(x, draws.angles, "bilinear")
    return _shrunk(x, draws.side) if draws.side else x


def _shrunk(x: Tensor, side: int) -> Tensor:
    """Shrink bytes (m, 3, h, w) to `side` pixels; each new pixel is a weighted mean of old ones."""
    small = (
        F.interpolate(some.float(), size=(side, side), mode="bilinear", antialias=True)
        for some in x.split(SHRUNK)
    )
    return torch.cat([floats.round_().clamp_(0, 255).to(torch.uint8) for floats in small])


def _reflect(x: Tensor, pad: int) -> Tensor:
    """Pad by mirroring; F.pad does so for floats only, and an index does for bytes."""
    for axis in (2, 3):
        last = x.shape[axis] - 1
        index = last - (last - torch.arange(-pad, last + pad + 1).abs()).abs()
        x = x.index_select(axis, index.to(x.device))
    return x


def batches(
    part: Part, draws: Draws, setting: Setting, rank: int = 0, ranks: int = 1
) -> Iterator[list[Batch]]:
    """Yield an epoch's batches as lists of up to `AHEAD` of them.

    Of `ranks` processes each gets every ranks-th image of every batch, `own` of them; "in all"
    counts the whole batch. A process that a short last batch leaves without an image gets the
    batch's first one, to take part in the step, with `own` 0.
    """
    m, size = len(draws.order), setting.batch
    draws = draws.to(part.x.device)
    for begin in range(0, m, AHEAD * size):
        starts = list(range(begin, min(begin + AHEAD * size, m), size))
        ends = [min(start + size, m) for start in starts]
        rows = [torch.arange(min(a + rank, b), b, ranks) for a, b in zip(starts, ends)]
        own = [len(r) for r in rows]
        # DistributedDataParallel waits for every process in every step: none may be left out.
        rows = [r if len(r) else torch.tensor([a]) for r, a in zip(rows, starts)]
        mine = draws.of(torch.cat(rows).to(part.x.device))
        x = augmented(part.x.index_select(0, mine.order), mine, setting)
        y = part.y.index_select(0, mine.order)
        sizes = [len(r) for r in rows]
        totals = [b - a for a, b in zip(starts, ends)]
        yield list(zip(x.split(sizes), y.split(sizes), own, totals, strict=True))
