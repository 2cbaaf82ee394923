"""Results of runs too long for a page: JSON lines with their provenance, read where they are drawn.

They stand in ``records/`` of a checkout and travel inside the installed package, so that a page
finds them in Colab, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PROVENANCE = ("device", "driver", "versions", "seed", "seconds", "data", "commit", "date")


def folder() -> Path:
    """Return the folder of records: of the installed wheel, else of the checkout."""
    package = Path(__file__).parent
    packed = package / "_records"
    return packed if packed.is_dir() else package.parent / "records"


def load(study: str) -> list[dict[str, Any]]:
    """Return the runs recorded for a study, one dict per line of ``records/<study>.jsonl``.

    Raises FileNotFoundError, naming the studies that exist, and ValueError for a damaged line.
    """
    path = folder() / f"{study}.jsonl"
    if not path.exists():
        known = sorted(p.stem for p in folder().glob("*.jsonl")) or ["none yet"]
        raise FileNotFoundError(f"no record of a study {study!r}; recorded: {', '.join(known)}")
    return [_parse(line, path, n) for n, line in enumerate(path.read_text("utf8").splitlines(), 1)]


def _parse(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        run = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name}, line {number} is damaged: {error}") from error
    missing = [key for key in PROVENANCE if key not in run]
    if missing:
        raise ValueError(f"{path.name}, line {number} lacks its {', '.join(missing)}")
    return run
