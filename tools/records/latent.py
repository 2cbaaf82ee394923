"""Train the codecs of "Pictures from words" with several seeds, which is too long for its page.

usage: OMP_NUM_THREADS=1 python -m tools.records.latent [SECONDS]

Runs the page's own cells up to its judge, and then trains, with its functions and settings,
three codecs with revival of dead codes and three without: how many codes are used, what is lost,
and how many of the copies the page's judge reads right.

Appends a line per run to records/latent.jsonl; runs that stand there already are left out, so that
the command can be stopped, and stops by itself after SECONDS. About half a minute on one core.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch

from dlbook_utils import records
from dlbook_utils.page.devices import device
from dlbook_utils.records import ledger, provenance
from tools.execute import ROOT
from tools.records.workshop import workshop

RECORD = records.folder() / "latent.jsonl"
PAGE = ROOT / "book" / "generative" / "latent.md"
LAST = "def share_equal("
SKIPPED = ("plt.show()", "check(", "records.load(", "claim(")
Page = dict[str, Any]


def grade_codec(page: Page, row: dict) -> None:
    """Train a codec; note its codes in use, what is lost, and what the judge reads right."""
    codec = page["fit_codec"](row["seed"], row["revive"], row["steps"])
    cells, pictures = page["cells"], page["pictures"]
    with torch.no_grad():
        copies, _, codes = codec(pictures)
    row["used"] = len(codes.unique())
    row["lost"] = round(((copies - pictures).square().mean() / pictures.var()).item(), 4)
    row["read"] = round(page["share_equal"](page["read_cells"](page["judge"], copies), cells), 4)


def wanted() -> Iterator[dict]:
    """Yield the settings of each run."""
    for seed in range(3):
        for revive in (True, False):
            yield {"part": "codec", "revive": revive, "steps": 400, "seed": seed}


def main() -> None:
    os.environ.setdefault("DLBOOK_BUDGET", "cpu")
    until = time.monotonic() + float(sys.argv[1]) if sys.argv[1:] else float("inf")
    page = workshop(PAGE, LAST, SKIPPED)
    for row in wanted():
        row = {"key": "/".join(str(value) for value in row.values())} | row
        if row["key"] in {old["key"] for old in ledger.read(RECORD)}:
            continue
        if time.monotonic() > until:
            break
        start = time.process_time()
        grade_codec(page, row)
        seconds = round(time.process_time() - start, 1)
        origin = provenance.origin(device(), row["seed"], "generated: data/worded.py", seconds)
        ledger.append(RECORD, row | origin)
        print(row, seconds, flush=True)


if __name__ == "__main__":
    main()
