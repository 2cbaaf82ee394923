"""Dropout, label smoothing and the soft threshold against PyTorch, forward and backward."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlbook_utils.foundations.regularisation import (
    Dropout,
    smooth_targets,
    smoothed_loss,
    soft_threshold,
    thin,
)
from dlbook_utils.page.devices import generator, seed_everything


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9])
def test_with_the_same_mask_dropout_is_pytorchs(p):
    seed_everything(1)
    h, upstream = randn(40, 30).requires_grad_(), randn(40, 30, seed=1)
    theirs = nn.Dropout(p)(h)
    ours = thin(h, theirs != 0, p)
    torch.testing.assert_close(ours, theirs)
    slopes = [torch.autograd.grad((upstream * out).sum(), h)[0] for out in (ours, theirs)]
    torch.testing.assert_close(*slopes)


def test_dropout_keeps_the_mean_and_drops_the_share():
    seed_everything(2)
    out = Dropout(0.3)(torch.ones(500, 400))
    assert abs((out == 0).float().mean() - 0.3) < 0.01
    assert abs(out.mean() - 1) < 0.01
    assert out.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]


def test_the_gradient_passes_where_the_unit_stayed():
    seed_everything(3)
    h = randn(20, 10).requires_grad_()
    out = Dropout(0.5)(h)
    slope, *_ = torch.autograd.grad(out.sum(), h)
    torch.testing.assert_close(slope, 2 * (out != 0).double())


def test_dropout_rests_in_evaluation_and_at_zero():
    h = randn(5, 4)
    assert torch.equal(Dropout(0.5).eval()(h), h)
    assert torch.equal(Dropout(0.0)(h), h)


def test_each_example_and_each_call_has_its_own_mask():
    seed_everything(4)
    layer, ones = Dropout(0.5), torch.ones(2, 200)
    first, second = layer(ones), layer(ones)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, second)


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5])
def test_dropout_names_a_probability_that_is_none(p):
    with pytest.raises(ValueError, match=str(p)):
        Dropout(p)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.7, 1.0])
def test_the_smoothed_loss_is_pytorchs(alpha):
    z, y = randn(32, 7).requires_grad_(), torch.randint(7, (32,), generator=generator(5))
    ours = smoothed_loss(z, y, alpha)
    theirs = F.cross_entropy(z, y, label_smoothing=alpha)
    torch.testing.assert_close(ours, theirs)
    slopes = [torch.autograd.grad(loss, z)[0] for loss in (ours, theirs)]
    torch.testing.assert_close(*slopes)
    by_hand = (z.softmax(-1) - smooth_targets(y, 7, alpha)) / 32
    torch.testing.assert_close(slopes[0], by_hand.detach())


def test_the_loss_takes_a_smoothing_for_each_run():
    z, y = randn(3, 16, 5), torch.randint(5, (3, 16), generator=generator(6))
    alphas = torch.tensor([0.0, 0.2, 0.6])[:, None, None]
    singly = [smoothed_loss(z[k], y[k], alphas[k].item()) for k in range(3)]
    torch.testing.assert_close(
        smoothed_loss(z, y, alphas), torch.stack(singly).mean(), rtol=1e-6, atol=0
    )


def test_smoothed_targets_are_distributions():
    q = smooth_targets(torch.tensor([2, 0]), 4, 0.2)
    torch.testing.assert_close(q.sum(-1), torch.ones(2))
    torch.testing.assert_close(q[0], torch.tensor([0.05, 0.05, 0.85, 0.05]))


def test_the_soft_threshold_is_pytorchs():
    a, upstream = randn(300).requires_grad_(), randn(300, seed=7)
    ours, theirs = soft_threshold(a, 0.4), F.softshrink(a, 0.4)
    torch.testing.assert_close(ours, theirs)
    slopes = [torch.autograd.grad((upstream * out).sum(), a)[0] for out in (ours, theirs)]
    torch.testing.assert_close(*slopes)
    assert (ours == 0).any()


def test_the_soft_threshold_minimises_its_loss():
    a, grid = randn(20), torch.linspace(-5, 5, 100_001, dtype=torch.float64)
    losses = (grid - a[:, None]) ** 2 / 2 + 0.6 * grid.abs()
    best = grid[losses.argmin(1)]
    torch.testing.assert_close(soft_threshold(a, 0.6), best, atol=2e-4, rtol=0)
