"""Run every cell of a chapter twice in a row, as readers do: nothing may break, no claim may fall.

usage: python -m tools.twice [CHAPTER.md ...]      (default: every chapter)

A cell that changes what it reads (a model trained on in place, a name taken for something else, a
generator drawn from) works once. Whoever changes a number and runs it again gets an error, or a
number that the page never had.
"""

from __future__ import annotations

import copy
import os
import re
import sys
from pathlib import Path

from tools.execute import ROOT, chapters, environment, read, run_cells

LIMIT = 1800  # seconds for a cell
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def doubled(notebook):
    """Return a copy of a notebook in which every code cell is followed by itself."""
    twice = copy.deepcopy(notebook)
    twice.cells = []
    for cell in notebook.cells:
        twice.cells.append(copy.deepcopy(cell))
        if cell.cell_type == "code":
            again = copy.deepcopy(cell)
            again.id = f"{cell.id}-again"
            twice.cells.append(again)
    return twice


def problem(path: Path) -> str:
    """Run a chapter so, strictly; return "" if all goes well, else the cell and what it said."""
    notebook = doubled(read(path))
    try:
        run_cells(notebook, path.parent, LIMIT)
    except Exception as error:
        lines = COLOUR.sub("", str(error)).strip().splitlines()
        reached = [cell for cell in notebook.cells if cell.get("execution_count")]
        cell = reached[-1] if reached else notebook.cells[0]
        time = "second" if cell.id.endswith("-again") else "first"
        said = lines[-1] if lines else repr(error)
        return f"the {time} time: {cell.source.splitlines()[0]!r}: {said}"
    return ""


def main() -> int:
    os.environ.update(environment())
    paths = [Path(name).resolve() for name in sys.argv[1:]] or chapters()
    problems = 0
    for path in paths:
        said = problem(path)
        problems += bool(said)
        print(f"{path.relative_to(ROOT)}: {said or 'twice, all well'}", flush=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
