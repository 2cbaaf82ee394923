"""Speeds of the book's code as ratios, both sides measured in turn in one run.

usage: python -m tools.bench [data|fit|import|study|book ...]      (default: all)

Machines differ and are shared, so a time says little and a ratio much: each round measures one
side and then the other, and the median of the rounds' ratios is printed with its goal.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

Row = tuple[str, float, str, str]  # name, value, unit, goal


def ratio(slow: Callable[[], object], fast: Callable[[], object], rounds: int = 7) -> float:
    """Return how many times longer `slow` takes than `fast`: the median over interleaved rounds."""
    slow(), fast()  # warm up
    return statistics.median(seconds(slow) / seconds(fast) for _ in range(rounds))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bench_data() -> Iterator[Row]:
    """Augmented loading against torchvision's PIL pipeline in a DataLoader."""
    from tools import bench_data

    for name, value, goal in bench_data.bench():
        yield name, value, "x", f">= {goal}"


def bench_fit() -> Iterator[Row]:
    """`fit` on a tiny MLP against a loop over a DataLoader, and against Lightning."""
    import torch

    from tools import bench_fit

    torch.set_num_threads(1)
    yield "fit / DataLoader loop", ratio(bench_fit.loader_loop, bench_fit.ours), "x", ">= 1.5"
    yield "fit / Lightning", ratio(bench_fit.lightning, bench_fit.ours, 5), "x", ">= 2"


def bench_import() -> Iterator[Row]:
    """What importing the package costs on top of torch, and what it must not import."""
    code = (
        "import time, torch, numpy; start = time.perf_counter(); "
        "from dlbook_utils import data, records; from dlbook_utils.foundations import linear; "
        "from dlbook_utils.page import check, device; print(time.perf_counter() - start)"
    )
    run = [sys.executable, "-c", code]
    times = [float(subprocess.check_output(run, text=True)) for _ in range(5)]
    yield "import dlbook_utils over torch", statistics.median(times), "s", "<= 0.15"


def bench_study() -> Iterator[Row]:
    """The study's engine: against a plain loop, Lightning, and the machine's matrix products."""
    from tools import bench_study

    for name, other, ours in bench_study.rivals():
        yield name, ratio(other, ours, 3), "x", "> 1"
    for name, share in bench_study.shares():
        yield name, 100 * share, "%", "-"
    if times := bench_study.seconds_to_89():
        yield "study, modern recipe on a CPU, recorded", statistics.mean(times), "s", "<= 90"


def bench_book() -> Iterator[Row]:
    """The book from nothing, then again with nothing changed."""
    from tools.execute import BUILD

    shutil.rmtree(BUILD / "cache", ignore_errors=True)
    shutil.rmtree(BUILD / "html", ignore_errors=True)
    shutil.rmtree(BUILD / ".doctrees", ignore_errors=True)
    make = [sys.executable, "-m", "tools.book"]

    def build() -> None:
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    yield "the book, cold", seconds(build), "s", "<= 900"
    yield "the book, nothing changed", seconds(build), "s", "<= 15"


GROUPS = {
    "data": bench_data,
    "fit": bench_fit,
    "import": bench_import,
    "study": bench_study,
    "book": bench_book,
}


def main() -> int:
    wanted = sys.argv[1:] or list(GROUPS)
    if unknown := set(wanted) - set(GROUPS):
        print(f"no bench named {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
        return 2
    os.environ.setdefault("DLBOOK_STRICT", "1")  # no progress bars
    for name in wanted:
        for label, value, unit, goal in GROUPS[name]():
            print(f"{label}: {value:.2f} {unit} (goal {goal} {unit})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
