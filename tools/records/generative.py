"""Train a VAE, a GAN and a diffusion model on the 8 × 8 digits and judge them by one measure.

usage: OMP_NUM_THREADS=1 python -m tools.records.generative [vae|gan|diffusion ...]

Each model is trained with 5 seeds: once about as long as its chapter's page does it and once four
times as long, and the short way with a third and with three times the learning rate. Appends a
line per run to records/generative.jsonl; runs that stand there already are left out, so the
command can be stopped and called again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dlbook_utils import data, records
from dlbook_utils.foundations.mlp import count_parameters
from dlbook_utils.generative.diffusion import (
    DenoisingUNet,
    cosine_schedule,
    denoiser,
    fit_diffusion,
    go_back,
    precision_coverage,
)
from dlbook_utils.generative.gan import (
    DigitDiscriminator,
    DigitGenerator,
    digit_features,
    fit_gan,
    frechet_distance,
    train_judge,
)
from dlbook_utils.generative.vae import VAE, train_vae
from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.records import ledger, provenance
from dlbook_utils.runner import feed

RECORD = records.folder() / "generative.jsonl"
CPU = torch.device("cpu")
SEEDS = range(5)
RATES = {"vae": 8e-3, "gan": 4e-3, "diffusion": 4e-3}
LENGTHS = {"vae": 32, "gan": 1000, "diffusion": 400}  # epochs; steps; steps
STEPS = (1, 2, 5, 10, 20, 50)
Draw = Callable[[int, torch.Generator], Tensor]


def vae(x: Tensor, lr: float, length: int, seed: int) -> tuple[nn.Module, dict[str, Draw]]:
    seed_everything(seed)
    model = VAE(16)
    train_vae(model, x, length, seed, lr=lr)
    return model.decoder, {"1": model.eval().sample}


def gan(x: Tensor, lr: float, length: int, seed: int) -> tuple[nn.Module, dict[str, Draw]]:
    seed_everything(seed)
    G, D = DigitGenerator(), DigitDiscriminator()
    fit_gan(G, D, x, steps=length, lr=lr, seed=seed)
    return G, {"1": G.sample}


def diffusion(x: Tensor, lr: float, length: int, seed: int) -> tuple[nn.Module, dict[str, Draw]]:
    seed_everything(seed)
    abar = cosine_schedule()
    net, _ = fit_diffusion(DenoisingUNet(), 2 * x - 1, abar=abar, steps=length, lr=lr, seed=seed)

    def draw(steps: int, eta: float) -> Draw:
        def sample(n: int, g: torch.Generator) -> Tensor:
            z = torch.randn(n, 1, 8, 8, generator=g)
            return (go_back(denoiser(net, abar), z, abar, steps, eta, g) + 1) / 2

        return sample

    return net, {f"{s} {name}": draw(s, eta) for name, eta in KINDS.items() for s in STEPS}


KINDS = {"DDIM": 0.0, "DDPM": 1.0}
MODELS = {"vae": vae, "gan": gan, "diffusion": diffusion}


def macs(work: Callable[[], object]) -> int:
    """Return the multiply-adds of matrix products and convolutions in a call."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() // 2


def training_macs(name: str, x: Tensor, length: int) -> int:
    """Return what training costs, counted on a beginning of it."""
    short = {"vae": 1, "gan": 2, "diffusion": 2}[name]
    return macs(lambda: MODELS[name](x, 1e-4, short, 0)) * length // short


def wanted(names: list[str]) -> Iterator[dict]:
    """Yield what is to be run: the settings of each run, under the key of its line."""
    for name in names:
        for seed in SEEDS:
            for longer, factor in ((1, 1.0), (4, 1.0), (1, 1 / 3), (1, 3.0)):
                length, shown = longer * LENGTHS[name], round(factor, 3)
                yield {
                    "key": f"{name} {length} x{shown} seed{seed}",
                    "model": name,
                    "length": length,
                    "long": longer > 1,
                    "factor": shown,
                    "lr": factor * RATES[name],
                    "seed": seed,
                }


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    train, test = (data.load("digits", part) for part in ("train", "test"))
    x = train.pixels()
    judge = train_judge(x, train.y)
    unseen, seen = (digit_features(judge, part.pixels()) for part in (test, train))
    done = {run["key"] for run in ledger.read(RECORD)}
    for row in wanted(names or list(MODELS)):
        if row["key"] in done:
            continue
        start = time.process_time()
        net, samplers = MODELS[row["model"]](x, row["lr"], row["length"], row["seed"])
        row["trained"] = round(time.process_time() - start, 1)
        if not row["long"] and len(samplers) > 1:
            samplers = {"20 DDIM": samplers["20 DDIM"]}
        row["scores"] = {}
        for name, sample in samplers.items():
            fake = digit_features(judge, sample(len(x), generator(99)).clamp(0, 1))
            fake = fake.nan_to_num(0)
            near, met = precision_coverage(fake, unseen)
            row["scores"][name] = {
                "frechet": round(frechet_distance(fake, unseen), 4),
                "frechet_train": round(frechet_distance(fake, seen), 4),
                "precision": round(near, 4),
                "coverage": round(met, 4),
                "macs": macs(partial(sample, 10, generator(0))) // 10,
            }
        near, met = precision_coverage(seen, unseen)
        row |= {
            "training_macs": training_macs(row["model"], x, row["length"]),
            "parameters": count_parameters(net),
            "real": {
                "frechet": round(frechet_distance(seen, unseen), 4),
                "precision": round(near, 4),
                "coverage": round(met, 4),
            },
        }
        seconds = round(time.process_time() - start, 1)
        row |= provenance.origin(CPU, row["seed"], feed.digest("digits"), seconds)
        ledger.append(RECORD, row)
        print(row["model"], row["length"], row["factor"], row["seed"], row["trained"],
              {k: v["frechet"] for k, v in row["scores"].items()}, flush=True)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
