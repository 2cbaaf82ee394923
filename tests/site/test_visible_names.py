"""What a reader sees, or calls with an answer, uses no name that only a folded cell defines."""

import ast
import builtins

import pytest

from tools.execute import chapters, read

FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
REPORTS = {"check", "check_answer", "claim", "glue", "verdict"}


def names(tree, kind):
    """Return the names that a cell stores or loads, in its functions as well."""
    found = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, kind)}
    if kind is ast.Store:
        found |= {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
        found |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
        found |= {
            (n.asname or n.name).split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.alias)
        }
    return found


def reports(tree):
    """Whether a cell makes a claim or a verdict: such cells are folded by what is in them."""
    called = {getattr(n.func, "id", "") for n in ast.walk(tree) if isinstance(n, ast.Call)}
    return bool(called & {"claim", "verdict"})


def unseen(path):
    """Return (name, line of the visible cell that uses it) for each name defined out of sight."""
    seen, hidden, found = set(dir(builtins)), set(), []
    for cell in read(path).cells:
        if cell.cell_type != "code":
            continue
        tree = ast.parse(cell.source)
        stored = names(tree, ast.Store)
        if FOLDED & set(cell.metadata.get("tags", ())):
            hidden |= stored - seen
            continue
        if not reports(tree):
            used = (names(tree, ast.Load) - stored - seen) & hidden
            found += [(name, cell.source.splitlines()[0]) for name in sorted(used)]
        seen |= stored
    return found


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_visible_cells_use_no_name_that_only_a_folded_cell_defines(path):
    assert unseen(path) == []


def undefined_in_answers(cells):
    """Return (name, first line) for each name that a check of an answer uses before it exists.

    The page itself never notices: `check_answer` does not call its test while the answer is `...`.
    """
    made, missing = set(dir(builtins)), []
    for source in cells:
        tree = ast.parse(source)
        called = {getattr(n.func, "id", "") for n in ast.walk(tree) if isinstance(n, ast.Call)}
        stored = names(tree, ast.Store)
        if "check_answer" in called:
            used = names(tree, ast.Load) - made - stored
            missing += [(name, source.splitlines()[0]) for name in sorted(used)]
        made |= stored
    return missing


def test_a_name_that_only_the_solution_below_defines_is_found():
    task = "answer = ...\ncheck_answer('Lost', answer, lambda k: k == len(too_long(rows)))"
    solution = "def too_long(rows):\n    return [row for row in rows if len(row) > 8]"
    above = "from dlbook_utils.page import check_answer\nrows = []"
    assert undefined_in_answers([above, task, solution]) == [("too_long", "answer = ...")]
    assert undefined_in_answers([above, solution, task]) == []


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_a_check_of_an_answer_uses_no_name_that_only_the_solution_defines(path):
    cells = [cell.source for cell in read(path).cells if cell.cell_type == "code"]
    assert undefined_in_answers(cells) == []
