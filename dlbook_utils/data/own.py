"""A reader's own files as the sets of this book: pictures in folders, a table, a series, pairs.

Each reader says in its docstring what it makes of the untidy, and refuses the rest with a DataError
that names the file, or the line and the column. Nothing is guessed in silence.

    >>> pictures = from_folder("my/pictures", (64, 64))      # a folder for each class
    >>> people = from_table("my/people.csv", "healthy")      # a line for each example
    >>> load = from_series("my/load.csv", time="hour")       # a line for each step of time
    >>> pairs = from_pairs("my/sentences.tsv")               # two texts on each line
"""

from __future__ import annotations

import csv
import math
import operator
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .registry import DataError
from .sets import Images, Lines, Series, Table, _parts

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
LITTER = ("thumbs.db", "desktop.ini")  # what systems leave in folders, beside what is hidden
MISSING = ("", "na", "n/a", "nan", "null", "none", "?")  # a cell without a value, in small letters
MOST_VALUES = 100  # different words in one column; with more it is a name, or free text


def picture_files(path: str | Path) -> list[Path]:
    """The pictures below a folder of folders, class by class, each in the order of their names.

    Row i of `from_folder` is file i of this list: from names such as `anna-03.png` one can read to
    which person a picture belongs. Hidden files are passed over. Raises DataError where there is no
    such folder, a folder is empty, or a file is no picture by its ending.
    """
    root = Path(path)
    if not root.is_dir():
        raise DataError(f"{root} is no folder, expected one with a folder for each class")
    entries = [entry for entry in sorted(root.iterdir()) if _counts(entry)]
    loose = [entry.name for entry in entries if not entry.is_dir()]
    if loose or not entries:
        got = f"a file {loose[0]}" if loose else "nothing"
        raise DataError(f"{root} holds {got}, expected a folder for each class")
    files = []
    for folder in entries:
        inside = [file for file in sorted(folder.iterdir()) if _counts(file)]
        if not inside:
            raise DataError(f"{folder} is empty, expected pictures of the class {folder.name}")
        for file in inside:
            if file.is_dir() or file.suffix.lower() not in SUFFIXES:
                raise DataError(f"{file} is no picture, expected {', '.join(SUFFIXES)}")
        files += inside
    return files


def from_folder(
    path: str | Path, size: tuple[int, int], *, channels: int = 3, like: Images | None = None
) -> Images:
    """Pictures in a folder for each class, as x uint8 (n, channels, *size); see `picture_files`.

    A picture is turned upright as its camera says, laid on white where it is transparent, scaled
    until it covers `size` (height, width), and what sticks out is cut off, as much on either side.
    `mean` and `std` are those of these pictures, and the classes these folders; with `like`, a set
    that was read before, all three are that set's, and other folders are an error.

    Raises DataError for a file that can't be read or has 16 bits or more a channel, naming it.
    """
    import numpy as np
    import torch

    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (colour), got {channels!r}")
    height, width = (_side(length) for length in size)
    files = picture_files(path)
    names = sorted({file.parent.name for file in files})
    classes = tuple(names) if like is None else like.classes
    for file in files:
        if file.parent.name not in classes:
            raise DataError(f"{file.parent} is no class, expected one of {', '.join(classes)}")
    rows = [np.asarray(_picture(file, (width, height), channels)) for file in files]
    x = torch.from_numpy(np.stack(rows)).view(len(rows), height, width, channels)
    x = x.permute(0, 3, 1, 2).contiguous()  # (n, h, w, c) -> (n, c, h, w)
    y = torch.tensor([classes.index(file.parent.name) for file in files])
    mean, std = _pixel_spread(x) if like is None else (like.mean, like.std)
    return Images(x, y, classes, Path(path).name, True, mean, std)


