"""Small weights that pages load: `keep` writes them, and the command trains the diffusion model.

usage: OMP_NUM_THREADS=1 DLBOOK_DATA=... python -m tools.records.weights [STEPS]

Trains the network of "Diffusion" that draws Fashion-MNIST: about 25 minutes on one core that has
bfloat16 instructions. Writes records/diffusion_fashion.safetensors, and a line with its
provenance to records/weights.jsonl.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from dlbook_utils import data, records
from dlbook_utils.foundations.mlp import count_parameters
from dlbook_utils.generative.diffusion import DenoisingUNet, cosine_schedule, fit_diffusion
from dlbook_utils.page.devices import device, seed_everything
from dlbook_utils.records import ledger, provenance
from dlbook_utils.runner import feed

RECORD = records.folder() / "weights.jsonl"
SETTINGS = {"c": 4, "width": 48, "classes": 10, "d": 128}


def main(steps: int = 6000, size: int = 128, seed: int = 0) -> None:
    refuse_known("diffusion_fashion")  # now, not after the training
    torch.set_num_threads(1)
    fashion = data.load("fashion-mnist", "train")
    if not fashion.real:
        raise SystemExit("the weights need the real Fashion-MNIST; set DLBOOK_DATA")
    where = device()
    images = F.pixel_unshuffle(2 * fashion.pixels(where) - 1, 2)  # (n, 4, 14, 14)
    seed_everything(seed)
    net = DenoisingUNet(**SETTINGS).to(where)
    plain = net.forward  # bfloat16 for the layers; a decorator, so that no weight stays cached
    net.forward = torch.autocast(where.type, torch.bfloat16)(plain)  # type: ignore[method-assign]
    start, clock = time.process_time(), time.time()
    average, losses = fit_diffusion(
        net, images, fashion.y.to(where), abar=cosine_schedule(), steps=steps, size=size, lr=2e-3,
        decay=0.999, seed=seed,
    )  # fmt: skip
    seconds = round(time.process_time() - start)
    run = {
        "settings": SETTINGS,
        "steps": steps,
        "size": size,
        "parameters": count_parameters(net),
        "loss": round(sum(losses[-500:]) / len(losses[-500:]), 5),
    } | provenance.origin(where, seed, feed.digest("fashion-mnist"), seconds)
    keep("diffusion_fashion", "python -m tools.records.weights", average, run)
    print(json.dumps(run, indent=1), f"{time.time() - clock:.0f} s by the clock")


def refuse_known(name: str) -> None:
    """Raise FileExistsError if weights of this name are recorded: line and file belong together."""
    if any(old["key"] == name for old in ledger.read(RECORD)):
        raise FileExistsError(f"{RECORD.name} has weights {name!r}: remove their line first")


def keep(name: str, command: str, model: nn.Module, run: dict[str, Any]) -> None:
    """Write a model's weights in half precision beside the records, and a line about the run.

    Raises FileExistsError as `refuse_known` does.
    """
    refuse_known(name)
    line = {"key": name, "name": name, "command": command, "file": f"{name}.safetensors"} | run
    halves = {key: value.cpu().half().contiguous() for key, value in model.state_dict().items()}
    save_file(halves, RECORD.parent / line["file"])
    ledger.append(RECORD, line)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
