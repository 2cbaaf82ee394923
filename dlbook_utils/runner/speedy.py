"""The modern recipe: a small residual-free network that learns CIFAR-10 in seconds.

After K. Jordan (2024), "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv:2404.00498, and
his later program with the Muon optimiser (https://github.com/KellerJordan/cifar10-airbench,
airbench94_muon.py), whose rates these are. Written anew, with fewer channels for a CPU. Its parts:

- a first layer that is computed, not learned: the eigenvectors of the second moments of 2 x 2
  patches, scaled so that their outputs are uncorrelated with mean square 1 (whitening), and their
  negatives;
- convolutions that start as the identity on their first channels;
- batch normalisation without a learned scale, whose running averages follow quickly;
- filters that Muon moves by orthogonal matrices and that keep their norm;
- labels smoothed, each image flipped in every second epoch, several views averaged at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.foundations.optimisation import newton_schulz

# Channels of the groups: "gpu" as published; "cpu" for two cores and 90 seconds; "test" for tests.
WIDTHS: dict[str, tuple[int, int, int]] = {
    "gpu": (64, 256, 256),
    "cpu": (32, 64, 128),
    "test": (8, 8, 8),
}


class Group(nn.Module):
    """Two convolutions 3 x 3 with batch normalisation and GELU; 2 x 2 max pooling in between."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm1, self.norm2 = (nn.BatchNorm2d(outputs, 1e-12, 0.4) for _ in range(2))
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
        self.whiten = nn.Conv2d(3, 2 * 3 * 2**2, 2)
        self.whiten.weight.requires_grad = False
        channels = (self.whiten.out_channels, *widths)
        self.groups = nn.ModuleList(Group(a, b) for a, b in zip(channels, channels[1:]))
        self.head = nn.Linear(widths[-1], classes, bias=False)
        with torch.no_grad():
            self.head.weight.div_(self.head.weight.std())

    @torch.no_grad()
    def prepare(self, x: Tensor, eps: float = 5e-4) -> None:
        """Compute the first layer from normalised training images x (n, 3, h, w)."""
        patches = x.unfold(2, 2, 1).unfold(3, 2, 1)  # (n, 3, h - 1, w - 1, 2, 2)
        patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 12).float()
        variance, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        scaled = (vectors / (variance + eps).sqrt()).T.reshape(12, 3, 2, 2)
        self.whiten.weight.copy_(torch.cat([scaled, -scaled]))
        self.whiten.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.whiten(x))
        for group in self.groups:
            x = group(x)
        return self.head(x.amax((2, 3))) / self.head.in_features


class Muon(torch.optim.Optimizer):
    """Move filters by orthogonalised momentum, and keep their norm at sqrt(number of filters).

    The rule of the recipe, not the book's `optim.muon`: Nesterov momentum is not averaged, three
    Newton-Schulz steps are enough, and the norm stands in for weight decay.
    """

    def __init__(self, parameters, lr: float, momentum: float = 0.6):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """Take one step."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["velocity"] = torch.zeros_like(p)
                v = state["velocity"].mul_(group["momentum"]).add_(p.grad)
                g = p.grad.add(v, alpha=group["momentum"])
                p.mul_(sqrt(len(p)) / p.norm())
                p.sub_(group["lr"] * newton_schulz(g.reshape(len(g), -1), 3).view_as(p))


def optimizers(model: SpeedyNet, lr: float, batch: int) -> list[torch.optim.Optimizer]:
    """Muon for the filters at rate lr, SGD with Nesterov momentum for the biases and the head.

    The recipe's rates of SGD belong to the sum of a batch's losses, ours to their mean, hence the
    factor `batch`. (Muon's step does not depend on the gradient's size.) Group option "until": the
    part of the training after which the rate is 0; the first layer's bias learns for three of eight
    epochs only.
    """
    filters = [p for p in model.parameters() if p.ndim == 4 and p.requires_grad]
    biases = [p for name, p in model.named_parameters() if "norm" in name and name.endswith("bias")]
    rest = [
        {"params": [model.whiten.bias], "lr": 0.053 * batch, "until": 3 / 8},
        {"params": biases, "lr": 0.053 * batch},
        {"params": [model.head.weight], "lr": 0.67 * batch},
    ]
    for group in rest:
        group["weight_decay"] = 2e-6 * batch / group["lr"]
    return [Muon(filters, lr), torch.optim.SGD(rest, 0.05, momentum=0.85, nesterov=True)]


def views(x: Tensor, number: int) -> list[tuple[float, Tensor]]:
    """Return `number` (1, 2 or 6) views of images x (n, c, h, w) with their weights.

    The image and its mirror image; with 6, both shifted by a pixel up and left, or down and right,
    at half the weight.
    """
    if number == 1:
        return [(1.0, x)]
    if number == 2:
        return [(0.5, x), (0.5, x.flip(-1))]
    wide = F.pad(x, (1, 1, 1, 1), "reflect")
    h, w = x.shape[2:]
    shifted = [wide[..., k : k + h, k : k + w] for k in (0, 2)]
    found = [(0.25, x), (0.25, x.flip(-1))]
    return found + [(0.125, view) for s in shifted for view in (s, s.flip(-1))]
