"""The blocks after ResNet compute what torchvision's compute, and so do the networks of them."""

import pytest
import torch
from torch import nn
from torchvision import models, ops
from torchvision.models import convnext as theirs_convnext
from torchvision.models.densenet import _DenseBlock
from torchvision.models.efficientnet import MBConv, MBConvConfig
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import Bottleneck

from dlbook_utils.foundations.mlp import count_parameters
from dlbook_utils.page.devices import generator
from dlbook_utils.vision import after_resnet as ar
from dlbook_utils.vision.cnn_architectures import ResidualBlock, conv_bn, multiply_adds


def copied(ours, theirs, scale=0.3):
    """Give both the same random weights, none of them zero; return both in double precision."""
    draw = generator(0)
    with torch.no_grad():
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            p.copy_(scale * torch.randn(p.shape, generator=draw))
            q.copy_(p.view_as(q))
    return ours.double(), theirs.double()


def values_and_gradients(net, x):
    x = x.clone().requires_grad_()
    y = net(x)
    c = torch.randn(y.shape, generator=generator(5), dtype=x.dtype)
    return [y, *torch.autograd.grad((c * y).sum(), [x, *net.parameters()])]


def agree(ours, theirs, x, training=True):
    pair = [values_and_gradients(net.train(training), x) for net in (ours, theirs)]
    return all(torch.allclose(a, b.view_as(a), atol=1e-7) for a, b in zip(*pair, strict=True))


def down(c, m):
    return nn.Sequential(nn.Conv2d(c, m, 1, 2, bias=False), nn.BatchNorm2d(m))


BLOCKS = {
    "bottleneck": (lambda: ar.BottleneckBlock(16, 16), lambda: Bottleneck(16, 4)),
    "bottleneck that halves": (
        lambda: ar.BottleneckBlock(8, 16, 2),
        lambda: Bottleneck(8, 4, 2, down(8, 16)),
    ),
    "dense": (
        lambda: nn.Sequential(ar.DenseLayer(8, 4), ar.DenseLayer(12, 4)),
        lambda: _DenseBlock(2, 8, 4, 4, 0.0),
    ),
    "squeeze": (lambda: ar.SqueezeExcitation(8, 2), lambda: ops.SqueezeExcitation(8, 2)),
    "inverted": (
        lambda: ar.InvertedResidual(8, 8),
        lambda: InvertedResidual(8, 8, 1, 6),
    ),
    "inverted that halves": (
        lambda: ar.InvertedResidual(8, 12, 2, 1),
        lambda: InvertedResidual(8, 12, 2, 1),
    ),
    "inverted and squeezed": (
        lambda: ar.InvertedResidual(8, 8, 1, 6, 5, 2, nn.SiLU),
        lambda: MBConv(MBConvConfig(6, 5, 1, 8, 8, 1, 1.0, 1.0), 0.0, nn.BatchNorm2d),
    ),
    "ConvNeXt": (lambda: ar.ConvNeXtBlock(8), lambda: theirs_convnext.CNBlock(8, 1e-6, 0.0)),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", BLOCKS)
def test_values_and_gradients_of_a_block_equal_torchvisions(name, training):
    ours, theirs = copied(*(make() for make in BLOCKS[name]))
    c = 16 if name == "bottleneck" else 8
    x = torch.randn(3, c, 9, 9, generator=generator(1), dtype=torch.float64)
    assert agree(ours, theirs, x, training)


NETS = {
    "resnet50": (ar.resnet_of_bottlenecks, 25_557_032),
    "densenet121": (ar.densenet, 7_978_856),
    "mobilenet_v2": (lambda: ar.inverted_net(ar.MOBILE, nn.ReLU6), 3_504_872),
    "efficientnet_b0": (lambda: ar.scaled_efficientnet(1, 1), 5_288_548),
    "efficientnet_b1": (lambda: ar.scaled_efficientnet(1, 1.1), 7_794_184),
    "efficientnet_b2": (lambda: ar.scaled_efficientnet(1.1, 1.2), 9_109_994),
    "efficientnet_b3": (lambda: ar.scaled_efficientnet(1.2, 1.4), 12_233_232),
    "efficientnet_b4": (lambda: ar.scaled_efficientnet(1.4, 1.8), 19_341_616),
    "convnext_tiny": (ar.convnext, 28_589_128),
}


def on_paper(make):
    with torch.device("meta"):
        return make()


@pytest.mark.parametrize("name", NETS)
def test_every_parameter_of_a_network_has_the_size_of_torchvisions(name):
    make, count = NETS[name]
    ours, theirs = on_paper(make), on_paper(getattr(models, name))
    assert count_parameters(ours) == count
    assert [p.numel() for p in ours.parameters()] == [p.numel() for p in theirs.parameters()]


@pytest.mark.parametrize("name", ["resnet50", "densenet121", "mobilenet_v2", "convnext_tiny"])
def test_a_network_works_as_much_as_torchvision_says(name):
    net = on_paper(NETS[name][0]).eval()
    with torch.device("meta"):
        used = multiply_adds(net, torch.zeros(1, 3, 224, 224))
    says = models.get_model_weights(name).DEFAULT.meta["_ops"]
    assert abs(sum(used.values()) / 1e9 - says) < 1e-3


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "efficientnet_b0", "convnext_tiny"])
def test_scores_of_a_network_equal_torchvisions(name):
    ours, theirs = NETS[name][0](), getattr(models, name)()
    with torch.no_grad():
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            q.copy_(p.view_as(q))
    for module in (*ours.modules(), *theirs.modules()):
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    x = torch.randn(1, 3, 64, 64, generator=generator(2))
    with torch.no_grad():
        assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=1e-4)


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_a_factorised_kernel_is_the_nearest_of_its_rank(rank):
    W = torch.randn(8, 5, 3, 3, generator=generator(3), dtype=torch.float64)
    D, P = ar.factorised(W, rank)
    x = torch.randn(2, 5, 9, 9, generator=generator(4), dtype=torch.float64)
    pair = nn.functional.conv2d(nn.functional.conv2d(x, D, groups=5), P)
    s = torch.linalg.svdvals(W.transpose(0, 1).reshape(5, 8, 9))
    product = torch.einsum("mcr,crk->mck", P.view(8, 5, rank), D.view(5, rank, 9))
    left = (W.flatten(2) - product).square().sum()
    assert torch.allclose(left, s[:, rank:].square().sum())
    assert torch.allclose(pair, nn.functional.conv2d(x, product.view_as(W)))
    assert (rank < 8) or torch.allclose(pair, nn.functional.conv2d(x, W))


