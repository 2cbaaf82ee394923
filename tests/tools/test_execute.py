"""Execution: pages run once per state of what they depend on, and stale numbers cannot survive."""

import textwrap

import pytest

from tools import execute

CHAPTER = """\
---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
# A chapter

Prose.

```{code-cell} ipython3
import os
from dlbook_utils.number import NUMBER
print(NUMBER, os.environ["DLBOOK_STRICT"], os.environ["OMP_NUM_THREADS"])
```
"""


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A project with one chapter, which prints a number of its own little package."""
    for folder in ("book", "dlbook_utils", "records"):
        (tmp_path / folder).mkdir()
    for name in execute.INPUTS:
        (tmp_path / name).write_text("")
    (tmp_path / "dlbook_utils" / "__init__.py").write_text("")
    (tmp_path / "dlbook_utils" / "number.py").write_text("NUMBER = 41\n")
    (tmp_path / "book" / "a.md").write_text(CHAPTER)
    monkeypatch.setattr(execute, "ROOT", tmp_path)
    monkeypatch.setattr(execute, "BUILD", tmp_path / "_build")
    monkeypatch.setattr(execute, "LINK", tmp_path / "_build" / ".jupyter_cache")
    monkeypatch.setattr(execute, "_data_at_hand", lambda: "stand-ins")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def printed(book):
    (page,) = execute.execute([book / "book" / "a.md"])
    assert page.error == ""
    output = execute.executed(book / "book" / "a.md").cells[1].outputs[0]["text"].strip()
    return output, page.cached


def test_a_page_runs_once_and_prose_does_not_run_it_again(book):
    assert printed(book) == ("41 1 1", False)
    assert printed(book) == ("41 1 1", True)
    path = book / "book" / "a.md"
    path.write_text(path.read_text().replace("Prose.", "Better prose, with $x^2$."))
    assert printed(book) == ("41 1 1", True)


def test_a_changed_package_brings_new_numbers_at_once(book):
    assert printed(book) == ("41 1 1", False)
    (book / "dlbook_utils" / "number.py").write_text("NUMBER = 42\n")
    assert printed(book) == ("42 1 1", False)
    (book / "dlbook_utils" / "number.py").write_text("NUMBER = 41\n")
    assert printed(book) == ("41 1 1", True)


def change_package(book, monkeypatch):
    (book / "dlbook_utils" / "new.py").write_text("X = 1\n")


def change_pins(book, monkeypatch):
    (book / "constraints.txt").write_text("torch==2.0\n")


def change_records(book, monkeypatch):
    (book / "records" / "lr.jsonl").write_text("{}\n")


def change_data(book, monkeypatch):
    monkeypatch.setattr(execute, "_data_at_hand", lambda: "cifar10 is real now")


def change_seed(book, monkeypatch):
    monkeypatch.setenv("DLBOOK_SEED_OFFSET", "1")


CHANGES = [change_package, change_pins, change_records, change_data, change_seed]


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_results_depend_on_is_part_of_the_state(book, monkeypatch, change):
    before = execute.state()
    assert execute.state() == before
    change(book, monkeypatch)
    assert execute.state() != before


@pytest.mark.parametrize("name", [execute.BOOK_RECORD, execute.ROBUST_RECORD])
def test_records_that_no_cell_reads_are_no_part_of_the_state(book, name):
    before = execute.state()
    (book / "records" / name).write_text("{}\n")
    assert execute.state() == before


def test_the_link_that_myst_nb_reads_follows_the_state(book):
    execute.open_cache()
    first = execute.LINK.resolve()
    (book / "constraints.txt").write_text("torch==2.0\n")
    execute.open_cache()
    assert execute.LINK.resolve() != first
    assert execute.LINK.resolve().name == execute.state()


def test_a_failing_cell_is_reported_and_not_kept(book, capsys):
    path = book / "book" / "a.md"
    path.write_text(CHAPTER.replace("print(", "print(1 / 0, "))
    pages = execute.execute([path])
    assert execute.report(pages) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
    assert execute.executed(path) is None


def test_a_page_over_its_budget_is_named(book, capsys):
    page = execute.Page(book / "book" / "a.md", seconds=61, peak_mb=2001)
    assert execute.report([page]) == 0
    line = "over budget: book/a.md: 61 s where 60 are allowed, 2001 MB where 2000 are allowed"
    assert line in capsys.readouterr().out


def test_claims_are_read_from_outputs():
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    data = {execute.CLAIM: {"statement": "s", "supported": True}}
    cells = [new_code_cell(textwrap.dedent("x"), outputs=[new_output("display_data", data)])]
    assert execute.claims(new_notebook(cells=cells)) == [{"statement": "s", "supported": True}]


def test_a_page_that_glues_a_name_twice_fails(book, capsys):
    path = book / "book" / "a.md"
    twice = (
        "from IPython.display import display\n"
        "for value in (1, 2):\n"
        "    display({'text/plain': 'x'}, raw=True, metadata={'scrapbook': {'name': 'n'}})\n"
    )
    path.write_text(CHAPTER.replace("print(", twice + "print("))
    assert execute.report(execute.execute([path])) == 1
    assert "glued twice, so that one of the numbers is lost: ['n']" in capsys.readouterr().out


def test_a_page_whose_cell_causes_a_warning_fails_not_one_with_other_messages(book, capsys):
    path = book / "book" / "a.md"
    loud = "import sys, warnings\nprint('fetching', file=sys.stderr)\n"
    path.write_text(CHAPTER.replace("print(", loud + "print(", 1))
    assert execute.report(execute.execute([path])) == 0
    path.write_text(CHAPTER.replace("print(", loud + "warnings.warn('old')\nprint(", 1))
    assert execute.report(execute.execute([path])) == 1
    assert "UserWarning: old" in capsys.readouterr().out
