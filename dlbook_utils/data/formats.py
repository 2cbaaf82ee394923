"""From the published bytes to tensors and strings.

Each reader gets the source, `get` (File -> checked bytes) and the split.
"""

from __future__ import annotations

import io
import json
import pickle
from collections import defaultdict
from collections.abc import Callable, Sized
from typing import TypeVar

from .registry import ADULT_COLUMNS, DataError, File, Source
from .sets import Graph, Images, Lines, Masked, Music, Recordings, Series, Table, Text

Get = Callable[[File], bytes]
T = TypeVar("T", bound=Sized)


def _images(source: Source, x, y, split: str) -> Images:
    """Images from NumPy arrays x (n, c, h, w) and y (n,), with count and class balance asserted."""
    import numpy as np
    import torch

    expected = source.sizes[split]
    if len(x) != expected or len(y) != expected:
        raise DataError(
            f"{source.name}/{split}: {len(x)} images, {len(y)} labels, expected {expected}"
        )
    per_class = np.bincount(y, minlength=len(source.classes))
    if (per_class != expected // len(source.classes)).any():
        even = expected // len(source.classes)
        raise DataError(
            f"{source.name}/{split}: {per_class.tolist()} per class, expected {even} each"
        )
    return Images(
        torch.from_numpy(np.ascontiguousarray(x)),
        torch.from_numpy(np.asarray(y, dtype="int64")),
        source.classes,
        source.name,
        True,
        source.mean,
        source.std,
    )


def idx(content: bytes):
    """The uint8 array in an IDX file: two zero bytes, the type 8, the number of axes, their
    lengths, the data.
    """
    import numpy as np

    if content[:3] != b"\x00\x00\x08" or len(content) < 4:
        raise DataError(f"not an IDX file of bytes: it begins with {content[:4]!r}")
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, 4)
    if len(content) != 4 + 4 * axes + int(shape.prod()):
        got = len(content) - 4 - 4 * axes
        raise DataError(f"IDX file of shape {shape.tolist()} holds {got} bytes of data")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape).copy()


def fashion_mnist(source: Source, get: Get, split: str) -> Images:
    """Fashion-MNIST from its four IDX files."""
    prefix = {"train": "train", "test": "t10k"}[split]
    images, labels = (file for file in source.files if file.path.split("/")[-1].startswith(prefix))
    return _images(source, idx(get(images))[:, None], idx(get(labels)), split)


class _SparseRows:
    """What a pickled SciPy matrix becomes, without SciPy: its arrays by name."""

    def __setstate__(self, arrays: dict):
        self.indices, self.ends = arrays["indices"], arrays["indptr"]
        self.values, self.shape = arrays["data"], arrays["_shape"]


class _ArraysOnly(pickle.Unpickler):
    """Reads pickles of dicts, lists, strings, NumPy arrays and SciPy's sparse rows; everything
    that could run code is refused.
    """

    def find_class(self, module, name):
        import numpy as np

        # Old pickles ask for numpy.core, which NumPy 2 has moved; an array knows its own builder.
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("scipy.sparse.csr", "csr_matrix"): _SparseRows,
            ("collections", "defaultdict"): defaultdict,
            ("__builtin__", "list"): list,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"a data file asks for {module}.{name}, which is refused")
        return allowed[module, name]


def cifar10(source: Source, get: Get, split: str) -> Images:
    """CIFAR-10 from its Python batches."""
    import numpy as np

    files = {file.path.split("/")[-1]: file for file in source.files}
    names = [f"data_batch_{k}" for k in range(1, 6)] if split == "train" else ["test_batch"]
    x = np.empty((source.sizes[split], 3, 32, 32), np.uint8)
    y = np.empty(source.sizes[split], np.int64)
    for k, name in enumerate(names):
        batch = _ArraysOnly(io.BytesIO(get(files[name])), encoding="latin1").load()
        rows = slice(k * 10_000, (k + 1) * 10_000)
        x[rows] = batch["data"].reshape(-1, 3, 32, 32)
        y[rows] = batch["labels"]
    return _images(source, x, y, split)


def _decoded(source: Source, get: Get) -> str:
    """The one UTF-8 file of a source."""
    return get(source.files[0]).decode("utf-8")


def _counted(source: Source, items: T, split: str = "all") -> T:
    """The items, if they are as many as the split should have."""
    if len(items) != source.sizes[split]:
        where = source.name if split == "all" else f"{source.name}/{split}"
        raise DataError(f"{where}: {len(items)} items, expected {source.sizes[split]}")
    return items


def text(source: Source, get: Get, split: str) -> Text:
    """A plain text file."""
    return Text(_counted(source, _decoded(source, get)), source.name)


