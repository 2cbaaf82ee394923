"""What is always there: data bundled with Python and the packages, and the stand-ins made of it.

A stand-in has the shape, dtype, range and number of classes of the set that it replaces; its size
and the names of its classes are its own.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, timedelta

from .registry import ADULT_COLUMNS, Source
from .sets import (
    Graph,
    Images,
    Lines,
    Masked,
    Music,
    Recordings,
    Series,
    Table,
    Text,
    stratified_order,
)

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


def scored_pairs(source: Source, split: str) -> Lines:
    """Pairs of days and of months, 10 for the same one and less the farther apart they are in the
    calendar, and of a day with a month, 1.
    """
    from babel import Locale

    english = Locale("en")
    days, months = (
        list(names["format"]["wide"].values()) for names in (english.days, english.months)
    )
    items = []
    for ring in (days, months):
        for i, one in enumerate(ring):
            for j, other in enumerate(ring[i:]):
                apart = min(j, len(ring) - j)
                items.append((one, other, 10.0 - apart))
    items += [(day, month, 1.0) for day in days for month in months]
    return Lines(tuple(items), source.name, False)


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


def papers(source: Source, split: str) -> Graph:
    """1,050 papers made up: each field prefers 40 of the words, and four of five citations stay
    within the field, instead of papers on machine learning.
    """
    import torch

    draw = torch.Generator().manual_seed(2708)
    n, fields, words = 1050, len(source.classes), 1433
    y = torch.arange(n) % fields
    chance = torch.full((n, words), 0.01)
    for field in range(fields):
        chance[y == field, 40 * field : 40 * (field + 1)] = 0.06
    x = torch.rand(n, words, generator=draw) < chance
    first, other = torch.randint(n, (2, 2 * n), generator=draw)
    within = other + (y[first] - y[other]) % fields  # the nearest node of the same field
    stays = (torch.rand(2 * n, generator=draw) < 0.8) & (within < n)
    pairs = torch.stack([first, torch.where(stays, within, other)]).sort(0).values
    edges = pairs[:, pairs[0] < pairs[1]].unique(dim=1)
    ends = {"train": (0, 140), "valid": (140, 350), "test": (350, n)}[split]
    return Graph(x, edges, y, torch.arange(*ends), source.classes, source.name, False)


def census(source: Source, split: str) -> Table:
    """People made up: numbers and words of the real table's columns, and an income that depends on
    a number, on a word and on whether another number is large, instead of census records.
    """
    import torch

    draw = torch.Generator().manual_seed(1994 + (split == "test"))
    n = 4000 if split == "train" else 2000
    words = [tuple(f"value {k}" for k in range(many)) for many in ADULT_COLUMNS.values()]
    numbers = [j for j, many in enumerate(ADULT_COLUMNS.values()) if not many]
    x = torch.rand(n, len(ADULT_COLUMNS), generator=draw)
    for j, many in enumerate(ADULT_COLUMNS.values()):
        x[:, j] = (x[:, j] * many).floor() if many else (100 * x[:, j]).round()
    first, second = x[:, numbers[:2]].T
    married = x[:, list(ADULT_COLUMNS).index("marital-status")] == 2
    score = (first - 50) / 25 + 2.0 * married + 2.0 * (second > 80) - 1.5
    chance = torch.rand(n, generator=draw)
    return Table(
        x,
        (chance < score.sigmoid()).long(),
        source.classes,
        source.name,
        False,
        tuple(ADULT_COLUMNS),
        tuple(words),
        (50.0,) * len(numbers),
        (28.9,) * len(numbers),
    )


def chorales(source: Source, split: str) -> Music:
    """Triads on C that follow each other by a table, in close position: the root in the bass, a
    melody that takes the nearest note of the next triad or one beside it, and two voices below it.
    """
    import numpy as np

    sizes = {"train": 90, "valid": 30, "test": 30}
    roots = {"I": 0, "ii": 2, "IV": 5, "V": 7, "vi": 9}
    follows = {
        "I": ("IV", "V", "vi", "ii"),
        "ii": ("V",),
        "IV": ("V", "I", "ii"),
        "V": ("I", "vi"),
        "vi": ("ii", "IV", "V"),
    }
    draw = np.random.RandomState(list(sizes).index(split))
    pieces = []
    for _ in range(sizes[split]):
        name, melody, piece = "I", 84, []
        for _ in range(40):
            root = roots[name]
            triad = {root, (root + (3 if name in ("ii", "vi") else 4)) % 12, (root + 7) % 12}
            tones = [pitch for pitch in range(60, 96) if pitch % 12 in triad]
            top = int(np.argmin(np.abs(np.subtract(tones, melody)))) + draw.randint(-1, 2)
            top = min(max(top, 2), len(tones) - 1)
            melody = tones[top]
            piece.append((48 + root, *tones[top - 2 : top + 1]))
            if draw.rand() > 0.2:  # else the chord is held
                name = follows[name][draw.randint(len(follows[name]))]
        pieces.append(tuple(piece))
    return Music(tuple(pieces), source.name, False)


def spoken(source: Source, split: str) -> Recordings:
    """Chords instead of spoken digits: each digit glides between two tones of its own, and each of
    six "speakers" is tuned and paced in an own way. Ten of each digit and speaker, one in ten
    tested.
    """
    import torch

    draw = torch.Generator().manual_seed(46)
    rate, speakers = 8000, tuple(f"voice {k}" for k in range(6))
    waves, y, speaker = [], [], []
    for digit in range(10):
        for who in range(len(speakers)):
            for k in range(10):
                pace, tune, loud = (0.9 + 0.2 * torch.rand(3, generator=draw)).tolist()
                t = torch.linspace(0, 1, int(rate * 0.4 * pace * (1 + who / 10)))
                first, last = 400 + 150 * digit, 400 + 150 * (3 * digit % 10)
                pitch = tune * (1 + who / 20) * (first + (last - first) * t)
                turns = (2 * torch.pi * pitch / rate).cumsum(0)
                sound = (turns.sin() + 0.5 * (2 * turns).sin()) * (torch.pi * t).sin()
                sound += 0.02 * torch.randn(len(t), generator=draw)
                if (k == 0) == (split == "test"):
                    waves.append((8000 * loud * sound).round().short())
                    y.append(digit)
                    speaker.append(who)
    labels = torch.tensor(y), torch.tensor(speaker)
    return Recordings(tuple(waves), *labels, source.classes, speakers, rate, source.name, False)
