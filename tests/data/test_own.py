"""A reader's own files: what is made of the untidy, and which errors name the rest."""

import pytest
import torch
from PIL import Image

from dlbook_utils import data
from dlbook_utils.data.own import MISSING
from dlbook_utils.data.signs import SIGNS, draw_signs, write_signs


def write(path, text):
    path.write_text(text, "utf-8")
    return path


def save(path, size=(4, 4), color=(200, 100, 0), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path, **options)
    return path


def test_a_folder_of_signs_comes_back_as_it_was_drawn(tmp_path):
    x, y, person = draw_signs(3, 8, torch.Generator().manual_seed(0))
    write_signs(tmp_path, 3, 8, torch.Generator().manual_seed(0))
    pictures = data.from_folder(tmp_path, (16, 16), channels=1)
    assert pictures.classes == SIGNS
    order = sorted(range(24), key=lambda k: (y[k].item(), person[k].item(), k))
    assert torch.equal(pictures.x, x[order])
    assert torch.equal(pictures.y, y[order])
    names = [file.stem.split("-")[0] for file in data.picture_files(tmp_path)]
    assert names == [f"person{person[k]:02}" for k in order]
    pixels = pictures.x.double() / 255
    assert pictures.mean == pytest.approx([pixels.mean().item()])
    assert pictures.std == pytest.approx([pixels.std(correction=0).item()])


def test_signs_depend_on_the_hand_more_than_on_the_draw():
    x, y, person = draw_signs(12, 8, torch.Generator().manual_seed(1))
    ink = 1 - x.double().flatten(1) / 255
    hands = torch.stack([ink[person == k].mean(0) for k in range(12)])
    first = torch.stack([ink[person == k][:4].mean(0) for k in range(12)])
    second = torch.stack([ink[person == k][4:].mean(0) for k in range(12)])
    nearest = torch.cdist(second, first).argmin(1)
    assert (nearest == torch.arange(12)).float().mean() > 0.8
    assert hands.shape == (12, 256)
    assert torch.equal(y[:5], torch.tensor([0, 1, 2, 3, 0]))
    with pytest.raises(ValueError, match="got 0 and 8"):
        draw_signs(0, 8, torch.Generator())


def test_pictures_are_scaled_cropped_turned_and_laid_on_white(tmp_path):
    save(tmp_path / "wide" / "a.png", (40, 10))
    save(tmp_path / "wide" / "clear.png", (9, 9), (0, 0, 0, 0), "RGBA")
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees, as phones do
    half = Image.new("L", (8, 8), 0)
    half.paste(255, (0, 0, 8, 4))  # white on top; upright it is on the right
    half.save(tmp_path / "wide" / "turned.png", exif=exif)
    save(tmp_path / ".hidden" / "x.png")
    save(tmp_path / "wide" / ".DS_Store.png")
    pictures = data.from_folder(tmp_path, (8, 8))
    assert pictures.x.shape == (3, 3, 8, 8)
    assert pictures.x[0, :, 4, 4].tolist() == [200, 100, 0]
    assert (pictures.x[1] == 255).all()
    assert pictures.x[2, 0, :, 7].tolist() == [255] * 8
    assert pictures.x[2, 0, :, 0].tolist() == [0] * 8


def test_bad_folders_and_files_are_named(tmp_path):
    with pytest.raises(data.DataError, match="nowhere is no folder"):
        data.from_folder(tmp_path / "nowhere", (4, 4))
    with pytest.raises(data.DataError, match="holds nothing"):
        data.from_folder(tmp_path, (4, 4))
    (tmp_path / "cat").mkdir()
    with pytest.raises(data.DataError, match="cat is empty"):
        data.from_folder(tmp_path, (4, 4))
    write(tmp_path / "cat" / "notes.txt", "hm")
    with pytest.raises(data.DataError, match=r"notes\.txt is no picture"):
        data.from_folder(tmp_path, (4, 4))
    (tmp_path / "cat" / "notes.txt").unlink()
    write(tmp_path / "cat" / "half.png", "no picture")
    with pytest.raises(data.DataError, match=r"half\.png can't be read"):
        data.from_folder(tmp_path, (4, 4))
    save(tmp_path / "cat" / "half.png", (4, 4), 30_000, "I;16")
    with pytest.raises(data.DataError, match=r"half\.png has more than 8 bits"):
        data.from_folder(tmp_path, (4, 4))
    save(tmp_path / "cat" / "half.png")
    save(tmp_path / "loose.png")
    with pytest.raises(data.DataError, match=r"a file loose\.png"):
        data.from_folder(tmp_path, (4, 4))
    for size, channels, said in [((0, 4), 3, "got 0"), ((4.5, 4), 3, "4.5"), ((4, 4), 2, "got 2")]:
        with pytest.raises(ValueError, match=said):
            data.from_folder(tmp_path, size, channels=channels)


