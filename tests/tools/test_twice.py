"""Cells that work only once are found out."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import twice


@pytest.fixture
def problem(monkeypatch, tmp_path):
    """What is said of a chapter of some cells."""
    monkeypatch.setenv("DLBOOK_STRICT", "1")

    def ask(*sources):
        cells = [new_markdown_cell("# A title"), *map(new_code_cell, sources)]
        monkeypatch.setattr(twice, "read", lambda path: new_notebook(cells=cells))
        return twice.problem(tmp_path / "a.md")

    return ask


def test_cells_that_can_be_run_again_pass(problem):
    assert problem("values = [3, 1]", "total = sum(values)") == ""


def test_a_cell_that_works_once_is_named(problem):
    said = problem("value = 3", "value = value.bit_length\nvalue()")
    assert said.startswith("the second time: 'value = value.bit_length'")
    assert "AttributeError" in said


def test_a_cell_that_never_works_is_named(problem):
    assert problem("good = 1", "1 / 0").startswith("the first time: '1 / 0': ZeroDivisionError")


def test_a_claim_that_falls_the_second_time_is_found_out(problem):
    claim = "steps += 1\nfrom dlbook_utils.page import check\ncheck('one step', steps == 1)"
    said = problem("steps = 0", claim)
    assert said.startswith("the second time: 'steps += 1'")
    assert "one step" in said
