"""Train the towers of "CNNs after ResNet" for longer than the page does, and on CIFAR-10.

usage: OMP_NUM_THREADS=1 DLBOOK_DATA=... python -m tools.records.after_resnet [PART ...]

Runs the page's own cells up to the training, then three parts (default: all, in this order):

    rate    each arm at three rates, as many steps as the page, two seeds; judged on 4,000
            training pictures of Fashion-MNIST that were held out
    long    each arm at the page's rate, three times the steps, three seeds; judged on 4,000 test
            pictures
    cifar   the same on CIFAR-10, three of the arms

Appends a line per run to records/after_resnet.jsonl; runs that stand there already are left out,
so that the command can be stopped and called again. About four minutes on one core.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from dlbook_utils import data, records
from dlbook_utils.foundations.linear import evaluate
from dlbook_utils.page.devices import device, seed_everything
from dlbook_utils.records import ledger, provenance
from dlbook_utils.runner import feed
from tools.execute import ROOT
from tools.records.workshop import DRAWS, workshop

RECORD = records.folder() / "after_resnet.jsonl"
PAGE = ROOT / "book" / "vision" / "after-resnet.md"
LAST = "def teach_tower("  # in the last cell that is needed
PARTS = ("rate", "long", "cifar")
RATES = (0.003, 0.01, 0.03)
TRAINED, TESTED = 20_000, 4_000
SOME = ("basic", "separable", "inverted")
LONG = 3  # times the page's steps


def pictures(name: str, split: str, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """Return some pictures of a data set, normalised, with their labels, where they are used."""
    part: Any = data.load(name, split)[start:stop]
    if not part.real:
        raise SystemExit(f"the record needs the real {name}; set DLBOOK_DATA")
    x = part.inputs(device()).contiguous(memory_format=torch.channels_last)
    return x, part.y.to(device())


def runs(parts: list[str], few: int, arms: Iterable[str], rate: float) -> Iterator[tuple]:
    """Yield (part, arm, steps, rate, seed) of each run."""
    for part in parts:
        if part == "rate":
            yield from ((part, a, few, r, s) for a in arms for r in RATES for s in (10, 11))
        else:
            chosen = arms if part == "long" else SOME
            yield from ((part, a, LONG * few, rate, s) for s in (0, 1, 2) for a in chosen)


def trained(page: dict[str, Any], part: str, arm: str, steps: int, rate: float, seed: int) -> dict:
    """Train one tower and return its error, with its size and the provenance of the run."""
    name = "fashion-mnist" if part in ("rate", "long") else "cifar10"
    x, y = pictures(name, "train", 0, TRAINED)
    if part == "rate":
        unseen = pictures(name, "train", TRAINED, TRAINED + TESTED)
    else:
        unseen = pictures(name, "test", 0, TESTED)
    seed_everything(seed)
    net = page["ARMS"][arm](page["WIDTHS"][arm], x.shape[1])
    start = time.process_time()
    net = page["teach_tower"](net, x, y, seed, rate, steps)
    seconds = round(time.process_time() - start, 2)
    error = round(1 - evaluate(net, *unseen)["accuracy"], 5)
    sizes = {"work": sum(page["multiply_adds"](net, x[:1]).values())}
    sizes["weights"] = page["count_parameters"](net)
    origin = provenance.origin(device(), seed, feed.digest(name), seconds)
    return {"part": part, "arm": arm, "steps": steps, "rate": rate, "error": error} | sizes | origin


def main() -> None:
    os.environ.setdefault("DLBOOK_BUDGET", "cpu")
    torch.set_num_threads(1)
    done = {row["key"] for row in ledger.read(RECORD)} if RECORD.exists() else set()
    page = workshop(PAGE, LAST, (*DRAWS, "data.load("))
    for run in runs(sys.argv[1:] or list(PARTS), page["FEW"], page["ARMS"], page["RATE"]):
        key = "/".join(map(str, run))
        if key not in done:
            line = {"key": key} | trained(page, *run)
            ledger.append(RECORD, line)
            print(key, line["error"], line["seconds"], flush=True)


if __name__ == "__main__":
    main()
