"""Tune the rivals alike and record their accuracy against the number of examples.

usage: OMP_NUM_THREADS=1 python -m tools.records.classical [adult|pictures] [N ...] [RIVAL ...]

For each data set, number of examples, features and rival: 12 settings are drawn and tried on one
draw of the examples, the best on 2,000 examples held out is kept, and trained again on draws of
other seeds; these are asked about the test set. With all examples there is no second draw: the
setting is that of the size before, and one run is asked; so it is, with two runs, for 10,000
pictures, where trying 12 settings would take hours. Appends a line for each run to
records/classical.jsonl;
what stands there already is left out, so the command can be stopped and called again.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from dlbook_utils import data, records
from dlbook_utils.page.devices import device, generator
from dlbook_utils.practice.classical import CHOICES, draw_settings, hog_features, train_rival
from dlbook_utils.records import ledger, provenance

RECORD = records.folder() / "classical.jsonl"
NAMES = {"adult": "adult", "pictures": "fashion-mnist"}
TRIED, HELD, TESTED = 12, 2000, 5000
SIZES = {"adult": (100, 1000, 10_000, 10**9), "pictures": (100, 1000, 10_000)}  # 10**9: all


def inputs(name: str, split: str) -> tuple[dict[str, Tensor], Tensor]:
    """The inputs of a set, by what they are made of, and its labels."""
    part: Any = data.load(NAMES[name], split)
    if not part.real:
        sys.exit(f"{part.name}: the real data are not there")
    y = part.y.to(device())
    if name == "adult":
        return {"rows": part.inputs(device())}, y
    x = part.pixels(device())
    return {"pixels": x, "HOG": torch.cat([hog_features(some) for some in x.split(1000)])}, y


def digest(name: str) -> str:
    """The name of a data set, and the beginning of the SHA-256 of its training part."""
    part: Any = data.load(name)
    sha = hashlib.sha256(part.x.numpy().tobytes() + part.y.numpy().tobytes())
    return f"{name} train {sha.hexdigest()[:16]}"


def rivals(features: str) -> list[str]:
    nets = {"rows": ["MLP"], "pixels": ["MLP", "CNN"], "HOG": []}[features]
    return [name for name in CHOICES if name not in ("MLP", "CNN")] + nets


def steps_for(n: int) -> int:
    """Steps of 64 examples: many epochs of a few examples, about seven of many."""
    return 300 + n // 10


def draws(n: int, held: int, seed: int) -> Tensor:
    """Which n examples of those that are not held out a seed draws."""
    order = torch.randperm(held, generator=generator(1000 + seed))
    return HELD + order[:n]


def scored(name: str, pairs: tuple, setting: dict, n: int, seed: int) -> dict[str, Any]:
    """Train on the first pair, ask about the second; accuracy and seconds of the processor."""
    (X, y), (X_asked, y_asked) = pairs
    start = time.process_time()
    ask = train_rival(name, X, y, setting, steps_for(n), seed)
    trained = time.process_time()
    right = (ask(X_asked) == y_asked).double().mean().item()
    asked = time.process_time() - trained
    return {
        "accuracy": round(right, 5),
        "train_seconds": round(trained - start, 3),
        "ask_seconds": round(asked * 1000 / len(y_asked), 4),  # for 1,000 examples
    }


def tuned(name: str, X: Tensor, y: Tensor, n: int) -> tuple[list[dict], list[float]]:
    """The settings tried, and their accuracies on the part held out."""
    settings = draw_settings(name, TRIED)
    idx = draws(n, len(X) - HELD, 0)
    pairs = (X[idx], y[idx]), (X[:HELD], y[:HELD])
    return settings, [scored(name, pairs, s, n, 0)["accuracy"] for s in settings]


def wanted(name: str, sizes: list[int]) -> Iterator[tuple[int, str, str]]:
    kinds = ["rows"] if name == "adult" else ["pixels", "HOG"]
    return ((n, features, rival) for n in sizes for features in kinds for rival in rivals(features))


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    names = [a for a in arguments if a in NAMES] or list(NAMES)
    sizes = [int(a) for a in arguments if a.isdigit()]
    asked = [a for a in arguments if a in CHOICES] or list(CHOICES)
    for name in names:
        (X_all, y), (T_all, t) = (inputs(name, split) for split in ("train", "test"))
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(15))
        tested = torch.arange(min(TESTED if name == "pictures" else len(t), len(t)))
        y, t = y[order], t[tested]
        X_all = {key: X[order] for key, X in X_all.items()}
        T_all = {key: T[tested] for key, T in T_all.items()}
        for n, features, rival in wanted(name, sizes or list(SIZES[name])):
            X, T = X_all[features], T_all[features]
            n, before = min(n, len(y) - HELD), 10_000 if name == "adult" else 1000
            untried = n > before
            key = f"{name} {features} {rival} {n}"
            done = {run["key"]: run for run in ledger.read(RECORD)}
            if key in done or rival not in asked:
                continue
            start = time.process_time()
            row: dict[str, Any] = {
                "key": key,
                "set": name,
                "features": features,
                "rival": rival,
                "n": n,
            }
            if untried:
                row["setting"] = done[f"{name} {features} {rival} {before}"]["setting"]
            else:
                row["settings"], row["valid"] = tuned(rival, X, y, n)
                row["setting"] = row["settings"][row["valid"].index(max(row["valid"]))]
            row["runs"] = []
            seeds = 1 if n == len(y) - HELD else 2 if untried else 3 if n == 10_000 else 5
            for seed in range(1, 1 + seeds):
                idx = draws(n, len(X) - HELD, seed)
                pairs = (X[idx], y[idx]), (T, t)
                row["runs"].append(scored(rival, pairs, row["setting"], n, seed))
            row |= {"steps": steps_for(n), "tested": len(t)}
            seconds = round(time.process_time() - start, 1)
            row |= provenance.origin(device(), 1, digest(NAMES[name]), seconds)
            ledger.append(RECORD, row)
            shown = [round(100 * run["accuracy"], 1) for run in row["runs"]]
            print(key, shown, row["setting"], f"{seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
