"""See every headline claim fail when its chapter is sabotaged: a claim that cannot fail is none.

usage: python -m tools.sabotage [CHAPTER.md ...]      (default: all but the pages of reference)

The cell of a headline claim carries, as metadata, the text to replace in the chapter's code and
what to put there. The chapter then runs to its end in the gentle mode of a reader who plays, and
its headline claim has to be unsupported.
"""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path

from tools import toc
from tools.execute import ROOT, claims, environment, read, run_cells


def sabotages(notebook) -> list[dict[str, str]]:
    """Return the sabotages that a chapter's cells name, each with `replace` and `by`."""
    named = [cell.metadata.get("dlbook", {}).get("sabotage") for cell in notebook.cells]
    return [entry for entry in named if entry]


def apply(notebook, replace: str, by: str):
    """Return a copy of the notebook with the text replaced in its code cells.

    Raises ValueError if no code cell has the text.
    """
    broken = copy.deepcopy(notebook)
    hits = 0
    for cell in broken.cells:
        if cell.cell_type == "code":
            hits += cell.source.count(replace)
            cell.source = cell.source.replace(replace, by)
    if not hits:
        raise ValueError(f"no code cell holds the text {replace!r}")
    return broken


def survives(path: Path) -> str:
    """Run one sabotaged chapter; return "" if its headline claim fails, else what went wrong."""
    notebook = read(path)
    entries = sabotages(notebook)
    if len(entries) != 1:
        return f"names {len(entries)} sabotages, not one"
    try:
        broken = apply(notebook, **entries[0])
        run_cells(broken, path.parent, timeout=900)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    headline = [item for item in claims(broken) if item["headline"]]
    if not headline:
        return "the headline claim was never reached"
    if headline[0]["supported"] is None:
        return f"not tested: {headline[0]['evidence']} (make data)"
    if headline[0]["supported"] is not False:
        return f"still claims {headline[0]['statement']!r} ({headline[0]['evidence']})"
    print(f"  fails as it should: {headline[0]['statement']} ({headline[0]['evidence']})")
    return ""


def sabotaged(root: Path) -> list[Path]:
    """Return the pages that owe a headline claim: the chapters, but no page of reference."""
    return [page.path for page in toc.chapters(root) if not page.is_reference]


def main() -> int:
    os.environ.update(environment() | {"DLBOOK_STRICT": "0"})
    paths = [Path(name).resolve() for name in sys.argv[1:]] or sabotaged(ROOT)
    problems = 0
    for path in paths:
        print(path.relative_to(ROOT), flush=True)
        if problem := survives(path):
            problems += 1
            print(f"  {problem}")
    print(f"{len(paths) - problems} passed, {problems} failed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
