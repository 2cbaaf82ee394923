"""Data made from random numbers: points in the plane, and colour images of shapes.

Every function takes a number of samples and a torch.Generator, and returns inputs and int64
labels, shuffled, with the classes as even as the number allows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def _labels(n: int, classes: int, generator: torch.Generator) -> Tensor:
    """Balanced labels (n,) in random order."""
    import torch

    return (torch.arange(n) % classes)[torch.randperm(n, generator=generator)]


def _cloud(n: int, spread: float, generator: torch.Generator) -> Tensor:
    """Gaussian offsets (n, 2) of standard deviation `spread`, at most three of them long."""
    import torch

    offset = torch.randn(n, 2, generator=generator)
    length = offset.norm(dim=1, keepdim=True)
    return spread * offset * (3 / length.clamp(min=3))


def moons(n: int, generator: torch.Generator, noise: float = 0.12) -> tuple[Tensor, Tensor]:
    """Two half circles of radius 1, each reaching into the other."""
    import torch

    y = _labels(n, 2, generator)
    angle = math.pi * torch.rand(n, generator=generator)
    sign = 1.0 - 2.0 * y  # +1 for the upper moon, -1 for the lower one
    centre = torch.stack([0.5 * -sign, 0.25 * -sign], 1)
    arc = torch.stack([angle.cos(), sign * angle.sin()], 1)
    return centre + arc + _cloud(n, noise, generator), y


def spirals(n: int, generator: torch.Generator, noise: float = 0.05, turns: float = 1.5):
    """Two spirals that wind around each other, the second one turned by half a circle; radius at
    most 1.
    """
    import torch

    y = _labels(n, 2, generator)
    radius = (
        0.1 + 0.9 * torch.rand(n, generator=generator).sqrt()
    )  # as many points per length outside
    angle = 2 * math.pi * turns * radius + math.pi * y
    x = radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return x + _cloud(n, noise, generator), y


def xor(n: int, generator: torch.Generator, noise: float = 0.25) -> tuple[Tensor, Tensor]:
    """Four clouds at (±1, ±1): class 0 where the signs agree, class 1 where they differ; the axes
    separate them.
    """
    import torch

    corner = _labels(n, 4, generator)
    sign = torch.stack([1 - 2 * (corner % 2), 1 - 2 * (corner // 2)], 1)
    y = (sign[:, 0] != sign[:, 1]).long()
    return sign.float() + _cloud(n, noise, generator), y


def blobs(n: int, generator: torch.Generator, noise: float = 0.6) -> tuple[Tensor, Tensor]:
    """Three clouds on a circle of radius 3, so far apart that a line separates any two of them."""
    import torch

    y = _labels(n, 3, generator)
    angle = 2 * math.pi * y / 3 + math.pi / 2
    centre = 3 * torch.stack([angle.cos(), angle.sin()], 1)
    return centre + _cloud(n, noise, generator), y


def shapes(n: int, generator: torch.Generator, size: int = 32) -> tuple[Tensor, Tensor]:
    """Colour images uint8 (n, 3, size, size) of ten shapes: any colours, place, size and angle,
    with noise.

    Neither colour nor place tells the class, so that a model has to look at the form.
    """
    import torch

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(n, *shape, generator=generator)

    y = _labels(n, 10, generator)
    radius = uniform(8, 12, 1, 1)
    centre = (size - 1) / 2 + uniform(-3, 3, 2, 1, 1)
    turn = uniform(0, 2 * math.pi, 1, 1)
    front, back = _colours(n, generator)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    down, right = rows - centre[:, 0], columns - centre[:, 1]
    u = (
        right * turn.cos() + down * turn.sin()
    ) / radius  # coordinates of the shape, which reaches to 1
    v = (down * turn.cos() - right * turn.sin()) / radius
    cover = torch.empty(n, 1, size, size)
    for k, distance in enumerate(OUTLINES):
        of_class = y == k
        outside = (
            distance(u[of_class], v[of_class]) * radius[of_class]
        )  # in pixels, negative inside
        cover[of_class, 0] = (0.5 - outside).clamp(0, 1)
    slope = uniform(-0.2, 0.2, 3, 1, 1) * (rows + columns - size) / size
    image = cover * front + (1 - cover) * (back + slope)
    image += 0.04 * torch.randn(image.shape, generator=generator)
    return (255 * image.clamp(0, 1)).round().byte(), y


def _colours(n: int, generator: torch.Generator, apart: float = 0.6) -> tuple[Tensor, Tensor]:
    """Two random colours (n, 3, 1, 1) in [0, 1] per image, at least about `apart` apart."""
    import torch

    front = torch.rand(n, 3, 1, 1, generator=generator)
    back = torch.rand(n, 3, 1, 1, generator=generator)
    near = (front - back).norm(dim=1, keepdim=True) < apart
    opposite = (front + 0.5) % 1  # half the range away in every channel
    return front, torch.where(near, opposite, back)


# Signed distances from the outline, in units of the shape's radius, negative inside; in the order
# of the class names.


def _disc(u, v):
    return u.hypot(v) - 1


def _ring(u, v):
    return (u.hypot(v) - 0.75).abs() - 0.2


def _square(u, v):
    return u.abs().maximum(v.abs()) - 0.8


def _frame(u, v):
    return (u.abs().maximum(v.abs()) - 0.65).abs() - 0.17


def _triangle(u, v):
    slant = 0.5 * v + math.sqrt(0.75) * u.abs()
    return slant.maximum(-v) - 0.5


def _star(u, v):
    """A five-pointed star: fold the plane into half a point, then take the distance to its one
    edge.
    """
    import torch

    radius, angle, half = u.hypot(v), torch.atan2(v, u), math.pi / 5
    folded = ((angle % (2 * half)) - half).abs() - half  # 0 at a tip, -half in a notch
    a, b = radius * folded.cos(), radius * folded.sin().abs()
    notch = (0.45 * math.cos(half), 0.45 * math.sin(half))
    across, along = notch[1], 1 - notch[0]
    return (across * (a - 1) + along * b) / math.hypot(across, along)


def _cross(u, v):
    along = u.abs().maximum(v.abs()) - 0.95
    across = u.abs().minimum(v.abs()) - 0.27
    return along.maximum(across)


def _bar(u, v):
    return (u.abs() - 1).maximum(v.abs() - 0.27)


def _pair(u, v):
    return (u.abs() - 0.58).hypot(v) - 0.4


def _crescent(u, v):
    return (u.hypot(v) - 1).maximum(0.9 - (u - 0.55).hypot(v))


OUTLINES = (
    _disc,
    _ring,
    _square,
    _frame,
    _triangle,
    _star,
    _cross,
    _bar,
    _pair,
    _crescent,
)