def test_a_separable_and_a_squeezed_block_differ_from_the_residual_one_in_one_thing():
    plain, squeezed = ResidualBlock(8, 8), ar.SqueezedBlock(8, 8)
    assert [type(layer) for layer in squeezed.branch][:-1] == [type(b) for b in plain.branch]
    apart = ar.SeparableBlock(8, 12, 2)
    kernels = [p.shape for p in apart.branch.parameters() if p.ndim == 4]
    assert kernels == [(8, 1, 3, 3), (12, 8, 1, 1), (12, 1, 3, 3), (12, 12, 1, 1)]
    assert apart(torch.zeros(1, 8, 6, 6)).shape == (1, 12, 3, 3)


def test_channels_come_in_eights():
    assert [ar.in_eights(c) for c in (1, 11.9, 12, 35.2, 44, 99)] == [8, 16, 16, 32, 48, 96]


def test_a_convolution_keeps_the_size_but_for_its_stride():
    x = torch.zeros(1, 4, 9, 9)
    assert ar.conv_norm(4, 6, 5, act=nn.ReLU)(x).shape == (1, 6, 9, 9)
    assert ar.conv_norm(4, 6, 3, 2, 2)(x).shape == (1, 6, 5, 5)
    assert [type(m) for m in conv_bn(4, 6, 3)] == [type(m) for m in ar.conv_norm(4, 6, 3)]


@pytest.mark.parametrize("rank", [0, 9, 1.5])
def test_a_rank_that_cannot_be_is_refused_with_its_value(rank):
    with pytest.raises((ValueError, TypeError), match=str(rank)):
        ar.factorised(torch.zeros(8, 5, 3, 3), rank)


@pytest.mark.parametrize("m", [0, -4])
def test_a_bottleneck_wants_channels(m):
    with pytest.raises(ValueError, match=f"positive multiple of 4, got {m}"):
        ar.BottleneckBlock(8, m)


@pytest.mark.parametrize("make", [ar.conv_norm, ar.norm_first, ar.separable])
def test_an_even_kernel_does_not_keep_the_size_and_is_refused(make):
    with pytest.raises(ValueError, match="kernel is odd, got 4"):
        make(8, 8, 4)


@pytest.mark.parametrize("multipliers", [(0, 1), (1, 0), (-1, 1), (float("nan"), 1)])
def test_a_network_is_not_scaled_to_nothing(multipliers):
    with pytest.raises(ValueError, match=str(multipliers[0])):
        ar.scaled_efficientnet(*multipliers)


def test_a_bottleneck_wants_a_multiple_of_four():
    with pytest.raises(ValueError, match="multiple of 4, got 10"):
        ar.BottleneckBlock(8, 10)
