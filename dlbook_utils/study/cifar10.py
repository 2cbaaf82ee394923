"""Tools to doubt a table of results with, as built in "A results table, taken apart".

Most need nothing but what is printed; the last ones need predictions or scores.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dlbook_utils.page.guards import check_count, check_labels, check_shape


def harmonic(p: float, r: float) -> float:
    """The harmonic mean of two numbers, such as precision and recall; 0 where both are 0."""
    return 2 * p * r / (p + r) if p + r else 0.0


def chance_of_match(p: float, r: float, f: float, half: float = 0.005, fine: int = 400) -> float:
    """Return how often the F1 of values that round to p and r rounds to f, at three decimals.

    Precision and recall take `fine` values each, evenly, up to `half` away from what is printed.
    """
    if not all(0 <= share <= 1 for share in (p, r, f, half)):
        raise ValueError(f"p, r, f and half must be in [0, 1], got {(p, r, f, half)}")
    check_count(fine, "fine")
    inside = (np.arange(fine) + 0.5) / fine * 2 * half - half
    P, R = np.meshgrid(p + inside, r + inside)
    return float((np.abs(2 * P * R / (P + R) - f) < 0.0005).mean())


def class_scores(confusion) -> tuple[Tensor, Tensor, Tensor]:
    """Return precision, recall and F1 of each class, float64 (..., k) each.

    `confusion` (..., k, k) counts images, its rows are the true classes. A class that is never
    called has precision 0, one that does not occur has recall 0.
    """
    c = torch.as_tensor(confusion).cpu().double()
    k = c.shape[-1:].numel()  # 1 for a lone number: it is refused
    check_shape(c, [..., k, k], "confusion")
    hits = c.diagonal(dim1=-2, dim2=-1)
    called, there = c.sum(-2), c.sum(-1)
    return (
        hits / called.clamp(min=1),
        hits / there.clamp(min=1),
        2 * hits / (called + there).clamp(min=1),
    )


def two_macro_f1(confusion) -> tuple[float, float]:
    """Return both numbers that are called macro F1: the mean of the classes' F1, and the F1 of the
    means of precision and recall, which is never smaller.

    Source: J. Opitz and S. Burst (2019), arXiv:1911.03347.
    """
    p, r, f = class_scores(confusion)
    return f.mean().item(), harmonic(p.mean().item(), r.mean().item())


def least_difference(a: float, b: float, half_a: float, half_b: float) -> float:
    """Return how near two numbers can have been before they were rounded.

    `half_a` and `half_b` are half a unit of the last printed place.
    """
    return max(abs(a - b) - half_a - half_b, 0.0)


def accuracy_error(p: float, n: int) -> float:
    """The standard error of an accuracy p (0 to 1) over n independent images; ValueError for other
    numbers, such as a percentage.
    """
    if not 0 <= p <= 1 or n < 1:
        raise ValueError(f"expected 0 <= p <= 1 and n >= 1, got {p}, {n}")
    return math.sqrt(p * (1 - p) / n)


def paired_error(p: float, q: float, d: float, n: int) -> float:
    """The standard error of the difference of two accuracies p and q (0 to 1) on the same n images,
    of which exactly one model is right on a share d.

    Raises ValueError if there are no such models.
    """
    least, most = abs(p - q), min(p + q, 2 - p - q)
    if n < 1 or not least - 1e-9 <= d <= most + 1e-9:  # 0.8 - 0.7 is above 0.1
        raise ValueError(f"accuracies {p} and {q} do not allow d = {d}")
    return math.sqrt((d - (p - q) ** 2) / n)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    The arguments count the images on which exactly one of two models is right.
    Source: Q. McNemar (1947), doi:10.1007/BF02295996.
    """
    counts = [check_count(k, "a count", 0) for k in (only_first, only_second)]
    n, most = sum(counts), max(counts)
    tail = sum(math.comb(n, k) for k in range(most, n + 1))
    return min(1.0, 2 * tail / 2**n)


def reliability(z: Tensor, y: Tensor, bins: int = 15) -> tuple[Tensor, Tensor, Tensor]:
    """Return number of images, mean confidence and accuracy of each bin that is not empty.

    z (n, k) are scores before the softmax, y int64 (n,) the true classes. Images are sorted by
    their largest probability into `bins` bins of equal width. Computed in float64 on the CPU.
    Raises ValueError for labels that do not fit.
    """
    check_labels(z, y)
    if z.isnan().any():
        raise ValueError(f"{z.isnan().sum()} scores are NaN")
    z, y = z.cpu().double(), y.cpu()
    sure, guess = F.softmax(z, 1).max(1)
    where = (sure * bins).long().clamp(max=bins - 1)
    n = torch.bincount(where, minlength=bins).double()
    c = torch.bincount(where, weights=sure, minlength=bins)
    a = torch.bincount(where, weights=(guess == y).double(), minlength=bins)
    full = n > 0
    return n[full], (c / n)[full], (a / n)[full]


def calibration_error(z: Tensor, y: Tensor, bins: int = 15) -> float:
    """Return the expected calibration error of scores z (n, k) for classes y (n,).

    Source: C. Guo et al. (2017), arXiv:1706.04599.
    """
    n, c, a = reliability(z, y, bins)
    return (n / n.sum() * (a - c).abs()).sum().item()
