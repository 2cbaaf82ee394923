"""The normalisation layers and the clipping, against PyTorch's, forward and backward."""

import copy

import pytest
import torch
from torch import nn

from dlbook_utils.foundations.gradient_flow import (
    BatchNorm,
    LayerNorm,
    RMSNorm,
    batch_axes,
    clip_gradients,
    standardise_over,
)
from dlbook_utils.page.devices import generator

EPS = 1e-3  # large enough to matter: a misplaced epsilon must show
PAIRS = {
    "layer 2-D": (LayerNorm, nn.LayerNorm, (7, 6)),
    "layer 3-D": (LayerNorm, nn.LayerNorm, (2, 5, 6)),
    "rms 2-D": (RMSNorm, nn.RMSNorm, (7, 6)),
    "rms 3-D": (RMSNorm, nn.RMSNorm, (2, 5, 6)),
    "batch 2-D": (BatchNorm, nn.BatchNorm1d, (7, 6)),
    "batch 4-D": (BatchNorm, nn.BatchNorm2d, (3, 6, 4, 5)),
    "batch 4-D, one image": (BatchNorm, nn.BatchNorm2d, (1, 6, 4, 5)),
}


def randn(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def twins(ours, theirs):
    """Both layers with the same random weights, in float64."""
    pair = ours(6, eps=EPS).double(), theirs(6, eps=EPS).double()
    with torch.no_grad():
        for seed, parameters in enumerate(zip(*(m.parameters() for m in pair), strict=True)):
            for p in parameters:
                p.copy_(randn(6, seed=10 + seed))
    return pair


def gradients(model, x, c):
    x = x.clone().requires_grad_()
    y = model(x)
    return [y, *torch.autograd.grad((c * y).sum(), [x, *model.parameters()])]


@pytest.fixture(params=PAIRS.values(), ids=PAIRS)
def case(request):
    ours, theirs, shape = request.param
    x, c = 2 * randn(*shape, seed=1) + 3, randn(*shape, seed=2)
    return *twins(ours, theirs), x, c


@pytest.mark.parametrize("training", [True, False])
def test_values_and_gradients_equal_pytorchs(case, training):
    ours, theirs, x, c = case
    for step in range(3):  # so that running averages are not at their start
        ours(x + step), theirs(x + step)
    ours.train(training), theirs.train(training)
    for a, b in zip(gradients(ours, x, c), gradients(theirs, x, c), strict=True):
        torch.testing.assert_close(a, b)
        assert a.abs().sum() > 0


@pytest.mark.parametrize("momentum", [0.1, 0.7, 1.0])
@pytest.mark.parametrize("shape", [(7, 6), (3, 6, 4, 5)])
def test_running_averages_equal_pytorchs_after_every_batch(shape, momentum):
    reference = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    ours, theirs = BatchNorm(6, momentum=momentum), reference(6, momentum=momentum)
    for step in range(4):
        x = (randn(*shape, seed=step) * (step + 1) + step).float()
        ours(x), theirs(x)
        torch.testing.assert_close(ours.running_mean, theirs.running_mean)
        torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_evaluation_leaves_the_running_averages_alone():
    model = BatchNorm(3).eval()
    before = copy.deepcopy(model.state_dict())
    model(torch.ones(4, 3))
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_state_travels_with_the_model():
    model, other = BatchNorm(3), BatchNorm(3)
    model(randn(8, 3).float())
    other.load_state_dict(model.state_dict())
    x = randn(5, 3, seed=3).float()
    torch.testing.assert_close(model.eval()(x), other.eval()(x))


def test_in_evaluation_an_example_does_not_depend_on_its_neighbours():
    model, x = BatchNorm(3), randn(8, 3).float()
    together = model(x)
    alone = model.eval()(x[:1])
    torch.testing.assert_close(model(x)[:1], alone)
    assert not torch.allclose(together[:1], alone)


def test_standardised_numbers_have_mean_0_and_variance_1():
    y, mean, var = standardise_over(5 + 3 * randn(4, 6, 7), [0, 2], 0.0)
    assert mean.shape == var.shape == (1, 6, 1)
    torch.testing.assert_close(y.mean([0, 2]), torch.zeros(6, dtype=y.dtype))
    torch.testing.assert_close(y.var([0, 2], correction=0), torch.ones(6, dtype=y.dtype))


def test_a_constant_becomes_zero_and_not_nan():
    assert LayerNorm(5)(torch.full((2, 5), 7.0)).abs().max() == 0
    assert BatchNorm(5)(torch.full((2, 5), 7.0)).abs().max() == 0
    assert RMSNorm(5)(torch.zeros(2, 5)).abs().max() == 0


@pytest.mark.parametrize("shape", [(3,), (4, 2), (4, 5, 3), (4, 2, 5, 5)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(n, 3\) or \(n, 3, h, w\), got \("):
        BatchNorm(3)(torch.zeros(shape))


def test_axes():
    assert batch_axes(torch.zeros(5, 3), 3) == ([0], [1, 3])
    assert batch_axes(torch.zeros(5, 3, 2, 2), 3) == ([0, 2, 3], [1, 3, 1, 1])


def test_one_value_per_feature_is_refused_in_training_only():
    model = BatchNorm(3)
    with pytest.raises(ValueError, match="2 values per feature or more, got 1"):
        model(torch.ones(1, 3))
    assert model.running_var.tolist() == [1, 1, 1]
    assert model.eval()(torch.ones(1, 3)).isfinite().all()


@pytest.mark.parametrize("max_norm", [0.3, 1.0, 1e6])
def test_clipping_equals_pytorchs(max_norm):
    shapes = [(3, 4), (3,), ()]
    ours = [nn.Parameter(randn(*shape, seed=k)) for k, shape in enumerate(shapes)]
    for k, p in enumerate(ours):
        p.grad = randn(*p.shape, seed=10 + k)
    without = nn.Parameter(torch.zeros(2))
    theirs = copy.deepcopy(ours)
    for p, q in zip(ours, theirs, strict=True):
        q.grad = p.grad.clone()
    length = clip_gradients([*ours, without], max_norm)
    torch.testing.assert_close(length, nn.utils.clip_grad_norm_(theirs, max_norm))
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p.grad, q.grad)
    after = torch.cat([p.grad.flatten() for p in ours]).norm()
    assert after <= max_norm
    assert (after < length) == (length > max_norm)
    assert without.grad is None
