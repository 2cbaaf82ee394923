"""Train what "What GANs were put to" has no time for: a style generator, more data.

usage: OMP_NUM_THREADS=1 DLBOOK_DATA=... python -m tools.records.gan_applications [PART ...]

Parts: "style" trains the generator whose weights the page loads (records/style_fashion.safetensors,
with a line in records/weights.jsonl); "more" asks whether a classifier gains by a GAN's pictures,
and appends a line per run to records/gan_applications.jsonl; runs that stand there are left out.
About four minutes on one core.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from dlbook_utils import data, records
from dlbook_utils.data.augment import flip, shift_crop
from dlbook_utils.foundations.optimisation import cosine
from dlbook_utils.generative.gan import (
    SpectralNorm,
    discriminator_loss,
    fit_gan,
    generator_loss,
    one_step,
)
from dlbook_utils.generative.gan_applications import (
    StackedMLP,
    StyleGenerator,
)
from dlbook_utils.page.devices import device, generator, seed_everything
from dlbook_utils.records import ledger, provenance
from dlbook_utils.runner import feed
from dlbook_utils.vision.cnn import ConvNet
from tools.records.weights import keep, refuse_known

RECORD = records.folder() / "gan_applications.jsonl"
FEW, MADE = 500, 5000  # real clothes, and pictures that a GAN makes of them
MIXES = ("real", "real and made", "made", "real, moved", "real and made, moved")


def small_clothes(split: str) -> tuple[Tensor, Tensor]:
    """Return pictures (n, 1, 14, 14) of Fashion-MNIST and their labels."""
    clothes = data.load("fashion-mnist", split)
    if not clothes.real:
        raise SystemExit("the record needs the real Fashion-MNIST; set DLBOOK_DATA")
    return F.avg_pool2d(clothes.pixels(device()), 2), clothes.y.to(device())


class StyleJudge(nn.Sequential):
    """Score pictures (n, 1, 28, 28) by three convolutions with bounded slopes: (n,)."""

    def __init__(self, width: int = 24):
        layers: list[nn.Module] = [
            nn.Conv2d(4, width, 3, padding=1),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
        ]
        layers += [nn.Conv2d(2 * width, 2 * width, 4, 2, 1), nn.Linear(18 * width, 1)]
        for layer in layers:
            norm = SpectralNorm(layer.get_parameter("weight"))
            parametrize.register_parametrization(layer, "weight", norm)
        one, two, three, last = layers
        act = nn.LeakyReLU(0.2)
        super().__init__(
            nn.PixelUnshuffle(2), one, act, two, act, three, act, nn.Flatten(), last, nn.Flatten(0)
        )


def style(steps: int = 1500, size: int = 48, lr: float = 3e-3, seed: int = 0) -> None:
    """Train the generator of the page, and keep its weights."""
    name = "style_fashion"
    refuse_known(name)
    images = data.load("fashion-mnist", "train").pixels(device())
    seed_everything(seed)
    G, D = StyleGenerator().to(device()), StyleJudge().to(device())
    start = time.process_time()
    history = fit_gan(G, D, images, steps=steps, size=size, lr=lr, seed=seed)
    seconds = round(time.process_time() - start, 1)
    run = {"steps": steps, "size": size, "lr": lr, "D_loss": history[-1]["D_loss"]}
    run |= provenance.origin(device(), seed, feed.digest("fashion-mnist"), seconds)
    keep(name, "python -m tools.records.gan_applications style", G, run)


def imagined(x: Tensor, y: Tensor, steps: int, seed: int, noise: int = 16) -> tuple[Tensor, Tensor]:
    """Train a conditional GAN on pictures x (n, 196) with labels y; return what it makes."""
    seed_everything(seed)
    G = StackedMLP(1, [noise + 10, 128, 128, 196]).to(x.device)
    D = StackedMLP(1, [196 + 10, 128, 128, 1]).to(x.device)
    adams = [torch.optim.Adam(net.parameters(), 1e-3, betas=(0.5, 0.99)) for net in (G, D)]
    draw = generator(seed)
    code = F.one_hot(y, 10).float()

    def make(codes: Tensor) -> Tensor:
        z = torch.randn(len(codes), noise, generator=draw).to(x.device)
        return G(torch.cat([z, codes], 1)[None]).sigmoid()[0]

    def score(pictures: Tensor, codes: Tensor) -> Tensor:
        return D(torch.cat([pictures, codes], 1)[None])

    for step in range(steps):
        for adam in adams:
            adam.param_groups[0]["lr"] = 1e-3 * cosine(step, steps)
        i, k = torch.randint(len(x), (2, 64), generator=draw)
        fake = make(code[k])
        one_step(adams[1], discriminator_loss(score(x[i], code[i]), score(fake.detach(), code[k])))
        one_step(adams[0], generator_loss(score(fake, code[k])))
    labels = torch.arange(MADE, device=x.device) % 10
    with torch.no_grad():
        return make(F.one_hot(labels, 10).float()), labels


def accuracy(mix: str, real: Any, made: Any, test: Any, seed: int, steps: int = 300) -> float:
    """Train a classifier for so many steps of 64 pictures; return its share of right answers."""
    seed_everything(seed)
    net = ConvNet([1, 16, 32], 10).to(device())
    adam, draw = torch.optim.Adam(net.parameters(), 4e-3), generator(seed)
    for step in range(steps):
        adam.param_groups[0]["lr"] = 4e-3 * cosine(step, steps)
        halves = [real] * 2 if "made" not in mix else [made] * 2 if mix == "made" else [real, made]
        batch = []
        for x, y in halves:
            i = torch.randint(len(x), (32,), generator=draw)
            batch.append((x[i].view(-1, 1, 14, 14), y[i]))
        x, y = (torch.cat(column) for column in zip(*batch, strict=True))
        if "moved" in mix:
            x = shift_crop(flip(x, generator=draw), 1, generator=draw)
        one_step(adam, F.cross_entropy(net(x), y))
    with torch.no_grad():
        return round((net(test[0]).argmax(1) == test[1]).float().mean().item(), 4)


def more(seeds: int = 5) -> Iterator[dict[str, Any]]:
    """Yield the accuracies of classifiers with and without a GAN's pictures."""
    (x, y), (u, v) = small_clothes("train"), small_clothes("test")
    test = u[:5000], v[:5000]
    for seed in range(seeds):
        for steps in (1000, 3000):
            key = f"more/{steps}/{seed}"
            if is_missing(key):
                few = torch.randperm(len(x), generator=generator(seed))[:FEW]
                real = x[few].flatten(1), y[few]
                made = imagined(*real, steps, seed)
                mixes = (
                    MIXES if steps == 1000 else ("real and made", "made", "real and made, moved")
                )
                right = {mix: accuracy(mix, real, made, test, seed) for mix in mixes}
                yield {"key": key, "steps": steps, "few": FEW, "seed": seed, "right": right}


def is_missing(key: str) -> bool:
    return not RECORD.exists() or all(row["key"] != key for row in ledger.read(RECORD))


def main(parts: list[str]) -> None:
    os.environ.setdefault("DLBOOK_BUDGET", "cpu")
    torch.set_num_threads(1)
    if "style" in parts:
        style()
    start = time.process_time()
    for line in more() if "more" in parts else ():
        seconds = round(time.process_time() - start, 1)
        origin = provenance.origin(device(), line["seed"], feed.digest("fashion-mnist"), seconds)
        ledger.append(RECORD, line | origin)
        print(line, seconds, flush=True)
        start = time.process_time()


if __name__ == "__main__":
    main(sys.argv[1:] or ["style", "more"])
