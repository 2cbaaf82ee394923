"""Convolution, pooling and their gradients against PyTorch's; sizes and receptive fields."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.vision.cnn import (
    ConvNet,
    avg_pool2d,
    conv2d,
    conv2d_backward,
    max_pool2d,
    output_size,
    receptive_field,
    spread,
    unfold,
)


def draw(*shape, seed):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


@pytest.fixture
def layer():
    """Images, kernels of different height and width, and a bias; all random and not zero."""
    return draw(2, 3, 11, 9, seed=0), draw(4, 3, 3, 2, seed=1), draw(4, seed=2)


SETTINGS = list(product((1, 2, 3), (0, 1, 2), (1, 2)))


@pytest.mark.parametrize(("stride", "padding", "dilation"), SETTINGS)
def test_conv2d_and_its_gradients_equal_pytorchs(layer, stride, padding, dilation):
    leaves = [t.requires_grad_() for t in layer]
    ours = conv2d(*leaves, stride, padding, dilation)
    theirs = F.conv2d(*leaves, stride, padding, dilation)
    assert ours.shape == theirs.shape
    assert torch.allclose(ours, theirs)
    g = draw(*ours.shape, seed=3)
    got, expected = torch.autograd.grad(ours, leaves, g), torch.autograd.grad(theirs, leaves, g)
    for a, b in zip(got, expected):
        assert torch.allclose(a, b)
        assert a.abs().sum() > 0


def test_conv2d_without_bias(layer):
    x, w, _ = layer
    assert torch.allclose(conv2d(x, w), F.conv2d(x, w))


def test_conv2d_names_channels_that_do_not_fit():
    with pytest.raises(
        ValueError, match=r"images must have shape \(n, 3, h, w\), got \(1, 2, 5, 5\)"
    ):
        conv2d(torch.zeros(1, 2, 5, 5), torch.zeros(4, 3, 3, 3))


@pytest.mark.parametrize(("stride", "padding"), list(product((1, 2, 3, 4), (0, 1, 2))))
def test_backward_by_hand_equals_autograd(layer, stride, padding):
    leaves = [t.requires_grad_() for t in layer]
    z = F.conv2d(*leaves, stride, padding)
    g = draw(*z.shape, seed=4)
    expected = torch.autograd.grad(z, leaves, g)
    x, w, _ = (t.detach() for t in leaves)
    got = conv2d_backward(g, x, w, stride, padding)
    for a, b in zip(got, expected):
        assert a.shape == b.shape
        assert torch.allclose(a, b)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 1), (3, 1, 1)])
@pytest.mark.parametrize(
    ("ours", "theirs"), [(max_pool2d, F.max_pool2d), (avg_pool2d, F.avg_pool2d)]
)
def test_pooling_equals_pytorchs(ours, theirs, kernel, stride, padding):
    x = (draw(2, 3, 9, 8, seed=5) - 3).requires_grad_()  # negative: zeros at the edge would win
    got, expected = ours(x, kernel, stride, padding), theirs(x, kernel, stride, padding)
    assert torch.allclose(got, expected)
    g = draw(*got.shape, seed=6)
    assert torch.allclose(torch.autograd.grad(got, x, g)[0], torch.autograd.grad(expected, x, g)[0])


def test_unfold_holds_the_same_windows_as_pytorchs(layer):
    x = layer[0]
    ours = unfold(x, (3, 2), stride=2, padding=1)
    theirs = F.unfold(x, (3, 2), stride=2, padding=1)
    assert torch.equal(ours.reshape(theirs.shape), theirs)
    assert unfold(x, (3, 2), padding=1, fill=7.0)[0, 0, 0, 0, 0, 0] == 7


def test_spread_puts_zeros_between():
    assert spread(torch.tensor([[[[1.0, 2.0]]]]), 3).tolist() == [[[[1, 0, 0, 2]]]]
    x = draw(1, 2, 3, 4, seed=7)
    assert torch.equal(spread(x, 1), x)


def test_output_size_counts_places():
    for size, kernel, stride, padding, dilation in product(
        (6, 7, 12), (1, 2, 3), (1, 2, 3), (0, 1), (1, 2)
    ):
        reach = dilation * (kernel - 1)
        places = len(range(0, size + 2 * padding - reach, stride))
        assert output_size(size, kernel, stride, padding, dilation) == places


def test_output_size_refuses_a_window_that_does_not_fit():
    with pytest.raises(ValueError, match=r"a window of 5 does not fit in 2 \+ 2 \* 1 pixels"):
        output_size(2, 3, padding=1, dilation=2)


def test_receptive_field_of_known_networks():
    assert receptive_field([]) == 1
    assert receptive_field([(3, 1, 1)] * 5) == 11
    assert receptive_field([(7, 2, 1), (3, 2, 1)]) == 11
    assert receptive_field([(3, 1, 1), (3, 1, 2), (3, 1, 4)]) == 15


def test_network_equals_the_same_layers_in_a_sequence():
    seed_everything(1)
    net = ConvNet([3, 5, 4], 2, kernel=5)
    first, second = net.layers
    reference = nn.Sequential(
        first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU(), nn.AdaptiveMaxPool2d(1),
        nn.Flatten(), net.head,
    )  # fmt: skip
    x = torch.randn(3, 3, 12, 10, generator=generator(8))
    assert torch.allclose(net(x), reference(x))
    assert net.maps(x).shape == (3, 4, 6, 5)
    weights = list(net.parameters())
    got = torch.autograd.grad(net(x).square().sum(), weights)
    expected = torch.autograd.grad(reference(x).square().sum(), weights)
    assert all(torch.allclose(a, b, rtol=1e-4) and a.abs().sum() > 0 for a, b in zip(got, expected))


@pytest.mark.parametrize(("channels", "kernel"), [([3], 3), ([3, 4], 2)])
def test_network_refuses_what_it_cannot_be(channels, kernel):
    with pytest.raises(ValueError, match="expected an odd kernel"):
        ConvNet(channels, 10, kernel)
