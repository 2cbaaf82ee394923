"""Intervals against exact enumeration, an independent solution and scipy."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats

from dlbook_utils.metrics import mean_interval, wilson


def test_wilson_bounds_are_the_proportions_just_not_rejected():
    """Each bound solves |p_hat - p| = z sqrt(p (1 - p) / n), found here by bisection."""
    for correct, n in ((1, 10), (37, 50), (344, 360), (5, 6)):
        share = correct / n

        def gap(p, share=share, n=n):
            return (share - p) ** 2 - 1.96**2 * p * (1 - p) / n

        low = optimize.brentq(gap, 1e-12, share, xtol=1e-14)
        high = optimize.brentq(gap, share, 1 - 1e-12, xtol=1e-14)
        assert wilson(correct, n) == pytest.approx((low, high), abs=1e-10)


def test_wilson_against_scipy():
    for correct, n, level in ((0, 7, 0.95), (7, 7, 0.95), (12, 40, 0.99), (500, 501, 0.9)):
        z = stats.norm.ppf((1 + level) / 2)
        theirs = stats.binomtest(correct, n).proportion_ci(level, method="wilson")
        assert wilson(correct, n, z) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize("n", [20, 100, 360])
def test_wilson_covers_the_truth_about_as_often_as_it_says(n):
    p = np.linspace(0.02, 0.98, 481)
    ours = coverage(wilson, n, p)
    assert ours.mean() == pytest.approx(0.95, abs=0.01)
    assert ours.min() > 0.83
    assert ours.max() < 0.999
    assert coverage(textbook, n, p).min() < ours.min() - 0.04


def coverage(interval, n, p):
    """Return the exact chance (len(p),) that the interval contains p, by enumerating counts."""
    chance = stats.binom.pmf(np.arange(n + 1)[:, None], n, p)
    bounds = np.array([interval(k, n) for k in range(n + 1)])
    return (chance * ((bounds[:, :1] <= p) & (p <= bounds[:, 1:]))).sum(0)


def textbook(correct, n, z=1.96):
    p = correct / n
    half = z * math.sqrt(p * (1 - p) / n)
    return p - half, p + half


def test_wilson_stays_inside_and_never_has_length_zero():
    for n in (1, 3, 1000):
        for correct in (0, n):
            low, high = wilson(correct, n)
            assert 0 <= low < high <= 1
            assert low <= correct / n <= high


def test_wilson_is_symmetric_and_shrinks():
    low, high = wilson(3, 20)
    assert wilson(17, 20) == pytest.approx((1 - high, 1 - low))
    widths = [np.diff(wilson(9 * n, 10 * n))[0] for n in (1, 10, 100)]
    assert widths[0] > widths[1] > widths[2]


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(correct, n):
    with pytest.raises(ValueError, match=f"got {correct} of {n}"):
        wilson(correct, n)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_mean_interval_against_scipy(level):
    values = [0.91, 0.94, 0.9, 0.97, 0.93]
    mean, half = mean_interval(values, level)
    low, high = stats.t.interval(level, len(values) - 1, np.mean(values), stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high), abs=1e-12)


def test_mean_interval_by_hand():
    """1 and 3: mean 2, standard error 1, and t with one degree of freedom is the Cauchy law."""
    mean, half = mean_interval([1, 3])
    assert mean == 2
    assert half == pytest.approx(math.tan(math.pi * 0.475))
    assert (type(mean), type(half)) == (float, float)


def test_mean_interval_takes_tensors_and_arrays():
    values = [0.25, 0.5, 1.0]
    assert mean_interval(torch.tensor(values)) == pytest.approx(mean_interval(values))
    assert mean_interval(np.array(values)) == pytest.approx(mean_interval(values))


def test_mean_interval_covers_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(3.0, 2.0, (4000, 5))
    hits = [abs(mean - 3.0) <= half for mean, half in map(mean_interval, draws)]
    assert np.mean(hits) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


@pytest.mark.parametrize("values", [[], [0.9], [[0.1, 0.2], [0.3, 0.4]]])
def test_mean_interval_refuses_too_few_values(values):
    with pytest.raises(ValueError, match="at least two numbers"):
        mean_interval(values)
