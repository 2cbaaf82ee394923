"""Tools to doubt a table with, against scikit-learn, SciPy, and counting."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from dlbook_utils.study import cifar10 as forensics


@pytest.fixture
def guesses():
    g = np.random.default_rng(0)
    truth = g.integers(0, 7, 900)
    guess = np.where(g.random(900) < 0.6, truth, g.integers(0, 6, 900))  # the last: rarely called
    return truth, guess


def test_scores_of_classes_are_scikit_learns(guesses):
    confusion = confusion_matrix(*guesses)
    expected = precision_recall_fscore_support(*guesses, zero_division=0)[:3]
    for found, known in zip(forensics.class_scores(confusion), expected, strict=True):
        np.testing.assert_allclose(found, known)
    of_classes, of_means = forensics.two_macro_f1(confusion)
    assert of_classes == pytest.approx(f1_score(*guesses, average="macro"))
    assert of_means == pytest.approx(forensics.harmonic(*(v.mean() for v in expected[:2])))
    assert of_means > of_classes


def test_a_class_that_is_never_called_has_no_score():
    precision, recall, f1 = forensics.class_scores([[3, 0], [2, 0]])
    assert (precision[1], recall[1], f1[1]) == (0, 0, 0)
    assert forensics.harmonic(0, 0) == 0
    assert forensics.harmonic(0.5, 1.0) == pytest.approx(2 / 3)


def test_the_chance_of_a_match_is_that_of_drawing():
    g = np.random.default_rng(1)
    p, r = 0.81 + g.uniform(-0.005, 0.005, 200_000), 0.80 + g.uniform(-0.005, 0.005, 200_000)
    drawn = np.mean(np.round(2 * p * r / (p + r), 3) == 0.805)
    assert forensics.chance_of_match(0.81, 0.80, 0.805) == pytest.approx(drawn, abs=0.005)
    assert forensics.chance_of_match(0.81, 0.80, 0.9) == 0


def test_rounded_numbers_can_have_been_equal():
    assert forensics.least_difference(82.1, 80, 0.05, 0.5) == pytest.approx(1.55)
    assert forensics.least_difference(80.4, 80, 0.05, 0.5) == 0


def test_errors_are_those_of_many_draws():
    g = np.random.default_rng(2)
    shares = [0.6, 0.15, 0.05, 0.2]  # both right, only the first, only the second, none
    p, q, d, n = 0.75, 0.65, 0.2, 300
    counts = g.multinomial(n, shares, 40_000) / n
    first, second = counts[:, 0] + counts[:, 1], counts[:, 0] + counts[:, 2]
    assert forensics.accuracy_error(p, n) == pytest.approx(first.std(), rel=0.02)
    assert forensics.paired_error(p, q, d, n) == pytest.approx((first - second).std(), rel=0.02)


@pytest.mark.parametrize("d", [0.05, 0.7])
def test_shares_that_cannot_be_are_refused(d):
    with pytest.raises(ValueError, match=f"0.75 and 0.65 do not allow d = {d}"):
        forensics.paired_error(0.75, 0.65, d, 100)


def test_nested_errors_are_allowed():
    assert forensics.paired_error(0.8, 0.7, 0.1, 900) == pytest.approx(0.01)  # 0.8 - 0.7 > 0.1


@pytest.mark.parametrize(("a", "b"), [(3, 9), (60, 61), (0, 5), (7, 7), (120, 90), (0, 1)])
def test_mcnemar_is_the_exact_binomial_test(a, b):
    assert forensics.mcnemar(a, b) == pytest.approx(binomtest(a, a + b).pvalue)


def test_calibration_error_counts_every_image_once():
    g = torch.Generator().manual_seed(0)
    z, y = 2 * torch.randn(500, 4, generator=g), torch.randint(0, 4, (500,), generator=g)
    n, _, _ = forensics.reliability(z, y, bins=10)
    assert n.sum() == 500
    sure, guess = z.double().softmax(1).max(1)
    expected = 0.0
    for k in range(10):
        inside = (sure >= k / 10) & ((sure < (k + 1) / 10) | (k == 9))
        if inside.any():
            gap = (guess == y)[inside].double().mean() - sure[inside].mean()
            expected += inside.double().mean().item() * abs(gap.item())
    assert forensics.calibration_error(z, y, bins=10) == pytest.approx(expected)


def test_a_sure_and_right_classifier_is_calibrated():
    z = 100 * torch.eye(3).double()
    assert forensics.calibration_error(z, torch.arange(3)) == pytest.approx(0, abs=1e-9)
    assert forensics.calibration_error(z, torch.tensor([1, 2, 0])) == pytest.approx(1)
    assert math.isclose(forensics.calibration_error(0 * z, torch.arange(3)), 0, abs_tol=1e-9)
