"""Tables: headings and rows of text, as Markdown for a terminal and as HTML for a page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from dlbook_utils import records
from dlbook_utils.page.notebook import display_bundle

MISSING = "not measured yet"
STAYS = "position:sticky;left:0;max-width:min(38rem,70vw)"  # in sight, however wide the table
LONG = 80  # characters; a column with such cells gets the width to hold them in a few lines


class Table(NamedTuple):
    """Headings of the columns, and rows of cells. `code` and <br> are understood in a cell."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The table as Markdown."""
        rule = "|---" * len(self.headings) + "|"
        return "\n".join([_line(self.headings), rule, *map(_line, self.rows)])

    def gathered(self) -> Table:
        """The table with those rows of which nothing has been measured named in one, the last."""
        empty = [row for row in self.rows if MISSING in row and not any(row[2:])]
        kept = [row for row in self.rows if row not in empty]
        names = ", ".join(row[0] for row in empty)
        return Table(self.headings, [*kept, [f"{MISSING}: {names}"]] if empty else kept)


def _line(cells: Sequence[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def protocol(heading: str, study: str = "cifar10") -> Table:
    """Return the first table below a heading that begins so, in the protocol beside the records.

    Raises ValueError, naming the headings that exist, if there is none.
    """
    text = (records.folder() / f"{study}-protocol.md").read_text("utf8")
    _, *parts = re.split(r"^#+ +(.+)$", text, flags=re.M)
    for name, section in zip(parts[::2], parts[1::2]):
        lines = [line for line in section.splitlines() if line.startswith("|")]
        if name.startswith(heading) and lines:
            headings, _, *rows = ([c.strip() for c in line.strip("|").split("|")] for line in lines)
            return Table(headings, rows)
    raise ValueError(f"no table under {heading!r}; the headings are {', '.join(parts[::2])}")


def show_table(headings: Sequence[str], rows: Iterable[Sequence[Any]], label: str) -> None:
    """Show a table, in a box of its own that scrolls where the page is narrow.

    Arguments:
        headings: of the columns.
        rows: cells; the first of a row is its heading, and a lone one takes the whole width.
        label: what the table is, for those who do not see it.
    """
    rows = [[str(cell) for cell in row] for row in rows]
    wide = [row for row in rows if len(row) > 1]
    wrong = [row for row in wide if len(row) != len(headings)]
    if wrong:
        raise ValueError(f"{len(headings)} headings, but {len(wrong[0])} cells in {wrong[0]}")
    columns = list(zip(*wide)) or [("",)] * len(headings)
    looks = ["", *map(_look, columns[1:])]
    head = "".join(
        f'<th scope="col"{look}>{_html(name)}</th>' for look, name in zip(looks, headings)
    )
    box = (
        f'<div role="region" tabindex="0" aria-label="{html.escape(label)}" '
        f'style="overflow-x:auto;margin:.4em 1em"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(_row(row, looks) for row in rows)}</tbody></table></div>"
    )
    plain = "\n".join(" | ".join(cells) for cells in [list(headings), *rows])
    display_bundle({"text/plain": plain, "text/html": box})


def _row(cells: Sequence[str], looks: Sequence[str]) -> str:
    first, *others = map(_html, cells)
    if not others:
        return f'<tr><td colspan="{len(looks)}"><div style="{STAYS}">{first}</div></td></tr>'
    rest = "".join(f"<td{look}>{cell}</td>" for look, cell in zip(looks[1:], others))
    return f'<tr><th scope="row" style="vertical-align:top">{first}</th>{rest}</tr>'


def _look(cells: Sequence[str]) -> str:
    """The attributes of a column: numbers are flush right, long texts need room."""
    if all(re.fullmatch(r"[-−+±]?[\d.,]+ ?%?", cell) for cell in cells):
        return ' class="text-right"'
    return ' style="min-width:18rem"' if max(map(len, cells)) > LONG else ""


def _html(text: str) -> str:
    """Escape a cell; `code` and <br> become what they mean."""
    text = html.escape(text, quote=False).replace("&lt;br&gt;", "<br>")
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
