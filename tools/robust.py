"""Run the chapters under other seeds, threads and instruction sets, and show each claim's margin.

usage: python -m tools.robust [CHAPTER.md ...]      (default: every chapter)

That a claim held once, here, proves little: sums come out differently from the sixth digit on with
another number of threads or other instructions, and everything does with another seed.

All chapters take hours. Each run is kept in ``_build/robust.jsonl`` as it ends, so that a command
that is stopped goes on where it was, as long as the chapter's code is the same. A chapter whose
runs are complete gets a line in ``records/robust.jsonl``, which the page of claims shows.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.execute import ROBUST_RECORD, ROOT, chapters, claims, environment, read, run_cells

OFFSETS, THREADS, CAPABILITIES = (0, 1, 2), (1, 2), ("default", "avx2")
PIECES = Path("_build") / ROBUST_RECORD


def settings() -> list[dict[str, str]]:
    """Return the environments to run under: seeds x threads x instruction sets."""
    names = ("OMP_NUM_THREADS", "DLBOOK_SEED_OFFSET", "ATEN_CPU_CAPABILITY")
    combined = itertools.product(THREADS, OFFSETS, CAPABILITIES)
    return [dict(zip(names, map(str, values), strict=True)) for values in combined]


def run(path: Path, setting: dict[str, str]) -> list[dict]:
    """Return the claims of a chapter under one setting; a crash counts as one failed claim."""
    threads = {"MKL_NUM_THREADS": setting.get("OMP_NUM_THREADS", "1")}
    env = os.environ | environment() | {"DLBOOK_STRICT": "0"} | threads | setting
    notebook = read(path)
    try:
        run_cells(notebook, path.parent, timeout=900, env=env)
    except Exception as error:
        crash = {"statement": f"runs to its end ({error})", "supported": False, "margin": None}
        return [*claims(notebook), crash]
    return claims(notebook)


def name(path: Path) -> str:
    """Return the chapter's name and the digest of its code: what its runs are kept under."""
    cells = (cell.source for cell in read(path).cells if cell.cell_type == "code")
    digest = hashlib.sha256("\0".join(cells).encode()).hexdigest()[:12]
    return f"{path.relative_to(ROOT).with_suffix('').as_posix()} {digest}"


def line(key: str, seconds: float, shown: dict) -> dict:
    """Return a line of a record: `shown` under `key`, with where it was made."""
    import torch

    from dlbook_utils import data
    from dlbook_utils.records import provenance

    made = provenance.origin(torch.device("cpu"), 0, data.fingerprint(), round(seconds, 1))
    return made | {"key": key} | shown


def kept(path: Path, setting: dict[str, str]) -> list[dict]:
    """Return the claims of a chapter under one setting, from an earlier run if there is one."""
    from dlbook_utils.records import ledger

    pieces = ROOT / PIECES
    key = " ".join([name(path), *(f"{k}={v}" for k, v in sorted(setting.items()))])
    for piece in ledger.read(pieces):
        if piece["key"] == key:
            return piece["claims"]
    start = time.perf_counter()
    stated = run(path, setting)
    ledger.append(pieces, line(key, time.perf_counter() - start, {"claims": stated}))
    return stated


def outcomes(path: Path) -> Iterator[tuple[dict, dict[str, str]]]:
    """Yield every claim under every setting; two kernels at a time where each has one thread."""
    for threads, group in itertools.groupby(settings(), lambda s: s.get("OMP_NUM_THREADS")):
        same = list(group)
        with ThreadPoolExecutor(2 if threads == "1" else 1) as pool:
            runs = list(pool.map(lambda setting: kept(path, setting), same))
        yield from ((item, setting) for stated, setting in zip(runs, same) for item in stated)


def table(path: Path) -> list[dict]:
    """Print a line per claim, in how many runs it held and its least margin; return the same."""
    runs = defaultdict(list)
    for item, setting in outcomes(path):
        runs[item["statement"]].append((item, setting))
    rows = []
    for statement, seen in runs.items():
        bad = [setting for item, setting in seen if item["supported"] is False]
        margins = [item["margin"] for item, _ in seen if item["margin"] is not None]
        least = round(min(margins), 2) if margins else None
        held = len(seen) - len(bad)
        tail = "" if least is None else f"   least margin {least:.1f} s.e."
        print(f"  {held:2d}/{len(seen)}  {statement}{tail}", flush=True)
        for setting in bad:
            print("         fails with", " ".join(f"{k}={v}" for k, v in setting.items()))
        rows.append({"statement": statement, "held": held, "runs": len(seen), "least": least})
    return rows


def spent(path: Path) -> float:
    """Return how many seconds the chapter's runs took together, earlier ones with them."""
    from dlbook_utils.records import ledger

    pieces = ledger.read(ROOT / PIECES)
    return sum(piece["seconds"] for piece in pieces if piece["key"].startswith(name(path)))


def record(path: Path, rows: list[dict], seconds: float) -> None:
    """Add a chapter's table to the record, once for the same code."""
    from dlbook_utils.records import ledger

    key = name(path)
    shown = {"page": key.split()[0], "settings": len(settings()), "claims": rows}
    ledger.append(ROOT / "records" / ROBUST_RECORD, line(key, seconds, shown))


def main() -> int:
    if any(word.startswith("-") for word in sys.argv[1:]):
        print(__doc__)
        return 2
    paths = [Path(word).resolve() for word in sys.argv[1:]] or chapters()
    failures = 0
    for path in paths:
        print(path.relative_to(ROOT), flush=True)
        rows = table(path)
        record(path, rows, spent(path))
        failures += sum(row["runs"] - row["held"] for row in rows)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
