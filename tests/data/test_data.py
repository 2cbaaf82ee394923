"""What `data.load` gives: classes, splits, generated sets, stand-ins, formats, real sets."""

import gzip
import os
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from dlbook_utils import data
from dlbook_utils.data import fetch, formats, generate, registry, sets

ROOT = Path(__file__).parents[2]
GIVEN = os.environ.get("DLBOOK_DATA")
PUBLISHED = [name for name, source in registry.SETS.items() if source.files]
OTHERS = [name for name in registry.SETS if name not in PUBLISHED]
needs_real_data = pytest.mark.skipif(not GIVEN, reason="needs the real data: set DLBOOK_DATA")


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    """Nothing but stand-ins, unless a test asks for the given folder."""
    monkeypatch.setenv("DLBOOK_OFFLINE", "1")
    monkeypatch.setenv("DLBOOK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DLBOOK_DATA", raising=False)
    monkeypatch.setattr(fetch, "_told", set())


@pytest.fixture
def given(monkeypatch):
    monkeypatch.setenv("DLBOOK_DATA", GIVEN)


def some_images(n: int = 30, **changes) -> data.Images:
    x = torch.arange(n * 12, dtype=torch.int64).remainder(256).byte().view(n, 3, 2, 2)
    settings = {
        "x": x,
        "y": torch.arange(n) % 3,
        "classes": ("a", "b", "c"),
        "name": "some",
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.3, 0.4),
    }
    return data.Images(**(settings | changes))


# The classes


