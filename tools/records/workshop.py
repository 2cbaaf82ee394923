"""What a page's own cells define, for a record that goes on with it: one code for both."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tools.execute import read

DRAWS = ("plt.show()", "check(")  # cells that only draw or compare


def sources_of(page: Path) -> list[str]:
    """Return the code of a page's cells."""
    return [cell.source for cell in read(page).cells if cell.cell_type == "code"]


def workshop(page: Path, last: str, skipped: Iterable[str] = DRAWS) -> dict[str, Any]:
    """Return the names after a page's cells have run, up to the first one that holds `last`.

    Cells that hold one of `skipped` are left out. Raises ValueError if no cell holds `last`.
    """
    sources = sources_of(page)
    ends = [number for number, source in enumerate(sources, 1) if last in source]
    if not ends:
        raise ValueError(f"no cell of {page.name} holds {last!r}")
    names: dict[str, Any] = {}
    for source in sources[: ends[0]]:
        if not any(word in source for word in skipped):
            exec(compile(source, str(page), "exec"), names)
    return names
