"""Imports run one way: `_toc.yml` is the order in which modules may use each other.

usage: python -m tools.layers

From top to bottom: tools; the engine of studies; the chapters' modules, the last one first; the
rooms of plumbing, which know no chapter. What lies higher may import what lies lower, never the
reverse. And no room has an import circle. import-linter looks; this file says what it looks for.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from importlinter.cli import lint_imports

from tools import toc
from tools.same_code import PACKAGE
from tools.toc import ROOT

ENGINE = f"{PACKAGE}.runner"
PLUMBING = (("data", "records"), ("page",))  # data says and guards as pages do
CIRCLE_FREE = ("page", "data", "records", "runner")


def layers(root: Path) -> list[str]:
    """Return what may import what, from the top to the bottom; rooms on one line know no other."""
    chapters = [f"{PACKAGE}.{toc.module(page)}" for page in toc.chapters(root)]
    built = [module for module in chapters if (root / f"{module.replace('.', '/')}.py").exists()]
    rooms = [" | ".join(f"{PACKAGE}.{room}" for room in row) for row in PLUMBING]
    return ["tools", ENGINE, *reversed(built), *rooms]


def settings(root: Path) -> str:
    """Return import-linter's configuration for the book at root."""
    lines = ["[importlinter]", "root_packages =", f"    {PACKAGE}", "    tools", ""]
    lines += ["[importlinter:contract:order]", "name = Imports run from later to earlier"]
    lines += ["type = layers", "layers =", *(f"    {layer}" for layer in layers(root)), ""]
    for room in CIRCLE_FREE:
        lines += [f"[importlinter:contract:{room}]", f"name = No import circle in {room}"]
        lines += ["type = acyclic_siblings", "ancestors =", f"    {PACKAGE}.{room}", ""]
    return "\n".join(lines)


def main(root: Path = ROOT) -> int:
    """Run import-linter; return its exit status."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / ".importlinter"
        file.write_text(settings(root), "utf-8")
        return lint_imports(config_filename=str(file), no_cache=True, no_logo=True)


if __name__ == "__main__":
    sys.exit(main(Path.cwd()))