def from_table(
    path: str | Path,
    target: str,
    *,
    separator: str = ",",
    skip: Sequence[str] = (),
    like: Table | None = None,
) -> Table:
    """A file of rows with a line of column names on top; the column `target` holds the classes.

    A column whose cells are all numbers is one of numbers, any other one of words; one that is more
    than half numbers is a column of numbers with a slip in it, and an error. A missing cell
    (MISSING) becomes the column's mean, or the word "missing"; beside a column of numbers with
    missing cells stands another one, "NAME missing", with "no" and "yes". Columns in `skip` are
    left out. In the target an empty cell is an error, any other word a class.

    With `like`, a table that was read before, columns, words, classes, means and stds are that
    table's; a word that it did not have is an error. Means are of the whole file: to keep a test
    part out of them, read it from a file of its own with `like`, or use `scale_by_first`.

    Raises DataError, naming line and column.
    """
    import torch

    path = Path(path)
    header, rows = _cells(path, separator)
    for name in (target, *skip):
        if name not in header:
            raise DataError(f"{path} has no column {name!r}, but {', '.join(header)}")
    labels = [row[header.index(target)] for row in rows]
    if "" in labels:
        raise DataError(f"{path}, row {labels.index('') + 1}, column {target}: no value")
    classes = _words(path, target, labels) if like is None else like.classes
    y = [_place(path, target, k, cell, classes) for k, cell in enumerate(labels)]
    kept = [name for name in header if name != target and name not in skip]
    columns: list[tuple[str, tuple[str, ...], list[float]]] = []
    known = {} if like is None else _known(like)
    for name in kept:
        cells = [row[header.index(name)] for row in rows]
        columns += _column(path, name, cells, known)
    if like is not None:
        order = {name: (values, numbers) for name, values, numbers in columns}
        if set(order) != set(like.columns):
            odd = sorted(set(order) ^ set(like.columns))
            raise DataError(f"{path}: columns differ from those read before in {', '.join(odd)}")
        columns = [(name, *order[name]) for name in like.columns]
    x = torch.tensor([numbers for _, _, numbers in columns], dtype=torch.float32).T.contiguous()
    values = tuple(values for _, values, _ in columns)
    mean, std = _column_spread(x, values) if like is None else (like.mean, like.std)
    names = tuple(name for name, _, _ in columns)
    return Table(x, torch.tensor(y), classes, path.name, True, names, values, mean, std)


def from_series(
    path: str | Path, *, time: str | None = None, separator: str = ",", skip: Sequence[str] = ()
) -> Series:
    """A file of measurements, oldest first, with a line of column names on top.

    `time` names the column of times, ISO dates or numbers: they must rise in equal steps. All other
    columns must be numbers. A gap, in time or in a column, is an error: what stands there instead
    is for you to say. Raises DataError, naming line and column.
    """
    import torch

    path = Path(path)
    header, rows = _cells(path, separator)
    for name in (*skip, *([] if time is None else [time])):
        if name not in header:
            raise DataError(f"{path} has no column {name!r}, but {', '.join(header)}")
    if time is not None:
        _equal_steps(path, time, [row[header.index(time)] for row in rows])
    channels = tuple(name for name in header if name != time and name not in skip)
    values = [
        [_number_at(path, k, name, row[header.index(name)]) for name in channels]
        for k, row in enumerate(rows)
    ]
    return Series(torch.tensor(values, dtype=torch.float32), channels, path.name)


def from_pairs(path: str | Path, *, separator: str = "\t") -> Lines:
    """Two texts on each line, such as a sentence and its translation; empty lines are passed over.

    Raises DataError for a line with another number of texts, or an empty one, naming it.
    """
    path = Path(path)
    items = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        parts = [part.strip() for part in line.split(separator)]
        if len(parts) != 2 or not all(parts):
            got = f"{len(parts)} texts" if len(parts) != 2 else "an empty text"
            raise DataError(f"{path}, line {number}: {got}, expected two around {separator!r}")
        items.append((parts[0], parts[1]))
    if not items:
        raise DataError(f"{path} is empty, expected two texts on each line")
    return Lines(tuple(items), path.name)


def split_groups(data: Any, groups: Sequence, *fractions: float, seed: int = 0) -> tuple:
    """Cut a set into disjoint parts as `split` does, but never through a group.

    `groups` says of each example to which person, patient, place or picture it belongs. Groups are
    dealt out whole, in a random order, so that the parts have about the sizes asked for.
    Raises ValueError for fractions that `split` refuses, for another number of groups than
    examples, or if a part would be empty.
    """
    import numpy as np

    if len(groups) != len(data):
        raise ValueError(f"{len(data)} examples but {len(groups)} groups")
    if not fractions or min(fractions) <= 0 or sum(fractions) > 1 + 1e-9:
        raise ValueError(f"fractions must be positive and add up to at most 1, got {fractions}")
    members: dict[Any, list[int]] = {}
    for k, group in enumerate(groups.tolist() if hasattr(groups, "tolist") else groups):
        members.setdefault(group, []).append(k)
    ends = [len(data) * sum(fractions[: k + 1]) for k in range(len(fractions))]
    parts: list[list[int]] = [[] for _ in fractions]
    order, dealt = list(members.values()), 0
    for k in np.random.RandomState(seed).permutation(len(order)):
        middle = dealt + len(order[k]) / 2  # the part in which the middle of the group falls
        dealt += len(order[k])
        part = next((p for p, end in enumerate(ends) if middle <= end + 1e-9), None)
        if part is not None:
            parts[part] += order[k]
    if not all(parts):
        raise ValueError(f"{len(members)} groups: a part of {fractions} would be empty")
    whole = [k for part in parts for k in part]
    starts = [sum(map(len, parts[:p])) for p in range(len(parts))]
    return _parts(data, whole, starts, [s + len(p) for s, p in zip(starts, parts, strict=True)])


