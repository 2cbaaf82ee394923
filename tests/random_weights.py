"""Random inputs and modules with random parameters, in double precision, to compare gradients."""

import torch
from torch import nn

from dlbook_utils.page.devices import generator


def draw(*shape, seed=0):
    """Standard normal numbers that want a gradient."""
    x = torch.randn(*shape, generator=generator(seed), dtype=torch.float64)
    return x.requires_grad_()


def shake(module: nn.Module, size: float = 0.5) -> nn.Module:
    """Give every parameter random values of that size, biases and norms included."""
    g = generator(7)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=g) * size)
    return module.double().eval()
