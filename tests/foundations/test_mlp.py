"""The networks: values, gradients and counts against PyTorch's own modules."""

import pytest
import torch
from torch import nn

from dlbook_utils.foundations.mlp import MLP, count_parameters
from dlbook_utils.page.devices import generator, seed_everything


@pytest.fixture
def pair():
    """An MLP and the same network as an nn.Sequential that shares its layers."""
    seed_everything(3)
    ours = MLP([6, 5, 4, 3], torch.tanh)
    first, second, third = ours.layers
    return ours, nn.Sequential(first, nn.Tanh(), second, nn.Tanh(), third)


def test_scores_and_gradients_equal_those_of_sequential(pair):
    ours, reference = pair
    x = torch.randn(7, 6, generator=generator(0))
    weights = torch.randn(7, 3, generator=generator(1))
    assert torch.equal(ours(x), reference(x))
    got = torch.autograd.grad((ours(x) * weights).sum(), list(ours.parameters()))
    expected = torch.autograd.grad((reference(x) * weights).sum(), list(reference.parameters()))
    assert len(got) == 6
    for ours_, theirs in zip(got, expected):
        assert torch.equal(ours_, theirs)
        assert ours_.abs().sum() > 0


def test_hidden_is_what_the_last_layer_sees(pair):
    ours, reference = pair
    x = torch.randn(2, 6, generator=generator(0))
    assert torch.equal(ours.hidden(x), reference[:-1](x))
    assert ours.hidden(x).shape == (2, 4)


def test_images_are_flattened():
    seed_everything(0)
    model = MLP([64, 8, 10])
    images = torch.randn(5, 1, 8, 8, generator=generator(0))
    assert torch.equal(model(images), model(images.reshape(5, 64)))


def test_relu_is_the_default_and_the_scores_are_not_squashed():
    model = MLP([1, 1, 1])
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.full_like(p, 2.0))
    x = torch.tensor([[-3.0], [10.0]])
    assert model(x).tolist() == [[2.0], [46.0]]


def test_without_hidden_layers_it_is_a_linear_model():
    seed_everything(0)
    model = MLP([4, 2])
    x = torch.randn(3, 4, generator=generator(0))
    assert torch.equal(model(x), model.layers[0](x))
    assert torch.equal(model.hidden(x), x)


@pytest.mark.parametrize("sizes", [[64, 10], [64, 32, 10], [2, 3, 5, 7, 1]])
def test_parameters_are_counted_as_the_formula_says(sizes):
    assert count_parameters(MLP(sizes)) == sum(
        (d + 1) * k for d, k in zip(sizes, sizes[1:], strict=False)
    )


def test_frozen_parameters_are_not_counted():
    model = MLP([4, 3, 2])
    model.layers[0].requires_grad_(False)
    assert count_parameters(model) == 4 * 2


@pytest.mark.parametrize("sizes", [[], [3]])
def test_too_few_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match=rf"got \[{', '.join(map(str, sizes))}\]"):
        MLP(sizes)
