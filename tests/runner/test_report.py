"""What a page and the report show of a study."""

from dataclasses import replace

import pytest

from dlbook_utils import records
from dlbook_utils.runner import grids, report, tables
from dlbook_utils.runner.tables import MISSING, Table

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
TABLE = Table(["model", "score"], [["`a` < b", "0.5<br>0.6"], ["c", ""]])


@pytest.fixture
def a_protocol(tmp_path, monkeypatch):
    (tmp_path / "s-protocol.md").write_text(TEXT)
    monkeypatch.setattr(records, "folder", lambda: tmp_path)


@pytest.fixture
def shown(monkeypatch):
    bundles = []
    monkeypatch.setattr(tables, "display_bundle", bundles.append)
    return bundles


def test_a_protocols_table_is_found_by_its_heading(a_protocol):
    assert tables.protocol("Results", "s") == TABLE


@pytest.mark.parametrize("heading", ["Nothing", "Empty"])
def test_without_a_table_the_headings_are_named(a_protocol, heading):
    with pytest.raises(ValueError, match="A study, Results: all, Empty"):
        tables.protocol(heading, "s")


def test_a_table_is_markdown():
    assert TABLE.markdown() in TEXT


def test_a_shown_table_is_escaped_and_has_scopes(shown):
    tables.show_table(*TABLE, label='the "table"')
    (bundle,) = shown
    assert "<code>a</code> &lt; b</th><td>0.5<br>0.6</td>" in bundle["text/html"]
    assert 'aria-label="the &quot;table&quot;"' in bundle["text/html"]
    assert bundle["text/plain"].splitlines()[0] == "model | score"


def test_columns_of_numbers_stand_on_the_right(shown):
    tables.show_table(["name", "n", "said"], [["a", 1.5, "3"], ["b", "12 %", "x"]], label="t")
    assert shown[0]["text/html"].count('class="text-right"') == 3  # a heading and two cells


def test_columns_with_long_texts_are_wide(shown):
    rows = [["a", "b", "c " * tables.LONG]]
    tables.show_table(["name", "short", "long"], rows, label="t")
    before, after = shown[0]["text/html"].split(">short<")
    assert "min-width" not in before
    assert after.count("min-width") == 2  # a heading and a cell


def test_a_table_of_lone_rows_keeps_its_headings(shown):
    tables.show_table(["model", "one", "two"], [["nothing yet"]], label="t")
    assert shown[0]["text/html"].count("<th ") == 3


def test_rows_without_a_measurement_are_gathered(shown):
    headings = ["model", "one", "two"]
    table = Table(headings, [["a", MISSING, ""], ["b", "1", "2"], ["c", MISSING, ""]])
    assert table.gathered() == (headings, [["b", "1", "2"], ["not measured yet: a, c"]])
    measured = Table(headings, table.rows[1:2])
    assert measured.gathered() == measured
    tables.show_table(*table.gathered(), label="t")
    assert '<td colspan="3"><div' in shown[0]["text/html"]
    assert ">not measured yet: a, c</div></td>" in shown[0]["text/html"]


def test_rows_must_fit_the_headings():
    with pytest.raises(ValueError, match="3 headings, but 2 cells"):
        tables.show_table(["a", "b", "c"], [["c", "d"]], label="t")


def test_the_protocols_tables_can_be_read():
    assumptions, rules = map(tables.protocol, ("Assumptions", "Rules"))
    assert assumptions.headings == ["left open", "taken here", "why; what else is run"]
    assert all(len(row) == 3 for row in assumptions.rows)
    assert all(len(row) == 2 for row in rules.rows)


def test_an_empty_record_has_tables_that_say_so(tmp_path):
    results = report.Results("trial", tmp_path)
    text = results.markdown()
    for heading, draw in (
        ("As published", results.published),
        ("Other arms", results.other_arms),
        ("Costs", results.costs),
        ("Loading", results.loading),
        ("Linear probes", results.probes),
        ("Verdicts", results.verdicts),
    ):
        table = draw()
        assert table.rows
        assert all(len(row) == len(table.headings) for row in table.rows)
        assert table.markdown() in text.split(f"## {heading}\n\n")[1].split("\n\n##")[0]
    assert results.runs == []


def test_what_an_arm_lacks_is_named(tmp_path):
    setting = grids.published("cnn-32", arm="scaling", examples=5000)
    cells = report._lacking(
        [setting, replace(setting, examples=1000), replace(setting, model="cnn-64")],
        {("cnn-32", 5000)},
    )
    assert cells == "cnn-32 (1,000); cnn-64 (5,000)"
    rows = report.Results("cifar10", tmp_path).other_arms().rows
    named = {row[0].split(":")[0] for row in rows}
    assert named == {*grids.ARMS} - {"published"}


def test_times_stand_beside_those_of_the_source(tmp_path):
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
        ([], [timed], ["4.0", MISSING, MISSING]),
        ([inference], [], [MISSING, "2.000", "2.0000"]),
    ):
        results = report.Results("trial", tmp_path)
        results.timings, results.runs = lines, runs
        rows = results.costs().rows
        assert ["basic CNN, reported", "", "", "35", "3.2", "", "A100"] in rows
        (mine,) = [row for row in rows if row[0] == "cnn-32"]
        assert mine[3:] == [*expected, "a GPU, fp32"]


def test_coverage_counts_a_run_in_any_precision():
    empty = report.coverage([])
    assert empty["tuned"] == (0, 0)  # its trials come first
    assert empty["modern-cpu"] == (0, len(grids.SEEDS))
    setting = grids.published("cnn-32", amp="bf16", seed=0)
    run = {"setting": setting.__dict__, "status": "done", "key": "k"}
    done, named = report.coverage([run])["published"]
    assert done == 1
    assert named == empty["published"][1]
