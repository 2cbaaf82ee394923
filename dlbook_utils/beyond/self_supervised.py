"""Learning without labels: the losses that compare views, and a measure of collapse.

Derived in book/beyond/self-supervised.md.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dlbook_utils.page.guards import check_finite, check_shape

__all__ = ["contrastive_loss", "effective_rank", "pair_loss"]


def contrastive_loss(a: Tensor, b: Tensor, temperature: float = 0.2) -> Tensor:
    """Return the mean loss of 2n views that each pick their partner among the 2n - 1 others.

    Row i of a (n, d) and row i of b (n, d) are the outputs for two views of picture i; they are
    compared by their cosine, divided by `temperature`. Raises ValueError for other shapes, numbers
    that are not finite, and a temperature that is not positive.
    Source: Chen et al. (2020), arXiv:2002.05709 (NT-Xent).
    """
    n, d = check_shape(a, ["n", "d"], "a").shape
    check_finite(check_shape(b, [n, d], "b"), "b")
    if not temperature > 0:
        raise ValueError(f"temperature is positive, got {temperature}")
    z = F.normalize(torch.cat([check_finite(a, "a"), b]), dim=1)  # (2n, d)
    S = z @ z.T / temperature
    S = S.masked_fill(torch.eye(2 * n, device=z.device).bool(), -torch.inf)
    partner = torch.arange(2 * n, device=z.device).roll(n)
    return F.cross_entropy(S, partner)


def effective_rank(z: Tensor) -> Tensor:
    """Return how many directions the rows of z (n, d) use, each row brought to length 1.

    It is the exponential of the entropy of the singular values' shares: 1 if all rows are the
    same, d if all directions are used alike; a 0-d tensor. Raises ValueError for another shape and
    for numbers that are not finite.
    Source: Roy and Vetterli (2007), https://infoscience.epfl.ch/record/110188.
    """
    check_finite(check_shape(z, ["n", "d"], "z"), "z")
    s = torch.linalg.svdvals(F.normalize(z, dim=1))
    p = s / s.sum().clamp(min=1e-12)
    return torch.special.entr(p).sum().exp()


def pair_loss(a: Tensor, b: Tensor, temperature: float = 0.2) -> Tensor:
    """Return the mean loss of pictures that pick their texts and texts that pick their pictures.

    Row i of a (n, d) belongs to row i of b (n, d); they are compared by their cosine, divided by
    `temperature`. Raises ValueError for other shapes, numbers that are not finite, and a
    temperature that is not positive.
    Source: Radford et al. (2021), arXiv:2103.00020.
    """
    n, d = check_shape(a, ["n", "d"], "a").shape
    check_finite(check_shape(b, [n, d], "b"), "b")
    if not temperature > 0:
        raise ValueError(f"temperature is positive, got {temperature}")
    S = F.normalize(check_finite(a, "a"), dim=1) @ F.normalize(b, dim=1).T
    S = S / temperature
    partner = torch.arange(n, device=a.device)
    return (F.cross_entropy(S, partner) + F.cross_entropy(S.T, partner)) / 2
