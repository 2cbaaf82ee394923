"""Augmentation of whole batches of images, with an own draw for each sample.

Every operation comes in three forms: `draw_…` makes the parameters of n samples from an explicit
generator, `apply_…` uses given parameters, and the plain name does both. Images are uint8 or float
tensors (n, c, h, w) on any device; the result has the same shape, dtype and device. A generator on
the CPU serves every device: its draws are moved.

The applying functions agree with torchvision.transforms.functional on the same parameters: `pad`
and `crop`, `hflip` and `erase` exactly, `rotate` up to rounding.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from dlbook_utils.page.guards import check_count


def _check(x: Tensor) -> None:
    """Raise unless x is a batch of images."""
    if not isinstance(x, Tensor):
        raise TypeError(f"images must be a tensor, not {type(x).__name__}")
    if x.ndim != 4 or not (x.dtype == torch.uint8 or x.is_floating_point()):
        raise ValueError(f"expected uint8 or float (n, c, h, w), got {x.dtype} {tuple(x.shape)}")


# Shift: pad with zeros, then cut a window of the old size out at a random place.


def _draws(x: Tensor, shape: tuple[int, ...], name: str) -> None:
    """Raise unless `x` holds one draw for each image."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor, not {type(x).__name__}")
    if x.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {tuple(x.shape)}")


def draw_shifts(n: int, pad: int, generator: Generator) -> Tensor:
    """Top left corners (n, 2), row and column, each uniform in 0 .. 2 pad."""
    pad = check_count(pad, "pad", 0)
    return torch.randint(0, 2 * pad + 1, (n, 2), generator=generator, device=generator.device)


def apply_shift_crop(x: Tensor, corners: Tensor, pad: int) -> Tensor:
    """Pad x (n, c, h, w) by `pad` zeros on each side and cut windows of h x w at `corners` (n, 2).

    All windows are copied at once: seen as flat memory, a row of a window is w neighbouring values,
    so it is enough to compute where each of the n c h rows begins.
    """
    _check(x)
    _draws(corners, (len(x), 2), "corners")
    n, c, h, w = x.shape
    if int(corners.min()) < 0 or int(corners.max()) > 2 * pad:
        raise ValueError(
            f"corners must lie in 0 .. {2 * pad}, got {corners.min()} .. {corners.max()}"
        )
    wide = F.pad(x, (pad, pad, pad, pad)).contiguous()
    height, width = wide.shape[2:]
    top, left = corners.to(x.device)[:, :, None, None].unbind(1)  # (n, 1, 1) each
    image = torch.arange(n * c, device=x.device).view(n, c, 1) * height  # first row of each plane
    begin = (image + top + torch.arange(h, device=x.device)) * width + left  # (n, c, h)
    flat = wide.view(-1)
    rows = flat.as_strided((flat.numel() - w + 1, w), (1, 1))  # every run of w values, overlapping
    return rows.index_select(0, begin.view(-1)).view(n, c, h, w)


def shift_crop(x: Tensor, pad: int = 4, *, generator: Generator) -> Tensor:
    """Shift each image by up to `pad` pixels in both directions, filling with zeros."""
    return apply_shift_crop(x, draw_shifts(len(x), pad, generator), pad)


# Flip: left and right change places.


def draw_flips(n: int, p: float, generator: Generator) -> Tensor:
    """Which of n images to flip: bool (n,), each True with probability p."""
    if not 0 <= p <= 1:
        raise ValueError(f"p is a probability, 0 to 1, not {p}")
    return torch.rand(n, generator=generator, device=generator.device) < p


def apply_flip(x: Tensor, flips: Tensor) -> Tensor:
    """Mirror those images of x (n, c, h, w) left to right for which `flips` (n,) is True."""
    _check(x)
    _draws(flips, (len(x),), "flips")
    n = len(x)
    both = torch.cat(
        [x, x.flip(-1)]
    )  # copying whole images is cheaper than choosing pixel by pixel
    return both.index_select(0, torch.arange(n, device=x.device) + n * flips.to(x.device))


def flip(x: Tensor, p: float = 0.5, *, generator: Generator) -> Tensor:
    """Mirror each image left to right with probability p."""
    return apply_flip(x, draw_flips(len(x), p, generator))


# Rotation about the centre.


