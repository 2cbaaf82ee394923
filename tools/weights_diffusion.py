"""Train the small network of "Diffusion" that draws Fashion-MNIST, and keep its weights.

usage: OMP_NUM_THREADS=1 DLBOOK_DATA=... python -m tools.weights_diffusion [STEPS]

About 25 minutes on one core that has bfloat16 instructions. Writes
records/diffusion_fashion.safetensors, and a line with its provenance to records/weights.jsonl.
"""

from __future__ import annotations

import fcntl
import json
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from dlbook_utils import data
from dlbook_utils.devices import seed_everything
from dlbook_utils.diffusion import DenoisingUNet, cosine_schedule, fit_diffusion
from dlbook_utils.models import count_parameters
from dlbook_utils.study import feed, provenance

FOLDER = Path(__file__).resolve().parent.parent / "records"
SETTINGS = {"c": 4, "width": 48, "classes": 10, "d": 128}


def main(steps: int = 6000, size: int = 128, seed: int = 0) -> None:
    torch.set_num_threads(1)
    fashion = data.load("fashion-mnist", "train")
    if not fashion.real:
        raise SystemExit("the weights need the real Fashion-MNIST; set DLBOOK_DATA")
    images = F.pixel_unshuffle(2 * fashion.pixels() - 1, 2)  # (n, 4, 14, 14)
    seed_everything(seed)
    net = DenoisingUNet(**SETTINGS)
    plain = net.forward  # bfloat16 for the layers; a decorator, so that no weight stays cached
    net.forward = torch.autocast("cpu", torch.bfloat16)(plain)
    start, clock = time.process_time(), time.time()
    average, losses = fit_diffusion(
        net, images, fashion.y, abar=cosine_schedule(), steps=steps, size=size, lr=2e-3,
        decay=0.999, seed=seed,
    )  # fmt: skip
    row = {
        "name": "diffusion_fashion",
        "command": "python -m tools.weights_diffusion",
        "file": "diffusion_fashion.safetensors",
        "settings": SETTINGS,
        "steps": steps,
        "size": size,
        "parameters": count_parameters(net),
        "loss": round(sum(losses[-500:]) / len(losses[-500:]), 5),
        "device": provenance.device_name(torch.device("cpu")),
        "driver": provenance.driver("cpu"),
        "versions": provenance.versions(),
        "seed": seed,
        "seconds": round(time.process_time() - start),
        "data": feed.digest("fashion-mnist"),
        "commit": provenance.commit(),
        "date": provenance.now(),
    }
    weights = {name: value.half() for name, value in average.state_dict().items()}
    save_file(weights, FOLDER / row["file"])
    with (FOLDER / "weights.jsonl").open("a", encoding="utf8") as lines:
        fcntl.flock(lines, fcntl.LOCK_EX)
        lines.write(json.dumps(row) + "\n")
    print(json.dumps(row, indent=1), f"{time.time() - clock:.0f} s by the clock")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
