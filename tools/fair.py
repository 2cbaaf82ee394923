"""See claims and verdicts hold under fair changes: one that a fair change flips is none, either.

usage: python -m tools.fair [CHAPTER.md ...]      (default: every chapter)

The cell of a claim or a verdict carries, as metadata, changes that a fair critic would ask for:
five times the steps, the loser's own rate, the second data set, a stronger rival. Each has the
text to `replace` in the chapter's code and what to put there (`by`), as a sabotage has. The
chapter then runs as far as that cell, in the gentle mode of a reader who plays, and what the cell
says has to be supported still. What holds only without the change says so in its own sentence.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.execute import ROOT, chapters, claims, environment, read, run_cells
from tools.sabotage import apply

LIMIT = 1800  # seconds: a fair change may take five times as long as the page


@dataclass(frozen=True)
class Fair:
    """A fair change of what stands in the code cells up to number `at`, the claim's own."""

    at: int
    replace: str
    by: str


def fair_changes(notebook) -> list[Fair]:
    """Return the changes that a chapter's cells name, in order."""
    entries = [
        (at, entry)
        for at, cell in enumerate(notebook.cells)
        for entry in cell.metadata.get("dlbook", {}).get("fair", [])
    ]
    return [Fair(at, **entry) for at, entry in entries]


def flipped(path: Path, fair: Fair) -> str:
    """Run a chapter with one change; return "" if the cell's claims hold, else what went wrong."""
    beginning = read(path)
    beginning.cells = beginning.cells[: fair.at + 1]
    try:
        changed = apply(beginning, fair.replace, fair.by)
        run_cells(changed, path.parent, timeout=LIMIT)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    changed.cells = changed.cells[fair.at :]
    said = [item for item in claims(changed) if item["kind"] != "check"]
    if not said:
        return "the cell makes no claim and gives no verdict"
    for item in said:
        if item["supported"] is None:
            return f"not tested: {item['evidence']} (make data)"
        if not item["supported"]:
            return f"no longer holds: {item['statement']} ({item['evidence']})"
    print(f"  holds: {said[0]['statement']} ({said[0]['evidence']})")
    return ""


def main() -> int:
    os.environ.update(environment() | {"DLBOOK_STRICT": "0"})
    paths = [Path(name).resolve() for name in sys.argv[1:]] or chapters()
    tried = problems = 0
    for path in paths:
        for fair in fair_changes(read(path)):
            tried += 1
            print(f"{path.relative_to(ROOT)}: {fair.by}", flush=True)
            if problem := flipped(path, fair):
                problems += 1
                print(f"  {problem}")
    print(f"{tried - problems} fair changes changed nothing, {problems} flipped a claim")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
