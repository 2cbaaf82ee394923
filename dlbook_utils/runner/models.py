"""The models of the CIFAR-10 study, written plainly. Images in (n, 3, h, w), scores (n, 10) out.

The modern network is K. Jordan's (2024), "94% on CIFAR-10 in 3.29 Seconds on a Single GPU",
arXiv:2404.00498, written anew, with fewer channels for a CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH = 3 * 2**2  # numbers in a patch of 2 x 2 pixels


class BasicCNN(nn.Module):
    """Three convolutions 3 x 3, each followed by ReLU and 2 x 2 max pooling, then a linear layer.

    Arguments:
        widths: channels of the three convolutions. The source does not give them.
        side: of the images, in pixels; a multiple of 8.
    """

    def __init__(self, widths: Sequence[int] = (32, 64, 128), classes: int = 10, side: int = 32):
        super().__init__()
        channels = (3, *widths)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in zip(channels, channels[1:])
        )
        self.head = nn.Linear(widths[-1] * (side // 2 ** len(widths)) ** 2, classes)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the feature maps after each pooling."""
        maps = []
        for conv in self.convs:
            x = F.max_pool2d(F.relu(conv(x)), 2)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x)[-1].flatten(1))


class Block(nn.Module):
    """Two convolutions 3 x 3 with batch normalisation, and a way past them."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.past: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.past = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(h)) + self.past(x))


class ResNet18(nn.Module):
    """The residual network of 18 layers. Source: K. He et al. (2015), arXiv:1512.03385.

    Arguments:
        stem: "7x7": as published for photographs of 224 pixels, a 7 x 7 convolution of stride 2 and
            3 x 3 max pooling of stride 2; "3x3": one 3 x 3 convolution, usual for 32 pixels.
        width: channels of the first stage (64 as published).
    """

    def __init__(self, stem: str = "3x3", classes: int = 10, width: int = 64):
        super().__init__()
        if stem not in ("3x3", "7x7"):
            raise ValueError(f"stem must be '3x3' or '7x7', got {stem!r}")
        if stem == "7x7":
            self.stem = nn.Conv2d(3, width, 7, 2, 3, bias=False)
            self.pool: nn.Module = nn.MaxPool2d(3, 2, 1)
        else:
            self.stem = nn.Conv2d(3, width, 3, 1, 1, bias=False)
            self.pool = nn.Identity()
        self.norm = nn.BatchNorm2d(width)
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        blocks = []
        for stage, (a, b) in enumerate(zip(widths, widths[1:])):
            blocks += [Block(a, b, 1 if stage == 0 else 2), Block(b, b, 1)]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(widths[-1], classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the feature maps after each of the four stages."""
        x = self.pool(F.relu(self.norm(self.stem(x))))
        maps = []
        for first, second in zip(self.blocks[::2], self.blocks[1::2]):
            x = second(first(x))
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x)[-1].mean((2, 3)))


