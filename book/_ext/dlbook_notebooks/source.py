"""How a chapter is read for its notebook: no cell is run, but each has the figures that it draws.

Figures get their numbers, and references to them their texts, from nodes that myst-nb makes of
outputs. A cell that was not run has none, so it is given empty ones, made from what it says of
them itself: in its options, or in its call of ``explore``.
"""

from __future__ import annotations

import ast
from typing import Any

from dlbook_site import reporting
from docutils import nodes
from myst_nb.core.read import read_myst_markdown_notebook
from nbformat import NotebookNode
from nbformat.v4 import new_output
from sphinx.util.docutils import SphinxRole

from dlbook_utils.page.mime import FRAMES


class glued_node(nodes.Inline, nodes.TextElement):
    """Where a glued value goes: its name, and how to format it."""


class Glued(SphinxRole):
    """``{glue:text}`name:.2f```: leaves the place, since no value is computed here."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the place."""
        name, _, form = self.text.strip().partition(":")
        attributes = {"name": name, "format": form, "classes": ["pasted-text"]}  # as on the site
        return [glued_node(self.rawtext, **attributes)], []


def load(text: str) -> NotebookNode:
    """Return a page as myst-nb reads it, with empty figures, and no cell hidden or left out."""
    notebook = read_myst_markdown_notebook(text, add_source_map=True)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata.pop("tags", None)
            cell.outputs = outputs(cell)
    return notebook


def outputs(cell: NotebookNode) -> list[NotebookNode]:
    """Return an empty output for each figure that a cell draws."""
    data: list[dict[str, Any]] = [{FRAMES: _frames(call)} for call in explored(cell.source)]
    if cell.metadata.get("mystnb", {}).get("figure"):
        data.insert(0, {"text/plain": ""})
    return [new_output("display_data", bundle) for bundle in data]


def draws(cell: NotebookNode) -> bool:
    """Whether a cell says that it draws."""
    own = cell.metadata.get("mystnb", {})
    return bool(own.get("figure") or own.get("image") or explored(cell.source))


def explored(code: str) -> list[ast.Call]:
    """Return the calls of ``explore`` in a cell."""
    if "explore(" not in code:
        return []
    calls = [node for node in ast.walk(reporting.parsed(code)) if isinstance(node, ast.Call)]
    return [call for call in calls if ast.unparse(call.func).split(".")[-1] == "explore"]


def unclear(code: str) -> list[str]:
    """Return what calls of ``explore`` in a cell tell the page by more than a plain string."""
    words = [item for call in explored(code) for item in _words(call).items()]
    return [name for name, value in words if not isinstance(value, ast.Constant)]


def _words(call: ast.Call) -> dict[str, ast.expr]:
    return {word.arg: word.value for word in call.keywords if word.arg in ("name", "caption")}


def _frames(call: ast.Call) -> dict[str, Any]:
    """Return what ``explore`` would show, without a frame."""
    empty: dict[str, Any] = {"label": "", "values": [], "frames": [], "alts": []}
    return empty | {name: getattr(value, "value", "") for name, value in _words(call).items()}
