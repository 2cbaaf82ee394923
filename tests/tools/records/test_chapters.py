"""Chapters as plain scripts: what they claim, what they cost, where they break off."""

import json
import subprocess
import sys

import pytest

from tools.records import chapters

CLAIM = """from dlbook_utils.page.claims import check, claim
claim("two is more than one", 2 > 1, evidence=f"{2 - 1}")
claim("one is more than two", 1 > 2, evidence=f"{1 - 2}")
check("one is one", 1 == 1)
check("one is two", 1 == 2)"""


def notebook(path, *sources):
    install = {
        "cell_type": "code", "source": ["raise SystemExit"], "metadata": {"tags": ["nbval-skip"]}
    }  # fmt: skip
    words = {"cell_type": "markdown", "source": ["raise SystemExit"], "metadata": {}}
    cells = [{"cell_type": "code", "source": s.splitlines(True), "metadata": {}} for s in sources]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": [words, install, *cells]}))


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of two chapters, the second of which breaks off."""
    monkeypatch.setattr(chapters, "NOTEBOOKS", tmp_path)
    notebook(tmp_path / "part" / "whole.ipynb", "x = 1", "assert x == 1\n" + CLAIM)
    notebook(tmp_path / "part" / "broken.ipynb", "y = 1", "1 / 0", "y = 2")
    return tmp_path


def test_cells_share_their_names_and_claims_are_kept(book, monkeypatch):
    monkeypatch.delenv("DLBOOK_STRICT", raising=False)
    from dlbook_utils.page import claims

    monkeypatch.setattr(claims, "_show", claims._show)  # put back after the test
    found = chapters.run(book / "part" / "whole.ipynb")
    assert found["error"] == ""
    assert len(found["cells"]) == 2
    assert [c.get("supported", False) for c in found["claims"]] == [True, False]
    assert found["checks failed"] == ["one is two"]
    assert found["memory"]["process"] > 0
    said = chapters.summary("part/whole", found, cells=True)
    assert "one is more than two" in said
    assert "two is more" not in said
    assert "x = 1" in said


def test_a_chapter_that_breaks_off_says_where(book, monkeypatch):
    from dlbook_utils.page import claims

    monkeypatch.setattr(claims, "_show", claims._show)
    found = chapters.run(book / "part" / "broken.ipynb")
    assert found["error"] == "code cell 2, line 1, 1 / 0: ZeroDivisionError: division by zero"
    assert len(found["cells"]) == 2


def test_the_line_is_that_of_the_cell_that_broke_off(book, monkeypatch):
    from dlbook_utils.page import claims

    monkeypatch.setattr(claims, "_show", claims._show)
    notebook(book / "part" / "called.ipynb", "def f():\n    return 1 / 0", "x = 1\ny = f()")
    notebook(book / "part" / "typo.ipynb", "x = 1\nx =")
    assert "code cell 2, line 2, y = f(): Zero" in chapters.run(book / "part/called.ipynb")["error"]
    assert "code cell 1, line 2: SyntaxError" in chapters.run(book / "part/typo.ipynb")["error"]


def test_chapters_are_the_notebooks(book):
    assert chapters.chapter_names() == ["part/broken", "part/whole"]


def test_without_a_gpu_nothing_is_measured():
    command = [sys.executable, "-m", "tools.records.chapters"]
    run = subprocess.run(command, cwd=chapters.ROOT, capture_output=True, text=True)
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert run.returncode == 0
    assert "not measured" in run.stdout


@pytest.mark.slow
def test_a_real_chapter_runs_and_is_recorded(tmp_path):
    out = tmp_path / "chapters.jsonl"
    command = [sys.executable, "-m", "tools.records.chapters", "--device", "cpu", "--out", str(out)]
    subprocess.run([*command, "origins/history"], cwd=chapters.ROOT, check=True)
    (line,) = [json.loads(text) for text in out.read_text().splitlines()]
    assert line["chapter"] == "origins/history"
    assert line["error"] == ""
    assert line["claims"]
    assert line["seconds"] > 0


def test_an_unknown_chapter_is_named():
    command = [sys.executable, "-m", "tools.records.chapters", "--device", "cpu", "no/such"]
    run = subprocess.run(command, cwd=chapters.ROOT, capture_output=True, text=True)
    assert run.returncode == 2
    assert "no/such" in run.stdout
    assert "origins/history" in run.stdout


def test_a_chapter_that_takes_too_long_is_stopped():
    found = chapters.in_a_process("origins/history", "cpu", limit=0.01)
    assert found["error"] == "stopped after 0.01 s"


def test_a_margin_that_is_no_number_is_recorded_as_none(tmp_path):
    claims = [{"kind": "claim", "margin": float("inf")}, {"kind": "claim", "margin": 2.0}]
    found = {"seconds": 1.0, "cells": [[1.0, "x"]], "claims": claims, "memory": {}, "error": ""}
    chapters.write(tmp_path / "chapters.jsonl", "part/whole", found, "cpu")
    line = json.loads((tmp_path / "chapters.jsonl").read_text())
    assert [claim["margin"] for claim in line["claims"]] == [None, 2.0]
