"""Pictures as grids of codes: vector quantisation, and guidance of what is drawn code by code.

Derived in book/generative/latent.md. Outputs of an encoder are h (..., d), a codebook E is (K, d).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from dlbook_utils.page.guards import (
    check_count,
    check_finite,
    check_inputs,
    check_shape,
    check_sides,
)

__all__ = ["VQVAE", "codebook_loss", "guide", "pass_through", "quantise", "revive_codes"]


def quantise(h: Tensor, E: Tensor) -> Tensor:
    """Return the number (...) of the code in E (K, d) that is nearest to each vector of h (..., d).

    Raises ValueError for other shapes and for numbers that are not finite.
    """
    check_inputs(check_shape(E, ["K", "d"], "E"), where="codes")
    check_inputs(check_shape(h, [..., E.shape[1]], "h"), where="outputs")
    check_finite(h, "h")
    far = check_finite(E, "E").square().sum(1) - 2 * h @ E.T  # (..., K)
    return far.argmin(-1)


def pass_through(h: Tensor, e: Tensor) -> Tensor:
    """Return the codes' vectors e, whose gradient goes to h (both (..., d)) as if they were h.

    Raises ValueError for other shapes. Source: Bengio, Leonard and Courville (2013),
    arXiv:1308.3432 (the straight-through estimator).
    """
    check_inputs(h, where="outputs")
    check_inputs(check_shape(e, h.shape, "e"), where="codes")
    return h + (e - h).detach()


def codebook_loss(h: Tensor, e: Tensor, beta: float = 0.25) -> Tensor:
    """Return the mean squared distance of codes e to outputs h, and beta times that of h to e.

    The first part moves the codes alone, the second the encoder alone; both are (..., d). Raises
    ValueError for other shapes and a negative beta. Source: van den Oord, Vinyals and Kavukcuoglu
    (2017), arXiv:1711.00937, with a mean for the sum over d.
    """
    check_inputs(check_shape(h, [..., "d"], "h"), where="outputs")
    check_inputs(check_shape(e, h.shape, "e"), where="codes")
    if not beta >= 0:
        raise ValueError(f"beta must be 0 or more, got {beta}")
    return F.mse_loss(e, h.detach()) + beta * F.mse_loss(h, e.detach())


class VQVAE(nn.Module):
    """An autoencoder whose middle is a grid of whole numbers.

    Arguments:
        K: how many codes there are.
        d: numbers in the vector of a code.
        m: channels of the wider layers, halved at full size.

    Called with pictures x (n, 3, h, w), whose sides are multiples of 4, it returns the copies, the
    encoder's outputs (n, h w / 16, d) and the codes (n, h w / 16), row by row. Source: van den Oord
    et al. (2017), arXiv:1711.00937, made smaller.
    """

    def __init__(self, K: int = 64, d: int = 8, m: int = 64):
        super().__init__()
        half = check_count(m, "m", 2) // 2
        self.encoder = nn.Sequential(
            nn.Conv2d(3, half, 4, 2, 1), nn.ReLU(), nn.Conv2d(half, m, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(m, check_count(d, "d"), 1),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Conv2d(d, m, 3, padding=1), nn.ReLU(), nn.ConvTranspose2d(m, half, 4, 2, 1),
            nn.ReLU(), nn.ConvTranspose2d(half, 3, 4, 2, 1),
        )  # fmt: skip
        self.E = nn.Parameter(torch.randn(check_count(K, "K"), d) / d)

    def encode(self, x: Tensor) -> Tensor:
        """Return the vectors (n, places, d) before they are quantised."""
        check_inputs(check_shape(x, ["n", 3, "h", "w"]), where="pictures")
        check_sides(x, 4)
        return self.encoder(x).flatten(2).mT  # (n, h w / 16, d)

    def decode(self, q: Tensor) -> Tensor:
        """Return the pictures of square grids of vectors q (n, places, d)."""
        side = round(q.shape[1] ** 0.5)
        return self.decoder(q.mT.unflatten(2, (side, side)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.encode(x)
        k = quantise(h, self.E)
        return self.decode(pass_through(h, self.E[k])), h, k


@torch.no_grad()
def revive_codes(E: Tensor, used: Tensor, h: Tensor, g: Generator) -> int:
    """Put codes of E (K, d) that were not used onto outputs h (..., d) drawn at random.

    `used` (K,) counts how often each code was chosen of late; E is changed in place. Returns how
    many were revived. Raises ValueError for other shapes.
    """
    check_shape(used, [len(check_shape(E, ["K", "d"], "E"))], "used")
    check_inputs(E, where="codes")
    check_inputs(check_shape(h, [..., E.shape[1]], "h"), where="outputs")
    rows = check_finite(h, "h").flatten(0, -2)
    dead = (used == 0).nonzero()[:, 0]
    chosen = torch.randint(len(rows), (len(dead),), generator=g).to(h.device)
    E[dead] = rows[chosen]
    return len(dead)


def guide(scores: Tensor, free: Tensor, scale: float) -> Tensor:
    """Return scores (..., K) pushed away from those without words, `free` (..., K).

    A scale of 1 leaves them as they are, 0 takes the words away. Raises ValueError for another
    shape. Source: Ho and Salimans (2022), arXiv:2207.12598, there for diffusion.
    """
    check_inputs(scores, where="scores")
    check_inputs(check_shape(free, scores.shape, "free"), where="free scores")
    return free + scale * (scores - free)
