"""From the published bytes to tensors and strings.

Each reader gets the source, `get` (File -> checked bytes) and the split.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Sized
from typing import TypeVar

from .registry import DataError, File, Source
from .sets import Images, Lines, Masked, Series, Text

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


class _ArraysOnly(pickle.Unpickler):
    """Reads pickles of dicts, lists, strings and NumPy arrays; everything that could run code is
    refused.
    """

    def find_class(self, module, name):
        import numpy as np

        # Old pickles ask for numpy.core, which NumPy 2 has moved; an array knows its own builder.
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
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


def _counted(source: Source, items: T) -> T:
    if len(items) != source.sizes["all"]:
        raise DataError(f"{source.name}: {len(items)} items, expected {source.sizes['all']}")
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
