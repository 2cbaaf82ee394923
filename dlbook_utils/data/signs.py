"""Signs drawn by people who are made up: each has a hand of its own, as in handwriting."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor

SIGNS = ("circle", "cross", "tick", "wave")
SIDE = 16  # pixels


def draw_signs(people: int, each: int, g: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw signs of `people` hands, `each` from every hand: x uint8 (n, 1, 16, 16), black on white,
    which of SIGNS each is, and whose, both int64 (n,).

    A hand has a slant, a size, a width, a pen and a place on the paper of its own; from drawing to
    drawing they vary a little. Raises ValueError unless there are one or more of both.
    """
    import torch

    if people < 1 or each < 1:
        raise ValueError(f"people and each must be 1 or more, got {people} and {each}")
    person = torch.arange(people).repeat_interleave(each)
    y = torch.arange(people * each) % len(SIGNS)
    habit = torch.randn(people, 6, generator=g)[person]  # (n, 6)
    hand = habit + 0.25 * torch.randn(habit.shape, generator=g)
    t = torch.linspace(0, 1, 24)
    strokes = torch.stack([_stroke(name, t) for name in SIGNS])[y]  # (n, 24, 2)
    across = strokes[..., 0] * (1 + 0.15 * hand[:, :1]) + 0.25 * hand[:, 1:2] * strokes[..., 1]
    down = strokes[..., 1] * (1 + 0.15 * hand[:, 2:3])
    points = torch.stack([across, down], 2) * 4.6 + (SIDE - 1) / 2
    points = points + 0.9 * hand[:, None, 3:5] + 0.25 * torch.randn(points.shape, generator=g)
    pixels = torch.cartesian_prod(torch.arange(SIDE), torch.arange(SIDE)).flip(1).float()
    near = torch.cdist(points, pixels[None]).amin(1)  # (n, 256): how far the pen came by
    pen = (0.75 * (0.25 * hand[:, 5:]).exp()).clamp(0.4, 1.6)
    ink = torch.exp(-((near / pen) ** 2))
    x = (255 * (1 - ink)).round().to(torch.uint8).view(-1, 1, SIDE, SIDE)
    return x, y, person


def write_signs(folder: str | Path, people: int, each: int, g: Generator) -> None:
    """Write `draw_signs` as PNG files into a folder for each sign: `cross/person07-12.png`."""
    from PIL import Image

    x, y, person = draw_signs(people, each, g)
    for name in SIGNS:
        (Path(folder) / name).mkdir(parents=True, exist_ok=True)
    for k, (picture, sign, whose) in enumerate(zip(x, y.tolist(), person.tolist(), strict=True)):
        file = Path(folder) / SIGNS[sign] / f"person{whose:02}-{k % each:02}.png"
        Image.fromarray(picture[0].numpy()).save(file)


def _stroke(name: str, t: Tensor) -> Tensor:
    """Points (x, y) of a sign within -1..1, down being positive."""
    import torch

    if name == "circle":
        return torch.stack([torch.cos(2 * torch.pi * t), torch.sin(2 * torch.pi * t)], 1)
    if name == "wave":
        return torch.stack([2 * t - 1, 0.6 * torch.sin(2 * torch.pi * t)], 1)
    if name == "tick":
        left = torch.stack([t * 2.5 - 1, t * 2.5], 1)
        right = torch.stack([(t - 0.4) / 0.6 * 1 - 0.0, 1 - 2 * (t - 0.4) / 0.6], 1)
        return torch.where(t[:, None] < 0.4, left, right)
    first = torch.stack([4 * t - 1, 4 * t - 1], 1)
    second = torch.stack([3 - 4 * t, 4 * t - 3], 1)
    return torch.where(t[:, None] < 0.5, first, second)
