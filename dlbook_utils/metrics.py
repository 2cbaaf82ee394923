"""How good, and how sure: measures with their uncertainty, as built in the chapters."""

from __future__ import annotations

from math import sqrt


def wilson(correct: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's interval for a proportion of `correct` out of `n` (95 % for z = 1.96).

    Unlike p ± z sqrt(p (1 - p) / n) it stays inside [0, 1] and keeps its level near the ends.
    Source: E. B. Wilson (1927), doi:10.1080/01621459.1927.10502953.
    """
    p = correct / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return centre - half, centre + half


def mean_interval(values, level: float = 0.95) -> tuple[float, float]:
    """Return the mean of the values and the half-width of Student's t interval for it.

    Needs at least two values, such as the accuracies of runs that differ in their seed alone.
    """
    import numpy as np
    from scipy import stats

    values = np.asarray(values, dtype=float)
    error = values.std(ddof=1) / sqrt(len(values))
    return values.mean(), stats.t.ppf((1 + level) / 2, len(values) - 1) * error
