"""What a page shows of a study: its tables, the protocol's, and how much has been measured."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlbook_utils import records
from dlbook_utils.page.notebook import display_bundle

from . import grids, report
from .settings import Setting, from_dict
from .workers import recorded

Rows = list[list[str]]
STAYS = "position:sticky;left:0;max-width:min(38rem,70vw)"  # in sight, however wide the table
LONG = 80  # characters; a column with such cells gets the width to hold them in a few lines


def table_in(markdown: str, heading: str) -> tuple[list[str], Rows]:
    """Return headings and rows of the first table below a Markdown heading that begins so.

    Raises ValueError, naming the headings that exist, if there is none.
    """
    parts = re.split(r"^#+ +(.+)$", markdown, flags=re.M)
    sections = dict(zip(parts[1::2], parts[2::2]))
    for name, text in sections.items():
        lines = [line for line in text.splitlines() if line.startswith("|")]
        if name.startswith(heading) and len(lines) > 1:
            headings, _, *rows = (_cells(line) for line in lines)
            return headings, rows
    raise ValueError(f"no table under {heading!r}; the headings are {', '.join(sections)}")


def show_table(headings: Sequence[str], rows: Iterable[Sequence[Any]], label: str) -> None:
    """Show a table, in a box of its own that scrolls where the page is narrow.

    Arguments:
        headings: of the columns.
        rows: cells; the first of a row is its heading, and a lone one takes the whole width.
            `code` and <br> are understood.
        label: what the table is, for those who do not see it.
    """
    rows = [[str(cell) for cell in row] for row in rows]
    wide = [row for row in rows if len(row) > 1]
    wrong = [row for row in wide if len(row) != len(headings)]
    if wrong:
        raise ValueError(f"{len(headings)} headings, but {len(wrong[0])} cells in {wrong[0]}")
    columns = list(zip(*wide)) or [("",)] * len(headings)
    kinds = ["", *map(_kind, columns[1:])]
    head = "".join(f'<th scope="col"{k}>{_html(cell)}</th>' for k, cell in zip(kinds, headings))
    body = ""
    for first, *others in rows:
        if others:
            cells = "".join(f"<td{k}>{_html(cell)}</td>" for k, cell in zip(kinds[1:], others))
            body += (
                f'<tr><th scope="row" style="vertical-align:top">{_html(first)}</th>{cells}</tr>'
            )
        else:
            text = f'<div style="{STAYS}">{_html(first)}</div>'
            body += f'<tr><td colspan="{len(headings)}">{text}</td></tr>'
    box = (
        f'<div role="region" tabindex="0" aria-label="{html.escape(label)}" '
        f'style="overflow-x:auto;margin:.4em 1em"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
    plain = "\n".join(" | ".join(cells) for cells in [list(headings), *rows])
    display_bundle({"text/plain": plain, "text/html": box})


def gathered(rows: Sequence[Sequence[str]]) -> Rows:
    """Name those of which nothing has been measured in one row, the last."""
    empty = [row for row in rows if report.MISSING in row and not any(row[2:])]
    kept = [list(row) for row in rows if row not in empty]
    names = ", ".join(row[0] for row in empty)
    return [*kept, [f"{report.MISSING}: {names}"]] if empty else kept


def protocol(study: str = "cifar10") -> str:
    """Return the protocol of a study, which stands beside its records, as Markdown."""
    return (records.folder() / f"{study}-protocol.md").read_text("utf8")


def runs(study: str = "cifar10", folder: Path | None = None) -> list[dict[str, Any]]:
    """Return the recorded runs of a study; none is no error."""
    return recorded(study, folder or records.folder())


def results(study: str = "cifar10", folder: Path | None = None) -> str:
    """Return the study's tables and verdicts as Markdown (see `report.tables`)."""
    return report.tables(study, folder or records.folder())


def coverage(found: Sequence[dict[str, Any]], study: str = "cifar10") -> dict[str, tuple[int, int]]:
    """Return for each arm how many of its runs are recorded, and of how many that can be named.

    A run in another precision counts as the run. An arm whose runs wait for others, as yet, has
    none that can be named.
    """
    had = {_whatever_precision(from_dict(run["setting"])) for run in found}
    counts = dict.fromkeys(grids.ARMS, (0, 0)) if study == "cifar10" else {}
    choosing = [run for run in found if run["setting"]["arm"] in grids.CHOOSING]
    for setting in dict.fromkeys(map(_whatever_precision, grids.STUDIES[study](choosing))):
        done, named = counts.get(setting.arm, (0, 0))
        counts[setting.arm] = done + (setting in had), named + 1
    return counts


def _whatever_precision(setting: Setting) -> Setting:
    return replace(setting, amp="fp32")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _kind(cells: Sequence[str]) -> str:
    """The attributes of a column: numbers are flush right, long texts need room."""
    if all(re.fullmatch(r"[-−+±]?[\d.,]+ ?%?", cell) for cell in cells):
        return ' class="text-right"'
    return ' style="min-width:18rem"' if max(map(len, cells)) > LONG else ""


def _html(text: str) -> str:
    """Escape a cell; `code` and <br> become what they mean."""
    text = html.escape(text, quote=False).replace("&lt;br&gt;", "<br>")
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
