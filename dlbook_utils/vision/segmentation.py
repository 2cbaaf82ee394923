"""A class for every pixel: scores of masks, a small U-Net and its training, bent pictures.

Derived in book/vision/segmentation.md. A mask is bool (..., h, w); pictures are (n, 1, h, w).
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.page.devices import generator
from dlbook_utils.page.guards import (
    check_between,
    check_count,
    check_number,
    check_shape,
    check_sides,
)

__all__ = [
    "SmallUNet",
    "bend",
    "best_threshold",
    "draw_crops",
    "fit_unet",
    "mask_iou",
    "pixel_probabilities",
    "soft_dice_loss",
]


def mask_iou(guess: Tensor, truth: Tensor) -> Tensor:
    """Return the intersection over union (...) of masks (..., h, w); 1 where both are empty.

    Raises ValueError unless both are bool and of one shape.
    """
    if guess.dtype != torch.bool or truth.dtype != torch.bool or guess.shape != truth.shape:
        got = f"{guess.dtype} {tuple(guess.shape)}, {truth.dtype} {tuple(truth.shape)}"
        raise ValueError(f"expected two bool masks of one shape, got {got}")
    both = (guess & truth).sum((-2, -1))
    either = (guess | truth).sum((-2, -1))
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)


def best_threshold(p: Tensor, truth: Tensor, cuts: int = 20) -> float:
    """Return which of 1/cuts, 2/cuts, ... below 1 cuts p (n, h, w) with the best mean IoU.

    Raises ValueError for p outside 0 to 1, such as scores.
    """
    check_shape(p, list(truth.shape), "p")
    check_number(p.sum(), "probabilities")
    check_between(p, 0, 1, "p")
    grid = [k / cuts for k in range(1, check_count(cuts, "cuts", 2))]
    return max(grid, key=lambda t: mask_iou(p > t, truth).mean().item())


def _double_conv(c: int, m: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(c, m, 3, padding=1, bias=False), nn.BatchNorm2d(m), nn.ReLU()),
        *(nn.Conv2d(m, m, 3, padding=1, bias=False), nn.BatchNorm2d(m), nn.ReLU()),
    )


class SmallUNet(nn.Module):
    """A U-Net with padded convolutions: (n, 1, h, w) to scores (n, classes, h, w).

    Arguments:
        classes: masks to draw.
        width: channels at the finest level; each of the `depth` halvings doubles them.
        skips: whether what the way down saw is handed to the way up.

    Sides must be divisible by 2**depth; ValueError otherwise.
    """

    def __init__(
        self, classes: int = 2, width: int = 8, depth: int = 3, skips: bool = True
    ) -> None:
        super().__init__()
        widths = [width * 2**k for k in range(check_count(depth, "depth") + 1)]
        pairs = list(zip(widths, widths[1:], strict=False))
        self.skips = skips
        self.down = nn.ModuleList(
            _double_conv(c, m) for c, m in zip([1, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(m, c, 2, stride=2) for c, m in pairs)
        self.join = nn.ModuleList(_double_conv(c + c * skips, c) for c, _ in pairs)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, ["n", 1, "h", "w"], "pictures")
        check_sides(x, 2 ** len(self.up))
        h = self.down[0](x)
        kept = []
        for block in self.down[1:]:
            kept.append(h)
            h = block(F.max_pool2d(h, 2))
        for up, join in zip(reversed(self.up), reversed(self.join), strict=True):
            h, fine = up(h), kept.pop()
            h = join(torch.cat([fine, h], 1) if self.skips else h)
        return self.head(h)


def draw_crops(both: Tensor, n: int, size: int, draw: torch.Generator) -> Tensor:
    """Return n squares of `both` (pictures, c, h, w), cut, turned and mirrored at random."""
    check_shape(both, ["pictures", "c", "h", "w"], "both")
    check_count(len(both), "pictures")
    check_count(size, "size", 1, min(both.shape[2:]))
    high = [len(both), both.shape[2] - size + 1, both.shape[3] - size + 1, 8]
    squares = []
    for _ in range(check_count(n, "n")):
        k, i, j, turn = (int(torch.randint(m, (), generator=draw)) for m in high)
        square = both[k, :, i : i + size, j : j + size].rot90(turn % 4, (1, 2))
        squares.append(square.flip(2) if turn >= 4 else square)
    return torch.stack(squares)


def bend(batch: Tensor, far: float, draw: torch.Generator, knots: int = 3) -> Tensor:
    """Return squares (n, c, s, s) bent smoothly: at knots x knots places they are moved by `far`
    pixels (standard deviation), in between by a cubic through these. Raises ValueError for a `far`
    that is negative or no number, and for squares of one pixel.
    """
    check_shape(batch, ["n", "c", batch.shape[-1], "s"], "squares")
    n, _, s, _ = batch.shape
    check_count(knots, "knots", 2)
    check_count(s, "side", 2)
    if not 0 <= far < torch.inf:
        raise ValueError(f"far is a distance in pixels, got {far}")
    shift = far * torch.randn(n, 2, knots, knots, generator=draw)
    shift = F.interpolate(shift, (s, s), mode="bicubic", align_corners=True)
    lines = torch.linspace(-1, 1, s)
    grid = torch.stack(torch.meshgrid(lines, lines, indexing="xy"), -1)
    places = (grid + shift.movedim(1, -1) * 2 / (s - 1)).to(batch)
    return F.grid_sample(batch, places, "bicubic", "reflection", align_corners=True)


def soft_dice_loss(scores: Tensor, y: Tensor) -> Tensor:
    """Return 1 minus the Dice score of probabilities and masks y (n, k, h, w), mean over k.

    Raises ValueError for other shapes and for masks outside 0 to 1.
    """
    check_shape(y, list(check_shape(scores, ["n", "k", "h", "w"], "scores").shape), "masks")
    check_between(y, 0, 1, "masks")
    p = scores.sigmoid()
    both = (p * y).sum((0, 2, 3))
    return 1 - ((2 * both + 1) / ((p + y).sum((0, 2, 3)) + 1)).mean()


def fit_unet(
    net: nn.Module,
    both: Tensor,
    steps: int,
    lr: float,
    seed: int,
    loss: Callable[[Tensor, Tensor], Tensor] = F.binary_cross_entropy_with_logits,
    far: float = 0.0,
) -> nn.Module:
    """Train a net on random squares of `both` (pictures, 1 + classes, h, w): picture and masks."""
    check_number(both.sum(), "training data")
    draw = generator(seed)
    adam = torch.optim.Adam(net.parameters(), lr=lr)
    net.train()
    for step in range(check_count(steps, "steps")):
        rise = min(1, (step + 1) / 20)
        fall = 0.5 + 0.5 * cos(pi * step / steps)
        adam.param_groups[0]["lr"] = lr * rise * fall
        batch = draw_crops(both, 8, 64, draw)
        if far:
            batch = bend(batch, far, draw)
        x, y = batch[:, :1], (batch[:, 1:] > 0.5).float()
        error = loss(net(x.contiguous(memory_format=torch.channels_last)), y)
        adam.zero_grad()
        error.backward()
        adam.step()
    return net


@torch.no_grad()
def pixel_probabilities(net: nn.Module, x: Tensor) -> Tensor:
    """Return the probabilities (n, classes, h, w) that a net gives to pictures (n, 1, h, w)."""
    check_shape(x, ["n", 1, "h", "w"], "pictures")
    net.eval()
    return torch.cat([net(picture[None]).sigmoid() for picture in x])