def test_a_second_folder_takes_classes_and_scale_of_the_first(tmp_path):
    for name in ("cat", "dog"):
        save(tmp_path / "train" / name / "a.png")
    save(tmp_path / "test" / "dog" / "a.png", color=(0, 0, 0))
    train = data.from_folder(tmp_path / "train", (4, 4))
    test = data.from_folder(tmp_path / "test", (4, 4), like=train)
    assert (test.classes, test.y.tolist(), test.mean) == (("cat", "dog"), [1], train.mean)
    assert train.std == (1.0, 1.0, 1.0), "of one colour: nothing to divide by"
    save(tmp_path / "test" / "cow" / "a.png")
    with pytest.raises(data.DataError, match="cow is no class, expected one of cat, dog"):
        data.from_folder(tmp_path / "test", (4, 4), like=train)


TABLE = "age,job,id,ill\n40,cook,a,no\n,smith,b,yes\n60,,c,no\n50,cook,d,yes\n"


def test_numbers_words_and_gaps_of_a_table(tmp_path):
    table = data.from_table(write(tmp_path / "t.csv", TABLE), "ill", skip=["id"])
    assert table.columns == ("age", "age missing", "job")
    assert table.values == ((), ("no", "yes"), ("cook", "missing", "smith"))
    assert table.x.tolist() == [[40, 0, 0], [50, 1, 2], [60, 0, 1], [50, 0, 0]]
    assert (table.classes, table.y.tolist()) == (("no", "yes"), [0, 1, 0, 1])
    assert table.mean == (50.0,)
    again = write(tmp_path / "u.csv", "job,age,id,ill\nsmith,?,e,no\n")
    new = data.from_table(again, "ill", skip=["id"], like=table)
    assert new.x.tolist() == [[50, 1, 2]]
    assert new.inputs().shape == (1, 1 + 2 + 3)
    assert (new.mean, new.std) == (table.mean, table.std)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("age,ill\n4,no\n5O,yes\n6,no\n", r"row 2, column age: '5O' is no number, though 2 of 3"),
        ("age,ill\n4,no\n5\n", r"row 2: 1 cells, expected 2"),
        ("age,ill\n4,\n5,no\n", r"row 1, column ill: no value"),
        ("age,age\n4,no\n", "names of columns must differ"),
        ("age,ill\n", "has 1 lines"),
        ("age,sick\n4,no\n", r"no column 'ill', but age, sick"),
        ("age,ill\n,no\n?,no\n", "column age: no value in any row"),
        ("id,ill\n" + "".join(f"n{k},no\n" for k in range(101)), "column id: 101 different values"),
        ("age,ill\n" + "".join(f"1,{k}\n" for k in range(101)), "column ill: 101 different"),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column(tmp_path, text, said):
    with pytest.raises(data.DataError, match=said):
        data.from_table(write(tmp_path / "t.csv", text), "ill")


def test_a_table_read_like_another_one_knows_no_new_words_or_gaps(tmp_path):
    like = data.from_table(write(tmp_path / "t.csv", "a,job,y\n1,x,0\n2,z,1\n3,x,10\n"), "y")
    assert like.classes == ("0", "1", "10")
    for text, said in [
        ("a,job,y\n1,q,0\n", "row 1, column job: 'q' is none of x, z"),
        ("a,job,y\n,x,0\n", "row 1, column a: no value, and none was missing"),
        ("a,job,y\n1,x,7\n", "row 1, column y: '7' is none of"),
        ("a,y\n1,0\n", "columns differ from those read before in job"),
        ("a,b,job,y\n1,1,x,0\n", "columns differ from those read before in b"),
    ]:
        with pytest.raises(data.DataError, match=said):
            data.from_table(write(tmp_path / "u.csv", text), "y", like=like)