def duplicates(data: Any) -> list[list[int]]:
    """Positions of examples that are equal to the bit, one list for each that is there twice or
    more; of a set with `.x` its rows, of lines the items.
    """
    places: dict[Any, list[int]] = {}
    rows = data.items if isinstance(data, Lines) else [row.numpy().tobytes() for row in data.x]
    for k, row in enumerate(rows):
        places.setdefault(row, []).append(k)
    return [positions for positions in places.values() if len(positions) > 1]


def scale_by_first(*parts: Any) -> tuple:
    """The same parts of pictures or of a table, all with the mean and std of the first one."""
    if not parts or not isinstance(parts[0], Images | Table):
        raise TypeError(f"expected images or tables, got {parts[0] if parts else 'nothing'!r}")
    first = parts[0]
    mean, std = (
        _pixel_spread(first.x)
        if isinstance(first, Images)
        else _column_spread(first.x, first.values)
    )
    return tuple(replace(part, mean=mean, std=std) for part in parts)


def _counts(entry: Path) -> bool:
    return not entry.name.startswith(".") and entry.name.lower() not in LITTER


def _side(length: Any) -> int:
    """A side of a picture as an int; ValueError unless it is a whole number of 1 or more."""
    try:
        side = operator.index(length)
    except TypeError:
        raise ValueError(f"size must be (height, width) in pixels, got {length!r}") from None
    if side < 1:
        raise ValueError(f"size must be (height, width) of 1 or more, got {side}")
    return side


def _picture(file: Path, size: tuple[int, int], channels: int):
    """One picture as PIL has it, of this (width, height)."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            picture = ImageOps.exif_transpose(opened)
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{file} can't be read as a picture: {error}") from error
    if picture.mode.startswith("I") or picture.mode == "F":
        raise DataError(f"{file} has more than 8 bits a channel ({picture.mode}): convert it first")
    if "A" in picture.getbands() or "transparency" in picture.info:
        clear = picture.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        picture = Image.alpha_composite(white, clear)
    picture = picture.convert("L" if channels == 1 else "RGB")
    return picture if picture.size == size else ImageOps.fit(picture, size)


def _pixel_spread(x: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of each channel, of pixels in [0, 1]; a std of 0 counts as 1."""
    pixels = x.double().div(255).transpose(0, 1).flatten(1)
    std = pixels.std(1, correction=0)
    return tuple(pixels.mean(1).tolist()), tuple(s or 1.0 for s in std.tolist())


