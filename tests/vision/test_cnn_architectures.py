"""The architectures have the parameters of their papers, and compute what torchvision's compute."""

import pytest
import torch
from torch import nn

from dlbook_utils.foundations.mlp import count_parameters
from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.vision import cnn_architectures as arch


def on_paper(make):
    """A network without memory: shapes only."""
    with torch.device("meta"):
        return make()


def test_lenet_has_exactly_the_sixty_thousand_parameters_of_1998():
    net = arch.LeNet5(torch.ones(10, 84))
    layers = (net.c1, net.s2, net.c3, net.s4, net.c5, net.f6)
    assert [count_parameters(layer) for layer in layers] == [156, 12, 1516, 32, 48120, 10164]
    assert count_parameters(net) == 60_000


def test_lenet_scores_are_minus_squared_distances():
    seed_everything(0)
    net = arch.LeNet5(torch.randn(10, 84).sign())
    scores = net(torch.randn(3, 1, 32, 32))
    assert scores.shape == (3, 10)
    assert (scores < 0).all()
    scores.sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in net.parameters())


def test_lenet_table_is_that_of_the_paper():
    table = arch.lenet_table()
    assert [len(row) for row in table] == [3] * 6 + [4] * 9 + [6]
    assert sorted(table[4]) == [0, 4, 5]
    assert sorted(table[9]) == [0, 3, 4, 5]
    assert [sum(k in row for row in table) for k in range(6)] == [10] * 6


def test_a_sparse_convolution_is_a_dense_one_with_zeros():
    seed_everything(1)
    sparse = arch.SparseConv([[0, 2], [1]], 3)
    weight = torch.zeros(2, 3, 3, 3)
    weight[0, [0, 2]], weight[1, [1]] = sparse.units[0].weight[0], sparse.units[1].weight[0]
    x = torch.randn(2, 3, 6, 6)
    bias = torch.cat([unit.bias for unit in sparse.units])
    assert torch.allclose(sparse(x), nn.functional.conv2d(x, weight, bias), atol=1e-6)


def test_alexnet_of_2012_has_its_sixty_million():
    net = on_paper(lambda: arch.AlexNet((96, 256, 384, 384, 256), columns=2))
    assert count_parameters(net) == 60_965_224
    with torch.device("meta"):
        assert net(torch.zeros(2, 3, 224, 224)).shape == (2, 1000)


COUNTS = {
    "alexnet": (arch.AlexNet, 61_100_840),
    "vgg16": (arch.VGG, 138_357_544),
    "googlenet": (lambda: arch.GoogLeNet(large=3, auxiliary=False), 6_624_904),
    "resnet18": (
        lambda: arch.ResNet(arch.imagenet_stem(64), [2, 2, 2, 2], [64, 128, 256, 512]),
        11_689_512,
    ),
    "resnet34": (
        lambda: arch.ResNet(arch.imagenet_stem(64), [3, 4, 6, 3], [64, 128, 256, 512]),
        21_797_672,
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_every_parameter_has_the_shape_of_torchvisions(name):
    from torchvision import models

    make, count = COUNTS[name]
    options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    ours = on_paper(make)
    theirs = on_paper(lambda: getattr(models, name)(**options))
    assert count_parameters(ours) == count
    assert [p.shape for p in ours.parameters()] == [p.shape for p in theirs.parameters()]


def test_googlenet_with_its_auxiliary_heads():
    net = on_paper(lambda: arch.GoogLeNet(large=3))
    assert count_parameters(net) == 13_004_888


def copied(ours, theirs):
    """Give both the same random weights, no scale being zero; return both in double precision."""
    g = generator(0)
    with torch.no_grad():
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            p.add_(0.02 * torch.randn(p.shape, generator=g))
            q.copy_(p)
    return ours.double(), theirs.double()


def values_and_gradients(net, x):
    scores = net(x)
    c = torch.randn(scores.shape, generator=generator(5), dtype=x.dtype)
    return [scores, *torch.autograd.grad((c * scores).sum(), [x, *net.parameters()])]


@pytest.mark.parametrize(
    ("name", "size"), [("resnet18", 64), ("googlenet", 64), ("vgg16", 32), ("alexnet", 95)]
)
@pytest.mark.parametrize("training", [True, False])
def test_values_and_gradients_equal_torchvisions(name, size, training):
    from torchvision import models

    seed_everything(0)
    if name == "vgg16":
        ours, theirs = arch.vgg_features([[8, 8], [12], [16]]), None
        theirs = models.vgg.make_layers([8, 8, "M", 12, "M", 16, "M"])
    elif name == "alexnet":
        ours, theirs = arch.AlexNet().features, models.alexnet().features
    else:
        make = COUNTS[name][0]
        options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        ours, theirs = make(), getattr(models, name)(**options)
    ours, theirs = copied(ours, theirs)
    for net in (ours, theirs):
        for layer in net.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
        net.train(training)
    x = torch.randn(2, 3, size, size, generator=generator(1), dtype=torch.float64)
    x.requires_grad_()
    pairs = zip(values_and_gradients(ours, x), values_and_gradients(theirs, x), strict=True)
    for a, b in pairs:
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-9)


def test_a_residual_block_begins_as_its_path():
    x = torch.rand(2, 4, 5, 5)
    assert torch.equal(arch.ResidualBlock(4, 4)(x), x)
    assert arch.ResidualBlock(4, 6, 2)(x).shape == (2, 6, 3, 3)


def test_a_highway_block_mixes_copy_and_change():
    seed_everything(2)
    block = arch.HighwayBlock(4, 4)
    x = torch.randn(2, 4, 5, 5)
    t = torch.sigmoid(torch.tensor(-1.0))
    plain = torch.relu(block.branch(x))
    assert torch.allclose(block(x), t * plain + (1 - t) * x)
    nn.init.constant_(block.gate.bias, 40.0)
    assert torch.allclose(block(x), torch.relu(block.branch(x)))


@pytest.mark.parametrize("name", ["resnet18", "vgg16", "alexnet"])
def test_multiply_adds_are_half_of_the_flops_that_pytorch_counts(name):
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        net, x = COUNTS[name][0](), torch.zeros(2, 3, 224, 224)
        with FlopCounterMode(display=False) as counter:
            net(x)
        ours = sum(arch.multiply_adds(net, x).values())
    assert 2 * ours == counter.get_total_flops()


def test_a_dense_layer_works_at_every_place():
    net = nn.Linear(4, 3)
    assert arch.multiply_adds(net, torch.zeros(2, 5, 4)) == {net: 2 * 5 * 12}
    assert arch.multiply_adds(net, torch.zeros(2, 4)) == {net: 2 * 12}