def test_files_that_are_not_there_or_not_utf8(tmp_path):
    with pytest.raises(data.DataError, match="No such file"):
        data.from_table(tmp_path / "none.csv", "y")
    (tmp_path / "latin.csv").write_bytes("größe,y\n1,0\n".encode("latin-1"))
    with pytest.raises(data.DataError, match="not UTF-8 at byte 2"):
        data.from_table(tmp_path / "latin.csv", "y")
    (tmp_path / "mark.csv").write_bytes(b"\xef\xbb\xbfa;y\r\n1;0\r\n2;1\r\n")  # as Excel writes
    assert data.from_table(tmp_path / "mark.csv", "y", separator=";").columns == ("a",)
    assert {"", "nan", "?"} <= set(MISSING)


def test_a_series_rises_in_equal_steps(tmp_path):
    rows = "".join(f"2026-11-{d:02} 00:00,{d},{d / 2}\n" for d in range(1, 6))
    series = data.from_series(write(tmp_path / "s.csv", "day,a,b\n" + rows), time="day")
    assert series.channels == ("a", "b")
    assert series.values[2].tolist() == [3, 1.5]
    for text, said in [
        ("t,a\n1,1\n2,1\n4,1\n", "row 3, column t: 4 after 2, expected equal steps"),
        ("t,a\n1,1\n1,1\n", "row 2, column t: 1 after 1"),
        ("t,a\n1,1\nsoon,1\n", "row 2, column t: 'soon' is neither"),
        ("t,a\n1,\n2,1\n", "row 1, column a: '' is no number"),
        ("t,a\n1,inf\n2,1\n", "row 1, column a: 'inf' is no number"),
        ("a,b\n1,1\n2,1\n", "no column 't'"),
    ]:
        with pytest.raises(data.DataError, match=said):
            data.from_series(write(tmp_path / "s.csv", text), time="t")


def test_pairs_of_lines(tmp_path):
    pairs = data.from_pairs(write(tmp_path / "p.tsv", "yes\tja\n\nno\tnein\n"))
    assert pairs.items == (("yes", "ja"), ("no", "nein"))
    for text, said in [
        ("yes\tja\nno\n", "line 2: 1 texts, expected two"),
        ("yes\t \n", "line 1: an empty text"),
        ("a\tb\tc\n", "line 1: 3 texts"),
        ("\n", "is empty"),
    ]:
        with pytest.raises(data.DataError, match=said):
            data.from_pairs(write(tmp_path / "p.tsv", text))


def some_points(n):
    x = torch.arange(2.0 * n).view(n, 2)
    return data.Points(x, torch.zeros(n, dtype=torch.int64), ("a",), "p")


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_in_two_parts_and_nothing_is_lost(seed):
    points = some_points(100)
    groups = [k % 23 for k in range(100)]
    parts = data.split_groups(points, groups, 0.6, 0.2, 0.2, seed=seed)
    rows = [{int(row[0]) // 2 for row in part.x} for part in parts]
    inside = [{groups[k] for k in part} for part in rows]
    assert sum(map(len, inside)) == len(set.union(*inside)) == 23
    assert sorted(k for part in rows for k in part) == list(range(100))
    for part, share in zip(parts, (60, 20, 20), strict=True):
        assert abs(len(part) - share) <= 5, "as near as whole groups allow"
    again = data.split_groups(points, torch.tensor(groups), 0.6, 0.2, 0.2, seed=seed)
    assert all(torch.equal(a.x, b.x) for a, b in zip(parts, again, strict=True))


def test_groups_that_can_not_be_dealt_out():
    with pytest.raises(ValueError, match="9 examples but 8 groups"):
        data.split_groups(some_points(9), [0] * 8, 0.5, 0.5)
    with pytest.raises(ValueError, match="1 groups: a part of"):
        data.split_groups(some_points(9), [0] * 9, 0.5, 0.5)
    with pytest.raises(ValueError, match="at most 1"):
        data.split_groups(some_points(9), range(9), 0.9, 0.5)


def test_duplicates_and_the_scale_of_the_first_part():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [0.0, 0.0]])
    points = data.Points(x, torch.zeros(4, dtype=torch.int64), ("a",), "p")
    assert data.duplicates(points) == [[0, 2]]
    assert data.duplicates(data.Lines(("a", "b", "b"), "l")) == [[1, 2]]
    x = torch.arange(40, dtype=torch.uint8).view(10, 1, 2, 2)
    y = torch.zeros(10, dtype=torch.int64)
    images = data.Images(x, y, ("a",), "i", True, (0.5,), (0.5,))
    first, second = data.scale_by_first(images[:5], images[5:])
    assert first.mean == second.mean == pytest.approx([9.5 / 255])
    assert first.inputs().mean().abs() < 1e-6
    with pytest.raises(TypeError, match="expected images or tables"):
        data.scale_by_first(points)
