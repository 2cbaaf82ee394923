"""Train small U-Nets on em-vnc with one thing changed at a time, longer than a page may.

usage: OMP_NUM_THREADS=1 python -m tools.records.segmentation [--seeds 3] [ARM ...]

Every arm is trained for 300 steps (the long ones for 900), with one seed at a third and at three
times its rate, and with all seeds at the rate that was best on the validation sections; what is
changed in the data or in the length keeps the rate of another arm. The threshold of each class is
chosen there, too. Appends a line per run to records/segmentation.jsonl; runs that stand there are
left out, so the command can be stopped and called again.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlbook_utils import data, records
from dlbook_utils.page.devices import device, seed_everything
from dlbook_utils.records import ledger, provenance
from dlbook_utils.vision.segmentation import (
    SmallUNet,
    best_threshold,
    fit_unet,
    mask_iou,
    pixel_probabilities,
    soft_dice_loss,
)

RECORD = records.folder() / "segmentation.jsonl"
STEPS, RATE, SCALE = 300, 1e-2, 4
TRAIN, VALID, TEST = slice(0, 12), slice(13, 15), slice(16, 20)
RATE_OF = {  # what is changed in the data or in the length keeps the rate of another arm
    "bent": "plain",
    "bent less": "plain",
    "few": "plain",
    "few, bent": "plain",
    "plain, long": "plain",
    "no skips, long": "no skips",
}
FEW = slice(0, 1)  # sections to train on where there are few
Loss = Callable[[Tensor, Tensor], Tensor]


def weighted(share: Tensor) -> Loss:
    """Return the cross-entropy in which the pixels of a class count as much as the others."""
    weight = ((1 - share) / share).view(-1, 1, 1)
    return partial(F.binary_cross_entropy_with_logits, pos_weight=weight)


def arms(share: Tensor) -> dict[str, dict[str, Any]]:
    """Return the settings of each arm: what it has instead of what the page's net has."""
    return {
        "plain": {},
        "no skips": {"skips": False},
        "weighted": {"loss": weighted(share)},
        "dice": {"loss": soft_dice_loss},
        "bent": {"far": 2.0},
        "bent less": {"far": 1.0},
        "few": {"train": FEW},
        "few, bent": {"train": FEW, "far": 2.0},
        "plain, long": {"steps": 3 * STEPS},
        "no skips, long": {"skips": False, "steps": 3 * STEPS},
    }


def runs(names: list[str], seeds: int) -> Iterator[tuple[str, float, int]]:
    """Yield arm, rate and seed of each run: three rates for the first seed, then the best one."""
    for name in names:
        if name not in RATE_OF:
            for lr in (RATE, RATE / 3, 3 * RATE):
                yield name, lr, 0
    for seed in range(seeds):
        for name in names:
            yield name, best_rate(RATE_OF.get(name, name)), seed


def best_rate(name: str) -> float:
    """Return the rate of an arm that was best on the validation sections, with the first seed."""
    tried = [r for r in ledger.read(RECORD) if r["arm"] == name and r["seed"] == 0]
    return float(max(tried, key=lambda r: sum(r["valid"].values()))["lr"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("arm", nargs="*", help="all by default")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start none after")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    stack = data.load("em-vnc", "all")
    if not stack.real:
        raise SystemExit("em-vnc: a record is made from the real data only")
    x, y = (
        F.avg_pool2d(part.to(device()).float(), SCALE)
        for part in (stack.pixels() - 0.5, stack.masks)
    )
    both = torch.cat([x / 0.2, (y >= 0.5).float()], 1)
    settings = arms(both[TRAIN, 1:].mean((0, 2, 3)))
    sha = hashlib.sha256(stack.x.numpy().tobytes() + stack.masks.numpy().tobytes())
    digest = f"em-vnc all {sha.hexdigest()[:16]}"
    begun = time.monotonic()
    for name, lr, seed in runs(asked.arm or list(settings), asked.seeds):
        steps = settings[name].get("steps", STEPS)
        key = f"{name} {steps} lr{lr:.4f} seed{seed}"
        if key in {run["key"] for run in ledger.read(RECORD)}:
            continue
        if time.monotonic() - begun > asked.seconds:
            break
        row = {"key": key, "arm": name, "lr": round(lr, 5), "steps": steps, "seed": seed}
        start = time.process_time()
        row |= run(both, stack.classes, lr, seed, **settings[name])
        seconds = round(time.process_time() - start, 1)
        row |= provenance.origin(device(), seed, digest, seconds)
        ledger.append(RECORD, row)
        print(key, row["valid"], row["test"], seconds, flush=True)


def run(
    both: Tensor,
    classes: tuple[str, ...],
    lr: float,
    seed: int,
    *,
    train: slice = TRAIN,
    skips: bool = True,
    steps: int = STEPS,
    **settings: Any,
) -> dict[str, Any]:
    """Train one net; return IoU by section, at thresholds chosen on VALID and at 0.5."""
    seed_everything(seed)
    net = SmallUNet(skips=skips).to(both.device, memory_format=torch.channels_last)  # type: ignore
    fit_unet(net, both[train], steps, lr, seed, **settings)
    scores: dict[str, Any] = {"valid": {}, "threshold": {}, "test": {}, "at half": {}}
    for k, name in enumerate(classes):
        valid, test = (both[part] for part in (VALID, TEST))
        p, q = (pixel_probabilities(net, part[:, :1])[:, k] for part in (valid, test))
        truth, unseen = (part[:, 1 + k] > 0.5 for part in (valid, test))
        cut = best_threshold(p, truth)
        scores["threshold"][name] = cut
        scores["valid"][name] = round(mask_iou(p > cut, truth).mean().item(), 4)
        scores["test"][name] = [round(v, 4) for v in mask_iou(q > cut, unseen).tolist()]
        scores["at half"][name] = [round(v, 4) for v in mask_iou(q > 0.5, unseen).tolist()]
    return scores


if __name__ == "__main__":
    main()
