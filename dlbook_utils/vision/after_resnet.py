"""The blocks of convolutional networks after ResNet, and five networks of them, as built in
"CNNs after ResNet".

Maps are (n, c, h, w): examples, channels, rows, columns. Scores are (n, classes).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dlbook_utils.page.guards import check_count, check_shape
from dlbook_utils.vision.cnn_architectures import ResidualBlock, conv_bn, imagenet_stem

Activation = Callable[[], nn.Module]
Row = tuple[int, int, int, int, int]


def conv_norm(
    c: int, m: int, kernel: int, stride: int = 1, groups: int = 1, act: Activation | None = None
) -> nn.Sequential:
    """Return a convolution that keeps the size (but for its stride), batch norm, an activation.

    Raises ValueError for an even kernel, which would not keep it.
    """
    if kernel % 2 == 0:
        raise ValueError(f"kernel is odd, got {kernel}")
    conv = nn.Conv2d(c, m, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(m), *([act()] if act else []))


def pooled_head(c: int, classes: int) -> list[nn.Module]:
    """Return the layers from maps (n, c, h, w) to scores: the mean of each map, then a linear."""
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, classes)]


class BottleneckBlock(nn.Module):
    """ResNet's block of three: 1 x 1 to a quarter of the channels, 3 x 3 there, 1 x 1 to m.

    Arguments:
        c, m: channels of input and output.
        stride: of the 3 x 3, as torchvision has it; in the paper it is the first 1 x 1's.

    Raises ValueError if m is no positive multiple of 4. Source: K. He, X. Zhang, S. Ren, J. Sun
    (2016), arXiv:1512.03385, figure 5.
    """

    def __init__(self, c: int, m: int, stride: int = 1):
        super().__init__()
        if m < 4 or m % 4:
            raise ValueError(f"m is a positive multiple of 4, got {m}")
        narrow = m // 4
        self.branch = nn.Sequential(
            conv_norm(c, narrow, 1, act=nn.ReLU),
            conv_norm(narrow, narrow, 3, stride, act=nn.ReLU),
            conv_norm(narrow, m, 1),
        )
        same = c == m and stride == 1
        self.path = nn.Identity() if same else conv_bn(c, m, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.path(x) + self.branch(x))


def resnet_of_bottlenecks(
    blocks: Sequence[int] = (3, 4, 6, 3), classes: int = 1000
) -> nn.Sequential:
    """Return a ResNet of bottleneck blocks, by default ResNet-50."""
    layers: list[nn.Module]
    layers, c = [imagenet_stem(64)], 64
    for stage, n in enumerate(blocks):
        m = 256 * 2**stage
        for k in range(n):
            stride = 2 if stage and not k else 1
            layers.append(BottleneckBlock(c, m, stride))
            c = m
    return nn.Sequential(*layers, *pooled_head(c, classes))


def norm_first(c: int, m: int, kernel: int) -> nn.Sequential:
    """Return batch norm, ReLU and a convolution, in this order; ValueError for an even kernel."""
    if kernel % 2 == 0:
        raise ValueError(f"kernel is odd, got {kernel}")
    conv = nn.Conv2d(c, m, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.BatchNorm2d(c), nn.ReLU(), conv)


class DenseLayer(nn.Module):
    """A layer that puts `growth` new maps beside those it reads: c become c + growth channels.

    Source: G. Huang, Z. Liu, L. van der Maaten, K. Q. Weinberger (2017), arXiv:1608.06993
    (DenseNet-B: a 1 x 1 to 4 growth channels, then the 3 x 3).
    """

    def __init__(self, c: int, growth: int):
        super().__init__()
        self.new = nn.Sequential(norm_first(c, 4 * growth, 1), norm_first(4 * growth, growth, 3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.new(x)], 1)


def densenet(
    blocks: Sequence[int] = (6, 12, 24, 16), growth: int = 32, classes: int = 1000
) -> nn.Sequential:
    """Return a DenseNet, by default DenseNet-121; between blocks channels and sides are halved."""
    c = 2 * growth
    layers: list[nn.Module] = [imagenet_stem(c)]
    for stage, n in enumerate(blocks):
        if stage:
            layers += [norm_first(c, c // 2, 1), nn.AvgPool2d(2)]
            c //= 2
        for _ in range(n):
            layers.append(DenseLayer(c, growth))
            c += growth
    layers += [nn.BatchNorm2d(c), nn.ReLU()]
    return nn.Sequential(*layers, *pooled_head(c, classes))


class SqueezeExcitation(nn.Module):
    """Multiply each map by a number between 0 and 1 that depends on the means of all maps.

    Arguments:
        c: channels.
        narrow: units between the means and the c numbers.
        act: their activation.

    Source: J. Hu, L. Shen, S. Albanie, G. Sun, E. Wu (2018), arXiv:1709.01507.
    """

    def __init__(self, c: int, narrow: int, act: Activation = nn.ReLU):
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(c, narrow, 1),
            act(),
            nn.Conv2d(narrow, c, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)  # (n, c, h, w) * (n, c, 1, 1)


class SqueezedBlock(ResidualBlock):
    """A residual block with squeeze-and-excitation, to a quarter, at the end of its branch."""

    def __init__(self, c: int, m: int, stride: int = 1):
        super().__init__(c, m, stride)
        self.branch.append(SqueezeExcitation(m, m // 4))


def separable(c: int, m: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Return a depthwise convolution and a pointwise one, in place of one from c to m channels.

    Raises ValueError for an even kernel, which would not keep the size.
    """
    if kernel % 2 == 0:
        raise ValueError(f"kernel is odd, got {kernel}")
    depthwise = nn.Conv2d(c, c, kernel, stride, kernel // 2, groups=c, bias=False)
    return nn.Sequential(depthwise, nn.Conv2d(c, m, 1, bias=False))


class SeparableBlock(ResidualBlock):
    """A residual block whose two convolutions are separable."""

    def __init__(self, c: int, m: int, stride: int = 1):
        super().__init__(c, m, stride)
        self.branch[0] = separable(c, m, 3, stride)
        self.branch[3] = separable(m, m)


def factorised(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Return the best depthwise and pointwise kernels in place of a dense one.

    Arguments:
        weight: (m, c, a, b), a dense kernel.
        rank: depthwise filters for each input channel, 1 to min(m, a b).

    Returns:
        depthwise (c rank, 1, a, b) and pointwise (m, c rank, 1, 1), nearest to `weight` in the
        sum of squares. Raises ValueError for another rank or shape.
    """
    m, c, a, b = check_shape(weight, ["m", "c", "a", "b"], "weight").shape
    check_count(rank, "rank", 1, min(m, a * b))
    W = weight.transpose(0, 1).reshape(c, m, a * b)  # a matrix per channel
    U, s, V = torch.linalg.svd(W, full_matrices=False)
    P = U[:, :, :rank] * s[:, None, :rank]  # (c, m, rank)
    D = V[:, :rank].reshape(c * rank, 1, a, b)
    return D, P.transpose(0, 1).reshape(m, c * rank, 1, 1)


class InvertedResidual(nn.Module):
    """1 x 1 to `expand` times the channels, depthwise there, 1 x 1 back to few; no ReLU behind.

    Arguments:
        c, m: channels of input and output; the input is added if c = m and stride is 1.
        stride: of the depthwise convolution.
        expand: wide over narrow; at 1 the first 1 x 1 is left out.
        kernel: side of the depthwise convolution.
        squeeze: units of a squeeze-and-excitation behind it, 0 for none.
        act: the activation.

    Source: M. Sandler et al. (2018), arXiv:1801.04381; with squeeze-and-excitation it is the
    block of EfficientNet, M. Tan, Q. V. Le (2019), arXiv:1905.11946.
    """

    def __init__(
        self,
        c: int,
        m: int,
        stride: int = 1,
        expand: int = 6,
        kernel: int = 3,
        squeeze: int = 0,
        act: Activation = nn.ReLU6,
    ):
        super().__init__()
        wide = expand * c
        layers: list[nn.Module]
        layers = [conv_norm(c, wide, 1, act=act)] if expand > 1 else []
        layers.append(conv_norm(wide, wide, kernel, stride, wide, act))
        if squeeze:
            layers.append(SqueezeExcitation(wide, squeeze, act))
        self.branch = nn.Sequential(*layers, conv_norm(wide, m, 1))
        self.adds = c == m and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x) if self.adds else self.branch(x)


MOBILE = [  # expand, kernel, stride, channels, blocks
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 3, 2, 32, 3),
    (6, 3, 2, 64, 4),
    (6, 3, 1, 96, 3),
    (6, 3, 2, 160, 3),
    (6, 3, 1, 320, 1),
]
EFFICIENT = [
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
]


def inverted_net(
    plan: Sequence[Row],
    act: Activation,
    squeeze: bool = False,
    first: int = 32,
    classes: int = 1000,
) -> nn.Sequential:
    """Return a network of inverted residuals.

    Arguments:
        plan: rows of expand, kernel, stride of the first block, channels, number of blocks.
        act: the activation.
        squeeze: whether blocks have squeeze-and-excitation, to a quarter of their input's channels.
        first: channels of the first convolution.
        classes: number of scores.

    `inverted_net(MOBILE, nn.ReLU6)` is MobileNetV2, `inverted_net(EFFICIENT, nn.SiLU, True)`
    EfficientNet-B0.
    """
    layers: list[nn.Module]
    layers, c = [conv_norm(3, first, 3, 2, act=act)], first
    for expand, kernel, stride, m, n in plan:
        for k in range(n):
            narrow = c // 4 if squeeze else 0
            layers.append(InvertedResidual(c, m, 1 if k else stride, expand, kernel, narrow, act))
            c = m
    layers.append(conv_norm(c, 4 * c, 1, act=act))
    head = pooled_head(4 * c, classes)
    return nn.Sequential(*layers, *head[:2], nn.Dropout(0.2), head[2])


def in_eights(channels: float) -> int:
    """Return the nearest multiple of 8, at least 8 and never more than a tenth too small."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


def scaled_efficientnet(width: float, depth: float, classes: int = 1000) -> nn.Sequential:
    """Return EfficientNet with its channels and blocks multiplied; (1, 1) is B0, (1, 1.1) B1.

    Raises ValueError for a multiplier that is not positive. Source: M. Tan, Q. V. Le (2019),
    arXiv:1905.11946.
    """
    if not (width > 0 and depth > 0):
        raise ValueError(f"expected width > 0 and depth > 0, got {width}, {depth}")
    plan = [(*row, in_eights(width * m), math.ceil(depth * n)) for *row, m, n in EFFICIENT]
    return inverted_net(plan, nn.SiLU, True, in_eights(32 * width), classes)  # type: ignore[arg-type]


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation of each place of maps (n, c, h, w) over its channels."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class ConvNeXtBlock(nn.Module):
    """A depthwise convolution, then a perceptron of one hidden layer at each place.

    The branch begins at a scale of 1e-6 for each channel.
    Source: Z. Liu et al. (2022), arXiv:2201.03545.
    """

    def __init__(self, c: int, kernel: int = 7):
        super().__init__()
        self.scale = nn.Parameter(torch.full((c, 1, 1), 1e-6))
        self.branch = nn.Sequential(
            nn.Conv2d(c, c, kernel, padding=kernel // 2, groups=c),
            ChannelNorm(c, eps=1e-6),
            nn.Conv2d(c, 4 * c, 1),
            nn.GELU(),
            nn.Conv2d(4 * c, c, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.branch(x)


def convnext(
    blocks: Sequence[int] = (3, 3, 9, 3), width: int = 96, classes: int = 1000
) -> nn.Sequential:
    """Return a ConvNeXt, by default ConvNeXt-T; each stage halves the sides, doubles the width."""
    layers: list[nn.Module]
    layers, c = [nn.Conv2d(3, width, 4, stride=4), ChannelNorm(width, eps=1e-6)], width
    for stage, n in enumerate(blocks):
        if stage:
            layers += [ChannelNorm(c, eps=1e-6), nn.Conv2d(c, 2 * c, 2, stride=2)]
            c *= 2
        layers += [ConvNeXtBlock(c) for _ in range(n)]
    pool, flat, head = pooled_head(c, classes)
    return nn.Sequential(*layers, pool, ChannelNorm(c, eps=1e-6), flat, head)
