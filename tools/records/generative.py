"""Train a VAE, a GAN and a diffusion model on the 8 × 8 digits and judge them by one measure.

usage: OMP_NUM_THREADS=1 python -m tools.records.generative [vae|gan|diffusion ...]
       OMP_NUM_THREADS=1 python -m tools.records.generative copies
       OMP_NUM_THREADS=1 python -m tools.records.generative codes

Each model is trained with 5 seeds: once about as long as its chapter's page does it and once four
times as long, and the short way with a third and with three times the learning rate. Appends a
line per run to records/generative.jsonl; runs that stand there already are left out, so the
command can be stopped and called again.

With `copies`, three seeds of GAN and diffusion are trained again in both lengths, and asked what
a Fréchet distance cannot see: how near to training digits their draws lie. Beside them stand three
rivals that no gradient trains: one Gaussian a class, twenty, and the training digits themselves.

With `codes`, a VAE and a plain autoencoder with a Gaussian fitted to its codes are trained five
times as long as the VAE's page does it, with three seeds, and their samples compared.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dlbook_utils import data, records
from dlbook_utils.foundations.linear import fit
from dlbook_utils.foundations.mlp import MLP, count_parameters
from dlbook_utils.generative.diffusion import (
    DenoisingUNet,
    class_mixtures,
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
from dlbook_utils.generative.vae import VAE, fit_vae, train_vae
from dlbook_utils.page.devices import device, generator, seed_everything
from dlbook_utils.records import ledger, provenance
from dlbook_utils.runner import feed
from dlbook_utils.vision.cnn import ConvNet

RECORD = records.folder() / "generative.jsonl"
SEEDS = range(5)
RATES = {"vae": 8e-3, "gan": 4e-3, "diffusion": 4e-3}
LENGTHS = {"vae": 32, "gan": 1000, "diffusion": 400}  # epochs; steps; steps
STEPS = (1, 2, 5, 10, 20, 50)
Draw = Callable[[int, torch.Generator], Tensor]


def vae(x: Tensor, lr: float, length: int, seed: int) -> tuple[nn.Module, dict[str, Draw]]:
    seed_everything(seed)
    model = VAE(16).to(x.device)
    train_vae(model, x, length, seed, lr=lr)
    return model.decoder, {"1": model.eval().sample}


def gan(x: Tensor, lr: float, length: int, seed: int) -> tuple[nn.Module, dict[str, Draw]]:
    seed_everything(seed)
    G, D = DigitGenerator().to(x.device), DigitDiscriminator().to(x.device)
    fit_gan(G, D, x, steps=length, lr=lr, seed=seed)
    return G, {"1": G.sample}


def diffusion(x: Tensor, lr: float, length: int, seed: int) -> tuple[nn.Module, dict[str, Draw]]:
    seed_everything(seed)
    abar = cosine_schedule()
    start = DenoisingUNet().to(x.device)
    net, _ = fit_diffusion(start, 2 * x - 1, abar=abar, steps=length, lr=lr, seed=seed)

    def draw(steps: int, eta: float) -> Draw:
        def sample(n: int, g: torch.Generator) -> Tensor:
            z = torch.randn(n, 1, 8, 8, generator=g).to(x.device)
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


def near(pictures: Tensor, train: Tensor) -> Tensor:
    """Return the distance (n,) of each picture to the training digit most like it, pixel by pixel.

    Copies are at 0. Digits that nobody has copied are as far as unseen digits are.
    """
    return torch.cdist(pictures.flatten(1), train.flatten(1)).amin(1)


def rivals(x: Tensor, y: Tensor) -> dict[str, Callable[[int], Tensor]]:
    """Return draws (len(x), 1, 8, 8), by seed, of generators that no gradient trains."""

    def again(seed: int) -> Tensor:
        return x[torch.randint(len(x), (len(x),), generator=generator(seed))]

    return {
        "one Gaussian a class": lambda seed: class_mixtures(x, y, len(x), 1, seed),
        "twenty Gaussians a class": lambda seed: class_mixtures(x, y, len(x), 20, seed),
        "training digits again": again,
    }


def copies(x: Tensor, y: Tensor, judge: ConvNet, test: Tensor) -> None:
    """Record how near the draws of generators are to training digits, and how far from unseen."""
    unseen, honest = digit_features(judge, test), near(test, x)
    close = honest.quantile(0.05)

    def trained(row: dict) -> Tensor:
        _, samplers = MODELS[row["model"]](x, row["lr"], row["length"], row["seed"])
        return samplers.get("20 DDIM", samplers.get("1"))(len(x), generator(99))  # type: ignore

    rows = [row for row in wanted(["gan", "diffusion"]) if row["factor"] == 1 and row["seed"] < 3]
    others = rivals(x, y)
    rows += [{"key": f"{name} seed{s}", "model": name, "seed": s} for name in others for s in SEEDS]
    done = {run["key"] for run in ledger.read(RECORD)}
    for row in sorted(rows, key=lambda row: (row.get("length", 0), row["seed"])):
        row["key"] = f"copies {row['key']}"
        if row["key"] in done:
            continue
        start = time.process_time()
        drawn = others[row["model"]](row["seed"]) if row["model"] in others else trained(row)
        far, features = near(drawn.clamp(0, 1), x), digit_features(judge, drawn.clamp(0, 1))
        met = precision_coverage(features, unseen)
        row["copies"] = {
            "nearest": round(far.median().item(), 4),
            "nearest_unseen": round(honest.median().item(), 4),
            "closer_than_5_percent": round((far < close).double().mean().item(), 4),
            "frechet": round(frechet_distance(features, unseen), 4),
            "precision": round(met[0], 4),
            "coverage": round(met[1], 4),
        }
        seconds = round(time.process_time() - start, 1)
        row |= provenance.origin(x.device, row["seed"], feed.digest("digits"), seconds)
        ledger.append(RECORD, row)
        print(row["key"], row["copies"], flush=True)


def codes(x: Tensor, test: Tensor, size: int = 16, epochs: int = 140) -> None:
    """Record how near samples and digits are: of a VAE, and of fitted codes of an autoencoder."""
    X, T = x.flatten(1), test.flatten(1)
    yardstick = near(T, X).mean()

    def blot_and_lack(samples: Tensor) -> list[float]:
        pairs = near(samples, X).mean(), near(T, samples.flatten(1)).mean()
        return [round((v / yardstick).item(), 4) for v in pairs]

    for seed in range(3):
        row = {"key": f"codes {epochs} seed{seed}", "model": "codes", "length": epochs}
        if row["key"] in {run["key"] for run in ledger.read(RECORD)}:
            continue
        start = time.process_time()
        seed_everything(seed)
        encoder = MLP([64, 128, 128, size], torch.tanh)
        decoder = MLP([size, 128, 128, 64], torch.tanh)
        net = nn.Sequential(encoder, decoder, nn.Sigmoid()).to(x.device)
        adam = torch.optim.Adam(net.parameters(), 4e-3)
        fit(net, (X, X), optimizer=adam, epochs=epochs, size=128, loss=F.mse_loss, seed=seed)
        with torch.no_grad():
            z = net[0](X)
            root = torch.linalg.cholesky(torch.cov(z.T) + 1e-6 * torch.eye(size).to(z))
            eps = torch.randn(len(X), size, generator=generator(20 + seed)).to(z)
            row["fitted"] = blot_and_lack(net[1:](z.mean(0) + eps @ root.T))
        model = fit_vae(x, size, epochs, seed)
        row["vae"] = blot_and_lack(model.sample(len(x), generator(40 + seed)))
        seconds = round(time.process_time() - start, 1)
        row |= provenance.origin(x.device, seed, feed.digest("digits"), seconds)
        ledger.append(RECORD, row)
        print(row["key"], row["fitted"], row["vae"], flush=True)


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    train, test = (data.load("digits", part) for part in ("train", "test"))
    where = device()
    x = train.pixels(where)
    if names == ["codes"]:
        codes(x, test.pixels(where))
        return
    judge = train_judge(x, train.y.to(where))
    if names == ["copies"]:
        copies(x, train.y.to(where), judge, test.pixels(where))
        return
    unseen, seen = (digit_features(judge, part.pixels(where)) for part in (test, train))
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
            precision, met = precision_coverage(fake, unseen)
            row["scores"][name] = {
                "frechet": round(frechet_distance(fake, unseen), 4),
                "frechet_train": round(frechet_distance(fake, seen), 4),
                "precision": round(precision, 4),
                "coverage": round(met, 4),
                "macs": macs(partial(sample, 10, generator(0))) // 10,
            }
        precision, met = precision_coverage(seen, unseen)
        row |= {
            "training_macs": training_macs(row["model"], x, row["length"]),
            "parameters": count_parameters(net),
            "real": {
                "frechet": round(frechet_distance(seen, unseen), 4),
                "precision": round(precision, 4),
                "coverage": round(met, 4),
            },
        }
        seconds = round(time.process_time() - start, 1)
        row |= provenance.origin(where, row["seed"], feed.digest("digits"), seconds)
        ledger.append(RECORD, row)
        print(row["model"], row["length"], row["factor"], row["seed"], row["trained"],
              {k: v["frechet"] for k, v in row["scores"].items()}, flush=True)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