def _column_spread(
    x: Tensor, values: Sequence[tuple[str, ...]]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of each column of numbers; a std of 0 counts as 1."""
    numbers = x[:, [not words for words in values]].double()
    std = numbers.std(0, correction=0)
    return tuple(numbers.mean(0).tolist()), tuple(s or 1.0 for s in std.tolist())


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 at byte {error.start}: save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"{path} can't be read: {error.strerror or error}") from error


def _cells(path: Path, separator: str) -> tuple[list[str], list[list[str]]]:
    """The column names and the cells of each row, without space around them."""
    table = list(csv.reader(_text(path).splitlines(), delimiter=separator))
    rows = [[cell.strip() for cell in row] for row in table if row]
    if len(rows) < 2:
        raise DataError(f"{path} has {len(rows)} lines, expected names and at least one row")
    header = rows[0]
    if len(set(header)) < len(header) or "" in header:
        raise DataError(f"{path}: names of columns must differ and not be empty, got {header}")
    for k, row in enumerate(rows[1:]):
        if len(row) != len(header):
            got = f"{len(row)} cells, expected {len(header)}"
            raise DataError(f"{path}, row {k + 1}: {got} around {separator!r}")
    return header, rows[1:]


def _number(cell: str) -> float | None:
    """The finite number that a cell holds, if it does."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in cell else None


def _number_at(path: Path, k: int, name: str, cell: str) -> float:
    number = _number(cell)
    if number is None:
        raise DataError(f"{path}, row {k + 1}, column {name}: {cell!r} is no number")
    return number


def _missing(cell: str) -> bool:
    return cell.lower() in MISSING


def _words(path: Path, name: str, cells: Sequence[str]) -> tuple[str, ...]:
    """The different words of a column, sorted, numbers by their size."""
    words = sorted(set(cells), key=lambda cell: (_number(cell) or 0.0, cell))
    if len(words) > MOST_VALUES:
        raise DataError(
            f"{path}, column {name}: {len(words)} different values, expected at most "
            f"{MOST_VALUES}: is it a name, a number or free text? (skip=[{name!r}] leaves it out)"
        )
    return tuple(words)


def _place(path: Path, name: str, k: int, cell: str, words: Sequence[str]) -> int:
    if cell not in words:
        known = ", ".join(words[:10])
        raise DataError(f"{path}, row {k + 1}, column {name}: {cell!r} is none of {known}")
    return words.index(cell)


def _known(like: Table) -> dict[str, tuple[tuple[str, ...], float]]:
    """The words of each column of a table that was read before, and the mean of its numbers."""
    means = iter(like.mean)
    pairs = zip(like.columns, like.values, strict=True)
    return {name: (words, 0.0 if words else next(means)) for name, words in pairs}


def _column(
    path: Path, name: str, cells: list[str], known: dict[str, tuple[tuple[str, ...], float]]
) -> list[tuple[str, tuple[str, ...], list[float]]]:
    """A column as (name, words, numbers), and, where numbers are missing, one that says so."""
    gaps = [_missing(cell) for cell in cells]
    numbers = [_number(cell) for cell in cells]
    there = sum(not gap for gap in gaps)
    right = sum(n is not None for n, gap in zip(numbers, gaps, strict=True) if not gap)
    words, mean = known.get(name, ((), 0.0))
    if not known and not there:
        raise DataError(f"{path}, column {name}: no value in any row")
    if words or (not known and right <= there / 2):
        cells = ["missing" if gap else cell for cell, gap in zip(cells, gaps, strict=True)]
        words = words or _words(path, name, cells)
        places = [_place(path, name, k, cell, words) for k, cell in enumerate(cells)]
        return [(name, words, [float(place) for place in places])]
    for k, (cell, number, gap) in enumerate(zip(cells, numbers, gaps, strict=True)):
        if number is None and not gap:
            raise DataError(
                f"{path}, row {k + 1}, column {name}: {cell!r} is no number, "
                f"though {right} of {there} cells are"
            )
    if not known:
        mean = sum(n for n, gap in zip(numbers, gaps, strict=True) if n is not None and not gap)
        mean /= there
    filled = [mean if gap or n is None else n for n, gap in zip(numbers, gaps, strict=True)]
    column: list[tuple[str, tuple[str, ...], list[float]]] = [(name, (), filled)]
    flag = f"{name} missing"
    if flag in known or (any(gaps) and not known):
        column.append((flag, ("no", "yes"), [float(gap) for gap in gaps]))
    elif any(gaps):
        raise DataError(
            f"{path}, row {gaps.index(True) + 1}, column {name}: no value, and none was missing "
            "in the table read before"
        )
    return column


def _equal_steps(path: Path, name: str, cells: Sequence[str]) -> None:
    """Raise DataError unless the times rise in equal steps, naming the first row that does not."""
    times = []
    for k, cell in enumerate(cells):
        number = _number(cell)
        if number is None:
            try:
                number = (datetime.fromisoformat(cell) - datetime(1970, 1, 1)).total_seconds()
            except (ValueError, TypeError):
                raise DataError(
                    f"{path}, row {k + 1}, column {name}: {cell!r} is neither a number nor a "
                    "date such as 2026-11-30 or 2026-11-30 16:00"
                ) from None
        times.append(number)
    steps = [after - before for before, after in zip(times, times[1:], strict=False)]
    for k, step in enumerate(steps):
        if step <= 0 or not math.isclose(step, steps[0], rel_tol=1e-6):
            raise DataError(
                f"{path}, row {k + 2}, column {name}: {cells[k + 1]} after {cells[k]}, expected "
                "equal steps forward"
            )
