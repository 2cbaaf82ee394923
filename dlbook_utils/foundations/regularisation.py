"""Dropout, label smoothing and the soft threshold, as built in the chapter on regularisation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.page.guards import check_labels


def soft_threshold(a: Tensor, lam: float | Tensor) -> Tensor:
    """Move each entry of a towards zero by lam, and to zero if it is smaller than that.

    It minimises (w - a)**2 / 2 + lam * |w|, entry by entry.
    """
    return torch.sign(a) * torch.clamp(a.abs() - lam, min=0)


def thin(h: Tensor, keep: Tensor, p: float | Tensor) -> Tensor:
    """Keep the entries of h where `keep` is True, divided by 1 - p; set the others to zero."""
    return h * keep / (1 - p)


class Dropout(nn.Module):
    """Drop each entry with probability p in training, and divide the others by 1 - p.

    In evaluation mode the input is handed on as it is. Shapes: any, unchanged.

    Raises ValueError unless 0 <= p < 1.
    Source: N. Srivastava et al. (2014), https://jmlr.org/papers/v15/srivastava14a.html.
    """

    def __init__(self, p: float = 0.5):
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"p is a probability below 1, not {p}")
        self.p = p

    def forward(self, h: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return h
        return thin(h, torch.rand_like(h) >= self.p, self.p)


def smooth_targets(y: Tensor, K: int, alpha: float | Tensor) -> Tensor:
    """Return targets (..., K) for classes y (...): 1 - alpha on y, and alpha spread over all K.

    A tensor alpha broadcasts against (..., K).
    """
    return (1 - alpha) * F.one_hot(y, K) + alpha / K


def smoothed_loss(z: Tensor, y: Tensor, alpha: float | Tensor = 0.1) -> Tensor:
    """Return the mean cross-entropy of scores z (..., K) against smoothed classes y (...).

    Raises ValueError for labels that do not fit; none may be left out (-100).

    Source: C. Szegedy et al. (2015), arXiv:1512.00567, section 7.
    """
    check_labels(z, y)
    q = smooth_targets(y, z.shape[-1], alpha)
    return -(q * z.log_softmax(-1)).sum(-1).mean()
