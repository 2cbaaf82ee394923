"""Run the chapters under other seeds, threads and instruction sets, and show each claim's margin.

usage: python -m tools.robust [CHAPTER.md ...]      (default: every chapter)

That a claim held once, here, proves little: sums come out differently from the sixth digit on with
another number of threads or other instructions, and everything does with another seed.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.execute import ROOT, chapters, claims, environment, read, run_cells

OFFSETS, THREADS, CAPABILITIES = (0, 1, 2), (1, 2), ("default", "avx2")


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


def outcomes(path: Path) -> list[tuple[dict, dict[str, str]]]:
    """Return every claim under every setting; two kernels at a time where each has one thread."""
    pairs = []
    for threads, group in itertools.groupby(settings(), lambda s: s.get("OMP_NUM_THREADS")):
        same = list(group)
        with ThreadPoolExecutor(2 if threads == "1" else 1) as pool:
            runs = list(pool.map(lambda setting: run(path, setting), same))
        pairs += [(item, setting) for shown, setting in zip(runs, same) for item in shown]
    return pairs


def table(path: Path) -> int:
    """Print a line per claim: in how many runs it held, and its least margin. Return failures."""
    runs = defaultdict(list)
    for item, setting in outcomes(path):
        runs[item["statement"]].append((item, setting))
    failures = 0
    for statement, seen in runs.items():
        bad = [setting for item, setting in seen if item["supported"] is False]
        margins = [item["margin"] for item, _ in seen if item["margin"] is not None]
        least = f"   least margin {min(margins):.1f} s.e." if margins else ""
        print(f"  {len(seen) - len(bad):2d}/{len(seen)}  {statement}{least}", flush=True)
        for setting in bad:
            failures += 1
            print("         fails with", " ".join(f"{k}={v}" for k, v in setting.items()))
    return failures


def main() -> int:
    paths = [Path(name).resolve() for name in sys.argv[1:]] or chapters()
    failures = 0
    for path in paths:
        print(path.relative_to(ROOT), flush=True)
        failures += table(path)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
