"""Train the networks of "Transfer" with more examples, at other rates, and cut at each layer.

usage: OMP_NUM_THREADS=1 DLBOOK_DATA=... python -m tools.records.transfer

Runs the page's own cells up to the last function that is needed, then, as the part of a line says:

- rates: fresh and fine-tuned networks at six rates, and readouts at eight strengths of decay, on
  seeds that the page does not use, asked about training pictures that they did not draw;
- labels: all arms with 1 to 500 examples of a class, at the page's rates and decays, from 100 on at
  those that were best with 100;
- layers: the first k layers from the source network, frozen or trained on, or random and frozen;
- clothes: a source network trained on clothes instead of photographs.

Appends a line per run to records/transfer.jsonl; runs that stand there already are left out, so
that the command can be stopped and called again. About eight minutes on one core.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from statistics import mean
from typing import Any

from dlbook_utils import records
from dlbook_utils.foundations.linear import evaluate
from dlbook_utils.page.devices import device
from dlbook_utils.records import ledger, provenance
from dlbook_utils.runner import feed
from tools.execute import ROOT
from tools.records.workshop import DRAWS, workshop

RECORD = records.folder() / "transfer.jsonl"
PAGE = ROOT / "book" / "vision" / "transfer.md"
LAST = "def cut_net("  # in the last cell that is needed
SKIPPED = (*DRAWS, "claim(", "verdict(", "glue(", "scores = {", "records.load(")
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
DECAYS = (1e-5, 1e-4, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
NETS, READOUTS = ("fresh", "fine-tuned"), ("frozen", "random", "pixels")
SHUFFLED, MOVED = "shuffled", ("fine-tuned", "frozen")
SEEDS, SIZES, TRIED, CUT = range(3), (1, 3, 10, 30, 100, 500), (50, 51, 52, 53), 100
Run = tuple[str, str, str, int, float, int]  # part, task, arm, n, setting, seed


def runs(tasks: list[str]) -> Iterator[Run]:
    """Yield the runs; a setting of 0 is the page's own."""
    for task in tasks:
        for seed in TRIED:
            yield from (("rates", task, arm, 10, r, seed) for arm in NETS for r in RATES)
            yield from (("rates", task, arm, 10, d, seed) for arm in READOUTS for d in DECAYS)
        yield from (("rates", task, arm, CUT, r, TRIED[0]) for arm in NETS for r in RATES[1:5])
        yield from (("rates", task, arm, CUT, d, TRIED[0]) for arm in READOUTS for d in DECAYS)
    for task in tasks:
        yield from (("rates", task, SHUFFLED, 10, r, seed) for seed in TRIED[:2] for r in RATES)
        yield from (("labels", task, SHUFFLED, 10, 0, seed) for seed in SEEDS)
    for task in tasks:
        for seed in SEEDS:
            yield from (("labels", task, arm, n, 0, seed) for arm in NETS + READOUTS for n in SIZES)
    for task in tasks[::2]:  # the nearest and the farthest
        for seed in SEEDS:
            for arm in ("frozen", "fine-tuned", "random"):
                yield from (("layers", task, arm, CUT, k, seed) for k in range(1, 5))
    for seed in SEEDS:
        yield from (("clothes", task, arm, 10, 0, seed) for task in tasks for arm in MOVED)


def steps_for(page: dict[str, Any], n: int) -> int:
    """More steps for more examples: three times as many for 100 of a class, four for 500."""
    return page["STEPS"] * (1 if n < 100 else 3 if n < 500 else 4)


def set_source(page: dict[str, Any], name: str) -> None:
    """Have the page's source networks trained on known clothes, or on known photographs."""
    if page.get("origin", "photos") != name:
        page["train_source"].cache_clear()
        page["features_by"].cache_clear()
        page["source"] = page["grey_pictures"](page[name], page["KNOWN"], 5000)
    page["origin"] = name


@cache
def best(task: str, arm: str, n: int = CUT) -> float:
    """Return the setting with which an arm did best with n examples of a class, over the seeds."""
    scores = defaultdict(list)
    for row in ledger.read(RECORD):
        if (row["part"], row["task"], row["arm"], row["n"]) == ("rates", task, arm, n):
            scores[row["setting"]].append(row["accuracy"])
    return max(scores, key=lambda setting: mean(scores[setting]))


def cut(page: dict[str, Any], task: str, arm: str, few: Any, k: int, seed: int) -> float:
    """Train a network whose first k layers came from elsewhere; return its accuracy."""
    weights = (
        page["start_net"](1000 + seed).to(device()).state_dict()
        if arm == "random"
        else page["source_net"](seed).state_dict()
    )
    net = page["cut_net"](k, seed, weights, frozen=arm != "fine-tuned")
    rate = best(task, arm) if arm == "fine-tuned" else page["SETTINGS"][task]["fresh"]
    page["tune_net"](net, *few, steps_for(page, CUT), rate, seed)
    return evaluate(net, *page["TASKS"][task][1])["accuracy"]


def rest(pool: Any, few: Any) -> Any:
    """The pictures of a pool that were not drawn, a thousand at most, and their labels."""
    drawn = {tuple(x.flatten()[:200:7].tolist()) for x in few[0]}
    keep = [i for i, x in enumerate(pool[0]) if tuple(x.flatten()[:200:7].tolist()) not in drawn]
    keep = keep[:: max(1, len(keep) // 1000)]
    return pool[0][keep], pool[1][keep]


def scored(page: dict[str, Any], run: Run) -> dict[str, Any]:
    """Make one run and return its line."""
    part, task, arm, n, setting, seed = run
    set_source(page, "clothes" if part == "clothes" else "photos")
    start = time.process_time()
    pool, test = page["TASKS"][task]
    few = page["draw_few"](*pool, n, seed)
    if part == "layers":
        score = cut(page, task, arm, few, int(setting), seed)
    else:
        asked = rest(pool, few) if part == "rates" else test
        own = page["SETTINGS"][task][arm] if n < CUT else best(task, arm)
        setting = setting or (best(task, arm, n) if arm == SHUFFLED else own)
        score = page["arm_accuracy"](arm, task, few, asked, seed, steps_for(page, n), setting)
    origin = provenance.origin(
        device(), seed, feed.digest("cifar10"), round(time.process_time() - start, 1)
    )
    return {
        "part": part,
        "task": task,
        "arm": arm,
        "n": n,
        "setting": setting,
        "accuracy": round(score, 4),
        "examples": len(few[1]),
    } | origin


def main() -> None:
    os.environ.setdefault("DLBOOK_BUDGET", "cpu")
    done = {row["key"] for row in ledger.read(RECORD)} if RECORD.exists() else set()
    page = workshop(PAGE, LAST, SKIPPED)
    page["SOURCES"] = 1000  # a source network for each seed
    if not all(page[name].real for name in ("photos", "clothes", "sounds")):
        raise SystemExit("the record needs the real data; set DLBOOK_DATA")
    for run in runs([*page["TASKS"]]):
        key = "/".join(map(str, run))
        if key not in done:
            line = {"key": key} | scored(page, run)
            ledger.append(RECORD, line)
            print(key, line["accuracy"], flush=True)


if __name__ == "__main__":
    main()
