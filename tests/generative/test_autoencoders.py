"""Principal components, subspace angles, transposed convolution and ROC-AUC against references."""

import math
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from dlbook_utils.generative.autoencoders import (
    conv_transpose2d,
    pca_copy,
    principal_angles,
    principal_components,
    roc_auc,
    unexplained,
)
from dlbook_utils.page.devices import generator
from dlbook_utils.vision.cnn import conv2d


def draw(*shape, seed):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def test_a_copy_is_worth_what_it_explains():
    x = draw(3, 20, 5, seed=0)
    assert torch.equal(unexplained(x, x), torch.zeros(3).double())
    means = x.mean(1, keepdim=True).expand_as(x)
    assert torch.allclose(unexplained(x, means), torch.ones(3).double())
    assert torch.allclose(unexplained(x, 2 * means - x), torch.full((3,), 4.0).double())


def test_principal_components_are_sklearns():
    x = draw(50, 6, seed=1) @ draw(6, 6, seed=2) + 3
    mean, V, variances = principal_components(x, 3)
    theirs = PCA(3, svd_solver="full").fit(x.numpy())
    assert torch.allclose(V.T @ V, torch.eye(3).double())
    assert np.allclose(np.abs((theirs.components_ * V.T.numpy()).sum(1)), 1)
    assert np.allclose(variances[:3] * 50 / 49, theirs.explained_variance_)
    assert torch.allclose(variances.sum(), (x - x.mean(0)).square().sum() / 50)
    fresh = draw(7, 6, seed=3)
    copies = theirs.inverse_transform(theirs.transform(fresh.numpy()))
    assert np.allclose(pca_copy(fresh, mean, V), copies)


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("distance", [1e-12, 1e-7, 1e-2, 1.0, 1e3])
def test_angles_are_scipys(k, distance):
    A = draw(12, k, seed=4)
    B = A + distance * draw(12, k, seed=5)
    theirs = np.rad2deg(subspace_angles(A.numpy(), B.numpy()))[::-1]
    assert np.allclose(principal_angles(A, B), theirs, rtol=1e-4, atol=1e-12)


def test_angles_know_planes_and_not_axes():
    A = draw(2, 9, 3, seed=6)
    assert principal_angles(A, A @ draw(3, 3, seed=7)).max() < 1e-9
    axes = torch.eye(4).double()
    assert torch.allclose(
        principal_angles(axes[:, :2], axes[:, 2:]), torch.full((2,), 90.0).double()
    )


@pytest.mark.parametrize(
    ("stride", "padding", "with_bias"), list(product((1, 2, 3), (0, 1, 2), (False, True)))
)
def test_transposed_convolution_equals_pytorchs(stride, padding, with_bias):
    leaves = [draw(2, 4, 5, 6, seed=8), draw(4, 3, 4, 3, seed=9)] + [draw(3, seed=10)] * with_bias
    leaves = [leaf.requires_grad_() for leaf in leaves]
    bias = leaves[2] if with_bias else None
    ours = conv_transpose2d(*leaves[:2], bias, stride, padding)
    theirs = F.conv_transpose2d(*leaves[:2], bias, stride, padding)
    assert ours.shape == theirs.shape
    assert torch.allclose(ours, theirs)
    g = draw(*ours.shape, seed=11)
    got, expected = torch.autograd.grad(ours, leaves, g), torch.autograd.grad(theirs, leaves, g)
    for a, b in zip(got, expected):
        assert torch.allclose(a, b)
        assert a.abs().sum() > 0


def test_transposed_convolution_is_the_transpose():
    x, w = draw(1, 3, 10, 10, seed=12), draw(4, 3, 4, 4, seed=13)
    g = draw(1, 4, 4, 4, seed=14)
    forwards = (conv2d(x, w, stride=2) * g).sum()
    assert torch.isclose(forwards, (x * conv_transpose2d(g, w, stride=2)).sum())


def test_transposed_convolution_names_channels_that_do_not_fit():
    with pytest.raises(ValueError, match="maps have 2 channels, the kernels 4"):
        conv_transpose2d(torch.zeros(1, 2, 5, 5), torch.zeros(4, 3, 3, 3))


@pytest.mark.parametrize("levels", [2, 7, 1000])
def test_auc_is_sklearns_with_and_without_ties(levels):
    scores = torch.randint(0, levels, (300,), generator=generator(15)).float()
    labels = torch.rand(300, generator=generator(16)) < 0.2
    assert math.isclose(roc_auc(scores, labels), roc_auc_score(labels, scores))


def test_auc_of_known_orders():
    labels = torch.tensor([False, False, True, True])
    assert roc_auc(torch.arange(4.0), labels) == 1
    assert roc_auc(torch.arange(4.0), labels.long()) == 1
    assert roc_auc(-torch.arange(4.0), labels) == 0
    assert roc_auc(torch.zeros(4), labels) == 0.5


@pytest.mark.parametrize("label", [True, False])
def test_auc_needs_both_kinds(label):
    with pytest.raises(ValueError, match="expected both kinds"):
        roc_auc(torch.arange(3.0), torch.full((3,), label))
