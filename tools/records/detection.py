"""Train the detectors of "Detection" for longer than the page does, and at other rates.

usage: OMP_NUM_THREADS=1 DLBOOK_DATA=... python -m tools.records.detection

Runs the page's own cells up to the training, then each of its arms for five times as many steps,
and the arms of "What breaks" for as many as the page, at four rates; three seeds each. The arm
"quarter" is no arm of the page: its scores have a quarter of the usual weight in the loss.

Appends a line per run to records/detection.jsonl; runs that stand there already are left out, so
that the command can be stopped and called again. About three minutes on one core.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from dlbook_utils import records
from dlbook_utils.page.devices import device
from dlbook_utils.records import ledger, provenance
from dlbook_utils.runner import feed
from tools.execute import ROOT
from tools.records.workshop import sources_of, workshop

RECORD = records.folder() / "detection.jsonl"
PAGE = ROOT / "book" / "vision" / "detection.md"
LAST = "def mean_precision("  # in the last cell that is needed but for the arms
RATES = (0.005, 0.015, 0.04, 0.12)
BROKEN = ("usual", "focal", "even start")


def with_arms() -> dict[str, Any]:
    """Return what the page's cells define, up to its detector, its scenes and its arms."""
    names = workshop(PAGE, LAST)
    (arms,) = (source for source in sources_of(PAGE) if "ARMS = {" in source)
    exec(compile(arms.split("@cache")[0], str(PAGE), "exec"), names)
    entropies = names["entropies"]
    names["ARMS"]["quarter"] = {"score_loss": lambda z, target: entropies(z, target) / 4}
    return names


def runs(few: int, seeds: range) -> Iterator[tuple[str, int, float | None, int]]:
    """Yield (arm, steps, rate, seed) of each run; a rate of None is the arm's own."""
    for seed in seeds:
        for arm in (*BROKEN, "one place", "no scraps", "quarter"):
            yield arm, 5 * few, None, seed
        for arm in BROKEN:
            yield from ((arm, few, rate, seed) for rate in RATES)


def graded(page: dict[str, Any], arm: str, steps: int, rate: float | None, seed: int) -> dict:
    """Train one detector and return its grades, with the provenance of the run."""
    options = {"scenes": page["scenes"]} | page["ARMS"][arm] | {"steps": steps}
    options |= {} if rate is None else {"rate": rate}
    start, truth = time.process_time(), page["truth"]
    net = page["fit_detector"](seed=seed, **options)
    found = page["find_boxes"](net, truth[0])
    asked: dict[str, dict] = {"map": {}, "strict": {"least": 0.75}, "bare": {"most": 1}}
    grades = {n: round(page["mean_precision"](found, truth, **o), 4) for n, o in asked.items()}
    seconds = round(time.process_time() - start, 1)
    origin = provenance.origin(device(), seed, feed.digest("fashion-mnist"), seconds)
    return {"arm": arm, "steps": steps, "rate": rate} | grades | origin


def main() -> None:
    os.environ.setdefault("DLBOOK_BUDGET", "cpu")
    done = {row["key"] for row in ledger.read(RECORD)} if RECORD.exists() else set()
    page = with_arms()
    if not page["clothes"].real:
        raise SystemExit("the record needs the real Fashion-MNIST; set DLBOOK_DATA")
    for run in runs(page["FEW"], page["SEEDS"]):
        key = "/".join(map(str, run))
        if key not in done:
            line = {"key": key} | graded(page, *run)
            ledger.append(RECORD, line)
            print(key, line["map"], line["strict"], line["bare"], flush=True)


if __name__ == "__main__":
    main()
