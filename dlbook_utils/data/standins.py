"""What is always there: data bundled with Python and the packages, and the stand-ins made of it.

A stand-in has the shape, dtype, range and number of classes of the set that it replaces; its size
and the names of its classes are its own.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, timedelta

from .registry import Source
from .sets import Images, Lines, Masked, Series, Text, stratified_order

ENLARGED = 28  # pixels, as in Fashion-MNIST


def _digits(split: str):
    """Digits uint8 (n, 1, 8, 8) and labels; 360 of them, dealt out by class, are the test set."""
    import torch
    from sklearn.datasets import load_digits

    bundled = load_digits()
    x = torch.from_numpy(bundled.images)[:, None]
    y = torch.from_numpy(bundled.target).long()
    order = stratified_order(bundled.target, seed=0)
    index = sorted(order[:1437] if split == "train" else order[1437:])
    return (x[index] * (255 / 16)).round().byte(), y[index]  # the bundled range is 0 to 16


def digits(source: Source, split: str) -> Images:
    """scikit-learn's bundled digits, their range stretched from 0..16 to 0..255."""
    x, y = _digits(split)
    return Images(x, y, source.classes, source.name, True, source.mean, source.std)


def grey(source: Source, split: str) -> Images:
    """The bundled digits enlarged to 28x28, instead of grey images."""
    import torch.nn.functional as F

    small, y = _digits(split)
    x = F.interpolate(small.float(), size=ENLARGED, mode="bilinear").round().byte()
    classes = tuple(f"digit {k}" for k in range(10))
    return Images(x, y, classes, source.name, False, (0.3052,), (0.3245,))


def python_docs(source: Source, split: str) -> Text:
    """CPython's own documentation topics, in alphabetical order."""
    from pydoc_data.topics import topics

    return Text("\n".join(topics[name] for name in sorted(topics)), source.name)


def text(source: Source, split: str) -> Text:
    """CPython's documentation topics instead of another text, in plain ASCII."""
    ascii_only = python_docs(source, split).text.encode("ascii", "ignore").decode()
    return Text(ascii_only, source.name, False)


LATIN = ("en", "fr", "de", "it", "es", "pt", "nl", "sv", "pl", "fi", "hu", "ro", "id", "tr")


def names(source: Source, split: str) -> Lines:
    """Names of countries and languages in fourteen tongues, one word of 2 to 15 letters from a to
    z each.
    """
    from babel import Locale

    words = set()
    for code in LATIN:
        locale = Locale(code)
        for name in (*locale.territories.values(), *locale.languages.values()):
            plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
            if re.fullmatch("[a-z]{2,15}", plain):
                words.add(plain)
    return Lines(tuple(sorted(words)), source.name, False)


def pairs(source: Source, split: str) -> Lines:
    """Names of countries, languages and currencies, and written dates, in English and French."""
    from babel import Locale
    from babel.dates import format_date

    english, french = Locale("en"), Locale("fr")
    sentences = []
    for field in ("territories", "languages", "currencies", "scripts"):
        ours, theirs = getattr(english, field), getattr(french, field)
        sentences += [(ours[key], theirs[key]) for key in sorted(ours) if key in theirs]
    days = [date(2001, 1, 1) + timedelta(days=7 * k + k % 7) for k in range(1200)]
    for style in ("full", "long"):
        sentences += [(format_date(d, style, english), format_date(d, style, french)) for d in days]
    return Lines(tuple(sentences), source.name, False)


def hourly(source: Source, split: str) -> Series:
    """Five months of hours with seasons of a day and of a week, and a level that drifts, instead
    of a transformer's load.
    """
    import torch

    hours, names = 3600, ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
    draw = torch.Generator().manual_seed(sum(map(ord, source.name)))

    def normal(*shape):
        return torch.randn(*shape, generator=draw)

    turn = 2 * torch.pi * torch.arange(hours)[:, None]
    day = (turn / 24 + normal(len(names))).sin()
    week = (turn / 168 + normal(len(names))).sin()
    level = normal(hours, len(names)).cumsum(0) / 60
    values = 10 + 3 * day + week + 2 * level + normal(hours, len(names))
    return Series(values, names, source.name, False)


def cells(source: Source, split: str) -> Masked:
    """Sections through generated cells, which move a little from one to the next: the border
    between the nearest two of 60 centres is a membrane, a blob beside some centres a
    mitochondrion, both dark.
    """
    import torch
    import torch.nn.functional as F

    draw = torch.Generator().manual_seed(0)
    size, count, sections = 256, 60, source.sizes["all"]  # drawn coarsely, enlarged at the end
    centres = size * torch.rand(count, 2, generator=draw)
    blobs = centres[: count // 3] + 6 * torch.randn(count // 3, 2, generator=draw)
    grid = torch.stack(torch.meshgrid(*[torch.arange(size) + 0.5] * 2, indexing="ij"), -1)
    x, masks = [], []
    for _ in range(sections):
        centres = centres + 1.5 * torch.randn(count, 2, generator=draw)
        blobs = blobs + 1.5 * torch.randn(len(blobs), 2, generator=draw)
        near = torch.cdist(grid.view(-1, 2), centres).topk(2, largest=False).values
        border = (near[:, 1] - near[:, 0] < 3).view(size, size)
        blob = (torch.cdist(grid.view(-1, 2), blobs).amin(1) < 7).view(size, size) & ~border
        noise = torch.randn(2, size, size, generator=draw)
        rough = F.avg_pool2d(noise[None, :1], 5, 1, 2)[0, 0]
        grey = 150 - 70.0 * border - 45.0 * blob + 20 * noise[1] + 60 * rough
        x.append(grey.clamp(0, 255).byte()[None])
        masks.append(torch.stack([border, blob]))
    pictures, drawn = (
        torch.stack(stack).repeat_interleave(4, 2).repeat_interleave(4, 3) for stack in (x, masks)
    )
    return Masked(pictures, drawn, source.classes, source.name, False)
