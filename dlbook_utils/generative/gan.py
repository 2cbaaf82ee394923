"""Generative adversarial networks and the Fréchet distance, as built in "Generative adversarial
networks".

Images are (n, 1, 8, 8) with pixels in [0, 1]; a noise vector is a row of (n, noise). What a
discriminator returns are scores: log-odds that an example is real.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.foundations.linear import fit
from dlbook_utils.foundations.optimisation import cosine
from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.page.guards import check_count, check_inputs, check_loss, progress
from dlbook_utils.vision.cnn import ConvNet


def discriminator_loss(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """Return -V: the mean cross-entropies of scores on real (wanted: 1) and made (0) examples."""
    return F.softplus(-on_real).mean() + F.softplus(on_fake).mean()


def generator_loss(on_fake: Tensor) -> Tensor:
    """Return the non-saturating loss, the mean of -log D, for scores on made examples."""
    return F.softplus(-on_fake).mean()


def one_step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one step of an optimizer against the gradient of a loss."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def power_iteration(W: Tensor, v: Tensor, steps: int = 1) -> Tensor:
    """Turn v (..., d, 1) towards the direction that W (..., m, d) stretches most; length 1."""
    for _ in range(check_count(steps, "steps", 0)):
        v = F.normalize(W.mT @ (W @ v), dim=-2)
    return v


def largest_stretch(W: Tensor, v: Tensor) -> Tensor:
    """Return by how much W (..., m, d) stretches a unit vector v (..., d, 1), as (..., 1, 1).

    If v is its first right singular vector, this is the largest singular value of W, and so is the
    gradient.
    """
    u = F.normalize(W @ v, dim=-2).detach()
    return u.mT @ W @ v


class SpectralNorm(nn.Module):
    """Divide a weight by its largest singular value, which power iteration follows.

    For `parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight))`. The
    weight (m, ...) counts as a matrix of m rows. The iteration starts at random with `steps` steps
    and takes one more at each use in training mode.
    Source: T. Miyato et al. (2018), arXiv:1802.05957.
    """

    v: Tensor

    def __init__(self, weight: Tensor, steps: int = 15):
        super().__init__()
        W = weight.detach().flatten(1)
        v = F.normalize(torch.randn(W.shape[1], 1).to(W), dim=0)
        self.register_buffer("v", power_iteration(W, v, steps))

    def forward(self, weight: Tensor) -> Tensor:
        W = weight.flatten(1)
        if self.training:
            self.v = power_iteration(W.detach(), self.v)
        return weight / largest_stretch(W, self.v).squeeze()


class DigitGenerator(nn.Module):
    """Draw images of 8 × 8 from noise, by transposed convolutions.

    Arguments:
        noise: length of a noise vector z.
        width: channels at 4 × 4; twice as many at 2 × 2.

    Called with z (n, noise); images (n, 1, 8, 8), pixels in [0, 1].
    Source: A. Radford et al. (2015), arXiv:1511.06434, made smaller.
    """

    def __init__(self, noise: int = 32, width: int = 16):
        super().__init__()
        self.noise = noise
        self.layers = nn.Sequential(
            nn.Linear(noise, 8 * width, bias=False),
            nn.Unflatten(1, (2 * width, 2, 2)),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, 1, 4, 2, 1),
            nn.Sigmoid(),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)

    @torch.no_grad()
    def sample(self, n: int, draw: torch.Generator) -> Tensor:
        """Return n new images (n, 1, 8, 8); the network is left in evaluation mode."""
        self.eval()
        z = torch.randn(n, self.noise, generator=draw)
        return self(z.to(self.layers[0].weight.device))  # type: ignore[arg-type]


class DigitDiscriminator(nn.Module):
    """Score images (n, 1, 8, 8): (n,), above 0 for "real", below 0 for "made".

    Arguments:
        width: channels at 4 × 4; twice as many at 2 × 2.
    """

    def __init__(self, width: int = 32):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(8 * width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)[:, 0]


def fit_gan(
    G: Any,
    D: nn.Module,
    images: Tensor,
    *,
    steps: int,
    size: int = 64,
    lr: float = 4e-3,
    beta1: float = 0.0,
    seed: int = 0,
) -> list[dict[str, float]]:
    """Train a generator and a discriminator in turn; return both losses, a dict per step.

    Arguments:
        G: maps noise (n, G.noise) to images.
        D: maps images to scores (n,).
        images: (n, ...), on the networks' device.
        steps: how many steps each of the two takes.
        size: of a batch of real images and of one of made images.
        lr: the learning rate at the start; it falls to 0 along a cosine.
        beta1: Adam's memory of gradients.
        seed: of batches and noise.

    A row holds "step", "D_loss" and "G_loss". Raises TrainingFailed as soon as a loss is not
    finite, TypeError or ValueError for images that are no floating-point tensor, or none.
    Source: I. Goodfellow et al. (2014), arXiv:1406.2661, algorithm 1 with one step of D.
    """
    adams = [torch.optim.Adam(net.parameters(), lr, betas=(beta1, 0.99)) for net in (G, D)]
    draw, history = generator(seed), []
    check_inputs(images)
    G.train()
    D.train()
    for step in progress(range(steps), "steps"):
        for adam in adams:
            adam.param_groups[0]["lr"] = lr * cosine(step, steps)
        idx = torch.randint(len(images), (size,), generator=draw)
        z = torch.randn(size, G.noise, generator=draw)
        fake = G(z.to(images.device))
        D_loss = discriminator_loss(D(images[idx]), D(fake.detach()))
        one_step(adams[1], D_loss)
        G_loss = generator_loss(D(fake))
        one_step(adams[0], G_loss)
        losses = [check_loss(loss, 1, step + 1) for loss in (D_loss, G_loss)]
        history.append({"step": step, "D_loss": losses[0], "G_loss": losses[1]})
    return history


def train_judge(images: Tensor, y: Tensor, seed: int = 0, epochs: int = 12) -> ConvNet:
    """Return a small classifier of images (n, 1, 8, 8) with labels y (n,), in evaluation mode."""
    seed_everything(seed)
    judge = ConvNet([1, 32, 64], 10).to(images.device)
    adam = torch.optim.Adam(judge.parameters(), lr=5e-3)
    fit(judge, (images, y), optimizer=adam, epochs=epochs, seed=seed)
    return judge.eval()


@torch.no_grad()
def digit_features(judge: ConvNet, images: Tensor) -> Tensor:
    """Return what the head of a classifier sees of images (n, 1, 8, 8): features (n, d), on the
    CPU in float64.
    """
    return judge.maps(images).amax((2, 3)).cpu().double()


def matrix_root(S: Tensor) -> Tensor:
    """Return the root of a symmetric positive semidefinite matrix: symmetric R with R R = S."""
    values, vectors = torch.linalg.eigh(S)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


def frechet_between(m1: Tensor, S1: Tensor, m2: Tensor, S2: Tensor) -> float:
    """Return the squared Fréchet distance of two Gaussians with means (d,), covariances (d, d).

    Source: D. Dowson and B. Landau (1982), doi:10.1016/0047-259X(82)90077-X.
    """
    root = matrix_root(S1)
    middle = matrix_root(root @ S2 @ root)
    return ((m1 - m2).square().sum() + (S1 + S2 - 2 * middle).trace()).item()


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Return the squared Fréchet distance of Gaussians fitted to features a (n, d) and b (m, d).

    Computed in float64 on the CPU. With the features of Inception v3 it is called FID. Raises
    ValueError for other shapes or fewer than two rows.
    Source: M. Heusel et al. (2017), arXiv:1706.08500.
    """
    if a.ndim != 2 or a.shape[1:] != b.shape[1:] or min(len(a), len(b)) < 2:
        raise ValueError(f"expected (n, d) and (m, d), got {tuple(a.shape)}, {tuple(b.shape)}")
    a, b = a.cpu().double(), b.cpu().double()
    S1, S2 = (torch.atleast_2d(torch.cov(x.T)) for x in (a, b))
    return frechet_between(a.mean(0), S1, b.mean(0), S2)
