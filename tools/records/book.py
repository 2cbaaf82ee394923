"""How long the whole book takes: a line of records/book.jsonl from the last whole build.

usage: python -m tools.records.book

`make book` leaves the time, with its provenance, when it has executed every chapter; this keeps
it. No page reads the record, so that none runs again because of it; README's opening does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dlbook_utils.records import ledger
from tools.book import LAST_BUILD
from tools.execute import BOOK_RECORD
from tools.toc import ROOT


def main(root: Path = ROOT) -> int:
    """Add the last whole build to the record, once; return the exit status."""
    path = root / LAST_BUILD
    if not path.exists():
        print(f"no {LAST_BUILD}: remove _build/cache, then run make book", file=sys.stderr)
        return 1
    run = json.loads(path.read_text("utf-8"))
    added = ledger.append(root / "records" / BOOK_RECORD, run)
    print(f"{run['key']}: {run['seconds']:.0f} s, {'added' if added else 'stands there already'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
