"""Write notebooks/ from book/, or check that it is what book/ says.

usage: python -m tools.notebooks            rewrite what has changed
       python -m tools.notebooks --check    exit with 1 if a notebook is not what its source says
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools import toc
from tools.address import ROOT
from tools.notebooks.book import Book
from tools.notebooks.cells import notebook, written
from tools.notebooks.syntax import SourceError

Executed = Callable[[Path], NotebookNode | None]


def made(root: Path, executed: Executed | None = None) -> dict[str, str]:
    """Return the bytes of every notebook by path, as the sources want them now.

    `executed` gives the last run of a chapter, whose values then replace those that stand in the
    notebook. Without it only the sources count, so nothing differs because of another machine.
    """
    book = Book.read(root)
    found, errors = {}, []
    for page in toc.chapters(root):
        path = root / page.notebook
        old = nbformat.read(path, as_version=4) if path.exists() else None
        ran = executed(page.path) if executed else None
        try:
            found[page.notebook] = written(notebook(book, page, old, ran))
        except SourceError as error:
            errors.append(str(error))  # go on: an author wants to know of every chapter
        except ValueError as error:
            errors.append(f"{page.name}.md: {error}")
    if errors:
        raise SourceError("\n".join(errors))
    return found


def stale(root: Path) -> list[str]:
    """Return what is wrong with notebooks/, a line for each file."""
    wanted = made(root)
    problems = []
    for path, text in wanted.items():
        if not (root / path).exists():
            problems.append(f"{path} is missing")
        elif (root / path).read_text("utf-8") != text:
            problems.append(f"{path} is stale: its source says something else")
    return problems + [f"{path} is an orphan: no chapter makes it" for path in orphans(root)]


def orphans(root: Path) -> list[str]:
    """Return notebooks that belong to no chapter."""
    there = {path.relative_to(root).as_posix() for path in (root / "notebooks").rglob("*.ipynb")}
    there = {path for path in there if ".ipynb_checkpoints" not in path}
    return sorted(there - {page.notebook for page in toc.chapters(root)})


def write(root: Path, executed: Executed | None) -> list[str]:
    """Write the notebooks that differ, remove orphans; return what was touched."""
    touched = []
    for path, text in made(root, executed).items():
        file = root / path
        if not file.exists() or file.read_text("utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
            touched.append(path)
    for path in orphans(root):
        (root / path).unlink()
        touched.append(f"{path} (removed)")
    return touched


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="tools.notebooks", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; 1 if stale")
    check = parser.parse_args(arguments).check
    try:
        if check:
            return _report(stale(root))
        from tools.execute import executed

        touched = write(root, executed)
    except SourceError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(touched) or "notebooks/ is up to date")
    return 0


def _report(problems: list[str]) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("run make notebooks", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
