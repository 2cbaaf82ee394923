"""What a run left behind: glued values for the text, outputs that nbval compares, previews."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy

from nbformat import NotebookNode

from dlbook_notebooks.previews import previews

COMPARED = "compare-output"
DRAWN = "nbval-ignore-output"  # a cell that draws: nbval would miss its SVG among the outputs
UNSHOWN = "no-preview"  # its picture shows data whose licence forbids a copy in this repository
GLUE = "application/papermill.record/"


def glued(ran: NotebookNode | None) -> dict[str, str]:
    """Return the values that an executed chapter has glued, by name."""
    values = {}
    for output in (output for _, outputs in known(ran) for output in outputs):
        name = output.get("metadata", {}).get("scrapbook", {}).get("name")
        if name:
            data = output["data"]
            text = data.get(f"{GLUE}text/plain", data.get("text/plain", ""))
            values[name] = text.strip("'\"")
    return values


def stored_values(old: NotebookNode | None) -> dict[str, str]:
    """Return the glued values that a notebook's text holds already."""
    return dict(old.metadata.get("dlbook", {}).get("glue", {})) if old else {}


def known(node: NotebookNode | None) -> list[tuple[str, list[NotebookNode]]]:
    """Return code and outputs of each code cell, the installing one apart."""
    cells = [cell for cell in node.cells if _runs(cell)] if node else []
    return [(_code(cell), cell.get("outputs", [])) for cell in cells]


def fill(new: NotebookNode, *runs: list[tuple[str, list[NotebookNode]]]) -> None:
    """Give cells that are compared or draw their outputs.

    They come from the last of `runs` whose code is the same up to there. A cell tagged UNSHOWN
    keeps its picture to the page: nothing of it is stored.
    """
    cells = [cell for cell in new.cells if _runs(cell)]
    for run in runs:
        for cell, (code, outputs) in zip(cells, run):
            if _code(cell) != code:
                break
            tags = cell.metadata.get("tags", [])
            if COMPARED in tags and outputs:
                cell.outputs = list(_plain(outputs, cell))
            elif DRAWN in tags and UNSHOWN not in tags:
                cell.outputs = previews(outputs, cell.metadata.get("alt", ""))
    filled = [cell for cell in cells if cell.outputs]
    for count, cell in enumerate(filled, 1):
        cell.execution_count = count  # to nbval a cell without a count is one that never ran
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count


def _runs(cell: NotebookNode) -> bool:
    """Whether a cell holds code, the installing one apart."""
    return cell.cell_type == "code" and "nbval-skip" not in cell.metadata.get("tags", [])


def _code(cell: NotebookNode) -> str:
    """Return a cell's code without the title that only Colab's form needs."""
    return re.sub(r"\A#@title [^\n]*\n", "", cell.source).strip()


def _plain(outputs: list[NotebookNode], cell: NotebookNode) -> Iterator[NotebookNode]:
    """Yield outputs that can be compared: text only, pieces of one stream joined."""
    last = None
    for output in deepcopy(outputs):
        kinds = set(output.get("data", {})) - {"text/plain"}
        if kinds or output.output_type == "error":
            rich = ", ".join(sorted(kinds)) or "an error"
            raise ValueError(f"tagged {COMPARED}, but its output has {rich}:\n{cell.source}")
        if last and output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
            continue
        if last:
            yield last
        last = output
    if last:
        yield last
