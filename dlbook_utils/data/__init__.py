"""The data sets of this book, as tensors in memory: `load("cifar10")`.

Published sets are looked for in `$DLBOOK_DATA`, then in the cache, then on their mirrors. Where a
set can't be had, a stand-in of the same shape, dtype, range and number of classes takes its
place, one line says so, and `.real` is False. `python -m dlbook_utils.data NAME` tries longer than
`load` does, which gives up on a slow host.

    >>> from dlbook_utils import data
    >>> digits = data.load("digits", "train")
    >>> train, valid = data.split(digits, 0.8, 0.2)
    >>> train.inputs().shape, train.y.shape
    (torch.Size([1150, 1, 8, 8]), torch.Size([1150]))

A reader's own files become the same kinds of sets by `from_folder`, `from_table`, `from_series` and
`from_pairs` (see `own`).
"""

from __future__ import annotations

import hashlib
import operator
from typing import Any, overload

from . import fetch, registry
from .own import (
    duplicates,
    from_folder,
    from_pairs,
    from_series,
    from_table,
    picture_files,
    scale_by_first,
    split_groups,
)
from .registry import DataError
from .sets import (
    Graph,
    Images,
    Lines,
    Masked,
    Music,
    Points,
    Recordings,
    Series,
    Table,
    Text,
    split,
    validate,
)

__all__ = [
    "STAND_IN_NOTICE",
    "DataError",
    "Graph",
    "Images",
    "Lines",
    "Masked",
    "Music",
    "Points",
    "Recordings",
    "Series",
    "Table",
    "Text",
    "about",
    "available",
    "duplicates",
    "ensure",
    "fingerprint",
    "from_folder",
    "from_pairs",
    "from_series",
    "from_table",
    "load",
    "picture_files",
    "scale_by_first",
    "split",
    "split_groups",
    "validate",
]

STAND_IN_NOTICE = "a stand-in is used"  # in the line that says so, for those who look for it

_split = split  # `load` has a parameter of this name


def available() -> tuple[str, ...]:
    """The names of all data sets."""
    return tuple(registry.SETS)


def about(name: str) -> str:
    """What a set holds, its terms and its source, in one line. Raises ValueError for an unknown
    name.
    """
    source = registry.find(name)
    return f"{source.name}: {source.about}. Licence: {source.licence}. Source: {source.cite}."


@overload
def load(
    name: registry.ImageSet, split: str = ..., *, seed: int = ..., n: int | None = ...
) -> Images: ...


@overload
def load(
    name: registry.PointSet, split: str = ..., *, seed: int = ..., n: int | None = ...
) -> Points: ...


@overload
def load(
    name: registry.TextSet, split: str = ..., *, seed: int = ..., n: int | None = ...
) -> Text: ...


@overload
def load(
    name: registry.LineSet, split: str = ..., *, seed: int = ..., n: int | None = ...
) -> Lines: ...


@overload
def load(
    name: registry.SeriesSet, split: str = ..., *, seed: int = ..., n: int | None = ...
) -> Series: ...


@overload
def load(
    name: registry.SpeechSet, split: str = ..., *, seed: int = ..., n: int | None = ...
) -> Recordings: ...


@overload
def load(
    name: registry.MusicSet, split: str = ..., *, seed: int = ..., n: int | None = ...
) -> Music: ...


@overload
def load(
    name: registry.TableSet, split: str = ..., *, seed: int = ..., n: int | None = ...
) -> Table: ...


@overload
def load(
    name: registry.MaskedSet, split: str = ..., *, seed: int = ..., n: int | None = ...
) -> Masked: ...


@overload
def load(
    name: registry.GraphSet, split: str = ..., *, seed: int = ..., n: int | None = ...
) -> Graph: ...


@overload
def load(
    name: str, split: str = ..., *, seed: int = ..., n: int | None = ...
) -> Images | Points | Text | Lines | Series | Recordings | Music | Table | Masked | Graph: ...


def load(
    name: str, split: str = "train", *, seed: int = 0, n: int | None = None
) -> Images | Points | Text | Lines | Series | Recordings | Music | Table | Masked | Graph:
    """A data set by name.

    Images have x uint8 (n, c, h, w) and y int64 (n,), points x float32 (n, 2) and y, a table x
    float32 (n, columns) and y, pictures with masks x uint8 (n, 1, h, w) and `.masks` bool (n, k, h,
    w); text has `.text`, names and pairs `.items`, series `.values` float32 (hours, channels),
    recordings `.waves`, int16 (samples,) each, `.y` and `.speaker`, music `.pieces` and a third
    split, "valid", as have graphs: words x bool (n, d), `.edges`, `.y` and the split's `.nodes`.
    `seed` and `n` choose which and how many samples are made, for generated sets
    only. Texts, lines, series and pictures with masks come whole with split="all", else as nine
    tenths ("train") and one tenth ("test").

    Raises ValueError for an unknown name or split or a wrong `n`, TypeError for `n` or `seed`
    where nothing is generated, and DataError where a given folder is unusable. Not reaching the
    network is no error: see the module.
    """
    source = registry.find(name)
    if split not in source.splits:
        raise ValueError(
            f"{name} has no split {split!r}, expected one of {', '.join(source.splits)}"
        )
    if source.generated:
        return _generated(source, split, seed, n)
    if n is not None or seed != 0:
        raise TypeError(f"{name} is not generated: it takes neither n nor seed (use data.split)")
    make = _published if source.files else _bundled
    whole = make(source, split)
    return _part(whole, split) if "all" in source.sizes and split != "all" else whole


