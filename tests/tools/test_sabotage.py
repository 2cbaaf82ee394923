"""Sabotage: a headline claim that survives its own sabotage is found out."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tools import sabotage

CLAIM = """\
from dlbook_utils.page.claims import claim
claim("one is less than two", x < 2, evidence=f"x = {x}", headline=True, breaks_if="x is 3")
"""


def chapter(monkeypatch, *sources, replace="x = 1", by="x = 3"):
    cells = [new_code_cell(source) for source in sources]
    cells[-1].metadata["dlbook"] = {"sabotage": {"replace": replace, "by": by}}
    monkeypatch.setattr(sabotage, "read", lambda path: new_notebook(cells=cells))
    monkeypatch.setenv("DLBOOK_STRICT", "0")


def test_a_claim_that_fails_when_sabotaged_passes(monkeypatch, tmp_path, capsys):
    chapter(monkeypatch, "x = 1", CLAIM)
    assert sabotage.survives(tmp_path / "a.md") == ""
    assert "fails as it should: one is less than two (x = 3)" in capsys.readouterr().out


def test_a_claim_that_cannot_fail_is_found_out(monkeypatch, tmp_path):
    chapter(monkeypatch, "x = 1", CLAIM.replace("x < 2", "True"))
    assert "still claims 'one is less than two'" in sabotage.survives(tmp_path / "a.md")


def test_a_claim_on_a_stand_in_is_not_tested(monkeypatch, tmp_path):
    stand_in = "\nclass Set: real, name = False, 'names'\n"
    chapter(monkeypatch, "x = 1", stand_in + CLAIM.replace("headline", "needs=Set, headline"))
    assert sabotage.survives(tmp_path / "a.md").startswith("not tested: ")


def test_a_crash_is_not_a_failed_claim(monkeypatch, tmp_path):
    chapter(monkeypatch, "x = 1", CLAIM, by="x = 1 / 0")
    assert "CellExecutionError" in sabotage.survives(tmp_path / "a.md")


def test_a_sabotage_that_hits_nothing_is_found_out(monkeypatch, tmp_path):
    chapter(monkeypatch, "x = 1", CLAIM, replace="y = 1")
    assert "no code cell holds the text" in sabotage.survives(tmp_path / "a.md")


def test_a_chapter_names_exactly_one_sabotage(monkeypatch, tmp_path):
    monkeypatch.setattr(sabotage, "read", lambda path: new_notebook(cells=[]))
    assert sabotage.survives(tmp_path / "a.md") == "names 0 sabotages, not one"


def test_pages_of_reference_owe_no_headline_claim(tmp_path):
    pages = [f"book/{name}" for name in ("part/first", "reference/page")]
    for name in pages:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / f"{name}.md").write_text("---\nkernelspec: {name: python3}\n---\n")
    (tmp_path / "_toc.yml").write_text(f"root: {pages[0]}\nchapters: [{{file: {pages[1]}}}]\n")
    assert sabotage.sabotaged(tmp_path) == [tmp_path / f"{pages[0]}.md"]


def test_apply_leaves_the_original_alone():
    notebook = new_notebook(cells=[new_code_cell("x = 1")])
    assert sabotage.apply(notebook, "1", "2").cells[0].source == "x = 2"
    assert notebook.cells[0].source == "x = 1"
    with pytest.raises(ValueError, match="'7'"):
        sabotage.apply(notebook, "7", "8")
