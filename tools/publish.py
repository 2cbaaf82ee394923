"""Refuse to publish a book that shows a stand-in, or a claim that was not tested.

usage: python -m tools.publish      (after the book was built)
"""

from __future__ import annotations

import sys

from dlbook_utils.data import STAND_IN_NOTICE
from tools.execute import BUILD, ROOT, chapters, claims, executed


def objections() -> list[str]:
    """Return what speaks against publishing the book as it was built, a line each."""
    reasons = []
    for path in chapters():
        name, notebook = path.relative_to(ROOT), executed(path)
        if notebook is None:
            reasons.append(f"{name}: not executed in the present state; make book first")
            continue
        reasons += [f"{name}: {line}" for line in said(notebook) if STAND_IN_NOTICE in line]
        reasons += [
            f"{name}: not tested: {item['statement']}"
            for item in claims(notebook)
            if item["supported"] is not True
        ]
    return reasons


def said(notebook) -> list[str]:
    """Return the lines that a notebook's cells printed."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return [line for out in outputs for line in str(out.get("text", "")).splitlines()]


def main() -> int:
    reasons = objections()
    if reasons:
        print("This book is not published:", *reasons, sep="\n  ")
        return 1
    (BUILD / "html" / ".nojekyll").touch()  # or GitHub Pages would drop _static
    print(f"Ready to publish: {BUILD / 'html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