def draw_angles(n: int, degrees: float, generator: Generator) -> Tensor:
    """Angles (n,) in degrees, uniform between -degrees and +degrees."""
    return degrees * (2 * torch.rand(n, generator=generator, device=generator.device) - 1)


def apply_rotate(x: Tensor, angles: Tensor, mode: str = "bilinear") -> Tensor:
    """Rotate each image of x (n, c, h, w) counter-clockwise by its angle (n,), in degrees.

    Every pixel of the result is looked up where it came from, and is 0 if that lies outside. mode
    "bilinear" mixes the four nearest pixels, those outside counting as 0, so that edges fade;
    "nearest" takes one. The convention is that of torchvision on tensors: pixel centres at half
    integers (align_corners=False), rotation about the middle of the image. uint8 is rounded.
    """
    _check(x)
    _draws(angles, (len(x),), "angles")
    if mode not in ("bilinear", "nearest"):
        raise ValueError(f"mode must be 'bilinear' or 'nearest', got {mode!r}")
    n, _, h, w = x.shape
    dtype = x.dtype if x.is_floating_point() else torch.float32
    angle = (math.pi / 180) * angles.to(x.device, dtype)
    turns = torch.stack([angle.cos(), angle.sin()], 1)  # (n, 2)
    origin = (turns @ _turning_grids(h, w).to(x.device, dtype)).view(n, h, w, 2)
    turned = F.grid_sample(x.to(dtype), origin, mode, "zeros", align_corners=False)
    return turned if x.is_floating_point() else turned.round_().to(x.dtype)


def _turning_grids(h: int, w: int) -> Tensor:
    """The two grids (2, h w 2) of which cos(angle) and sin(angle) make the rotated one.

    A point (x, y), in pixels from the centre with y pointing down, comes from (x cos - y sin,
    x sin + y cos) when the picture turns counter-clockwise. grid_sample counts in half sides.
    """
    y, x = torch.meshgrid(
        torch.arange(h) - (h - 1) / 2, torch.arange(w) - (w - 1) / 2, indexing="ij"
    )
    half = torch.tensor([w / 2, h / 2])
    return torch.stack([torch.stack([x, y], -1) / half, torch.stack([-y, x], -1) / half]).view(
        2, -1
    )


def rotate(
    x: Tensor, degrees: float = 15, mode: str = "bilinear", *, generator: Generator
) -> Tensor:
    """Rotate each image by an angle between -degrees and +degrees, filling with zeros."""
    return apply_rotate(x, draw_angles(len(x), degrees, generator), mode)


# Cutout (DeVries and Taylor 2017, arXiv:1708.04552): a square is blanked.


def draw_centres(n: int, h: int, w: int, generator: Generator) -> Tensor:
    """Centres (n, 2), row and column, uniform over the h x w pixels."""
    sides = [check_count(h, "h"), check_count(w, "w")]
    limits = torch.tensor(sides, device=generator.device)
    return (torch.rand(n, 2, generator=generator, device=generator.device) * limits).long()


def apply_cutout(x: Tensor, centres: Tensor, size: int, value: float = 0) -> Tensor:
    """Set a square of `size` x `size` pixels in each image of x (n, c, h, w) to `value`.

    The square reaches from centre - size // 2 on, over `size` pixels, as far as it lies in the
    image. On normalised images the value 0 is the mean colour, as in the paper.
    """
    _check(x)
    _draws(centres, (len(x), 2), "centres")
    size = check_count(size, "size", 0)
    h, w = x.shape[2:]
    first = (centres.to(x.device) - size // 2)[:, :, None]  # (n, 2, 1)
    row = torch.arange(h, device=x.device) - first[:, 0]  # (n, h), counted from the square's edge
    column = torch.arange(w, device=x.device) - first[:, 1]
    inside = ((row >= 0) & (row < size))[:, :, None] & ((column >= 0) & (column < size))[:, None]
    return x.masked_fill(inside[:, None], value)


def cutout(x: Tensor, size: int = 8, value: float = 0, *, generator: Generator) -> Tensor:
    """Blank a square at a random place of each image; part of it may lie outside."""
    _check(x)
    n, _, h, w = x.shape
    return apply_cutout(x, draw_centres(n, h, w, generator), size, value)