def test_images_are_bytes_and_normalised_on_use():
    images = some_images()
    assert torch.equal(images.pixels(), images.x / 255)
    mean, std = torch.tensor(images.mean), torch.tensor(images.std)
    expected = (images.x / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    assert torch.allclose(images.inputs(), expected, atol=1e-6)
    assert images.inputs().dtype == torch.float32
    assert images.inputs("meta").device.type == "meta"
    assert images.x.dtype == torch.uint8  # the set itself is left as it is


@pytest.mark.parametrize(
    "index",
    [
        slice(3, 20, 2),
        torch.tensor([5, 5, -1]),
        [0, 7],
        np.array([2, 3]),
        torch.arange(30) % 3 == 1,
    ],
)
def test_indexing_gives_the_same_class(index):
    images = some_images()
    part = images[index]
    rows = index if isinstance(index, slice) else torch.as_tensor(index)
    assert type(part) is data.Images
    assert torch.equal(part.x, images.x[rows])
    assert torch.equal(part.y, images.y[rows])
    assert (part.classes, part.name, part.real) == (images.classes, images.name, images.real)
    assert len(part) == len(part.y)


def test_text_and_lines_are_cut_too():
    text = data.Text("abcdef", "t")
    assert text[1:3].text == "bc"
    assert len(text) == 6
    lines = data.Lines(("a", "b", "c"), "l")
    assert lines[torch.tensor([2, 0])].items == ("c", "a")
    assert lines[1:].items == ("b", "c")
    with pytest.raises(TypeError, match="got int"):
        text[1]
    with pytest.raises(TypeError, match="got int"):
        lines[1]


def test_a_series_is_cut_in_time_only():
    series = data.Series(torch.arange(12.0).view(6, 2), ("load", "heat"), "s")
    assert series[1:3].values.tolist() == [[2, 3], [4, 5]]
    assert (len(series), series[4:].channels, repr(series)) == (6, ("load", "heat"), SERIES)
    for torn in (1, [0, 3], torch.tensor([2, 0])):
        with pytest.raises(TypeError, match="s: a series is cut with a slice, not "):
            series[torn]
    early, late = data.split(series, 0.5, 0.5)
    assert torch.equal(torch.cat([early.values, late.values]), series.values)


SERIES = "Series(s: 6 hours x 2)"


def test_wrong_series_are_refused():
    channels = ("load", "heat")
    for values in (torch.ones(6, 3), torch.ones(6), torch.ones(6, 2).double(), torch.ones(0, 2)):
        with pytest.raises(ValueError, match=rf"\(hours, 2\), got {values.dtype} \({len(values)}"):
            data.Series(values, channels, "s")
    gap = torch.ones(6, 2)
    gap[4, 1] = torch.nan
    with pytest.raises(ValueError, match=r"s: hour 4 is \[1.0, nan\]"):
        data.Series(gap, channels, "s")


def test_music_is_taken_by_pieces():
    music = data.Music((((60, 64),), ((), (62,)), ((61,),)), "m")
    assert (len(music), repr(music)) == (3, "Music(m: 3 pieces, 4 chords)")
    assert music[1:2].pieces == (((), (62,)),)
    first, second = data.split(music, 0.67, 0.33)
    assert first.pieces + second.pieces == music.pieces
    with pytest.raises(TypeError, match="m: pieces are taken with a slice, not 1"):
        music[1]


def test_wrong_music_is_refused():
    with pytest.raises(ValueError, match="m: there are no pieces"):
        data.Music((), "m")
    with pytest.raises(ValueError, match="m: piece 1 has no chords"):
        data.Music((((60,),), ()), "m")
    for chord in ((64, 60), (60, 60), (60, 128), (-1,), (60.5,)):
        message = rf"piece 0 has a chord {re.escape(str(chord))}, expected different MIDI pitches"
        with pytest.raises(ValueError, match=message):
            data.Music(((chord,),), "m")


def some_recordings(**changes) -> data.Recordings:
    settings = {
        "waves": tuple(torch.full((k + 2,), 2**14, dtype=torch.int16) for k in range(4)),
        "y": torch.tensor([0, 1, 0, 1]),
        "speaker": torch.tensor([0, 0, 1, 1]),
        "classes": ("no", "yes"),
        "speakers": ("ann", "bob"),
        "rate": 8000,
        "name": "r",
    }
    return data.Recordings(**(settings | changes))


def test_recordings_are_indexed_and_padded():
    recordings = some_recordings()
    assert repr(recordings) == "Recordings(r: 4 recordings, 2 classes, 2 speakers)"
    assert recordings.lengths.tolist() == [2, 3, 4, 5]
    assert recordings.inputs()[0].tolist() == [0.5, 0.5, 0, 0, 0]
    for part in (recordings[recordings.speaker == 1], recordings[2:], recordings[[2, -1]]):
        assert (part.lengths.tolist(), part.y.tolist()) == ([4, 5], [0, 1])
        assert part.speaker.tolist() == [1, 1]
    one, other = data.split(recordings, 0.5, 0.5)
    assert (sorted(one.y.tolist()), len(other)) == ([0, 1], 2)


def test_wrong_recordings_are_refused():
    two = torch.zeros(2, dtype=torch.int16)
    for bad in (two.float(), two[None], two[:0]):
        message = re.escape(f"r: waves must be int16 (samples,), got {bad.dtype}")
        with pytest.raises(ValueError, match=f"{message}.* at 3"):
            some_recordings(waves=(two, two, two, bad))
    with pytest.raises(ValueError, match="r: 3 samples but 4 labels"):
        some_recordings(waves=(two, two, two))
    with pytest.raises(ValueError, match="r: empty, expected at least one sample$"):
        some_recordings(waves=())
    with pytest.raises(ValueError, match="r's speakers: label 2 is out of range, expected 0 to 1"):
        some_recordings(speaker=torch.tensor([0, 0, 1, 2]))


BAD_IMAGES = {
    "some: empty, expected at least one sample": {"x": torch.zeros(0, 3, 2, 2).byte()},
    r"uint8 \(n, c, h, w\), got torch.float32 \(30, 3, 2, 2\)": {"x": torch.zeros(30, 3, 2, 2)},
    r"got torch.uint8 \(30, 3, 4\)": {"x": torch.zeros(30, 3, 4).byte()},
    r"labels must be int64 \(n,\), got torch.float32 \(30,\)": {"y": torch.zeros(30)},
    r"labels must be int64 \(n,\), got torch.int64 \(30, 1\)": {"y": torch.zeros(30, 1).long()},
    "30 samples but 29 labels": {"y": torch.zeros(29).long()},
    "label 3 is out of range, expected 0 to 2": {"y": torch.full((30,), 3)},
    "label -1 is out of range, expected 0 to 2": {"y": torch.full((30,), -1)},
    "3 channels need as many means and stds, got 1 means, 3 stds": {"mean": (0.5,)},
}


@pytest.mark.parametrize(("message", "changes"), BAD_IMAGES.items())
def test_wrong_images_are_refused(message, changes):
    with pytest.raises(ValueError, match=message):
        some_images(**changes)


def test_wrong_points_text_and_lines_are_refused():
    y, classes = torch.zeros(4).long(), ("a",)
    for x in (torch.zeros(4, 2).double(), torch.zeros(4, 3), torch.zeros(4)):
        with pytest.raises(ValueError, match=r"points must be float32 \(n, 2\)"):
            data.Points(x, y, classes, "p")
    with pytest.raises(ValueError, match="empty"):
        data.Text("", "t")
    with pytest.raises(ValueError, match="no items"):
        data.Lines((), "l")
    with pytest.raises(ValueError, match="empty"):
        some_images()[torch.zeros(30, dtype=torch.bool)]
    with pytest.raises(TypeError, match=r"got torch.int64 \(\)"):
        some_images()[3]


# Splitting


def test_split_is_disjoint_complete_stratified_and_reproducible():
    y = torch.cat([torch.zeros(70), torch.ones(20), torch.full((10,), 2)]).long()
    x = torch.arange(100).byte().view(100, 1, 1, 1).expand(-1, 3, 2, 2)  # each picture is a number
    images = some_images(x=x, y=y)

    def numbers(*parts):
        return [part.x[:, 0, 0, 0].tolist() for part in parts]

    parts = data.split(images, 0.6, 0.2, 0.2, seed=1)
    assert [len(part) for part in parts] == [60, 20, 20]
    assert [part.y.bincount().tolist() for part in parts] == [[42, 12, 6], [14, 4, 2], [14, 4, 2]]
    assert sorted(sum(numbers(*parts), [])) == list(range(100))
    assert all(torch.equal(y[torch.tensor(k)], part.y) for k, part in zip(numbers(*parts), parts))
    assert numbers(*data.split(images, 0.6, 0.2, 0.2, seed=1)) == numbers(*parts)
    assert numbers(*data.split(images, 0.6, 0.2, 0.2, seed=2)) != numbers(*parts)


@pytest.mark.parametrize("seed", [0, 1])
def test_stratified_order_is_a_fixed_permutation(seed):
    keys = np.random.RandomState(5).randint(0, 4, 203)
    order = sets.stratified_order(keys, seed)
    assert sorted(order) == list(range(203))
    assert order == sets.stratified_order(keys, seed)
    assert order != sets.stratified_order(keys, seed + 1)
    for length in (20, 50, 120):
        share = np.bincount(keys[order[:length]], minlength=4) / length
        assert np.abs(share * length - np.bincount(keys) / 203 * length).max() < 1.5


def test_split_keeps_equal_lines_together():
    items = tuple((f"sentence {k % 50}", f"phrase {k}") for k in range(400))
    train, test = data.split(data.Lines(items, "pairs"), 0.7, 0.3)
    assert sorted(train.items + test.items) == sorted(items)
    assert not {a for a, _ in train.items} & {a for a, _ in test.items}
    assert abs(len(train) - 280) <= 8


def test_split_cuts_text_in_order():
    train, test = data.split(data.Text("0123456789", "t"), 0.8, 0.2)
    assert (train.text, test.text) == ("01234567", "89")


@pytest.mark.parametrize("fractions", [(), (0.5, 0.6), (0.5, -0.1), (0.0, 1.0)])
def test_wrong_fractions_are_refused(fractions):
    with pytest.raises(ValueError, match="add up to at most 1, got"):
        data.split(some_images(), *fractions)


def test_an_empty_part_is_refused():
    with pytest.raises(ValueError, match="a part of 30 items would be empty"):
        data.split(some_images(), 0.99, 0.01)


# Names and splits


def test_unknown_names_and_splits_are_explained():
    with pytest.raises(ValueError, match=r"no data set 'cifar-10'; did you mean 'cifar10'\?"):
        data.load("cifar-10")
    with pytest.raises(ValueError, match=r"did you mean 'fashion-mnist'\?.*There are: digits, "):
        data.load("Fashion_MNIST")
    with pytest.raises(ValueError, match=r"no data set 'qqqq'\.? There are: digits, shapes"):
        data.load("qqqq")
    with pytest.raises(ValueError, match="no split 'valid', expected one of train, test$"):
        data.load("digits", "valid")
    with pytest.raises(ValueError, match="expected one of train, test, all$"):
        data.load("names", "dev")
    with pytest.raises(TypeError, match="takes neither n nor seed"):
        data.load("digits", n=10)
    with pytest.raises(ValueError, match="n must be at least 10, got 3"):
        data.load("shapes", n=3)


@pytest.mark.parametrize("name", data.available())
def test_every_set_says_what_it_is_and_whom_to_cite(name):
    line = data.about(name)
    assert line.startswith(f"{name}: ")
    assert "Licence: " in line
    assert "Source: " in line
    assert "\n" not in line


# Bundled and generated sets


def test_digits_have_a_fixed_stratified_split():
    train, test = data.load("digits"), data.load("digits", "test")
    assert train.real
    assert (tuple(train.x.shape), tuple(test.x.shape)) == ((1437, 1, 8, 8), (360, 1, 8, 8))
    whole = train.y.bincount() + test.y.bincount()
    assert (test.y.bincount() - whole * 360 / 1797).abs().max() < 1.5
    assert int(train.x.max()) == 255
    from sklearn.datasets import load_digits

    bundled = torch.from_numpy(load_digits().images).float() / 16
    ours = torch.cat([train.pixels(), test.pixels()])[:, 0]
    order = [torch.cat([a.flatten(1).double() @ _weights()]).sort().values for a in (bundled, ours)]
    assert torch.allclose(*order, atol=0.2)  # the same pictures, up to rounding to bytes


def _weights() -> torch.Tensor:
    return torch.rand(64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("name", ["moons", "spirals", "xor", "blobs"])
def test_points(name):
    train, test = data.load(name), data.load(name, "test")
    assert (len(train), len(test)) == (400, 200)
    assert train.real
    assert train.x.dtype == torch.float32
    assert train.inputs() is train.x
    counts = train.y.bincount()
    assert len(counts) == len(train.classes)
    assert counts.max() - counts.min() <= 1
    assert torch.equal(train.x, data.load(name).x)
    assert not torch.equal(train.x, data.load(name, seed=1).x)
    assert not set(map(tuple, train.x.tolist())) & set(map(tuple, test.x.tolist()))
    assert len(data.load(name, n=37)) == 37


def separable(x: torch.Tensor, y: torch.Tensor) -> bool:
    """Whether the perceptron rule finds a line between two classes."""
    inputs = torch.cat([x, torch.ones(len(x), 1)], 1) * (2 * y - 1)[:, None]
    w = torch.zeros(3)
    for _ in range(2000):
        wrong = (inputs @ w <= 0).nonzero()[:, 0]
        if len(wrong) == 0:
            return True
        w = w + inputs[wrong[0]]
    return False


def test_blobs_are_separable_pairwise_and_the_other_toys_are_not():
    for seed in range(5):
        blobs = data.load("blobs", n=600, seed=seed)
        for a, b in ((0, 1), (0, 2), (1, 2)):
            pair = (blobs.y == a) | (blobs.y == b)
            assert separable(blobs.x[pair], (blobs.y[pair] == b).long())
    for name in ("moons", "spirals", "xor"):
        toy = data.load(name)
        assert not separable(toy.x, toy.y)
    xor = data.load("xor", n=1000)
    assert torch.equal((xor.x[:, 0] * xor.x[:, 1] < 0).long(), xor.y)  # the axes separate


def test_shapes_are_balanced_various_and_told_apart_by_form_only():
    train = data.load("shapes", n=1000)
    assert tuple(train.x.shape) == (1000, 3, 32, 32)
    assert train.y.bincount().tolist() == [100] * 10
    assert len(train.classes) == 10 == len(generate.OUTLINES)
    centre = train.pixels().mean((2, 3))  # mean colours: no class has its own
    by_class = torch.stack([centre[train.y == k].mean(0) for k in range(10)])
    assert by_class.std(0).max() < 0.06
    assert len({image.numpy().tobytes() for image in train.x}) == 1000


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_images_are_normalised(name):
    inputs = data.load(name).inputs()
    assert inputs.mean((0, 2, 3)).abs().max() < 0.03
    assert (inputs.transpose(0, 1).flatten(1).std(1) - 1).abs().max() < 0.03


def test_python_docs():
    whole = data.load("python-docs", "all")
    assert whole.real
    assert "assert" in whole.text
    train, test = data.load("python-docs"), data.load("python-docs", "test")
    assert train.text + test.text == whole.text
    assert len(whole) > 100_000


# Stand-ins


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_stand_in_is_always_there_and_says_so_once(name, capsys):
    for split in registry.SETS[name].splits:
        assert not data.load(name, split).real
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{name}: a stand-in is used (")
    assert line.endswith("DLBOOK_OFFLINE forbids the network")


@pytest.mark.parametrize(
    ("name", "shape"), [("fashion-mnist", (1, 28, 28)), ("cifar10", (3, 32, 32))]
)
def test_image_stand_ins_have_the_form_of_the_real_set(name, shape):
    for split in ("train", "test"):
        images = data.load(name, split)
        assert tuple(images.x.shape[1:]) == shape
        assert (images.x.dtype, images.y.dtype) == (torch.uint8, torch.int64)
        assert (int(images.x.min()), int(images.x.max())) == (0, 255)
        assert len(images.classes) == len(registry.SETS[name].classes) == 10
        assert images.y.unique().tolist() == list(range(10))
        assert images.inputs().mean().abs() < 0.05
        assert (images.inputs().std() - 1).abs() < 0.05


def test_name_stand_ins_look_like_names():
    names = data.load("names", "all").items
    assert len(names) == len(set(names)) > 3000
    assert all(re.fullmatch("[a-z]{2,15}", name) for name in names)


def test_series_stand_ins_have_seasons_of_a_day_and_of_a_week():
    first, second = (data.load(name, "all") for name in ("etth1", "etth2"))
    assert first.values.shape == second.values.shape == (3600, 7)
    assert not torch.equal(first.values, second.values)
    for series in (first, second):
        strength = torch.fft.rfft(series.values, dim=0).abs().mean(1)  # of turns in 3600 hours
        assert strength[3600 // 24] > 5 * strength[[140, 160]].max()
        assert strength[3600 // 168] > 2 * strength[[15, 28]].max()


def test_the_table_stand_in_has_the_form_of_the_real_table():
    train, test = data.load("adult"), data.load("adult", "test")
    for table in (train, test):
        assert (table.x.dtype, table.columns) == (torch.float32, tuple(registry.ADULT_COLUMNS))
        assert table.inputs().shape == (len(table), 6 + 102)
        assert 0.2 < table.y.float().mean() < 0.6
        assert table.inputs()[:, :6].mean(0).abs().max() < 0.1
        assert (table.inputs()[:, :6].std(0) - 1).abs().max() < 0.1
    assert not torch.equal(train.x[: len(test)], test.x)


def test_music_stand_ins_have_three_parts_on_c_in_four_voices():
    parts = [data.load("jsb-chorales", split) for split in ("train", "valid", "test")]
    assert [len(part) for part in parts] == [90, 30, 30]
    assert len({piece for part in parts for piece in part.pieces}) == 150
    chords = [chord for part in parts for piece in part.pieces for chord in piece]
    assert all(len(chord) == 4 and 48 <= chord[0] < chord[3] <= 96 for chord in chords)
    assert {pitch % 12 for chord in chords for pitch in chord} <= {0, 2, 4, 5, 7, 9, 11}


def test_recorded_stand_ins_have_ten_digits_and_six_voices():
    train, test = (data.load("fsdd", part) for part in ("train", "test"))
    assert (len(train), len(test), train.rate) == (540, 60, 8000)
    for part in (train, test):
        assert part.y.bincount().tolist() == [len(part) // 10] * 10
        assert part.speaker.bincount().tolist() == [len(part) // 6] * 6
        assert 0.2 < part.inputs().abs().max() < 1


def test_pair_stand_ins_are_pairs():
    pairs = data.load("eng-fra", "all").items
    assert len(pairs) > 3000
    assert all(len(pair) == 2 and all(pair) and "\t" not in "".join(pair) for pair in pairs)
    assert ("Germany", "Allemagne") in pairs
    assert any(french.startswith("lundi") for _, french in pairs)


def test_scored_stand_ins_are_pairs_of_words_with_a_score():
    pairs = data.load("wordsim", "all").items
    assert len(pairs) == len(set(pairs)) > 100
    scores = {(one, other): score for one, other, score in pairs}
    assert scores["May", "May"] == 10 > scores["May", "June"] > scores["Monday", "May"] >= 0
    assert scores["January", "December"] == scores["May", "June"]


def test_text_stand_in_is_plain():
    assert data.load("tiny-shakespeare", "all").text.isascii()


# Formats


def idx_bytes(array: np.ndarray) -> bytes:
    axes = b"".join(int(length).to_bytes(4, "big") for length in array.shape)
    return b"\x00\x00\x08" + bytes([array.ndim]) + axes + array.tobytes()


def test_idx_files():
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    assert np.array_equal(formats.idx(idx_bytes(array)), array)
    with pytest.raises(data.DataError, match="not an IDX file"):
        formats.idx(b"<html>")
    with pytest.raises(data.DataError, match=r"shape \[3, 4, 5\] holds 59 bytes"):
        formats.idx(idx_bytes(array)[:-1])


def test_the_unpickler_reads_arrays_and_refuses_everything_else(tmp_path):
    import io

    batch = {"data": np.arange(6, dtype=np.uint8).reshape(2, 3), "labels": [0, 1]}
    content = pickle.dumps(batch, protocol=3).replace(b"numpy._core", b"numpy.core")
    loaded = formats._ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    assert np.array_equal(loaded["data"], batch["data"])

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "evil"),)

    with pytest.raises(pickle.UnpicklingError, match="mkdir, which is refused"):
        formats._ArraysOnly(io.BytesIO(pickle.dumps(Evil()))).load()
    assert not (tmp_path / "evil").exists()


def test_scored_pairs():
    source = replace(registry.find("wordsim"), sizes={"all": 2})
    content = b"Word 1,Word 2,Human (mean)\r\nlove,sex,6.77\r\ntiger,tiger,10.00\r\n"
    pairs = formats.scored_pairs(source, lambda file: content, "all")
    assert pairs.items == (("love", "sex", 6.77), ("tiger", "tiger", 10.0))
    wrong = content.replace(b"6.77", b"67.7")
    with pytest.raises(registry.DataError, match="'love,sex,67.7' has a score outside 0 to 10"):
        formats.scored_pairs(source, lambda file: wrong, "all")
    short = content.replace(b"tiger,tiger,10.00\r\n", b"")
    with pytest.raises(registry.DataError, match="1 items, expected 2"):
        formats.scored_pairs(source, lambda file: short, "all")


def hourly_table(*times: str, last: str = "2.5") -> bytes:
    rows = [f"{time},1.0,{last}" for time in times]
    return "\n".join(["date,load,heat", *rows, ""]).encode()


def test_hourly_tables():
    source = replace(registry.find("etth1"), sizes={"all": 2})
    content = hourly_table("2016-07-01 23:00:00", "2016-07-02 00:00:00")
    series = formats.hourly(source, lambda file: content, "all")
    assert series.values.tolist() == [[1.0, 2.5], [1.0, 2.5]]
    assert (series.channels, series.real) == (("load", "heat"), True)
    gap = hourly_table("2016-07-01 00:00:00", "2016-07-01 02:00:00")
    with pytest.raises(registry.DataError, match="02:00:00 follows .* an hour between"):
        formats.hourly(source, lambda file: gap, "all")
    short = hourly_table("2016-07-01 00:00:00")
    with pytest.raises(registry.DataError, match="1 items, expected 2"):
        formats.hourly(source, lambda file: short, "all")


def adult_files(*extra: str) -> dict[str, bytes]:
    """A train and a test file of two rows each, as UCI has them; `extra` are test rows."""
    row = "39, State-gov, 77516, {}, 13, Never-married, Sales, Wife, White, Male, 0, 0, 40, US, {}"
    train = [row.format("Masters", ">50K"), row.format("?", "<=50K"), "", ""]
    test = ["|1x3 Cross validator", row.format("Masters", "<=50K."), row.format("?", ">50K.")]
    return {
        "train": "\n".join(train).encode(),
        "test": "\n".join([*test, *(row.format(*e.split()) for e in extra), ""]).encode(),
    }


def read_adult(split: str, files: dict[str, bytes], test: int = 2) -> data.Table:
    source = replace(registry.find("adult"), sizes={"train": 2, "test": test})
    known = dict(zip(source.files, files.values(), strict=True))
    return formats.adult(source, known.__getitem__, split)


def test_the_odd_first_line_and_the_full_stops_of_adult_are_read():
    train, test = (read_adult(split, adult_files()) for split in ("train", "test"))
    assert train.y.tolist() == [1, 0]
    assert test.y.tolist() == [0, 1]
    assert train.values[3] == test.values[3] == ("?", "Masters")
    assert test.x[:, 3].tolist() == [1, 0]
    assert test.x[0, [0, 2, 12]].tolist() == [39, 77516, 40]


def test_rows_of_adult_that_are_none_are_refused():
    with pytest.raises(registry.DataError, match="adult/test: 3 items, expected 2"):
        read_adult("test", adult_files("Masters >50K."))
    with pytest.raises(registry.DataError, match="education is 'PhD', which no training row has"):
        read_adult("test", adult_files("PhD >50K."), 3)
    with pytest.raises(registry.DataError, match="row 3 has 15 cells and ends in '50K'"):
        read_adult("test", adult_files("Masters 50K."), 3)


def some_table(**changes) -> data.Table:
    settings = {
        "x": torch.tensor([[3.0, 1.0], [5.0, 0.0]]),
        "y": torch.tensor([0, 1]),
        "classes": ("a", "b"),
        "name": "some",
        "columns": ("size", "colour"),
        "values": ((), ("red", "blue", "?")),
        "mean": (4.0,),
        "std": (2.0,),
    }
    return data.Table(**(settings | changes))


def test_a_table_standardises_numbers_and_spells_words_as_ones():
    assert some_table().inputs().tolist() == [[-0.5, 0, 1, 0], [0.5, 1, 0, 0]]
    assert some_table()[1:].inputs().tolist() == [[0.5, 1, 0, 0]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x": torch.zeros(2, 3)}, r"must be float32 \(n, 2\), got torch.float32 \(2, 3\)"),
        ({"x": torch.zeros(2, 2).long()}, r"got torch.int64 \(2, 2\)"),
        ({"x": torch.tensor([[1.0, 3.0], [0, 0]])}, "colour of row 0 is 3.0, expected 0 to 2"),
        ({"x": torch.tensor([[1.0, 0.5], [0, 0]])}, "colour of row 0 is 0.5, expected 0 to 2"),
        ({"x": torch.tensor([[1.0, 0], [torch.nan, 0]])}, "size of row 1 is nan, expected a num"),
        ({"mean": ()}, "1 numbers as many means and stds, got 2, 0, 1"),
    ],
)
def test_a_table_that_is_none_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        some_table(**changes)


def test_chorales():
    source = replace(registry.find("jsb-chorales"), sizes={"train": 1, "test": 2})
    content = b'{"train": [[[64, 60], []]], "test": [[[62]]]}'
    music = formats.chorales(source, lambda file: content, "train")
    assert (music.pieces, music.real) == ((((60, 64), ()),), True)
    with pytest.raises(registry.DataError, match="jsb-chorales/test: 1 items, expected 2"):
        formats.chorales(source, lambda file: content, "test")


def wav(*samples: int, width: int = 2, channels: int = 1, rate: int = 8000) -> bytes:
    import io
    import wave

    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setnchannels(channels)
        target.setsampwidth(width)
        target.setframerate(rate)
        target.writeframes(b"".join(k.to_bytes(width, "little", signed=True) for k in samples))
    return file.getvalue()


def test_wav_files_end_to_end():
    pieces = tuple(f"a/{name}.wav" for name in ("0_bob_4", "1_ann_5", "1_bob_0"))
    file = registry.File("a.wavs", "", 0, pieces=pieces)
    item = registry.Download("a.zip", "", None, (), (file,))
    source = replace(registry.find("fsdd"), downloads=(item,), sizes={"train": 1, "test": 2})
    content = wav(1, -2) + wav(3) + wav(4, 5, 6)
    test, train = (formats.spoken(source, lambda f: content, part) for part in ("test", "train"))
    assert [wave.tolist() for wave in test.waves] == [[1, -2], [4, 5, 6]]
    assert (test.y.tolist(), test.speaker.tolist()) == ([0, 1], [1, 1])
    assert ([wave.tolist() for wave in train.waves], train.speaker.tolist()) == ([[3]], [0])
    assert (train.speakers, train.rate, train.real) == (("ann", "bob"), 8000, True)
    for bad, message in (
        (wav(1) + wav(2, rate=4000) + wav(3), r"3 recordings of \[4000, 8000\] Hz, expected 3"),
        (wav(1) + wav(2), r"2 recordings of \[8000\] Hz, expected 3 of one rate"),
        (wav(1) + wav(2, width=1) + wav(3), "1 channels of 8 bits, expected one of 16"),
        (wav(1) + b"no sound", "no WAV file at byte 46"),
    ):
        with pytest.raises(registry.DataError, match=f"fsdd: .*{message}"):
            formats.spoken(source, lambda f, bad=bad: bad, "test")


def test_counts_and_balance_are_asserted():
    source = registry.SETS["cifar10"]
    x, y = np.zeros((10_000, 3, 32, 32), np.uint8), np.arange(10_000) % 10
    assert len(formats._images(source, x, y, "test")) == 10_000
    with pytest.raises(data.DataError, match="9999 images, 10000 labels, expected 10000"):
        formats._images(source, x[1:], y, "test")
    y[0] = 1
    with pytest.raises(data.DataError, match=r"\[999, 1001, 1000.*\] per class, expected 1000"):
        formats._images(source, x, y, "test")
    with pytest.raises(data.DataError, match="2 items, expected 32033"):
        formats._counted(registry.SETS["names"], ("a", "b"))


def test_a_gzipped_file_is_as_good(tmp_path):
    import hashlib

    content = b"hello"
    packed = gzip.compress(content)
    inner = registry.File("a.gz", hashlib.sha256(packed).hexdigest(), len(packed))
    file = registry.File("a", hashlib.sha256(content).hexdigest(), len(content), inner)
    (tmp_path / "a.gz").write_bytes(packed)
    assert fetch.read(tmp_path, file) == content
    (tmp_path / "a").write_bytes(b"hell!")
    with pytest.raises(fetch.DamagedFile, match="SHA-256"):
        fetch.read(tmp_path, file)


# Where things lie


def test_the_cache_folder_is_the_usual_one_unless_set(monkeypatch, tmp_path):
    monkeypatch.setenv("DLBOOK_CACHE", "~/somewhere")
    assert fetch.cache_folder() == Path.home() / "somewhere"
    monkeypatch.delenv("DLBOOK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert "dlbook" in fetch.cache_folder().parts


# Imports


def test_importing_is_lazy():
    code = (
        "import sys; from dlbook_utils import data; data.fingerprint(); "
        "print([m for m in ('torch', 'sklearn', 'torchvision', 'babel', 'requests', 'pooch') "
        "if m in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}  # DLBOOK_CACHE is set: pooch not needed
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert run.stdout.strip() == "[]"


# The real sets


@needs_real_data
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_given_folder_holds_the_real_sets(name, given, capsys):
    found = data.load(name, "test")
    assert found.real
    assert capsys.readouterr().out == ""


@needs_real_data
@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10"])
def test_real_images_equal_torchvision_and_the_published_statistics(name, given):
    from torchvision import datasets

    make = {"fashion-mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10}[name]
    theirs = make(GIVEN, train=False, download=False)
    ours = data.load(name, "test")
    pixels = torch.as_tensor(theirs.data)
    expected = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    assert torch.equal(ours.x, expected)
    assert torch.equal(ours.y, torch.as_tensor(theirs.targets))
    assert ours.classes == tuple(theirs.classes)
    train = data.load(name, "train")
    values = train.x.transpose(0, 1).flatten(1)
    mean = torch.stack([channel.double().mean() / 255 for channel in values])
    std = torch.stack([channel.double().std() / 255 for channel in values])
    assert torch.allclose(mean, torch.tensor(train.mean).double(), atol=1e-4)
    assert torch.allclose(std, torch.tensor(train.std).double(), atol=1e-4)


@needs_real_data
def test_real_lines(given):
    names = data.load("names", "all").items
    assert len(names) == 32_033
    assert set("".join(names)) == set("abcdefghijklmnopqrstuvwxyz")
    train, test = data.load("eng-fra"), data.load("eng-fra", "test")
    assert len(train) + len(test) == 167_130
    assert not {english for english, _ in train.items} & {english for english, _ in test.items}
    assert abs(len(test) / 167_130 - 0.1) < 0.001
    assert len(data.load("tiny-shakespeare", "all")) == 1_115_394


@needs_real_data
def test_real_scored_pairs(given):
    pairs = data.load("wordsim", "all").items
    assert len(pairs) == 353
    assert pairs[0] == ("love", "sex", 6.77)
    assert ("tiger", "tiger", 10.0) in pairs
    assert len({word.lower() for pair in pairs for word in pair[:2]}) == 437


@needs_real_data
def test_real_series_have_the_authors_first_hour_and_their_length(given):
    first, second = data.load("etth1", "all"), data.load("etth2", "all")
    assert len(first) == len(second) == 17_420
    assert first.channels == ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
    assert torch.allclose(first.values[0, [0, 6]], torch.tensor([5.827, 30.531]), atol=1e-3)
    assert not torch.equal(first.values, second.values)


@needs_real_data
def test_the_real_table_has_the_counts_of_its_description(given):
    train, test = data.load("adult"), data.load("adult", "test")
    assert (len(train), len(test)) == (32_561, 16_281)
    share = torch.cat([train.y, test.y]).double().mean()
    assert abs(share - 0.2393) < 5e-5  # "Probability for the label '>50K'" in adult.names
    unknown = [words.index("?") if "?" in words else -1 for words in train.values]
    known = [int((t.x != torch.tensor(unknown)).all(1).sum()) for t in (train, test)]
    assert known == [30_162, 15_060]  # "if instances with unknown values are removed"
    assert [len(words) for words in train.values] == list(registry.ADULT_COLUMNS.values())
    assert train.x[0, [0, 4, 12]].tolist() == [39, 13, 40]


@needs_real_data
def test_real_chorales_are_split_as_published_and_end_on_c(given):
    parts = {split: data.load("jsb-chorales", split) for split in ("train", "valid", "test")}
    assert {split: len(part) for split, part in parts.items()} == {
        "train": 229,
        "valid": 76,
        "test": 77,
    }
    pieces = [piece for part in parts.values() for piece in part.pieces]
    pitches = {pitch for piece in pieces for chord in piece for pitch in chord}
    assert (min(pitches), max(pitches), sum(map(len, pieces))) == (43, 96, 23_134)
    assert sum(bool(piece[-1]) and piece[-1][0] % 12 == 0 for piece in pieces) > 340
    with pytest.raises(ValueError, match="no split 'all', expected one of train, valid, test"):
        data.load("jsb-chorales", "all")


@needs_real_data
def test_real_recordings_are_those_of_the_files(given):
    import wave

    train, test = (data.load("fsdd", part) for part in ("train", "test"))
    assert (len(train), len(test)) == (2700, 300)
    assert (train.y * 6 + train.speaker).bincount().tolist() == [45] * 60
    assert (test.y * 6 + test.speaker).bincount().tolist() == [5] * 60
    lengths = torch.cat([train.lengths, test.lengths])
    assert (lengths.min(), lengths.max()) == (1148, 18_262)
    with wave.open(f"{GIVEN}/fsdd/recordings/0_george_0.wav") as file:
        samples = np.frombuffer(file.readframes(10**6), "<i2")
    assert test.waves[0].tolist() == samples.tolist()


@needs_real_data
def test_the_fingerprint_tells_real_from_stand_in(given, monkeypatch):
    real = data.fingerprint()
    assert re.fullmatch("[0-9a-f]{12}", real)
    monkeypatch.delenv("DLBOOK_DATA")
    assert data.fingerprint() != real


def test_types_that_are_promised_for_names_are_those_that_load_returns(monkeypatch, tmp_path):
    monkeypatch.setenv("DLBOOK_OFFLINE", "1")
    monkeypatch.setenv("DLBOOK_CACHE", str(tmp_path))
    monkeypatch.delenv("DLBOOK_DATA", raising=False)
    promised = {
        data.Images: registry.ImageSet,
        data.Points: registry.PointSet,
        data.Text: registry.TextSet,
        data.Lines: registry.LineSet,
        data.Series: registry.SeriesSet,
        data.Recordings: registry.SpeechSet,
        data.Music: registry.MusicSet,
        data.Table: registry.TableSet,
        data.Masked: registry.MaskedSet,
        data.Graph: registry.GraphSet,
    }
    names = [name for literal in promised.values() for name in get_args(literal)]
    assert sorted(names) == sorted(data.available())
    for kind, literal in promised.items():
        assert {type(data.load(name)) for name in get_args(literal)} == {kind}


# Pictures with masks


def some_sections(n: int = 6, **changes) -> data.Masked:
    x = torch.arange(n).byte().view(n, 1, 1, 1).expand(n, 1, 2, 3)
    masks = torch.stack([x[:, 0] > 2, x[:, 0] > 4], 1)
    settings = {"x": x, "masks": masks, "classes": ("border", "blob"), "name": "some"}
    return data.Masked(**(settings | changes))


def test_pictures_with_masks_are_cut_in_order():
    stack = some_sections()
    assert (len(stack), repr(stack)) == (6, "Masked(some: 6 x 2x3, 2 masks)")
    early, late = data.split(stack, 0.5, 0.5)
    assert [part.x[:, 0, 0, 0].tolist() for part in (early, late)] == [[0, 1, 2], [3, 4, 5]]
    assert late.masks[:, :, 0, 0].tolist() == [[True, False]] * 2 + [[True, True]]
    assert stack[[5, 0]].x[:, 0, 0, 0].tolist() == [5, 0]
    assert torch.equal(stack.pixels(), stack.x / 255)


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        (r"uint8 \(n, 1, h, w\), got torch.float32", {"x": torch.zeros(6, 1, 2, 3)}),
        (r"got torch.uint8 \(6, 2, 2, 3\)", {"x": torch.zeros(6, 2, 2, 3).byte()}),
        (r"masks must be bool \(6, 1, 2, 3\), got torch.bool \(6, 2", {"classes": ("border",)}),
        (r"got torch.uint8 \(6, 2, 2, 3\)", {"masks": torch.zeros(6, 2, 2, 3).byte()}),
    ],
)
def test_wrong_pictures_with_masks_are_refused(message, changes):
    with pytest.raises(ValueError, match=message):
        some_sections(**changes)


def png_of(array: np.ndarray) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def test_sections_are_read_in_order_of_their_names():
    places = [f"set/{folder}/{k}.png" for folder in ("raw", "a", "b") for k in (1, 0)]
    files = tuple(registry.File(place, "0" * 64, 1) for place in places)
    item = registry.Download("set.zip", "sha256:" + "0" * 64, 1, (), files)
    source = replace(
        registry.find("em-vnc"), sizes={"all": 2}, classes=("a", "b"), downloads=(item,)
    )
    grey = {"raw/0": 10, "raw/1": 20, "a/0": 255, "a/1": 0, "b/0": 0, "b/1": 1}

    def get(file, size=(2, 3)):
        return png_of(np.full(size, grey[file.path[4:-4]], np.uint8))

    stack = formats.sections(source, get, "all")
    assert stack.x[:, 0, 0, 0].tolist() == [10, 20]
    assert stack.masks[:, :, 1, 1].tolist() == [[True, False], [False, True]]
    with pytest.raises(data.DataError, match=r"sections of \[\(2, 3\), \(4, 3\)\], expected one"):
        formats.sections(source, lambda f: get(f, (4, 3) if "b/1" in f.path else (2, 3)), "all")
    with pytest.raises(data.DataError, match="2 items, expected 3"):
        formats.sections(replace(source, sizes={"all": 3}), get, "all")


def test_section_stand_ins_have_borders_and_blobs_and_like_neighbours():
    stack = data.load("em-vnc", "all")
    assert tuple(stack.masks.shape) == (20, 2, 1024, 1024)
    border, blob = stack.masks.float().mean((0, 2, 3)).tolist()
    assert 0.15 < border < 0.3
    assert 0.02 < blob < 0.1
    assert not (stack.masks[:, 0] & stack.masks[:, 1]).any()
    first, second, last = (stack.masks[k, 0] for k in (0, 1, 19))
    shared = [int((first & other).sum()) for other in (second, last)]
    assert shared[0] > 1.2 * shared[1]


@needs_real_data
def test_real_sections_have_the_shares_that_their_readme_counts(given):
    stack = data.load("em-vnc", "all")
    assert tuple(stack.x.shape) == (20, 1, 1024, 1024)
    shares = stack.masks.double().mean((0, 2, 3))
    assert torch.allclose(shares, torch.tensor([0.2038, 0.0539]).double(), atol=1e-4)
