"""What is built in "What GANs were put to": style as statistics of feature maps, a generator that
is told a style at each layer, and translation between two heaps of pictures without pairs.

Pictures are (n, 1, h, w) with pixels in [0, 1]; in a translation each is a row of pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.foundations.optimisation import cosine
from dlbook_utils.generative.gan import discriminator_loss, generator_loss, one_step
from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.page.guards import (
    check_between,
    check_count,
    check_inputs,
    check_loss,
    check_shape,
    progress,
)


def adain(h: Tensor, scale: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    """Give each map of h (n, c, h, w) its mean `shift` and its standard deviation `scale`, (n, c).

    Each map of each picture is normalised first, over its places. Raises ValueError for other
    shapes.
    Source: X. Huang and S. Belongie (2017), arXiv:1703.06868.
    """
    n, c = check_shape(h, ["n", "c", "h", "w"], "h").shape[:2]
    check_shape(scale, [n, c], "scale")
    check_shape(shift, [n, c], "shift")
    mean = h.mean((2, 3), keepdim=True)
    var = h.var((2, 3), keepdim=True, unbiased=False)
    h = (h - mean) / (var + eps).sqrt()
    return scale[:, :, None, None] * h + shift[:, :, None, None]


def gram_matrix(h: Tensor) -> Tensor:
    """Return the mean products (n, c, c) of all pairs of maps of h (n, c, h, w), over places.

    Raises ValueError for another shape.
    Source: L. Gatys et al. (2015), arXiv:1508.06576.
    """
    check_inputs(h, where="feature maps")
    flat = check_shape(h, ["n", "c", "h", "w"], "h").flatten(2)  # (n, c, places)
    return flat @ flat.mT / flat.shape[2]


def crossed(a: Tensor, b: Tensor, layer: int) -> list[Tensor]:
    """Return four codes for `StyleGenerator.draw`: a before this layer, b from it on (0 to 4)."""
    check_shape(b, a.shape, "b")
    return [a] * check_count(layer, "layer", 0, 4) + [b] * (4 - layer)


class StyleGenerator(nn.Module):
    """Draw pictures of 28 × 28 from a learned constant and a style at each of four layers.

    Arguments:
        noise: length of a noise vector z.
        width: channels of each layer.
        d: length of a code w.

    Called with z (n, noise); pictures (n, 1, 28, 28), pixels in [0, 1]. In training mode each
    picture takes the code of its neighbour from a random layer on.
    Source: T. Karras et al. (2018), arXiv:1812.04948, made smaller and without noise in the layers.
    """

    def __init__(self, noise: int = 32, width: int = 24, d: int = 32):
        super().__init__()
        self.noise = noise
        self.mapping = nn.Sequential(
            nn.Linear(noise, d), nn.LeakyReLU(0.2), nn.Linear(d, d), nn.LeakyReLU(0.2)
        )
        self.constant = nn.Parameter(torch.randn(1, width, 7, 7))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(4))
        self.styles = nn.ModuleList(nn.Linear(d, 2 * width) for _ in range(4))
        self.paint = nn.Conv2d(width, 4, 1)

    def draw(self, codes: Sequence[Tensor]) -> Tensor:
        """Return pictures for codes w (n, d), one for each of the four layers."""
        return draw_styled(self, codes)

    def forward(self, z: Tensor) -> Tensor:
        w = self.mapping(z)
        cut = int(torch.randint(1, 5, ())) if self.training else 4
        return self.draw(crossed(w, w.roll(1, 0), cut))


def draw_styled(G: Any, codes: Sequence[Tensor]) -> Tensor:
    """Return pictures (n, 1, 28, 28) of a `StyleGenerator` for four codes w (n, d), by layer."""
    check_count(len(codes), "number of codes", 4, 4)
    h = G.constant.expand(len(codes[0]), -1, -1, -1)
    for layer, (conv, style, w) in enumerate(zip(G.convs, G.styles, codes, strict=True)):
        if layer == 2:
            h = F.interpolate(h, scale_factor=2)  # 7 × 7 becomes 14 × 14
        scale, shift = style(w).chunk(2, 1)
        h = adain(F.leaky_relu(conv(h), 0.2), 1 + scale, shift)
    return F.pixel_shuffle(G.paint(h), 2).sigmoid()


def outlines(pictures: Tensor, threshold: float = 0.1) -> Tensor:
    """Return the edges of what is brighter than the threshold, 0 or 1, like pictures (n, 1, h, w).

    A pixel of the silhouette belongs to its edge if one of its eight neighbours does not belong to
    the silhouette; what lies outside the picture does not.
    """
    check_shape(pictures, ["n", 1, "h", "w"], "pictures")
    check_between(torch.tensor(float(threshold)), 0, 1, "threshold")
    check_between(pictures, 0, 1, "pixels")
    inside = (pictures > threshold).float()
    eroded = -F.max_pool2d(F.pad(-inside, [1] * 4), 3, 1)
    return inside - eroded


class StackedMLP(nn.Module):
    """Perceptrons side by side, for inputs (games, n, sizes[0]); scores (games, n, sizes[-1]).

    Arguments:
        games: how many.
        sizes: units of the layers, from the inputs to the scores.

    Raises ValueError for inputs of another shape.
    """

    def __init__(self, games: int, sizes: Sequence[int]):
        super().__init__()
        if len(sizes) < 2:
            raise ValueError(f"two sizes or more are needed, got {sizes}")
        shapes = [(check_count(games, "games"), d, m) for d, m in pairwise(sizes)]
        self.W = nn.ParameterList(torch.randn(s) * (2 / s[1]) ** 0.5 for s in shapes)
        self.b = nn.ParameterList(torch.zeros(s[0], 1, s[2]) for s in shapes)

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, [len(self.W[0]), "n", self.W[0].shape[1]], "x")
        for layer, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            x = torch.baddbmm(b, F.leaky_relu(x, 0.2) if layer else x, W)
        return x


def as_it_is(x: Tensor) -> Tensor:
    """Return scores whose logistic function is near the pixels x: where a translation begins."""
    return 4 * x - 2


class Translator(StackedMLP):
    """Translate pictures (games, n, pixels) into pictures; `start` gives the scores to begin with.

    Arguments:
        games: how many translators, side by side.
        pixels: of a picture.
        start: maps pictures to scores, to which what is learned is added.
    """

    def __init__(
        self, games: int, pixels: int = 196, start: Callable[[Tensor], Tensor | int] = as_it_is
    ):
        super().__init__(games, [pixels, 128, 128, pixels])
        self.start = start
        with torch.no_grad():
            self.W[-1].mul_(0.1)  # little is added at first

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.start(x) + super().forward(x))


def extra_loss(
    G: nn.Module,
    H: nn.Module,
    a: Tensor,
    b: Tensor,
    to_b: Tensor,
    to_a: Tensor,
    cycle: float,
    near: float,
) -> Tensor:
    """Return what is asked of translators beyond the game: mean absolute differences of pixels.

    Arguments:
        G, H: the translators from a to b, and back.
        a, b: pictures of both sorts.
        to_b, to_a: their translations, G(a) and H(b).
        cycle: weight of the difference from there and back.
        near: weight of the difference between a picture and its translation.
    """
    loss = a.new_zeros(())
    if cycle:
        loss = loss + cycle * ((H(to_b) - a).abs().mean() + (G(to_a) - b).abs().mean())
    if near:
        loss = loss + near * ((to_b - a).abs().mean() + (to_a - b).abs().mean())
    return loss


def fit_translators(
    A: Tensor,
    B: Tensor,
    *,
    cycle: float = 10.0,
    near: float = 0.0,
    start: Callable[[Tensor], Tensor | int] = as_it_is,
    lr: float = 2e-3,
    judge_lr: float = 5e-4,
    steps: int = 300,
    games: int = 4,
    size: int = 32,
    seed: int = 0,
) -> tuple[Translator, Translator]:
    """Train translators G from A to B and H back, each against a judge, without pairs.

    Arguments:
        A: pictures (n, pixels), on the device.
        B: pictures (m, pixels) of the other sort, in no order.
        cycle: weight of the way there and back.
        near: weight of the distance between a picture and its translation.
        start: where a translation begins.
        lr, judge_lr: rates of translators and judges, which fall to 0 along a cosine.
        steps, games, size, seed: of the training; batches of `size` for each game.

    Raises TrainingFailed as soon as a loss is not finite.
    Source: J.-Y. Zhu et al. (2017), arXiv:1703.10593, with perceptrons.
    """
    check_inputs(check_shape(A, ["n", "pixels"], "A"))
    check_inputs(check_shape(B, ["m", A.shape[1]], "B"))
    seed_everything(seed)
    d, draw = A.shape[1], generator(seed)
    G, H = (Translator(games, d, start).to(A.device) for _ in range(2))
    D_B, D_A = (StackedMLP(games, [d, 64, 64, 1]).to(A.device) for _ in range(2))
    adams = [
        torch.optim.Adam([*one.parameters(), *two.parameters()], lr, betas=(0.5, 0.99), fused=True)
        for one, two in ((G, H), (D_A, D_B))
    ]
    for step in progress(range(steps), "steps"):
        for adam, rate in zip(adams, (lr, judge_lr), strict=True):
            adam.param_groups[0]["lr"] = rate * cosine(step, steps)
        a, b = (X[torch.randint(len(X), (games, size), generator=draw)] for X in (A, B))
        to_b, to_a = G(a), H(b)
        judged = discriminator_loss(D_B(b), D_B(to_b.detach()))
        one_step(adams[1], judged + discriminator_loss(D_A(a), D_A(to_a.detach())))
        loss = generator_loss(D_B(to_b)) + generator_loss(D_A(to_a))
        loss = loss + extra_loss(G, H, a, b, to_b, to_a, cycle, near)
        check_loss(loss, 1, step + 1)
        one_step(adams[0], loss)
    return G, H
