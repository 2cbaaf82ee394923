"""How good, and how sure: measures with their uncertainty, as built in the chapters."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np


def wilson(correct: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's interval for a proportion of `correct` out of `n` (95 % for z = 1.96).

    Unlike p ± z sqrt(p (1 - p) / n) it stays inside [0, 1] and keeps its level near the ends.
    Raises ValueError unless 0 <= correct <= n and n > 0.
    Source: E. B. Wilson (1927), doi:10.1080/01621459.1927.10502953.
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"expected 0 <= correct <= n and n > 0, got {correct} of {n}")
    p = correct / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return the mean of the values and the half-width of Student's t interval for it.

    For values that are independent and roughly normal, such as the accuracies of runs that differ
    in their seed alone. Raises ValueError for fewer than two values.
    """
    from scipy import stats  # slow to import, and rarely needed

    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"expected at least two numbers, got an array of shape {values.shape}")
    error = values.std(ddof=1) / sqrt(len(values))
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * error
    return float(values.mean()), float(half)
