"""Forecasting: windows, the ridge map against scikit-learn, the patch model, conformal radii."""

import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.sequences.forecasting import (
    PatchForecaster,
    conformal_radius,
    cut_windows,
    ridge_map,
)
from dlbook_utils.sequences.lstm import GRU


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def test_windows_are_those_that_a_loop_cuts():
    values = draw(20, 3)
    X, Y = cut_windows(values, 6, 4)
    assert X.shape == (11, 3, 6)
    assert Y.shape == (11, 3, 4)
    for t in range(11):
        assert torch.equal(X[t], values[t : t + 6].T)
        assert torch.equal(Y[t], values[t + 6 : t + 10].T)


@pytest.mark.parametrize(("past", "ahead"), [(6, 15), (20, 1), (0, 4), (6, 0)])
def test_a_series_too_short_for_a_window_is_refused(past, ahead):
    with pytest.raises(ValueError, match=r"(past|ahead) must be in 1\.\.\d+, got"):
        cut_windows(draw(20, 3), past, ahead)


@pytest.mark.parametrize("strength", [0.0, 0.5, 100.0])
def test_the_ridge_map_is_scikit_learns(strength):
    X, Y = 3 + draw(50, 4), draw(50, 2, seed=1) - 1
    W, b = ridge_map(X, Y, strength)
    theirs = Ridge(alpha=strength).fit(X.numpy(), Y.numpy())
    assert torch.allclose(W, torch.from_numpy(theirs.coef_).T)
    assert torch.allclose(b, torch.from_numpy(theirs.intercept_))


def test_the_gradient_at_the_ridge_map_is_zero():
    X, Y = 3 + draw(50, 4), draw(50, 2, seed=1)
    W, b = (part.requires_grad_() for part in ridge_map(X, Y, 7.0))
    loss = (X @ W + b - Y).square().sum() + 7.0 * W.square().sum()
    for gradient in torch.autograd.grad(loss, (W, b)):
        assert gradient.abs().max() < 1e-9


def test_a_negative_strength_is_refused():
    with pytest.raises(ValueError, match="strength must be 0 or more, got -1"):
        ridge_map(draw(9, 4), draw(9, 2), -1)


class States(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.gru = GRU(d, d)

    def forward(self, x):
        return self.gru(x)[0]


def forecaster(shared, level):
    seed_everything(3)
    return PatchForecaster(States(8), 3, 12, 5, shared, level, patch=4, d=8).double()


def test_shared_weights_read_each_channel_by_itself():
    X = draw(2, 3, 12)
    changed = X.clone()
    changed[:, 0] += 1 + changed[:, 0] ** 2
    for shared in (True, False):
        ours = forecaster(shared, True)
        moved = (ours(X) - ours(changed)).abs().amax((0, 2)) > 1e-9
        assert moved.tolist() == [True, not shared, not shared]
    ours = forecaster(True, True)
    assert torch.allclose(ours(X.flip(1)), ours(X).flip(1))


def test_only_without_the_level_does_a_shift_change_more_than_the_level():
    X = draw(2, 3, 12)
    for level in (True, False):
        ours = forecaster(False, level)
        assert torch.allclose(ours(X + 5), ours(X) + 5) == level


def test_with_nothing_for_a_core_values_and_gradients_are_those_of_two_linear_maps():
    X, torch_seed = draw(2, 3, 12), 4
    seed_everything(torch_seed)
    ours = PatchForecaster(nn.Identity(), 3, 12, 5, False, True, patch=4, d=8).double()
    mean = X.mean(2, keepdim=True)
    W, head = ours.embed, ours.head
    days = torch.stack([(X - mean)[:, :, t : t + 4].flatten(1) for t in (0, 4, 8)], 1)
    wanted = nn.functional.linear(days, W.weight, W.bias).flatten(1)
    wanted = nn.functional.linear(wanted, head.weight, head.bias).view(2, 3, 5) + mean
    assert torch.allclose(ours(X), wanted)
    weights = list(ours.parameters())
    (a, b) = (
        torch.autograd.grad((y**2).sum(), weights, retain_graph=True) for y in (ours(X), wanted)
    )
    assert all(torch.allclose(one, other) for one, other in zip(a, b, strict=True))


def test_patches_that_do_not_fill_the_past_and_other_windows_are_refused():
    with pytest.raises(ValueError, match="patches of 5 do not fill a past of 12"):
        PatchForecaster(nn.Identity(), 3, 12, 5, patch=5)
    with pytest.raises(ValueError, match=r"must have shape \(n, 3, 12\), got \(2, 3, 13\)"):
        forecaster(True, True)(draw(2, 3, 13))


def test_the_conformal_radius_is_the_ranked_error_and_covers_as_promised():
    errors = torch.arange(1.0, 20.0)[torch.randperm(19, generator=generator(0))]
    assert conformal_radius(errors, 0.1) == 18  # the 18th of 19
    assert conformal_radius(errors, 0.5) == 10
    old, new = draw(99, 4000).abs(), draw(1, 4000, seed=1).abs()
    covered = (new <= conformal_radius(old, 0.1)).double().mean()
    assert abs(covered - 0.9) < 4 * (0.09 / 4000) ** 0.5


@pytest.mark.parametrize(("n", "miss"), [(8, 0.1), (19, 0.0), (19, 1.0), (19, 10)])
def test_too_few_errors_for_a_promise_are_refused(n, miss):
    with pytest.raises(ValueError, match=rf"{n} errors are too few|a share .* got {miss}"):
        conformal_radius(torch.ones(n), miss)
