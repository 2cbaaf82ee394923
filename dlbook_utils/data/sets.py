"""What `load` returns: small frozen data classes that hold a whole set in memory.

Images stay uint8 (a quarter of the memory of float32) and are normalised when they are used.
Indexing with a slice or an index tensor gives an object of the same class, and so does `split`.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Labelled:
    """Inputs `x` (n, ...) with one label each in `y` (n,), int64, from 0 to len(classes) - 1."""

    x: Tensor
    y: Tensor
    classes: tuple[str, ...]
    name: str
    real: bool = True

    def __post_init__(self):
        validate(self.x, self.y, self.classes, self.name)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index):
        """The samples at `index`: a slice, an index tensor, a mask or a list of positions."""
        x, y = _take(index, self.x, self.y)
        return replace(self, x=x, y=y)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.x.shape[1:]))
        size = f"{len(self)} x {shape}, {len(self.classes)} classes"
        origin = "" if self.real else ", stand-in"
        return f"{type(self).__name__}({self.name}: {size}{origin})"


@dataclass(frozen=True, eq=False, repr=False)
class Images(Labelled):
    """Images: x uint8 (n, c, h, w); `mean` and `std` per channel, of pixels in [0, 1]."""

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self):
        import torch

        super().__post_init__()
        if self.x.dtype != torch.uint8 or self.x.ndim != 4:
            got = f"{self.x.dtype} {tuple(self.x.shape)}"
            raise ValueError(f"{self.name}: images must be uint8 (n, c, h, w), got {got}")
        channels = self.x.shape[1]
        if not len(self.mean) == len(self.std) == channels:
            got = f"{len(self.mean)} means, {len(self.std)} stds"
            raise ValueError(
                f"{self.name}: {channels} channels need as many means and stds, got {got}"
            )

    def pixels(self, device=None) -> Tensor:
        """Pixels as float32 (n, c, h, w) in [0, 1]."""
        return self.x.to(device).float().div_(255)

    def inputs(self, device=None) -> Tensor:
        """Pixels as float32 (n, c, h, w), normalised per channel with the mean and std of the
        training set.
        """
        pixels = self.pixels(device)
        mean = pixels.new_tensor(self.mean).view(-1, 1, 1)
        std = pixels.new_tensor(self.std).view(-1, 1, 1)
        return pixels.sub_(mean).div_(std)


@dataclass(frozen=True, eq=False, repr=False)
class Points(Labelled):
    """Points in the plane: x float32 (n, 2)."""

    def __post_init__(self):
        import torch

        super().__post_init__()
        if self.x.dtype != torch.float32 or self.x.ndim != 2 or self.x.shape[1] != 2:
            got = f"{self.x.dtype} {tuple(self.x.shape)}"
            raise ValueError(f"{self.name}: points must be float32 (n, 2), got {got}")

    def inputs(self, device=None) -> Tensor:
        """The points themselves, on `device`."""
        return self.x.to(device)


@dataclass(frozen=True, eq=False, repr=False)
class Table(Labelled):
    """Rows of numbers and words: x float32 (n, d) holds a number as it is, and of a word the place
    in the column's `values` (for a number these are ()). `mean` and `std` are those of the numbers.
    """

    columns: tuple[str, ...] = ()
    values: tuple[tuple[str, ...], ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self):
        import torch

        super().__post_init__()
        d = len(self.columns)
        if self.x.dtype != torch.float32 or self.x.ndim != 2 or self.x.shape[1] != d:
            got = f"{self.x.dtype} {tuple(self.x.shape)}"
            raise ValueError(f"{self.name}: a table must be float32 (n, {d}), got {got}")
        numbers = self.values.count(())
        if len(self.values) != d or not len(self.mean) == len(self.std) == numbers:
            got = f"{len(self.values)}, {len(self.mean)}, {len(self.std)}"
            raise ValueError(
                f"{self.name}: {d} columns need as many values, and {numbers} numbers as many "
                f"means and stds, got {got}"
            )
        for j, words in enumerate(self.values):
            column = self.x[:, j]
            bad = ~column.isfinite()
            if words:
                bad |= (column != column.round()) | (column < 0) | (column >= len(words))
            if bad.any():
                row = int(bad.nonzero()[0])
                raise ValueError(
                    f"{self.name}: {self.columns[j]} of row {row} is {column[row].item()}, "
                    + (f"expected 0 to {len(words) - 1}" if words else "expected a number")
                )

    def inputs(self, device=None) -> Tensor:
        """Numbers standardised with the mean and std of the training set, then each word as zeros
        and a one: float32 (n, numbers + number of all values).
        """
        import torch
        import torch.nn.functional as F

        x = self.x.to(device)
        numbers = x[:, [not words for words in self.values]]
        parts = [(numbers - x.new_tensor(self.mean)) / x.new_tensor(self.std)]
        for j, words in enumerate(self.values):
            if words:
                parts.append(F.one_hot(x[:, j].long(), len(words)).float())
        return torch.cat(parts, 1)


@dataclass(frozen=True, repr=False)
class Text:
    """One long string; its length is counted in characters."""

    text: str
    name: str
    real: bool = True

    def __post_init__(self):
        if not self.text:
            raise ValueError(f"{self.name}: the text is empty")

    def __len__(self) -> int:
        return len(self.text)

    def __getitem__(self, index: slice) -> Text:
        if not isinstance(index, slice):
            raise TypeError(f"{self.name}: text is cut with a slice, got {type(index).__name__}")
        return replace(self, text=self.text[index])

    def __repr__(self) -> str:
        return f"Text({self.name}: {len(self)} characters{'' if self.real else ', stand-in'})"


@dataclass(frozen=True, repr=False)
class Lines:
    """Short strings, or pairs of them: `items` is a tuple[str, ...] or a tuple[tuple[str, str],
    ...]; of pairs that people have scored, a tuple[tuple[str, str, float], ...].
    """

    items: tuple
    name: str
    real: bool = True

    def __post_init__(self):
        if not self.items:
            raise ValueError(f"{self.name}: there are no items")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index) -> Lines:
        """The items at `index`: a slice, an index tensor, a mask or a list of positions."""
        if isinstance(index, slice):
            return replace(self, items=self.items[index])
        positions = index.tolist() if hasattr(index, "tolist") else index
        if not isinstance(positions, Sequence) or isinstance(positions, str):
            raise TypeError(
                f"{self.name}: index with a slice, a mask or positions, got {type(index).__name__}"
            )
        if positions and all(isinstance(k, bool) for k in positions):
            if len(positions) != len(self):
                raise ValueError(f"{self.name}: a mask of {len(positions)} for {len(self)} items")
            positions = [k for k, wanted in enumerate(positions) if wanted]
        return replace(self, items=tuple(self.items[operator.index(k)] for k in positions))

    def __repr__(self) -> str:
        return f"Lines({self.name}: {len(self)} items{'' if self.real else ', stand-in'})"


@dataclass(frozen=True, eq=False, repr=False)
class Series:
    """Measurements at equal steps of time: `values` float32 (hours, channels), oldest first."""

    values: Tensor
    channels: tuple[str, ...]
    name: str
    real: bool = True

    def __post_init__(self):
        import torch

        shape = tuple(self.values.shape)
        if self.values.dtype != torch.float32 or shape[1:] != (len(self.channels),) or 0 in shape:
            raise ValueError(
                f"{self.name}: values must be float32 (hours, {len(self.channels)}), "
                f"got {self.values.dtype} {shape}"
            )
        if not self.values.isfinite().all():
            hour = int((~self.values.isfinite()).any(1).nonzero()[0])
            raise ValueError(f"{self.name}: hour {hour} is {self.values[hour].tolist()}")

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: slice) -> Series:
        """The measurements in a slice of time; others would tear the series apart."""
        if not isinstance(index, slice):
            raise TypeError(f"{self.name}: a series is cut with a slice, not {index!r}")
        return replace(self, values=self.values[index])

    def __repr__(self) -> str:
        hours = f"{len(self)} hours x {len(self.channels)}"
        return f"Series({self.name}: {hours}{'' if self.real else ', stand-in'})"


@dataclass(frozen=True, eq=False, repr=False)
class Masked:
    """Pictures x uint8 (n, 1, h, w) in an order that matters, such as sections of one block, and
    `masks` bool (n, k, h, w): which pixels belong to each of the k `classes`.
    """

    x: Tensor
    masks: Tensor
    classes: tuple[str, ...]
    name: str
    real: bool = True

    def __post_init__(self):
        import torch

        shape = tuple(self.x.shape)
        if self.x.dtype != torch.uint8 or len(shape) != 4 or shape[1] != 1 or 0 in shape:
            got = f"{self.x.dtype} {shape}"
            raise ValueError(f"{self.name}: pictures must be uint8 (n, 1, h, w), got {got}")
        expected = (shape[0], len(self.classes), *shape[2:])
        if self.masks.dtype != torch.bool or tuple(self.masks.shape) != expected:
            got = f"{self.masks.dtype} {tuple(self.masks.shape)}"
            raise ValueError(f"{self.name}: masks must be bool {expected}, got {got}")

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index) -> Masked:
        """The pictures at `index`: a slice, an index tensor, a mask or a list of positions."""
        x, masks = _take(index, self.x, self.masks)
        return replace(self, x=x, masks=masks)

    def pixels(self, device=None) -> Tensor:
        """Pixels as float32 (n, 1, h, w) in [0, 1]."""
        return self.x.to(device).float().div_(255)

    def __repr__(self) -> str:
        size = f"{len(self)} x {'x'.join(map(str, self.x.shape[2:]))}, {len(self.classes)} masks"
        return f"Masked({self.name}: {size}{'' if self.real else ', stand-in'})"


@dataclass(frozen=True, repr=False)
class Music:
    """Pieces of music: each a tuple of chords, one for each step of time, and a chord the pitches
    that sound, a tuple of MIDI numbers, lowest first; () is silence.
    """

    pieces: tuple[tuple[tuple[int, ...], ...], ...]
    name: str
    real: bool = True

    def __post_init__(self):
        if not self.pieces:
            raise ValueError(f"{self.name}: there are no pieces")
        for k, piece in enumerate(self.pieces):
            if not piece:
                raise ValueError(f"{self.name}: piece {k} has no chords")
            for chord in piece:
                if list(chord) != sorted({p for p in chord if p in range(128)}):
                    raise ValueError(
                        f"{self.name}: piece {k} has a chord {chord}, expected different "
                        "MIDI pitches in 0..127, lowest first"
                    )

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, index: slice) -> Music:
        """The pieces in a slice."""
        if not isinstance(index, slice):
            raise TypeError(f"{self.name}: pieces are taken with a slice, not {index!r}")
        return replace(self, pieces=self.pieces[index])

    def __repr__(self) -> str:
        chords = f"{len(self)} pieces, {sum(map(len, self.pieces))} chords"
        return f"Music({self.name}: {chords}{'' if self.real else ', stand-in'})"


@dataclass(frozen=True, eq=False, repr=False)
class Recordings:
    """Sounds of one word each: `waves`, int16 (samples,) each, at `rate` samples a second, with the
    word in `y` (n,) and who said it in `speaker` (n,), both int64: positions in `classes` and in
    `speakers`.
    """

    waves: tuple[Tensor, ...]
    y: Tensor
    speaker: Tensor
    classes: tuple[str, ...]
    speakers: tuple[str, ...]
    rate: int
    name: str
    real: bool = True

    def __post_init__(self):
        import torch

        validate(self.waves, self.y, self.classes, self.name)
        validate(self.waves, self.speaker, self.speakers, f"{self.name}'s speakers")
        for k, wave in enumerate(self.waves):
            if wave.dtype != torch.int16 or wave.ndim != 1 or not len(wave):
                got = f"{wave.dtype} {tuple(wave.shape)}"
                raise ValueError(f"{self.name}: waves must be int16 (samples,), got {got} at {k}")

    def __len__(self) -> int:
        return len(self.waves)

    def __getitem__(self, index) -> Recordings:
        """The recordings at `index`: a slice, an index tensor, a mask or a list of positions."""
        import torch

        (kept,) = _take(index, torch.arange(len(self)))
        waves = tuple(self.waves[k] for k in kept.tolist())
        return replace(self, waves=waves, y=self.y[kept], speaker=self.speaker[kept])

    @property
    def lengths(self) -> Tensor:
        """The number of samples of each recording, int64 (n,)."""
        import torch

        return torch.tensor([len(wave) for wave in self.waves])

    def inputs(self, device=None) -> Tensor:
        """The sounds as float32 (n, samples) in [-1, 1), with zeros behind the shorter ones."""
        from torch.nn.utils.rnn import pad_sequence

        return pad_sequence([*self.waves], batch_first=True).to(device).float().div_(2**15)

    def __repr__(self) -> str:
        size = f"{len(self)} recordings, {len(self.classes)} classes, {len(self.speakers)} speakers"
        return f"Recordings({self.name}: {size}{'' if self.real else ', stand-in'})"


@dataclass(frozen=True, eq=False, repr=False)
class Graph:
    """Things and which of them belong together: `x` bool (n, d) says which of d words node v has,
    `edges` int64 (2, m) holds each pair of neighbours once, the smaller number first, and `y` (n,)
    the class of each node. Of these, `nodes` int64 (k,) are those that the split asks about: a
    split is a part of the nodes, each part comes with the whole graph.
    """

    x: Tensor
    edges: Tensor
    y: Tensor
    nodes: Tensor
    classes: tuple[str, ...]
    name: str
    real: bool = True

    def __post_init__(self):
        import torch

        validate(self.x, self.y, self.classes, self.name)
        n = len(self.y)
        if self.x.dtype != torch.bool or self.x.ndim != 2:
            got = f"{self.x.dtype} {tuple(self.x.shape)}"
            raise ValueError(f"{self.name}: words must be bool (n, d), got {got}")
        if self.edges.dtype != torch.int64 or self.edges.ndim != 2 or len(self.edges) != 2:
            got = f"{self.edges.dtype} {tuple(self.edges.shape)}"
            raise ValueError(f"{self.name}: edges must be int64 (2, m), got {got}")
        first, second = self.edges
        if (bad := (first < 0) | (first >= second) | (second >= n)).any():
            pair = self.edges[:, bad][:, 0].tolist()
            raise ValueError(
                f"{self.name}: an edge {pair}, expected two nodes of 0 to {n - 1}, smaller first"
            )
        if len(self.edges.unique(dim=1).T) != len(self.edges.T):
            raise ValueError(f"{self.name}: an edge is there twice")
        if self.nodes.dtype != torch.int64 or self.nodes.ndim != 1 or not len(self.nodes):
            got = f"{self.nodes.dtype} {tuple(self.nodes.shape)}"
            raise ValueError(f"{self.name}: nodes must be int64 (k,), got {got}")
        if int(self.nodes.min()) < 0 or int(self.nodes.max()) >= n:
            got = f"{int(self.nodes.min())} to {int(self.nodes.max())}"
            raise ValueError(f"{self.name}: nodes {got}, expected some of 0 to {n - 1}")

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, index) -> Graph:
        """The same graph, asking about fewer nodes: a slice, an index tensor, a mask or a list."""
        (nodes,) = _take(index, self.nodes)
        return replace(self, nodes=nodes)

    def inputs(self, device=None) -> Tensor:
        """The words as float32 (n, d), those of a node sharing 1 equally."""
        x = self.x.to(device).float()
        return x.div_(x.sum(1, keepdim=True).clamp_(min=1))

    def __repr__(self) -> str:
        size = f"{len(self)} of {len(self.y)} nodes, {self.edges.shape[1]} edges"
        return f"Graph({self.name}: {size}{'' if self.real else ', stand-in'})"


def _take(index, *tensors: Tensor) -> tuple[Tensor, ...]:
    """The rows of each tensor at a slice, at positions or where a mask is True.

    index_select copies whole rows, which for images is many times faster than x[index].
    """
    import torch

    if isinstance(index, slice):
        return tuple(tensor[index] for tensor in tensors)
    index = torch.as_tensor(index)
    if index.dtype == torch.bool and len(index) == len(tensors[0]):
        index = index.nonzero()[:, 0]
    if index.ndim != 1 or index.dtype != torch.int64:
        got = f"{index.dtype} {tuple(index.shape)}"
        raise TypeError(f"index with a slice, a mask or positions, int64 (m,), got {got}")
    index = torch.where(index < 0, index + len(tensors[0]), index)
    return tuple(tensor.index_select(0, index) for tensor in tensors)


IN_ORDER = (Text, Series, Music, Masked)  # neighbours in these are alike: cut, never shuffled


def validate(x: Tensor | tuple, y: Tensor, classes: Sequence[str], name: str = "data") -> None:
    """Raise ValueError unless x (n, ...) and y (n,) belong together and the labels are in range."""
    import torch

    if len(x) == 0:
        shape = f" (x has shape {tuple(x.shape)})" if isinstance(x, torch.Tensor) else ""
        raise ValueError(f"{name}: empty, expected at least one sample{shape}")
    if y.dtype != torch.int64 or y.ndim != 1:
        raise ValueError(f"{name}: labels must be int64 (n,), got {y.dtype} {tuple(y.shape)}")
    if len(x) != len(y):
        raise ValueError(f"{name}: {len(x)} samples but {len(y)} labels")
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= len(classes):
        bad = low if low < 0 else high
        raise ValueError(f"{name}: label {bad} is out of range, expected 0 to {len(classes) - 1}")


def stratified_order(keys: Sequence, seed: int) -> list[int]:
    """Positions in an order of which every beginning holds each key in its proportion, within one
    sample.

    Each sample gets its random rank within its class, divided by the size of that class; sorting
    by this number deals the classes out evenly. NumPy's RandomState is used because its stream
    never changes between versions.
    """
    import numpy as np

    labels = np.asarray(keys)
    draw = np.random.RandomState(seed)
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = draw.permutation(np.flatnonzero(labels == label))
        place[members] = (np.arange(len(members)) + draw.rand()) / len(members)
    return np.argsort(place, kind="stable").tolist()


def grouped_order(items: Sequence, seed: int) -> list[int]:
    """Positions in a random order that keeps equal items together, and pairs with an equal first
    half.
    """
    import numpy as np

    groups: dict[str, list[int]] = {}
    for position, item in enumerate(items):
        groups.setdefault(item if isinstance(item, str) else item[0], []).append(position)
    members = list(groups.values())
    order = np.random.RandomState(seed).permutation(len(members))
    return [position for k in order for position in members[k]]


def split(data, *fractions: float, seed: int = 0) -> tuple:
    """Cut a set into disjoint parts, for example `train, valid = split(ds, 0.8, 0.2)`.

    Images, points and the nodes of a graph are dealt out by class, so that each part has the class
    balance of the whole. Text, series, music and pictures with masks are cut in order. Of lines,
    equal ones (names that occur twice, translations of one sentence) stay in the same part, so that
    no part can be answered from another. The same seed gives the same parts on every machine.

    Raises ValueError for fractions that are not positive or add up to more than 1, or for a part
    that would be empty.
    """
    total = sum(fractions)
    if not fractions or min(fractions) <= 0 or total > 1 + 1e-9:
        raise ValueError(f"fractions must be positive and add up to at most 1, got {fractions}")
    ends = [round(len(data) * sum(fractions[: k + 1])) for k in range(len(fractions))]
    starts = [0, *ends[:-1]]
    if isinstance(data, IN_ORDER):
        return _parts(data, range(len(data)), starts, ends)
    if isinstance(data, Lines):
        order = grouped_order(data.items, seed)
        starts = [_next_group(data.items, order, start) for start in starts]
        ends = [*starts[1:], _next_group(data.items, order, ends[-1])]
    else:
        labels = data.y[data.nodes] if isinstance(data, Graph) else data.y
        order = stratified_order(labels.tolist(), seed)
    return _parts(data, order, starts, ends)


def _parts(data, order: Sequence[int], starts: list[int], ends: list[int]) -> tuple:
    """The items at each stretch of `order`, in their old order; ValueError if there are none."""
    if any(start >= end for start, end in zip(starts, ends, strict=True)):
        raise ValueError(f"{data.name}: a part of {len(data)} items would be empty")
    if isinstance(data, IN_ORDER):
        return tuple(data[start:end] for start, end in zip(starts, ends, strict=True))
    return tuple(data[sorted(order[start:end])] for start, end in zip(starts, ends, strict=True))


def _next_group(items: Sequence, order: list[int], start: int) -> int:
    """The first place at or after `start` in `order` where another group of equal items begins."""

    def key(place: int) -> str:
        item = items[order[place]]
        return item if isinstance(item, str) else item[0]

    while 0 < start < len(order) and key(start) == key(start - 1):
        start += 1
    return start
