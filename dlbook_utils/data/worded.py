"""Small pictures and the words that say what is in them.

A picture has four cells, two above two; each is empty or holds one thing, of one of three forms and
four colours. Only how large a thing is and where in its cell it lies is left to chance, and to no
word. A caption is a row of LENGTH words, filled up with PAD; there are four sorts of them (SORTS).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from dlbook_utils.page.guards import check_count, check_ids, check_shape

FORMS = ("square", "ring", "triangle")
COLOURS = ("red", "green", "blue", "yellow")
KINDS = len(FORMS) * len(COLOURS)  # a kind is form * 4 + colour; EMPTY is none of them
EMPTY = KINDS
PAD, NOTHING = 0, 1  # fills up a caption; stands for a caption that was taken away
WORDS = ("", "(nothing)", "a", "two", "three", "left of", "above", "not", *COLOURS, *FORMS)
SORTS = ("one", "count", "order", "not")
LENGTH, CELL, SIDE = 7, 8, 16
PAINT = ((0.86, 0.20, 0.18), (0.20, 0.66, 0.30), (0.22, 0.42, 0.90), (0.95, 0.80, 0.20))
GROUND = 0.12
RED_RING = 4


class Worded(NamedTuple):
    """Captions (n, LENGTH), what stands in the cells (n, 4), sorts (n,), and which are gaps (n,).

    A gap is a caption of a combination that is left out of what is learned from.
    """

    words: Tensor
    cells: Tensor
    sorts: Tensor
    gaps: Tensor


def say(words: Tensor) -> str:
    """Return one caption (LENGTH,) as text."""
    return " ".join(WORDS[k] for k in words.tolist() if k)


def spell(text: str) -> Tensor:
    """Return a caption as numbers (LENGTH,), such as "a red ring left of a blue square".

    Raises ValueError for a word that is not in WORDS, and for more than LENGTH words.
    """
    names = text.replace("left of", "left_of").split()
    unknown = [name for name in names if name.replace("_", " ") not in WORDS[2:]]
    if unknown or not 0 < len(names) <= LENGTH:
        raise ValueError(f"expected 1 to {LENGTH} words of {WORDS[2:]}, got {text!r}")
    ids = [WORDS.index(name.replace("_", " ")) for name in names]
    return torch.tensor(ids + [PAD] * (LENGTH - len(ids)))


def paint(cells: Tensor, generator: Generator) -> Tensor:
    """Return pictures (n, 3, 16, 16) in [0, 1] of what stands in the cells (n, 4).

    Cells go from the upper left to the lower right. Sizes (2.7 to 3.2 pixels from the middle to the
    edge) and places (a third of a pixel each way) are drawn, on the CPU, whatever stands there.
    """
    n, _ = check_shape(check_ids(cells, KINDS + 1, "cells"), ["n", 4], "cells").shape
    u = torch.rand(n, 4, 3, 1, 1, generator=generator).to(cells.device)
    at = torch.arange(CELL, device=cells.device) - (CELL - 1) / 2
    size = 2.7 + 0.5 * u[:, :, 0]
    y, x = (
        at[:, None] - (0.7 * (u[:, :, 1] - 0.5)),
        at - (0.7 * (u[:, :, 2] - 0.5)),
    )  # (n, 4, 8, 1), (n, 4, 1, 8)
    square = torch.maximum(x.abs(), y.abs()) - 0.92 * size
    ring = ((x**2 + y**2).sqrt() - 0.75 * size).abs() - 0.3 * size
    triangle = torch.maximum(0.89 * x.abs() - 0.45 * (y + size), y - size)
    edges = torch.stack([square, ring, triangle], 2)  # (n, 4, 3, 8, 8): distance from the edge
    form, colour = cells.clamp(max=KINDS - 1) // len(COLOURS), cells % len(COLOURS)
    edge = edges.gather(2, form[:, :, None, None, None].expand(-1, -1, 1, CELL, CELL))
    cover = (0.5 - edge).clamp(0, 1) * (cells != EMPTY)[:, :, None, None, None]
    ink = torch.tensor(PAINT, device=cells.device)[colour][..., None, None]  # (n, 4, 3, 1, 1)
    both = GROUND + cover * (ink - GROUND)  # (n, 4, 3, 8, 8)
    return both.view(n, 2, 2, 3, CELL, CELL).permute(0, 3, 1, 4, 2, 5).reshape(n, 3, SIDE, SIDE)


def any_cells(n: int, generator: Generator) -> Tensor:
    """Return cells (n, 4) that are filled or empty by chance alone, on the CPU."""
    cells = torch.randint(KINDS, (check_count(n, "n"), 4), generator=generator)
    return cells.where(torch.rand(n, 4, generator=generator) < 0.5, EMPTY)


def _is_gap(sorts: Tensor, first: Tensor, second: Tensor, count: Tensor) -> Tensor:
    """Return which captions are gaps: a red ring at all, three blue ones, a yellow one first, and
    "triangle not green"."""
    red_ring = (first == RED_RING) | ((sorts == 2) & (second == RED_RING))
    blues = (sorts == 1) & (count == 3) & (first % 4 == 2)
    return torch.where(sorts == 3, first == 9, red_ring | blues | ((sorts == 2) & (first % 4 == 3)))


def draw_worded(
    n: int, generator: Generator, gaps: bool = False, sort: int | None = None
) -> Worded:
    """Return n captions and what they say (`Worded`), without gaps or (`gaps`) gaps alone.

    Each sort is as frequent as another, unless one `sort` is asked for. What a caption leaves open
    (in which cells; which of the other colours) is drawn. All on the CPU.
    """
    n = check_count(n, "n")
    made: list[Worded] = []
    if sort is not None:
        check_count(sort, "sort", 0, len(SORTS) - 1)
    while sum(part.words.shape[0] for part in made) < n:
        every = _draw_all(4 * n, generator, sort)
        stray = (every.sorts == 3) & (every.cells == RED_RING).any(1)
        keep = (every.gaps == gaps) & ~stray
        made.append(Worded(*(part[keep] for part in every)))
    return Worded(*(torch.cat(parts)[:n] for parts in zip(*made, strict=True)))


def _draw_all(n: int, g: Generator, sort: int | None) -> Worded:
    sorts = torch.randint(4, (n,), generator=g) if sort is None else torch.full((n,), sort)
    first, second = torch.randint(KINDS, (2, n), generator=g)
    second = second.where(second != first, (first + 1) % KINDS)
    count = torch.randint(2, 4, (n,), generator=g)
    above = torch.randint(2, (n,), generator=g)
    order = torch.rand(n, 4, generator=g).argsort(1)  # of the cells, by chance
    rank = order.argsort(1)
    other = first // 4 * 4 + (first + torch.randint(1, 4, (n,), generator=g)) % 4
    many = torch.where(sorts == 1, count, 1)[:, None]
    shown = torch.where(sorts == 3, other, first)[:, None]
    cells = shown.where(rank < many, EMPTY)
    side = torch.randint(2, (n,), generator=g)  # which row, or which column
    at = torch.where(above == 1, side, 2 * side)
    pair = torch.full((n, 4), EMPTY).scatter(1, at[:, None], first[:, None])
    pair = pair.scatter(1, (at + 1 + above)[:, None], second[:, None])
    cells = pair.where((sorts == 2)[:, None], cells)
    words = _words(sorts, first, second, count, above)
    held = _is_gap(sorts, first, second, count)
    return Worded(words, cells, sorts, held)


def _words(sorts: Tensor, first: Tensor, second: Tensor, count: Tensor, above: Tensor) -> Tensor:
    form, colour = 12 + first // 4, 8 + first % 4
    zero, a = torch.zeros_like(first), torch.full_like(first, WORDS.index("a"))
    number = torch.where(sorts == 1, count + 1, a)  # "two" is word 3
    plain = [number, colour, form, zero, zero, zero, zero]
    order = [a, colour, form, above + 5, a, 8 + second % 4, 12 + second // 4]
    unlike = [a, form, torch.full_like(first, WORDS.index("not")), colour, zero, zero, zero]
    rows = torch.stack([torch.stack(row, 1) for row in (plain, plain, order, unlike)])
    return rows[sorts, torch.arange(len(sorts))]


def agrees(words: Tensor, cells: Tensor) -> Tensor:
    """Return which cells (n, 4) show what the captions (n, LENGTH) say and no more: bool (n,)."""
    check_shape(check_ids(words, len(WORDS), "words"), ["n", LENGTH], "words")
    check_shape(check_ids(cells, KINDS + 1, "cells"), [len(words), 4], "cells")
    there = cells != EMPTY
    n_there = there.sum(1)
    first = (words[:, 2] - 12) * 4 + words[:, 1] - 8
    wanted = torch.where(words[:, 0] > 2, words[:, 0] - 1, 1)
    plain = (n_there == wanted) & ((cells == first[:, None]) | ~there).all(1)
    form, colour = words[:, 1] - 12, words[:, 3] - 8
    only = cells.amin(1)  # EMPTY is the largest
    unlike = (n_there == 1) & (only // 4 == form) & (only % 4 != colour)
    second = (words[:, 6] - 12) * 4 + words[:, 5] - 8
    above, ordered = words[:, 3] == WORDS.index("above"), torch.zeros_like(plain)
    for vertical, i, j in ((False, 0, 1), (False, 2, 3), (True, 0, 2), (True, 1, 3)):
        ordered |= (above == vertical) & (cells[:, i] == first) & (cells[:, j] == second)
    ordered &= n_there == 2
    is_not, is_order = words[:, 2] == WORDS.index("not"), words[:, 4] > 0
    return torch.where(is_not, unlike, torch.where(is_order, ordered, plain))
