"""What `make book` remembers of earlier builds: nothing stale, and no build that failed."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from dlbook_utils.records import ledger
from tools import book
from tools.execute import ROOT, Page


@pytest.fixture
def building(tmp_path, monkeypatch):
    """Build in `tmp_path`; returns the function, which says whether old pages were there."""
    state = {"is": "a", "status": 0}
    pages = tmp_path / "_build" / "html" / "page.html"
    monkeypatch.setattr(book, "state", lambda: state["is"])
    monkeypatch.setattr(book, "execute", lambda paths: state.get("ran", []))
    monkeypatch.setattr(book, "report", lambda pages: 0)
    monkeypatch.setattr(book, "subprocess", SimpleNamespace(run=lambda *a, **k: None))
    monkeypatch.setattr(sys, "argv", ["book", "--out", str(tmp_path)])

    def build(**changes):
        state.update(changes)
        kept = []

        def sphinx(*arguments):
            kept.append(pages.exists())
            pages.parent.mkdir(parents=True, exist_ok=True)
            pages.touch()
            return state["status"]

        monkeypatch.setattr(book, "build", sphinx)
        assert book.main() == state["status"]
        return kept == [True]

    return build


def test_pages_are_kept_while_nothing_has_changed(building):
    assert not building()
    assert building()


def test_pages_are_made_anew_when_package_records_or_data_have_changed(building):
    building()
    assert not building(**{"is": "b"})


def test_pages_of_a_build_that_failed_are_made_anew(building):
    building(status=1)
    assert not building(status=1)  # it would warn of nothing if it read nothing
    assert not building(status=0)
    assert building()


def test_the_time_of_a_build_is_kept_if_every_chapter_was_executed(building, tmp_path):
    path = tmp_path / book.LAST_BUILD
    ran, cached = Page(tmp_path / "a.md"), Page(tmp_path / "b.md", cached=True)
    building(ran=[ran, cached])
    assert not path.exists(), "some of it was done before"
    building(ran=[ran, ran], status=1)
    assert not path.exists(), "it failed"
    building(ran=[ran, ran], status=0)
    line = json.loads(path.read_text())
    assert set(ledger.PROVENANCE) <= set(line)
    assert line["seconds"] >= 0
    assert line["cores"] == 2
    assert line["key"] == f"book {line['date']}"


def test_a_terminal_that_knows_ascii_only_does_not_end_the_build(tmp_path):
    """jupyter-book is a script that prints the folder's name, which has an umlaut."""
    out = tmp_path / "Übung"
    script = f"""
import subprocess, sys
from pathlib import Path
from tools import book
run = subprocess.run
def stand_in(command, env, cwd):
    code = "import os; print(os.environ['OUT'])"
    return run([sys.executable, "-c", code], env=env | {{"OUT": {str(out)!r}}})
book.subprocess.run = stand_in
sys.exit(book.build(Path({str(out)!r})))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "bung" in done.stdout
