"""Each headline claim and each verdict names a fair change under which it still holds."""

import ast

import pytest

from tools.execute import chapters, read
from tools.fair import Fair, fair_changes


def weighty(source):
    """Return what a cell says that needs a fair change: its headline claim and its verdicts."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    named = {"claim": [], "verdict": []}
    for call in calls:
        if getattr(call.func, "id", "") in named:
            named[call.func.id].append(call)
    headlines = [c for c in named["claim"] if any(k.arg == "headline" for k in c.keywords)]
    return [ast.unparse(call.args[0])[:70] for call in headlines + named["verdict"]]


def unfair(path):
    """Return the headlines and verdicts of a chapter whose cells name no fair change."""
    notebook = read(path)
    fair = {change.at for change in fair_changes(notebook)}
    return [
        said
        for at, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and at not in fair
        for said in weighty(cell.source)
    ]


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_headlines_and_verdicts_name_fair_changes(path):
    assert unfair(path) == []


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_fair_changes_hit_code_above_or_in_their_cell(path):
    notebook = read(path)
    for change in fair_changes(notebook):
        assert change.by != change.replace
        code = [c.source for c in notebook.cells[: change.at + 1] if c.cell_type == "code"]
        assert any(change.replace in source for source in code), change


def test_a_headline_or_a_verdict_without_a_fair_change_is_found(tmp_path):
    assert weighty('claim("a", True)\ncheck("b", True)') == []
    assert weighty('claim("a", True, headline=True)\nverdict("b", "holds")') == ["'a'", "'b'"]
    cell = "```{code-cell} ipython3\nclaim('a', STEPS < 3, headline=True)\n```\n"
    page = tmp_path / "a.md"
    page.write_text(HEAD + cell, "utf8")
    assert unfair(page) == ["'a'"]
    page.write_text(HEAD + cell.replace("claim", FAIR + "claim"), "utf8")
    assert unfair(page) == []
    assert fair_changes(read(page)) == [Fair(0, "STEPS = 1", "STEPS = 2")]


HEAD = "---\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n\n"
FAIR = '---\ndlbook:\n  fair: [{replace: "STEPS = 1", by: "STEPS = 2"}]\n---\n'