def lines(source: Source, get: Get, split: str) -> Lines:
    """One item per line."""
    return Lines(_counted(source, tuple(_decoded(source, get).split())), source.name)


def pairs(source: Source, get: Get, split: str) -> Lines:
    """Pairs separated by a tab, one per line (later versions of the file add a third column, left
    out here).
    """
    rows = _decoded(source, get).strip("\n").split("\n")
    return Lines(_counted(source, tuple(tuple(row.split("\t")[:2]) for row in rows)), source.name)


def scored_pairs(source: Source, get: Get, split: str) -> Lines:
    """Two words and a score from 0 to 10, separated by commas; the first line names the columns."""
    items = []
    for row in _decoded(source, get).splitlines()[1:]:
        one, other, score = row.split(",")
        if not 0 <= float(score) <= 10:
            raise DataError(f"{source.name}: {row!r} has a score outside 0 to 10")
        items.append((one, other, float(score)))
    return Lines(_counted(source, tuple(items)), source.name)


def hourly(source: Source, get: Get, split: str) -> Series:
    """A table of a date and of numbers per line, an hour apart; the first line names them."""
    from datetime import datetime

    import torch

    head, *rows = (line.split(",") for line in _decoded(source, get).strip().splitlines())
    dates = [datetime.fromisoformat(row[0]) for row in _counted(source, rows)]
    for earlier, later in zip(dates, dates[1:], strict=False):
        if (later - earlier).total_seconds() != 3600:
            raise DataError(f"{source.name}: {later} follows {earlier}, expected an hour between")
    values = torch.tensor([[float(value) for value in row[1:]] for row in rows])
    return Series(values, tuple(head[1:]), source.name)


def sections(source: Source, get: Get, split: str) -> Masked:
    """Grey pictures in the folder raw, in the order of their names, and for each class a folder
    of pictures whose pixels are not 0 where the class is.
    """
    import numpy as np
    import torch
    from PIL import Image

    def picture(file: File):
        with Image.open(io.BytesIO(get(file))) as opened:
            return np.asarray(opened.convert("L"))

    stacks = []
    for folder in ("raw", *source.classes):
        files = sorted(
            (file for file in source.files if file.path.split("/")[-2] == folder),
            key=lambda file: file.path,
        )
        stacks.append([picture(file) for file in _counted(source, files)])
    shapes = {layer.shape for stack in stacks for layer in stack}
    if len(shapes) > 1:
        raise DataError(f"{source.name}: sections of {sorted(shapes)}, expected one size")
    x, *masks = (torch.from_numpy(np.stack(stack)) for stack in stacks)
    return Masked(x[:, None], torch.stack(masks, 1) > 0, source.classes, source.name)


def adult(source: Source, get: Get, split: str) -> Table:
    """Adult from its two files. The values of a word, the mean and the deviation of a number are
    those of the training file, whichever split is asked for.
    """
    import torch

    train, test = source.files
    rows = _adult_rows(source, get(train), "train")
    wanted = rows if split == "train" else _adult_rows(source, get(test), "test")
    columns, x, values = list(zip(*rows, strict=True)), [], []
    for (name, words), seen, column in zip(
        ADULT_COLUMNS.items(), columns, zip(*wanted, strict=True), strict=False
    ):
        values.append(tuple(sorted(set(seen))) if words else ())
        if not words:
            x.append([float(cell) for cell in column])
            continue
        code = {word: k for k, word in enumerate(values[-1])}
        if unseen := set(column) - code.keys():
            raise DataError(f"{source.name}: {name} is {min(unseen)!r}, which no training row has")
        x.append([code[word] for word in column])
    numbers = torch.tensor([[float(c) for c in s] for s, v in zip(columns, values) if not v])
    return Table(
        torch.tensor(x, dtype=torch.float32).T.contiguous(),
        torch.tensor([source.classes.index(row[-1]) for row in wanted]),
        source.classes,
        source.name,
        True,
        tuple(ADULT_COLUMNS),
        tuple(values),
        tuple(numbers.mean(1).tolist()),
        tuple(numbers.std(1, correction=0).tolist()),
    )


def _adult_rows(source: Source, content: bytes, split: str) -> list[list[str]]:
    """The rows of one file: the test file begins with a line that is none, and ends its labels
    with a full stop.
    """
    lines = [line for line in content.decode("utf-8").splitlines() if line.strip()]
    if lines and lines[0].startswith("|"):
        lines = lines[1:]
    rows = [[cell.strip() for cell in line.rstrip(".").split(",")] for line in lines]
    for number, row in enumerate(_counted(source, rows, split), 1):
        if len(row) != len(ADULT_COLUMNS) + 1 or row[-1] not in source.classes:
            raise DataError(
                f"{source.name}/{split}: row {number} has {len(row)} cells and ends in {row[-1]!r}"
            )
    return rows


