"""What a run left behind: glued values for the text, and outputs that nbval compares."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

from nbformat import NotebookNode

COMPARED = "compare-output"
GLUE = "application/papermill.record/"


def glued(ran: NotebookNode | None) -> dict[str, str]:
    """Return the values that an executed chapter has glued, by name."""
    found = {}
    for _, outputs in known(ran):
        for output in outputs:
            name = output.get("metadata", {}).get("scrapbook", {}).get("name")
            if name:
                data = output["data"]
                text = next(
                    data[kind] for kind in (f"{GLUE}text/plain", "text/plain") if kind in data
                )
                found[name] = text.strip("'\"")
    return found


def stored_values(old: NotebookNode | None) -> dict[str, str]:
    """Return the glued values that a notebook's text holds already."""
    return dict(old.metadata.get("dlbook", {}).get("glue", {})) if old else {}


def known(node: NotebookNode | None) -> list[tuple[str, list[NotebookNode]]]:
    """Return code and outputs of each code cell, the installing one apart."""
    cells = [cell for cell in node.cells if cell.cell_type == "code"] if node else []
    return [
        (_code(cell), cell.get("outputs", []))
        for cell in cells
        if "nbval-skip" not in cell.metadata.get("tags", [])
    ]


def fill(new: NotebookNode, *runs: list[tuple[str, list[NotebookNode]]]) -> None:
    """Give compared cells their outputs, from the last of `runs` with the same code up to there."""
    cells = [
        cell
        for cell in new.cells
        if cell.cell_type == "code" and "nbval-skip" not in cell.metadata.get("tags", [])
    ]
    for run in runs:
        for cell, (code, outputs) in zip(cells, run):
            if _code(cell) != code:
                break
            if COMPARED in cell.metadata.get("tags", []) and outputs:
                cell.outputs = list(_plain(outputs, cell))
    count = 0
    for cell in cells:
        if cell.outputs:
            count += 1
            cell.execution_count = (
                count  # nbval takes a cell without a count for one that never ran
            )
    for cell in cells:
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = cell.execution_count


def _code(cell: NotebookNode) -> str:
    """Return a cell's code without the title that only Colab's form needs."""
    return cell.source.removeprefix("#@title Solution\n").strip()


def _plain(outputs: list[NotebookNode], cell: NotebookNode) -> Iterator[NotebookNode]:
    """Yield outputs that can be compared: text only, pieces of one stream joined."""
    last = None
    for output in deepcopy(outputs):
        kinds = set(output.get("data", {})) - {"text/plain"}
        if kinds or output.output_type == "error":
            found = ", ".join(sorted(kinds)) or "an error"
            raise ValueError(f"tagged {COMPARED}, but its output has {found}:\n{cell.source}")
        if last and output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
            continue
        if last:
            yield last
        last = output
    if last:
        yield last
