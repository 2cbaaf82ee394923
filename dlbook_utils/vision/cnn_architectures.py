"""The convolutional networks that made history, from LeNet-5 to ResNet, as built in
"Architectures".

Images are (n, c, h, w): examples, channels, rows, columns. Scores are (n, classes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.page.guards import check_shape


def lenet_squash(a: Tensor) -> Tensor:
    """Return 1.7159 tanh(2a/3), the activation of LeNet-5: it maps 1 to 1 and -1 to -1."""
    return 1.7159 * torch.tanh(2 / 3 * a)


class Subsampling(nn.Module):
    """LeNet-5's pooling: the sum over 2 x 2 pixels, times a learned number, plus another.

    One pair of numbers per channel; (n, c, h, w) becomes (n, c, h/2, w/2). Raises ValueError
    for other channels.
    """

    def __init__(self, c: int):
        super().__init__()
        self.weight = nn.Parameter(torch.full((c, 1, 1), 0.25))
        self.bias = nn.Parameter(torch.zeros(c, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, ["n", len(self.weight), "h", "w"], "images")
        return self.weight * 4 * F.avg_pool2d(x, 2) + self.bias


class SparseConv(nn.Module):
    """Convolutions of which each sees only some of the input's channels, listed in `sources`."""

    def __init__(self, sources: Sequence[Sequence[int]], kernel: int):
        super().__init__()
        self.sources = sources
        self.units = nn.ModuleList(nn.Conv2d(len(s), 1, kernel) for s in sources)

    def forward(self, x: Tensor) -> Tensor:
        maps = [unit(x[:, s]) for unit, s in zip(self.units, self.sources)]
        return torch.cat(maps, 1)


def lenet_table() -> list[list[int]]:
    """Return which of the 6 maps of S2 each of the 16 maps of C3 sees (table I of 1998)."""
    three = [[k, (k + 1) % 6, (k + 2) % 6] for k in range(6)]
    four = [[*trio, (trio[0] + 3) % 6] for trio in three]
    split = [[0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5]]
    return [*three, *four, *split, [*range(6)]]


class LeNet5(nn.Module):
    """LeNet-5 as published: images (n, 1, 32, 32), scores (n, 10), 60,000 learned numbers.

    The scores are minus the squared distances of F6 from a fixed code of ±1 for each class,
    `codes` (10, 84). LeCun et al. drew the codes as pictures of the characters.
    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner (1998), doi:10.1109/5.726791.
    """

    codes: Tensor

    def __init__(self, codes: Tensor):
        super().__init__()
        self.c1, self.s2 = nn.Conv2d(1, 6, 5), Subsampling(6)
        self.c3 = SparseConv(lenet_table(), 5)
        self.s4 = Subsampling(16)
        self.c5, self.f6 = nn.Conv2d(16, 120, 5), nn.Linear(120, 84)
        self.register_buffer("codes", codes)

    def forward(self, x: Tensor) -> Tensor:
        for layer in (self.c1, self.s2, self.c3, self.s4, self.c5):
            x = lenet_squash(layer(x))
        h = lenet_squash(self.f6(x.flatten(1)))
        return -torch.cdist(h, self.codes).square()


