"""Write notebooks/ from book/, or check that it is what book/ says.

usage: python -m tools.notebooks            rewrite what has changed
       python -m tools.notebooks --check    exit with 1 if a notebook is not what its source says

Sphinx reads the whole book anew, with the settings of _config.yml and the builder of
book/_ext/dlbook_notebooks, into a folder of its own that is thrown away: no state can be stale.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from tools import toc
from tools.toc import ROOT

Executed = Callable[[Path], NotebookNode | None]


class SourceError(ValueError):
    """Something in a chapter that cannot become a good notebook; names file and line."""


def made(root: Path, executed: Executed | None = None) -> dict[str, str]:
    """Return the bytes of every notebook by path, as the sources want them now.

    `executed` gives the last run of a chapter, whose values then replace those that stand in the
    notebook. Raises SourceError with everything that Sphinx has to say against the sources.
    """
    from sphinx.application import Sphinx
    from sphinx.util.console import strip_colors
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    said = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, patch_docutils(), docutils_namespace():
        places = (str(root), None, f"{folder}/out", f"{folder}/doctrees")
        app = Sphinx(*places, "notebooks", settings(root), status=None, warning=said)
        builder: Any = app.builder
        builder.executed = executed or builder.executed
        app.build(force_all=True)
    if said.getvalue():
        raise SourceError(strip_colors(said.getvalue()).replace(f"{root}/", "").strip())
    return builder.made


def settings(root: Path) -> dict:
    """Return the settings of _config.yml as Jupyter Book gives them to Sphinx, and our builder."""
    from jupyter_book.config import get_final_config

    values, _ = get_final_config(
        user_yaml=root / "_config.yml",
        sourcedir=root,
        cli_config={"latex_individualpages": False},
    )
    values["extensions"].append("dlbook_notebooks")
    return values | {"html_static_path": [], "nitpicky": True}


def stale(root: Path) -> list[str]:
    """Return what is wrong with notebooks/, a line for each file."""
    problems = []
    for path, text in made(root).items():
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
