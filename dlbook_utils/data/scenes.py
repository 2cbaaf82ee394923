"""Scenes with several things in them, composed of pictures that show one each.

The things lie over each other, in random sizes, among scraps cut out of other pictures; where they
are is known, since they were put there. Boxes are left, top, right, bottom, in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from dlbook_utils.page.guards import check_count, check_shape

from .sets import Images

SOLID = 0.1  # a pixel that is brighter belongs to the thing; the others are ground


class Cutouts(NamedTuple):
    """Pictures of one thing each: pixels (n, 1, h, h) in [0, 1], labels (n,), boxes (n, 4)."""

    pictures: Tensor
    labels: Tensor
    boxes: Tensor


class Scenes(NamedTuple):
    """Pictures (n, 1, size, size), boxes (n, most, 4), labels (n, most), of which -1 is nothing.

    What stands later in a scene lies on top.
    """

    pictures: Tensor
    boxes: Tensor
    labels: Tensor


def cut_out(part: Images, classes: Sequence[int], device: torch.device | None = None) -> Cutouts:
    """Return the square grey images of some classes, labelled 0, 1, ... in the order given, with
    the box around each one's solid pixels.

    Raises ValueError for other images and for a class that the set has not.
    """
    if part.x.shape[1] != 1 or part.x.shape[2] != part.x.shape[3]:
        raise ValueError(f"expected square grey images, got {tuple(part.x.shape)}")
    for label in classes:
        check_count(label, "class", 0, len(part.classes) - 1)
    belongs = part.y[:, None] == torch.tensor([*classes])  # (n, classes)
    kept = belongs.any(1)
    pictures = part[kept.nonzero()[:, 0]].pixels(device)
    solid, at = pictures[:, 0] > SOLID, torch.arange(pictures.shape[-1], device=device)
    lines = solid.any(1), solid.any(2)  # columns, rows
    low = [at.where(line, len(at)).amin(1) for line in lines]
    high = [(at + 1).where(line, 0).amax(1) for line in lines]
    labels = belongs[kept].int().argmax(1).to(device)
    return Cutouts(pictures, labels, torch.stack(low + high, 1).float())


def compose_scenes(
    things: Cutouts,
    n: int,
    generator: Generator,
    *,
    size: int = 40,
    scraps: int = 4,
    most: int = 5,
) -> Scenes:
    """Return n scenes with two to `most` things each, among `scraps` pieces of other things.

    The longer side of a thing has 11 to 22 pixels, a scrap 6 to 12 each way. A thing that would
    share more than half of itself, or of one below it, is left out: so there may be fewer. Raises
    ValueError for a size below 24 and counts below 0.
    """
    n, size = check_count(n, "n"), check_count(size, "size", 24)
    scraps, most = check_count(scraps, "scraps", 0), check_count(most, "most", 2)
    x, y, tight = things
    where = x.device

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=generator.device).to(where)

    scene = torch.zeros(n, 1, size, size, device=where)
    everywhere = torch.ones(n, dtype=torch.bool, device=where)
    for _ in range(scraps):
        cut, at = 2 + 14 * draw(n, 2), (size - 8) * draw(n, 2)
        sides = 6 + 6 * draw(n, 2)
        source, box = torch.cat([cut, cut + sides], 1), torch.cat([at, at + sides], 1)
        scene = paste(scene, x[(len(x) * draw(n)).long()], source, box, everywhere)
    chosen = (len(x) * draw(n, most)).long()
    x, y, tight = x[chosen], y[chosen], tight[chosen]
    sides = tight[..., 2:] - tight[..., :2]
    sides = sides * (11 + 11 * draw(n, most, 1)) / sides.amax(-1, keepdim=True)
    at = (size - sides) * draw(n, most, 2)
    boxes, labels = torch.cat([at, at + sides], -1), -torch.ones_like(y)
    wanted = 2 + ((most - 1) * draw(n)).long()
    for k in range(most):
        fits = (_hidden(boxes[:, k, None], boxes) * (labels >= 0)).amax(1) < 0.5
        labels[:, k] = y[:, k].where(fits & (k < wanted), -1)
        scene = paste(scene, x[:, k], tight[:, k], boxes[:, k], labels[:, k] >= 0)
    return Scenes(scene, boxes, labels)


def stack_scenes(things: Cutouts, kinds: Tensor, generator: Generator, *, size: int = 24) -> Tensor:
    """Return scenes (n, 1, size, size) with a thing of kind kinds[:, 0] in the upper half and one
    of kind kinds[:, 1] in the lower, at random places there; -1 is nothing.

    The longer side of a thing has 9 to 12 pixels. Raises ValueError for another shape of kinds,
    for kinds that `things` has not, and for a size below 24.
    """
    n, _ = check_shape(kinds, ["n", 2], "kinds").shape
    size = check_count(size, "size", 24)
    x, y, tight = things
    counts = torch.bincount(y)
    if int(kinds.min()) < -1 or int(kinds.max()) >= len(counts) or not counts.all():
        low, high = int(kinds.min()), int(kinds.max())
        raise ValueError(f"kinds must be -1 .. {len(counts) - 1}, got {low} .. {high}")
    order, first = y.argsort(stable=True), counts.cumsum(0) - counts
    scene = torch.zeros(n, 1, size, size, device=x.device)
    for half, kind in enumerate(kinds.to(x.device).unbind(1)):
        u, there = torch.rand(n, 4, generator=generator).to(x), kind.clamp(min=0)
        chosen = order[first[there] + (u[:, 0] * counts[there]).long()]
        sides = tight[chosen, 2:] - tight[chosen, :2]
        sides = sides * (9 + 3 * u[:, 1:2]) / sides.amax(1, keepdim=True)
        room = sides.new_tensor([size, size // 2]) - sides
        at = room * u[:, 2:] + sides.new_tensor([0, half * (size // 2)])
        box = torch.cat([at, at + sides], 1)
        scene = paste(scene, x[chosen], tight[chosen], box, kind >= 0)
    return scene


def paste(scene: Tensor, picture: Tensor, source: Tensor, box: Tensor, there: Tensor) -> Tensor:
    """Return scenes (n, 1, s, s) with the solid pixels of a part of each picture drawn in a box.

    Arguments:
        scene: (n, 1, s, s).
        picture: (n, 1, h, h); its part `source` (n, 4) is drawn into `box` (n, 4), bilinearly.
        there: bool (n,): in which scenes anything is drawn at all.
    """
    at = torch.arange(scene.shape[-1], device=scene.device) + 0.5
    scale = (source[:, 2:] - source[:, :2]) / (box[:, 2:] - box[:, :2])
    across, down = (
        (at - box[:, i, None]) * scale[:, i, None] + source[:, i, None] for i in (0, 1)
    )  # (n, s): from which column and row of the picture
    grid = torch.stack(torch.broadcast_tensors(across[:, None], down[:, :, None]), -1)
    pixels = F.grid_sample(picture, 2 * grid / picture.shape[-1] - 1, align_corners=False)
    columns, rows = ((at >= box[:, i, None]) & (at < box[:, i + 2, None]) for i in (0, 1))
    inside = rows[:, :, None] & columns[:, None] & there[:, None, None]
    return pixels.where(inside[:, None] & (pixels > SOLID), scene)


def _hidden(box: Tensor, boxes: Tensor) -> Tensor:
    """Return what boxes share, as a part of the smaller one."""
    low = torch.maximum(box[..., :2], boxes[..., :2])
    high = torch.minimum(box[..., 2:], boxes[..., 2:])
    first, second = ((b[..., 2:] - b[..., :2]).prod(-1) for b in (box, boxes))
    return (high - low).clamp(min=0).prod(-1) / torch.minimum(first, second)
