"""Principal components, angles between subspaces, transposed convolution and ROC-AUC, as built in
"Autoencoders: a copy through a narrow door".
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dlbook_utils.page.guards import check_count, check_shape
from dlbook_utils.vision.cnn import conv2d, spread


def unexplained(x: Tensor, x_hat: Tensor) -> Tensor:
    """Return the share of the variance of x (..., n, d) that a copy misses, (...).

    0 for a perfect copy, 1 for the mean of x.
    """
    missed = (x - x_hat).square().sum((-2, -1))
    return missed / (x - x.mean(-2, keepdim=True)).square().sum((-2, -1))


def principal_components(X: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean (d,), the first k principal directions (d, k) and all variances of X (n, d).

    The variances are the eigenvalues of the covariance matrix (divided by n), largest first. Raises
    ValueError unless k is in 1..min(n, d).
    """
    mean = X.mean(0)
    check_count(k, "k", 1, min(X.shape))
    _, s, Vt = torch.linalg.svd(X - mean, full_matrices=False)
    return mean, Vt[:k].T, s**2 / len(X)


def pca_copy(x: Tensor, mean: Tensor, V: Tensor) -> Tensor:
    """Return the points of the affine subspace mean + span(V) that are closest to x (n, d)."""
    return mean + (x - mean) @ V @ V.T


def principal_angles(A: Tensor, B: Tensor) -> Tensor:
    """Return the angles in degrees, ascending, between the column spaces of A and B (..., d, k).

    Small angles come from their sine, large ones from their cosine.
    Source: A. Björck, G. H. Golub (1973), doi:10.1090/S0025-5718-1973-0348991-3.
    """
    A, B = torch.linalg.qr(A).Q, torch.linalg.qr(B).Q
    cosines = torch.linalg.svdvals(A.mT @ B).clamp(max=1)
    sines = torch.linalg.svdvals(B - A @ (A.mT @ B)).flip(-1).clamp(max=1)
    angles = torch.where(cosines**2 < 0.5, cosines.acos(), sines.asin())
    return torch.rad2deg(angles)


def conv_transpose2d(
    g: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0
) -> Tensor:
    """Map (n, m, h, w) with kernels (m, c, a, b) to larger pictures (n, c, h_out, w_out).

    The transpose of `conv2d` as a linear map, and the same numbers as F.conv_transpose2d:
    h_out = stride (h - 1) + a - 2 padding. Raises ValueError if the channels differ.
    """
    if g.shape[1] != len(weight):
        raise ValueError(f"maps have {g.shape[1]} channels, the kernels {len(weight)}")
    check_count(padding, "padding", 0)
    a, b = weight.shape[2:]
    across, down = b - 1 - padding, a - 1 - padding
    wide = F.pad(spread(g, stride), [across, across, down, down])
    x = conv2d(wide, weight.flip(2, 3).transpose(0, 1))
    return x if bias is None else x + bias[:, None, None]


def roc_auc(scores: Tensor, is_anomaly: Tensor) -> float:
    """Return the probability that an anomaly scores above a normal example, ties counting half.

    `scores` (n,) and `is_anomaly` (n,), bool or 0 and 1. Raises ValueError unless both kinds are
    there, for scores that are NaN and for unequal shapes.
    Source: J. A. Hanley, B. J. McNeil (1982), doi:10.1148/radiology.143.1.7063747.
    """
    scores, is_anomaly = scores.cpu(), is_anomaly.cpu()
    is_anomaly = check_shape(is_anomaly, scores.shape, "is_anomaly").bool()
    if scores.isnan().any():
        raise ValueError(f"{scores.isnan().sum()} scores are NaN")
    _, place, counts = torch.unique(scores, return_inverse=True, return_counts=True)
    ranks = (counts.cumsum(0) - (counts - 1) / 2)[place].cpu().double()
    anomalies, normal = is_anomaly.sum().item(), (~is_anomaly).sum().item()
    if not anomalies or not normal:
        raise ValueError(
            f"expected both kinds, got {anomalies} anomalies and {normal} normal examples"
        )
    ranked = ranks[is_anomaly.cpu()].sum().item()
    least = anomalies * (anomalies + 1) / 2  # all below the normal ones
    return (ranked - least) / (anomalies * normal)
