"""Run chapters with their GPU budget as plain scripts: no Jupyter is needed, PyTorch is enough.

usage: python -m tools.records.chapters [--device cpu] [--cells] [--out FILE] [NAME ...]

NAME (default: all) is a notebook's, such as `foundations/mlp`. Each runs in a process of its own,
and adds a line to FILE (default: records/chapters.jsonl on a GPU, nothing on a CPU): time and peak
memory, the claims, and, if it broke off, where. With --cells the slowest cells are listed.
"""

from __future__ import annotations

import argparse
import json
import linecache
import math
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
CELL = ", code cell "  # between a notebook's name and a number: a cell's name in tracebacks
SETTINGS = {"MPLBACKEND": "Agg", "DLBOOK_STRICT": "", "DLBOOK_BUILD": ""}


def main() -> int:
    parser = argparse.ArgumentParser("python -m tools.records.chapters", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="default: a GPU, or nothing")
    parser.add_argument("--cells", action="store_true", help="list each chapter's slowest cells")
    parser.add_argument("--out", type=Path, help="the record to add to")
    parser.add_argument("--limit-seconds", type=float, help="begin no chapter after so long")
    parser.add_argument(
        "--chapter-seconds", type=float, default=900, help="stop a chapter after so long"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        Path(options.child).write_text(json.dumps(run(NOTEBOOKS / f"{options.names[0]}.ipynb")))
        return 0
    return every(options)


def every(options: argparse.Namespace) -> int:
    """Run the chapters asked for, one by one; returns 1 if one of them broke off."""
    import torch

    there = torch.cuda.is_available()
    if not there and options.device != "cpu":
        print("no GPU here: not measured. (--device cpu runs the chapters with their CPU budget)")
        return 0
    names = options.names or chapter_names()
    if unknown := sorted(set(names) - set(chapter_names())):
        print(f"no chapter {', '.join(unknown)}; there are {', '.join(chapter_names())}")
        return 2
    record = options.out or (None if options.device == "cpu" else ROOT / "records/chapters.jsonl")
    began, broken = time.monotonic(), 0
    for name in names:
        if options.limit_seconds and time.monotonic() - began > options.limit_seconds:
            print(f"{name}: the time is up")
            continue
        outcome = in_a_process(name, options.device, options.chapter_seconds)
        broken += bool(outcome["error"])
        print(summary(name, outcome, options.cells), flush=True)
        if record:
            write(record, name, outcome, options.device)
    return int(broken > 0)


def chapter_names() -> list[str]:
    """The notebooks' names, without their ending."""
    files = NOTEBOOKS.glob("*/*.ipynb")
    return sorted(p.relative_to(NOTEBOOKS).with_suffix("").as_posix() for p in files)


def in_a_process(
    name: str,
    device: str | None,
    limit: float,
    tool: str = "tools.records.chapters",
    settings: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run a chapter in a fresh process; what it found, or that it died or took over `limit` s.

    tool: the module that runs it, told the chapter's name and `--child FILE`.
    settings: variables of the process's environment.
    """
    environment = os.environ | SETTINGS | dict(settings or {})
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        command = [sys.executable, "-m", tool, name, "--child", str(path)]
        try:
            process = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit
            )
        except subprocess.TimeoutExpired:
            error = f"stopped after {limit} s"
            return {"error": error, "seconds": limit, "cells": [], "claims": [], "memory": {}}
        if path.exists():
            return json.loads(path.read_text())
    error = f"the process ended with status {process.returncode}: {process.stderr[-500:]}"
    return {"error": error, "seconds": 0.0, "cells": [], "claims": [], "memory": {}}


def run(path: Path) -> dict[str, Any]:
    """Run a notebook's code cells one after the other in this process, as a script would.

    Returns "seconds", the "cells" with their times, "claims" with their evidence, peak "memory" in
    bytes (of the GPU's tensors, and of the process), and "error": "" or what ended the run, where.
    """
    from dlbook_utils.page import claims

    shown: list[claims.Claim] = []
    claims._show = shown.append  # type: ignore[assignment]  # keep them, instead of printing boxes
    names: dict[str, Any] = {"__name__": "__main__"}
    times, error, began = [], "", time.perf_counter()
    for number, source in enumerate(code_cells(path), 1):
        start, place = time.perf_counter(), f"{path.name}{CELL}{number}"
        linecache.cache[place] = (len(source), None, source.splitlines(True), place)
        try:
            exec(compile(source, place, "exec"), names)
        except Exception as problem:
            where = _line(problem, place)
            error = f"code cell {number}, {where}: {type(problem).__name__}: {problem}"
            break
        finally:
            _close_figures()
            times.append([round(time.perf_counter() - start, 3), source.strip().split("\n")[0]])
    return {
        "seconds": round(time.perf_counter() - began, 2),
        "cells": times,
        "claims": [{k: v for k, v in asdict(c).items() if v} for c in shown if c.kind != "check"],
        "checks failed": [c.statement for c in shown if c.kind == "check" and not c.supported],
        "memory": _memory(),
        "error": error,
    }


def _line(problem: Exception, place: str) -> str:
    """The line of a cell that a problem comes from, and what stands there."""
    frames = [f for f in traceback.extract_tb(problem.__traceback__) if f.filename == place]
    if frames:
        return f"line {frames[-1].lineno}, {frames[-1].line}"
    return f"line {getattr(problem, 'lineno', '?')}"  # it was not even compiled


def code_cells(path: Path) -> Iterator[str]:
    """The sources of a notebook's code cells, but for the one that installs the package."""
    for cell in json.loads(path.read_text("utf8"))["cells"]:
        if cell["cell_type"] == "code" and "nbval-skip" not in cell["metadata"].get("tags", []):
            yield "".join(cell["source"])


def _close_figures() -> None:
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def _memory() -> dict[str, int]:
    import torch

    from dlbook_utils.records import provenance

    peaks = {"process": provenance.peak_memory(torch.device("cpu"))}
    if torch.cuda.is_available():
        peaks["gpu"] = torch.cuda.max_memory_allocated()
    return peaks


def summary(name: str, outcome: dict[str, Any], cells: bool) -> str:
    """A chapter in a line, and more lines for what did not hold and for its slowest cells."""
    memory = ", ".join(f"{key} {value / 2**30:.2f} GiB" for key, value in outcome["memory"].items())
    lines = [f"{name}: {outcome['seconds']:.1f} s; {memory}"]
    lines += [f"  broke off in {outcome['error']}"] if outcome["error"] else []
    lines += [f"  check fails: {statement}" for statement in outcome.get("checks failed", [])]
    for claim in outcome["claims"]:
        if claim.get("supported") is not True:
            lines.append(f"  {claim['kind']} {claim['outcome']}: {claim['statement']}")
            lines.append(f"    {claim.get('evidence', '')}")
    slowest = sorted(outcome["cells"], reverse=True)[: 12 if cells else 0]
    return "\n".join(lines + [f"  {seconds:6.2f} s  {line}" for seconds, line in slowest])


def write(record: Path, name: str, outcome: dict[str, Any], device: str | None) -> None:
    """Add a chapter's run to a record, with its provenance."""
    import torch

    from dlbook_utils.records import ledger, provenance

    seed = int(os.environ.get("DLBOOK_SEED_OFFSET", "0"))
    where = provenance.origin(
        torch.device(device or "cuda"), seed, "as the chapter names them", outcome["seconds"]
    )
    key = f"{name} {where['device']} {where['date']}"
    line = {"key": key, "chapter": name, **outcome, **where}
    line |= {"cells": sorted(outcome["cells"], reverse=True)[:5]}
    line["claims"] = [
        claim | {"margin": None} if not math.isfinite(claim.get("margin") or 0) else claim
        for claim in outcome["claims"]
    ]
    ledger.append(record, line)


if __name__ == "__main__":
    sys.exit(main())
