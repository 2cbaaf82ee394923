"""Results of runs too long for a page: JSON lines with their provenance, read where they are drawn.

They stand in ``records/`` of a checkout and travel inside the installed package, so that a page
finds them in Colab, too. ``load`` is for pages; what makes a record adds to it with
``ledger.append`` and says where it was made with ``provenance.origin``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dlbook_utils.records import ledger


def folder() -> Path:
    """Return the folder of records: of the installed wheel, else of the checkout."""
    package = Path(__file__).parents[1]
    packed = package / "_records"
    return packed if packed.is_dir() else package.parent / "records"


def load(study: str) -> list[dict[str, Any]]:
    """Return the runs recorded for a study, one dict per line of ``records/<study>.jsonl``.

    Raises FileNotFoundError, naming the studies that exist, and ``ledger.Damaged``, a ValueError,
    for a line that is damaged or has no provenance.
    """
    path = folder() / f"{study}.jsonl"
    if not path.exists():
        known = sorted(p.stem for p in folder().glob("*.jsonl")) or ["none yet"]
        raise FileNotFoundError(f"no record of a study {study!r}; recorded: {', '.join(known)}")
    return ledger.parse(path, path.read_bytes())
