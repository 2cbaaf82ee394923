"""Publishing: a book with a stand-in or an untested claim is refused."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from dlbook_utils.data import STAND_IN_NOTICE
from tools import publish
from tools.execute import CLAIM


def page(*outputs):
    return new_notebook(cells=[new_code_cell("x", outputs=list(outputs))])


def claimed(supported):
    data = {CLAIM: {"statement": "water is wet", "supported": supported}}
    return new_output("display_data", data)


@pytest.fixture
def book(monkeypatch, tmp_path):
    """Let one chapter have been executed to the given notebook."""
    monkeypatch.setattr(publish, "chapters", lambda: [publish.ROOT / "book" / "a.md"])
    monkeypatch.setattr(publish, "BUILD", tmp_path)
    (tmp_path / "html").mkdir()

    def set_to(notebook):
        monkeypatch.setattr(publish, "executed", lambda path: notebook)
        return publish.objections()

    return set_to


def test_a_tested_book_is_published(book, tmp_path, capsys):
    assert book(page(claimed(True), new_output("stream", text="all is well\n"))) == []
    assert publish.main() == 0
    assert (tmp_path / "html" / ".nojekyll").exists()


def test_a_claim_that_was_not_tested_is_an_objection(book, tmp_path):
    assert book(page(claimed(None))) == ["book/a.md: not tested: water is wet"]
    assert publish.main() == 1
    assert not (tmp_path / "html" / ".nojekyll").exists()


def test_a_stand_in_is_an_objection(book):
    line = f"cifar10: {STAND_IN_NOTICE} (generated shapes)"
    assert book(page(new_output("stream", text=f"hello\n{line}\n"))) == [f"book/a.md: {line}"]


def test_a_book_that_has_not_run_is_an_objection(book):
    (objection,) = book(None)
    assert "not executed in the present state" in objection


def test_the_notice_is_what_the_loader_says(capsys, monkeypatch, tmp_path):
    from dlbook_utils import data

    monkeypatch.setenv("DLBOOK_OFFLINE", "1")
    monkeypatch.setenv("DLBOOK_CACHE", str(tmp_path))
    monkeypatch.delenv("DLBOOK_DATA", raising=False)
    assert data.ensure("names") is False
    assert not data.load("names").real
    said = capsys.readouterr()
    assert STAND_IN_NOTICE in said.out + said.err
