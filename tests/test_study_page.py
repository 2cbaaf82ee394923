"""What a page shows of a study."""

import pytest

from dlbook_utils.study import grids, page

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


def test_coverage_counts_a_run_in_any_precision():
    empty = page.coverage([])
    assert empty["modern-cpu"] == (0, len(grids.SEEDS))
    setting = grids.published("cnn-32", amp="bf16", seed=0)
    run = {"setting": setting.__dict__, "status": "done", "key": "k"}
    done, named = page.coverage([run])["published"]
    assert done == 1
    assert named == empty["published"][1]
