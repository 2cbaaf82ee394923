"""The variational autoencoder, as built in "Variational autoencoders".

Images are (n, c, h, w) with pixels in [0, 1]; codes are rows of (n, codes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log, pi, prod

import torch
from torch import Tensor, nn

from dlbook_utils.foundations.linear import batches
from dlbook_utils.foundations.mlp import MLP
from dlbook_utils.foundations.optimisation import cosine
from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.page.guards import check_inputs, check_loss, check_shape, progress

ZERO = torch.zeros(())


def kl_gaussians(m: Tensor, log_v: Tensor, m2: Tensor = ZERO, log_v2: Tensor = ZERO) -> Tensor:
    """Return KL(N(m, v) || N(m2, v2)) entry by entry, variances given by their logarithms.

    The second Gaussian is the standard one unless given. For diagonal Gaussians in d dimensions,
    sum over the last axis.
    """
    log_ratio = log_v - log_v2
    distance = (m - m2) ** 2 / log_v2.exp()
    return 0.5 * (log_ratio.exp() + distance - 1 - log_ratio)


def log_normal(x: Tensor, m: Tensor, log_v: Tensor) -> Tensor:
    """Return log N(x; m, v) entry by entry, the variance given by its logarithm."""
    return -0.5 * (log(2 * pi) + log_v + (x - m) ** 2 / log_v.exp())


def reparameterise(m: Tensor, log_v: Tensor, eps: Tensor) -> Tensor:
    """Return draws from N(m, v) made of standard normal eps, differentiable in m and log v."""
    return m + (0.5 * log_v).exp() * eps


class VAE(nn.Module):
    """A variational autoencoder with Gaussian codes and Gaussian pixels of one learned variance.

    Arguments:
        codes: how many numbers a code has.
        hidden: units of the encoder's hidden layers; the decoder has them in reverse.
        squash: applied to the decoder's scores; a sigmoid keeps mean pixels in [0, 1].
        shape: of an image, (c, h, w).
        v: variance of a pixel given its mean, at the start.

    `model.log_v.requires_grad_(False)` keeps that variance as it is. Source: D. Kingma, M. Welling
    (2013), arXiv:1312.6114; D. Rezende, S. Mohamed, D. Wierstra (2014), arXiv:1401.4082. The
    learned variance: O. Rybkin, K. Daniilidis, S. Levine (2021), arXiv:2006.13202.
    """

    def __init__(
        self,
        codes: int,
        hidden: Sequence[int] = (128, 128),
        squash: Callable[[Tensor], Tensor] = torch.sigmoid,
        shape: Sequence[int] = (1, 8, 8),
        v: float = 0.1,
    ):
        super().__init__()
        d = prod(shape)
        self.codes, self.shape, self.squash = codes, tuple(shape), squash
        self.encoder = MLP([d, *hidden, 2 * codes], torch.tanh)
        self.decoder = MLP([codes, *reversed(hidden), d], torch.tanh)
        self.log_v = nn.Parameter(torch.tensor(log(v)))  # of a pixel

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance (n, codes) of q(z | x) for images (n, c, h, w)."""
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(f"expected images (n, *{self.shape}), got {tuple(x.shape)}")
        return self.encoder(x).chunk(2, -1)

    def decode(self, z: Tensor) -> Tensor:
        """Return the mean images (n, c, h, w) for codes (n, codes)."""
        return self.squash(self.decoder(z)).unflatten(-1, self.shape)

    def log_p(self, x: Tensor, z: Tensor) -> Tensor:
        """Return log p(x | z), (n,), for images x (n, c, h, w) and codes z (n, codes)."""
        log_p = log_normal(x, self.decode(z), self.log_v)
        return log_p.flatten(1).sum(-1)

    @torch.no_grad()
    def sample(self, n: int, draw: torch.Generator) -> Tensor:
        """Return mean images (n, c, h, w) for codes drawn from the prior."""
        z = torch.randn(n, self.codes, generator=draw)
        return self.decode(z.to(self.log_v.device))


def elbo_terms(model: VAE, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
    """Return a one-sample estimate of E_q log p(x | z), (n,), and the KL of each code, (n, codes).

    Arguments:
        x: images (n, c, h, w).
        eps: standard normal noise (n, codes).
    """
    m, log_v = model.encode(x)
    z = reparameterise(m, log_v, check_shape(eps, m.shape, "eps"))
    return model.log_p(x, z), kl_gaussians(m, log_v)


def train_vae(
    model: VAE,
    x: Tensor,
    epochs: int,
    seed: int = 0,
    *,
    size: int = 128,
    lr: float = 8e-3,
    beta: float = 1.0,
    warm: int = 0,
    floor: float = 0.0,
) -> list[dict[str, float]]:
    """Climb the evidence lower bound with Adam, and return a dict per epoch.

    Arguments:
        x: images (n, c, h, w), on the model's device.
        seed: of the batches and of the noise.
        beta: weight of the KL term; 1 is the bound, anything else a compromise.
        warm: epochs over which that weight rises in a straight line from 0.
        floor: nats per code, on average over the batch, that the KL term does not charge for.

    The learning rate falls to 0 along a cosine. A row holds "epoch", "log_p" and "kl", means over
    the epoch's batches. Raises TrainingFailed as soon as the loss is not finite, TypeError or
    ValueError for images that are no floating-point tensor, or none.
    """
    nets = [p for p in model.parameters() if p is not model.log_v]
    adam = torch.optim.Adam(
        [{"params": nets}, {"params": [model.log_v], "lr": 10 * lr}],  # type: ignore[arg-type]
        lr,
    )
    fall = torch.optim.lr_scheduler.LambdaLR(adam, lambda epoch: cosine(epoch, epochs or 1))
    draw, history = generator(seed), []
    check_inputs(x)
    for epoch in progress(range(epochs), "epochs"):
        weight = beta * min(1.0, epoch / warm) if warm else beta
        sums = torch.zeros(2)
        for step, idx in enumerate(batches(len(x), size, draw), 1):
            eps = torch.randn(len(idx), model.codes, generator=draw)
            log_p, kl = elbo_terms(model, x[idx], eps.to(x.device))
            charged = kl.mean(0).clamp(min=floor).sum()
            loss = weight * charged - log_p.mean()
            check_loss(loss, epoch + 1, step)
            adam.zero_grad()
            loss.backward()
            adam.step()
            sums += torch.stack([log_p.sum(), kl.sum()]).detach().cpu()
        fall.step()
        log_p, kl = (sums / len(x)).tolist()
        history.append({"epoch": epoch + 1, "log_p": log_p, "kl": kl})
    return history


def fit_vae(x: Tensor, codes: int, epochs: int, seed: int = 0) -> VAE:
    """Return a VAE trained on images x (n, c, h, w) in [0, 1], on their device."""
    seed_everything(seed)
    model = VAE(codes, shape=x.shape[1:]).to(x.device)
    train_vae(model, x, epochs, seed)
    return model.eval()