class AlexNet(nn.Module):
    """AlexNet for images (n, 3, 224, 224), by default in the one-column form of 2014.

    Arguments:
        channels: of the five convolutions.
        columns: 2 for the network of 2012, whose second, fourth and fifth convolution were cut
            into two halves that did not see each other, one for each GPU.
        classes: number of scores.

    Left out: the local response normalisation of 2012, which has no parameters.
    Source: A. Krizhevsky, I. Sutskever, G. Hinton (2012), doi:10.1145/3065386; in one column:
    A. Krizhevsky (2014), arXiv:1404.5997.
    """

    def __init__(
        self,
        channels: Sequence[int] = (64, 192, 384, 256, 256),
        columns: int = 1,
        classes: int = 1000,
    ):
        super().__init__()
        a, b, c, d, e = channels
        self.features = nn.Sequential(
            nn.Conv2d(3, a, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(a, b, 5, padding=2, groups=columns),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(b, c, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(c, d, 3, padding=1, groups=columns),
            nn.ReLU(),
            nn.Conv2d(d, e, 3, padding=1, groups=columns),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
        )
        self.head = dense_head(36 * e, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


def dense_head(d: int, classes: int) -> nn.Sequential:
    """Return the head of AlexNet: two dense layers of 4096 ReLUs with dropout, then the scores."""
    return nn.Sequential(
        nn.Dropout(),
        nn.Linear(d, 4096),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Linear(4096, classes),
    )


def vgg_features(plan: Sequence[Sequence[int]]) -> nn.Sequential:
    """Return the convolutions of a VGG network: one list of channels for each stage.

    All kernels are 3 x 3; a max pooling halves the picture behind each stage.
    """
    layers, c = [], 3
    for stage in plan:
        for m in stage:
            layers += [nn.Conv2d(c, m, 3, padding=1), nn.ReLU()]
            c = m
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class VGG(nn.Module):
    """VGG for images (n, 3, 224, 224); by default VGG-16, configuration D of the paper.

    Source: K. Simonyan, A. Zisserman (2014), arXiv:1409.1556.
    """

    def __init__(
        self,
        plan: Sequence[Sequence[int]] = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
        classes: int = 1000,
    ):
        super().__init__()
        self.features = vgg_features(plan)
        self.head = dense_head(49 * plan[-1][-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


def conv_bn(
    c: int, m: int, kernel: int, stride: int = 1, padding: int = 0, eps: float = 1e-5
) -> nn.Sequential:
    """Return a convolution without bias and the batch normalisation that makes it superfluous."""
    return nn.Sequential(
        nn.Conv2d(c, m, kernel, stride, padding, bias=False), nn.BatchNorm2d(m, eps=eps)
    )


def conv_unit(c: int, m: int, kernel: int, stride: int = 1, padding: int = 0) -> nn.Sequential:
    """Return convolution, batch normalisation and ReLU, as GoogLeNet's later versions use them."""
    return nn.Sequential(*conv_bn(c, m, kernel, stride, padding, eps=1e-3), nn.ReLU())


class Inception(nn.Module):
    """Four paths side by side, their maps stacked.

    They are 1 x 1; 1 x 1 and 3 x 3; 1 x 1 and `large` x `large`; max pooling and 1 x 1.

    Arguments:
        c: channels of the input.
        one: channels of the first path.
        three, five: (reduced, final) channels of the second and third path.
        pool: channels of the last path.
        large: the third path's kernel: 5 in the paper, 3 in torchvision.
    """

    def __init__(
        self,
        c: int,
        one: int,
        three: tuple[int, int],
        five: tuple[int, int],
        pool: int,
        large: int = 5,
    ):
        super().__init__()
        wide = conv_unit(five[0], five[1], large, padding=large // 2)
        self.paths = nn.ModuleList(
            [
                conv_unit(c, one, 1),
                nn.Sequential(conv_unit(c, three[0], 1), conv_unit(*three, 3, padding=1)),
                nn.Sequential(conv_unit(c, five[0], 1), wide),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), conv_unit(c, pool, 1)),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([path(x) for path in self.paths], 1)


class AuxiliaryHead(nn.Module):
    """A second classifier on the maps of a layer half-way up, used in training only."""

    def __init__(self, c: int, classes: int):
        super().__init__()
        self.conv = conv_unit(c, 128, 1)
        self.head = nn.Sequential(
            nn.Linear(2048, 1024), nn.ReLU(), nn.Dropout(0.7), nn.Linear(1024, classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(F.adaptive_avg_pool2d(x, 4))
        return self.head(maps.flatten(1))


def halving_pool(kernel: int = 3) -> nn.MaxPool2d:
    """Return GoogLeNet's max pooling, which halves the picture and rounds up."""
    return nn.MaxPool2d(kernel, stride=2, ceil_mode=True)


class GoogLeNet(nn.Module):
    """GoogLeNet with batch normalisation, for images (n, 3, 224, 224).

    With `large` = 3 the network of torchvision, with 5 the kernels of the paper. `auxiliary` adds
    the two heads that are thrown away after training; the call returns the main scores only.
    Source: C. Szegedy et al. (2014), arXiv:1409.4842.
    """

    def __init__(self, classes: int = 1000, large: int = 5, auxiliary: bool = True):
        super().__init__()
        stem = [conv_unit(3, 64, 7, 2, 3), halving_pool(), conv_unit(64, 64, 1)]
        stem += [conv_unit(64, 192, 3, 1, 1), halving_pool()]
        blocks: list[nn.Module]
        blocks, c = [], 192
        for row in INCEPTIONS:
            if row is None:
                blocks.append(halving_pool(2 if len(blocks) > 7 else 3))
                continue
            blocks.append(Inception(c, *row, large=large))
            c = row[0] + row[1][1] + row[2][1] + row[3]
        self.features = nn.Sequential(*stem, *blocks)
        heads = [AuxiliaryHead(c, classes) for c in (512, 528)]
        self.auxiliary = nn.ModuleList(heads if auxiliary else [])
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(c, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


INCEPTIONS = [  # 1 x 1, then (reduced, 3 x 3), (reduced, 5 x 5), pooled; None halves the picture
    (64, (96, 128), (16, 32), 32),
    (128, (128, 192), (32, 96), 64),
    None,
    (192, (96, 208), (16, 48), 64),
    (160, (112, 224), (24, 64), 64),
    (128, (128, 256), (24, 64), 64),
    (112, (144, 288), (32, 64), 64),
    (256, (160, 320), (32, 128), 128),
    None,
    (256, (160, 320), (32, 128), 128),
    (384, (192, 384), (48, 128), 128),
]


class PlainBlock(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation: (n, c, h, w) becomes (n, m, h/s, w/s)."""

    def __init__(self, c: int, m: int, stride: int = 1):
        super().__init__()
        self.branch = nn.Sequential(
            *conv_bn(c, m, 3, stride, 1), nn.ReLU(), *conv_bn(m, m, 3, 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.branch(x))


class HighwayBlock(PlainBlock):
    """A block that decides, by a learned gate, how much of its input to replace.

    As many channels and pixels come out as go in, else ValueError. The gate starts at
    sigmoid(-1): mostly copy.
    Source: R. K. Srivastava, K. Greff, J. Schmidhuber (2015), arXiv:1505.00387.
    """

    def __init__(self, c: int, m: int, stride: int = 1):
        super().__init__(c, m, stride)
        if c != m or stride != 1:
            raise ValueError(f"it copies: {c} != {m} or stride {stride}")
        self.gate = nn.Conv2d(c, m, 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, -1.0)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        t = torch.sigmoid(self.gate(x))
        return t * super().forward(x) + (1 - t) * x


class ResidualBlock(PlainBlock):
    """A block that adds to its input; the sum goes through a ReLU.

    Where channels or size change, a 1 x 1 convolution with batch normalisation fits the input to
    the sum. The last scale starts at 0, so that the block begins as its path alone (Goyal et al.
    2017, arXiv:1706.02677). Source: K. He, X. Zhang, S. Ren, J. Sun (2016), arXiv:1512.03385.
    """

    def __init__(self, c: int, m: int, stride: int = 1):
        super().__init__(c, m, stride)
        same = c == m and stride == 1
        self.path = nn.Identity() if same else conv_bn(c, m, 1, stride)
        nn.init.zeros_(self.branch[-1].weight)  # type: ignore[arg-type]  # begin as the path

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.path(x) + self.branch(x))


class ResNet(nn.Module):
    """A residual network of two-layer blocks.

    Arguments:
        stem: maps images to (n, widths[0], h, w).
        blocks: number of blocks of each stage.
        widths: channels of each stage; from the second on, the first block halves the picture.
        classes: number of scores.

    `ResNet(imagenet_stem(64), [2, 2, 2, 2], [64, 128, 256, 512])` is ResNet-18. Raises ValueError
    for lists of unequal length.
    """

    def __init__(
        self, stem: nn.Module, blocks: Sequence[int], widths: Sequence[int], classes: int = 1000
    ):
        super().__init__()
        if len(blocks) != len(widths):
            raise ValueError(f"stages differ: {blocks} and {widths}")
        layers, c = [stem], widths[0]
        for stage, (n, m) in enumerate(zip(blocks, widths)):
            for k in range(n):
                stride = 2 if stage and not k else 1
                layers.append(ResidualBlock(c, m, stride))
                c = m
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(c, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean((2, 3)))


def imagenet_stem(m: int) -> nn.Sequential:
    """Return ResNet's first layers: images (n, 3, 224, 224) become maps (n, m, 56, 56)."""
    pool = nn.MaxPool2d(3, stride=2, padding=1)
    return nn.Sequential(*conv_bn(3, m, 7, 2, 3), nn.ReLU(), pool)


def multiply_adds(model: nn.Module, x: Tensor) -> dict[nn.Module, int]:
    """Return how many multiply-adds each convolution and dense layer spends on the batch x.

    A weight is used once for each place and example. Runs the model once; on the "meta" device
    this needs neither memory nor time.
    """
    used: dict[nn.Module, int] = {}

    def count(layer: Any, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        uses = y.numel() // len(layer.weight)  # places of all examples
        used[layer] = used.get(layer, 0) + uses * layer.weight.numel()

    counted = (nn.Conv2d, nn.Linear)
    layers = [layer for layer in model.modules() if isinstance(layer, counted)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    try:
        model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return used
