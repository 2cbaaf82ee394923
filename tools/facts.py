"""What README opens with, counted from the sources and the records instead of typed.

usage: python -m tools.facts            write it into README.md, between its two marks
       python -m tools.facts --check    exit with 1 if README.md says something else
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from dlbook_utils import records
from dlbook_utils.records import ledger
from dlbook_utils.runner import report, verdicts
from tools import toc
from tools.execute import BOOK_RECORD, read
from tools.toc import ROOT

BEGIN = "<!-- Written by `python -m tools.facts`. -->"
END = "<!-- End of what is written by it. -->"
MODEL, FIRST_SPLIT = "cnn-32", 0
IN_TABLE, IN_TEXT = "CNN 82.1", "CNN 91"  # the numbers that the source prints for this model


def block(root: Path = ROOT) -> str:
    """Return README's opening, marks included."""
    builds = ledger.read(root / "records" / BOOK_RECORD)
    return "\n".join([BEGIN, result(records.load("cifar10")), "", counts(root, builds), END])


def result(runs: Sequence[dict[str, Any]]) -> str:
    """Return the study's first result, with its number of seeds and its interval."""
    groups = report.groups(runs, "published").items()
    same = next(group for key, group in groups if key[:2] == (MODEL, FIRST_SPLIT))
    accuracy = report.spread([100 * run["selected"]["valid"]["accuracy"] for run in same])
    findings = verdicts.judge(same)
    printed = {f"{name} {number:g}": number for name, _, number in verdicts.NUMBERS}
    table, text = (f"{printed[statement]:g} %" for statement in (IN_TABLE, IN_TEXT))
    return (
        f"A published comparison gives its basic CNN {table} on CIFAR-10 in a table, and {text} in "
        "the text.\n"
        f"Trained again as described, from {len(same)} seeds, it gets "
        f"**{accuracy.split(' (')[0]} %** of the validation images right (mean and 95 % "
        "interval).\n"
        f"By a rule written down before the first run, the {table} {outcome(findings, IN_TABLE)} "
        f"and the {text} {outcome(findings, IN_TEXT)}."
    )


def outcome(findings: Sequence[verdicts.Finding], statement: str) -> str:
    """Return what the protocol's rules say of a statement, as the end of a sentence."""
    word = verdicts.combine(
        finding.outcome for finding in findings if finding.statement == statement
    )
    return f"is {word}" if word in (verdicts.OPEN, verdicts.MISSING) else word


def counts(root: Path, builds: Sequence[dict[str, Any]]) -> str:
    """Return how much of the book is tested, and how long the newest recorded build took."""
    pages = [page for page in toc.chapters(root) if not page.is_reference]
    number = calls(page.path for page in pages)
    text = (
        f"The whole book is made like this: **{len(pages)} chapters** with {number['check']} "
        "checks of identities (for example that a gradient of ours is PyTorch's), "
        f"{number['claim']} claims on what was measured and {number['verdict']} verdicts on what "
        "people say.\n"
        "All of them run whenever the book is built, and a sentence that is no longer true fails "
        "the build."
    )
    if builds:
        last = builds[-1]
        minutes = f"{last['seconds'] / 60:.0f} minutes on {last['cores']} cores"
        text += f"\nIts last whole build took {minutes} ({last['device']}, {last['date'][:10]})."
    return text


def calls(paths: Iterable[Path]) -> Counter[str]:
    """Return how often the code cells of pages call each function, by its bare name."""
    cells = [cell for path in paths for cell in read(path).cells if cell.cell_type == "code"]
    nodes = [node for cell in cells for node in ast.walk(ast.parse(cell.source))]
    return Counter(getattr(node.func, "id", "") for node in nodes if isinstance(node, ast.Call))


def rewritten(readme: str, opening: str) -> str:
    """Return README with another opening; ValueError if its two marks are not there once each."""
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise ValueError(f"README.md: expected one line {BEGIN} and one line {END}")
    before, rest = readme.split(BEGIN)
    return before + opening + rest.split(END)[1]


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command; return its exit status."""
    options = argparse.ArgumentParser(prog="tools.facts", description=__doc__.split("\n")[0])
    options.add_argument("--check", action="store_true", help="change nothing; 1 if it is stale")
    check = options.parse_args(arguments).check
    path = root / "README.md"
    readme = path.read_text("utf-8")
    new = rewritten(readme, block(root))
    if check and new != readme:
        print("README.md: its opening is stale; run python -m tools.facts", file=sys.stderr)
        return 1
    path.write_text(new, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