class EncoderBlock(nn.Module):
    """Attention, then two dense layers, each after a LayerNorm and with a way past it."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(n, tokens, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (n, heads, tokens, width / heads) each
        mixed = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(mixed.transpose(1, 2).reshape(n, tokens, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class ViT(nn.Module):
    """The Vision Transformer. Source: A. Dosovitskiy et al. (2020), arXiv:2010.11929.

    Arguments:
        patch: side of a patch, in pixels.
        width, heads, blocks: of the encoder.
        side: of the images, in pixels; larger ones than come in are made by bilinear enlargement.
    """

    def __init__(
        self,
        patch: int = 16,
        width: int = 384,
        heads: int = 6,
        blocks: int = 12,
        side: int = 32,
        classes: int = 10,
    ):
        super().__init__()
        if side % patch or width % heads:
            raise ValueError(f"patches of {patch} must tile {side}, {heads} heads share {width}")
        self.side = side
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(torch.empty(1, (side // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(*[EncoderBlock(width, heads) for _ in range(blocks)])
        self.norm = nn.LayerNorm(width, 1e-6)
        self.head = nn.Linear(width, classes)
        nn.init.trunc_normal_(self.places, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.side:
            x = F.interpolate(x, size=(self.side, self.side), mode="bilinear")
        x = self.patches(x).flatten(2).transpose(1, 2)  # (n, tokens, width)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(self.norm(self.blocks(x))[:, 0])


class ConvGroup(nn.Module):
    """Two convolutions 3 x 3 with batch normalisation and GELU; 2 x 2 max pooling in between.

    The convolutions start as the identity on their first channels; the scales are not learned, and
    the running averages follow quickly.
    """

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm1, self.norm2 = (
            nn.BatchNorm2d(outputs, eps=1e-12, momentum=0.4) for _ in range(2)
        )
        for conv in (self.conv1, self.conv2):
            nn.init.dirac_(conv.weight.data[: conv.in_channels])
        for norm in (self.norm1, self.norm2):
            norm.weight.requires_grad = False

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


class SpeedyNet(nn.Module):
    """Whitening of 2 x 2 patches, three groups, the largest value of each channel, a linear layer.

    Arguments:
        widths: channels of the groups.
    """

    def __init__(self, widths: Sequence[int] = (64, 256, 256), classes: int = 10):
        super().__init__()
        self.whiten = nn.Conv2d(3, 2 * PATCH, 2)
        self.whiten.weight.requires_grad = False
        channels = (self.whiten.out_channels, *widths)
        self.groups = nn.ModuleList(ConvGroup(a, b) for a, b in zip(channels, channels[1:]))
        self.head = nn.Linear(widths[-1], classes, bias=False)
        with torch.no_grad():
            self.head.weight.div_(self.head.weight.std())

    @torch.no_grad()
    def prepare(self, x: Tensor, eps: float = 5e-4) -> None:
        """Compute the first layer from normalised training images x (n, 3, h, w)."""
        patches = x.unfold(2, 2, 1).unfold(3, 2, 1)  # (n, 3, h - 1, w - 1, 2, 2)
        patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, PATCH).float()
        variance, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        scaled = (vectors / (variance + eps).sqrt()).T.reshape(PATCH, 3, 2, 2)
        self.whiten.weight.copy_(torch.cat([scaled, -scaled]))
        self.whiten.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.whiten(x))
        for group in self.groups:
            x = group(x)
        return self.head(x.amax((2, 3))) / self.head.in_features


# Three sizes of ViT, and three cuts: 16 of 32 pixels, 4 of 32, 16 of 224.
SIZES = {"ti": (192, 3), "s": (384, 6), "b": (768, 12)}
CUTS = {"p16": (16, 32), "p4": (4, 32), "p16-224": (16, 224)}
MODELS: dict[str, Callable[[], nn.Module]] = {
    "cnn-32": partial(BasicCNN, (32, 64, 128)),
    "cnn-64": partial(BasicCNN, (64, 128, 256)),
    "resnet18-3x3": partial(ResNet18, "3x3"),
    "resnet18-7x7": partial(ResNet18, "7x7"),
    **{
        f"vit-{size}-{cut}": partial(ViT, patch, width, heads, side=side)
        for size, (width, heads) in SIZES.items()
        for cut, (patch, side) in CUTS.items()
    },
    # of similar cost, for a CPU
    "resnet18-narrow": partial(ResNet18, "3x3", width=16),
    "vit-narrow-p4": partial(ViT, 4, 96, 3, 6),
    # the modern network as published, and for two cores and 90 seconds
    "speedy": SpeedyNet,
    "speedy-small": partial(SpeedyNet, (32, 64, 128)),
    # too small to learn much: for tests
    "tiny-cnn": partial(BasicCNN, (4, 4, 4)),
    "tiny-resnet": partial(ResNet18, "3x3", width=2),
    "tiny-vit": partial(ViT, 16, 8, 2, 2),
    "tiny-speedy": partial(SpeedyNet, (8, 8, 8)),
}


REAL = tuple(name for name in MODELS if not name.startswith("tiny"))


def build(name: str) -> nn.Module:
    """Return a new model by name. Raises ValueError, naming those that exist."""
    if name not in MODELS:
        raise ValueError(f"no model {name!r}; there are {', '.join(REAL)}")
    return MODELS[name]()


@lru_cache(64)
def count(name: str) -> dict[str, int]:
    """Return "parameters" of a model and "flops" for one image of 32 pixels a side, forward.

    A multiplication and an addition are two operations. PyTorch's counter sees matrix products,
    convolutions and attention; what it leaves out (normalisation, activations, pooling) is a few
    per cent. Nothing is computed: the tensors have shapes only.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = build(name).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 3, 32, 32))
    parameters = sum(p.numel() for p in model.parameters())
    return {"parameters": parameters, "flops": counter.get_total_flops()}