def ensure(name: str) -> bool:
    """Whether the real set is at hand, after fetching it if need be and if a host answers soon.

    Raises DataError where a given folder is unusable: a wrong setting is no missing set.
    """
    source = registry.find(name)
    fetch.given_folder()
    if not source.files:
        return True
    try:
        return next(iter(fetch.places(source)), None) is not None
    except DataError:
        return False


def _generated(source: registry.Source, split: str, seed: int, n: int | None) -> Images | Points:
    """Made anew each time: the same seed gives the same samples, and train and test share none."""
    import torch

    from . import generate

    n = source.sizes[split] if n is None else n
    seed, n = _whole(source.name, "seed", seed, 0), _whole(source.name, "n", n, len(source.classes))
    stream = 2 * seed + source.splits.index(split)
    x, y = getattr(generate, source.reader)(n, torch.Generator().manual_seed(stream))
    if source.mean:
        return Images(x, y, source.classes, source.name, True, source.mean, source.std)
    return Points(x, y, source.classes, source.name)


def _whole(name: str, argument: str, value: Any, least: int) -> int:
    """A whole number of Python or NumPy as an int, not below `least`; else ValueError."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name}: {argument} must be a whole number, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name}: {argument} must be at least {least}, got {number}")
    return number


def _bundled(source: registry.Source, split: str):
    """A set that comes with Python or a package."""
    from . import standins

    return getattr(standins, source.reader)(source, split)


def _published(source: registry.Source, split: str):
    """The real set from the first folder that holds it undamaged, else its stand-in and a line
    that says so.
    """
    from . import formats

    reader = getattr(formats, source.reader)
    problem = ""
    fetch.given_folder()  # a wrong setting is an error, no reason for a stand-in
    try:
        for root in fetch.places(source):
            try:
                return reader(source, lambda file, root=root: fetch.read(root, file), split)
            except fetch.DamagedFile as error:
                problem = f"; {error}"
                fetch.notice(str(error), f"{source.name}: not used: {error}")
    except DataError as error:
        problem = f"{error}{problem}"
    return _stand_in(source, split, problem)


def _stand_in(source: registry.Source, split: str, problem: str):
    """The stand-in of a published set, and a line that says so."""
    from . import standins

    if source.stand_in == "colour":
        made = load("shapes", split)
        stand_in = Images(made.x, made.y, made.classes, source.name, False, made.mean, made.std)
    else:
        stand_in = getattr(standins, source.stand_in)(source, split)
    substitute = {
        "colour": "generated shapes",
        "grey": "scikit-learn's digits, enlarged",
        "text": "Python's documentation",
        "names": "names of countries and languages",
        "pairs": "names and dates in both languages",
        "hourly": "generated seasons",
        "spoken": "gliding tones",
        "cells": "generated cells",
        "census": "people made up",
        "chorales": "generated chords",
        "papers": "papers made up",
        "scored_pairs": "days and months, by how near they are in the calendar",
    }[source.stand_in]
    fetch.notice(
        f"stand-in {source.name}",
        f"{source.name}: {STAND_IN_NOTICE} ({substitute}), the real data is not there: {problem}",
    )
    return stand_in


def _part(whole: Text | Lines | Series | Masked, split: str) -> Text | Lines | Series | Masked:
    """The first nine tenths or the last tenth of a set that comes in one piece."""
    train, test = _split(whole, 0.9, 0.1)
    return train if split == "train" else test


def fingerprint() -> str:
    """Twelve hexadecimal digits that change when a set goes from stand-in to real, or a real file
    changes.

    Looks at names, sizes and times of change only: no network, no torch, a few milliseconds.
    """
    state = []
    for source in registry.SETS.values():
        if source.files:
            state.append((source.name, _state(source)))
    return hashlib.sha256(repr(state).encode()).hexdigest()[:12]


def _state(source: registry.Source) -> list | str:
    """Path, size and time of each file in the folder that `load` would use, or "stand-in"."""
    for root in (fetch.given_folder(), fetch.cache_folder()):
        stamps = [fetch.stamp(root, file) for file in source.files] if root is not None else [None]
        if all(stamps):
            return stamps
    return "stand-in"
