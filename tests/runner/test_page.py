"""What a page shows of a study."""

from dataclasses import replace

import pytest

from dlbook_utils.runner import grids, page, report

TEXT = """# A study

| not | this |
|---|---|
| 0 | 1 |

## Results: all

Words.

| model | score |
|---|---|
| `a` < b | 0.5<br>0.6 |
| c | |

## Empty

No table.
"""


def test_a_table_is_found_by_its_heading():
    headings, rows = page.table_in(TEXT, "Results")
    assert headings == ["model", "score"]
    assert rows == [["`a` < b", "0.5<br>0.6"], ["c", ""]]


@pytest.mark.parametrize("heading", ["Nothing", "Empty"])
def test_without_a_table_the_headings_are_named(heading):
    with pytest.raises(ValueError, match="A study, Results: all, Empty"):
        page.table_in(TEXT, heading)


def test_a_shown_table_is_escaped_and_has_scopes(monkeypatch):
    shown = []
    monkeypatch.setattr(page, "display_bundle", shown.append)
    page.show_table(*page.table_in(TEXT, "Results"), label='the "table"')
    (bundle,) = shown
    assert "<code>a</code> &lt; b</th><td>0.5<br>0.6</td>" in bundle["text/html"]
    assert 'aria-label="the &quot;table&quot;"' in bundle["text/html"]
    assert bundle["text/plain"].splitlines()[0] == "model | score"


def test_columns_of_numbers_stand_on_the_right(monkeypatch):
    shown = []
    monkeypatch.setattr(page, "display_bundle", shown.append)
    page.show_table(["name", "n", "said"], [["a", 1.5, "3"], ["b", "12 %", "x"]], label="t")
    assert shown[0]["text/html"].count('class="text-right"') == 3  # a heading and two cells


def test_columns_with_long_texts_are_wide(monkeypatch):
    shown = []
    monkeypatch.setattr(page, "display_bundle", shown.append)
    page.show_table(["name", "short", "long"], [["a", "b", "c " * page.LONG]], label="t")
    before, after = shown[0]["text/html"].split(">short<")
    assert "min-width" not in before
    assert after.count("min-width") == 2  # a heading and a cell


def test_a_table_of_lone_rows_keeps_its_headings(monkeypatch):
    shown = []
    monkeypatch.setattr(page, "display_bundle", shown.append)
    page.show_table(["model", "one", "two"], [["nothing yet"]], label="t")
    assert shown[0]["text/html"].count("<th ") == 3


def test_rows_without_a_measurement_are_gathered(monkeypatch):
    rows = [["a", page.report.MISSING, ""], ["b", "1", "2"], ["c", page.report.MISSING, ""]]
    assert page.gathered(rows) == [["b", "1", "2"], ["not measured yet: a, c"]]
    assert page.gathered(rows[1:2]) == rows[1:2]
    shown = []
    monkeypatch.setattr(page, "display_bundle", shown.append)
    page.show_table(["model", "one", "two"], page.gathered(rows), label="t")
    assert '<td colspan="3"><div' in shown[0]["text/html"]
    assert ">not measured yet: a, c</div></td>" in shown[0]["text/html"]


def test_rows_must_fit_the_headings():
    with pytest.raises(ValueError, match="3 headings, but 2 cells"):
        page.show_table(["a", "b", "c"], [["c", "d"]], label="t")


def test_the_protocols_tables_can_be_read():
    assumptions, rules = (page.table_in(page.protocol(), h) for h in ("Assumptions", "Rules"))
    assert assumptions[0] == ["left open", "taken here", "why; what else is run"]
    assert all(len(row) == 3 for row in assumptions[1])
    assert all(len(row) == 2 for row in rules[1])


def test_an_empty_record_has_tables_that_say_so(tmp_path):
    text = page.results("trial", tmp_path)
    for heading in ("As published", "Other arms", "Costs", "Verdicts"):
        headings, rows = page.table_in(text, heading)
        assert rows
        assert all(len(row) == len(headings) for row in rows)
    assert page.runs("trial", tmp_path) == []


def test_what_an_arm_lacks_is_named(tmp_path):
    setting = grids.published("cnn-32", arm="scaling", examples=5000)
    cells = report._lacking(
        [setting, replace(setting, examples=1000), replace(setting, model="cnn-64")],
        {("cnn-32", 5000)},
    )
    assert cells == "cnn-32 (1,000); cnn-64 (5,000)"
    text = page.results("cifar10", tmp_path)
    _, rows = page.table_in(text, "Other arms")
    named = {row[0].split(":")[0] for row in rows}
    assert named == {*grids.ARMS} - {"published"}


def test_times_stand_beside_those_of_the_source():
    timed = {
        "status": "done",
        "device": "a GPU",
        "setting": grids.published("cnn-32", arm="timing").__dict__,
        "epochs": [{"seconds": 9.0}, {"seconds": 4.0}],
    }
    inference = {"model": "cnn-32", "amp": "fp32", "device": "a GPU"}
    inference["inference"] = [{"batch": 1, "ms": 2.0}, {"batch": 256, "ms": 512.0}]
    for lines, runs, expected in (
        ([inference], [timed], ["4.0", "2.000", "2.0000"]),
        ([], [timed], ["4.0", report.MISSING, report.MISSING]),
        ([inference], [], [report.MISSING, "2.000", "2.0000"]),
    ):
        _, rows = page.table_in(report._costs(lines, runs), "Costs")
        assert ["basic CNN, reported", "", "", "35", "3.2", "", "A100"] in rows
        (mine,) = [row for row in rows if row[0] == "cnn-32"]
        assert mine[3:] == [*expected, "a GPU, fp32"]


def test_coverage_counts_a_run_in_any_precision():
    empty = page.coverage([])
    assert empty["tuned"] == (0, 0)  # its trials come first
    assert empty["modern-cpu"] == (0, len(grids.SEEDS))
    setting = grids.published("cnn-32", amp="bf16", seed=0)
    run = {"setting": setting.__dict__, "status": "done", "key": "k"}
    done, named = page.coverage([run])["published"]
    assert done == 1
    assert named == empty["published"][1]