def chorales(source: Source, get: Get, split: str) -> Music:
    """Chorales as JSON: for each part of the set a list of pieces, lists of chords of pitches."""
    parts = json.loads(_decoded(source, get))
    pieces = tuple(tuple(tuple(sorted(chord)) for chord in piece) for piece in parts.get(split, ()))
    return Music(_counted(source, pieces, split), source.name)


def citations(source: Source, get: Get, split: str) -> Graph:
    """Planetoid's files: words and fields of the nodes asked about in the test (tx, ty, in the
    order of test.index) and of all others (allx, ally), and for each node a list of neighbours, in
    which some stand twice. The first nodes are there to train on, those that follow to validate.
    """
    import torch

    files = {file.path.split(f"ind.{source.name}.")[-1]: file for file in source.files}

    def unpickled(part: str):
        return _ArraysOnly(io.BytesIO(get(files[part])), encoding="latin1").load()

    asked = torch.tensor([int(line) for line in get(files["test.index"]).split()])
    others = unpickled("ally")
    n = len(others) + len(asked)
    if sorted(asked.tolist()) != list(range(len(others), n)):
        raise DataError(f"{source.name}: test.index is no order of {len(others)} to {n - 1}")
    place = torch.cat([torch.arange(len(others)), asked])
    y = torch.empty(n, dtype=torch.int64)
    y[place] = torch.cat([torch.tensor(part.argmax(1)) for part in (others, unpickled("ty"))])
    words = [_dense(unpickled(part)) for part in ("allx", "tx")]
    x = torch.empty(n, words[0].shape[1], dtype=torch.bool)
    x[place] = torch.cat(words)
    pairs = {
        (min(v, u), max(v, u)) for v, near in unpickled("graph").items() for u in near if u != v
    }
    first, second = source.sizes["train"], source.sizes["valid"]
    nodes = {
        "train": torch.arange(first),
        "valid": torch.arange(first, first + second),
        "test": asked,
    }[split]
    edges = torch.tensor(sorted(pairs)).T.contiguous()
    return _counted(source, Graph(x, edges, y, nodes, source.classes, source.name), split)


def _dense(rows: _SparseRows):
    """Sparse rows as a bool tensor (n, d): where there is a one."""
    import numpy as np
    import torch

    x = torch.zeros(rows.shape, dtype=torch.bool)
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.ends))
    x[torch.from_numpy(row), torch.tensor(rows.indices).long()] = torch.tensor(rows.values) > 0
    return x


def spoken(source: Source, get: Get, split: str) -> Recordings:
    """Digits said by several speakers: WAV files end to end, each named DIGIT_SPEAKER_NUMBER.

    The numbers 0 to 4 of each digit and speaker are the official test set.
    """
    import torch

    (file,) = source.files
    names = [path.split("/")[-1].removesuffix(".wav").split("_") for path in file.pieces]
    speakers = tuple(sorted({speaker for _, speaker, _ in names}))
    waves, rates = zip(*_waves(get(file), source.name), strict=True)
    if len(waves) != len(names) or len(set(rates)) != 1:
        got = f"{len(waves)} recordings of {sorted(set(rates))} Hz"
        raise DataError(f"{source.name}: {got}, expected {len(names)} of one rate")
    wanted = [(int(k) < 5) == (split == "test") for _, _, k in names]
    y = torch.tensor([int(digit) for digit, _, _ in names])
    speaker = torch.tensor([speakers.index(who) for _, who, _ in names])
    whole = Recordings(waves, y, speaker, source.classes, speakers, rates[0], source.name)
    return _counted(source, whole[torch.tensor(wanted)], split)


def _waves(content: bytes, name: str):
    """Samples (int16) and rate of each WAV file in `content`, where they stand end to end."""
    import wave

    import torch

    start = 0
    while start < len(content):
        end = start + 8 + int.from_bytes(content[start + 4 : start + 8], "little")
        try:
            with wave.open(io.BytesIO(content[start:end])) as file:
                if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                    got = f"{file.getnchannels()} channels of {8 * file.getsampwidth()} bits"
                    raise DataError(f"{name}: a recording has {got}, expected one of 16")
                samples = bytearray(file.readframes(file.getnframes()))
                yield torch.frombuffer(samples, dtype=torch.int16), file.getframerate()
        except (wave.Error, EOFError) as error:
            raise DataError(f"{name}: no WAV file at byte {start:,} ({error})") from error
        start = end
