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


def assert_same(ours, theirs, inputs, may_vanish=False):
    """Compare values and, through random weights, the gradients of inputs.

    None of our gradients is 0, unless they may vanish.
    """
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn(ours.shape, generator=generator(3), dtype=ours.dtype)
    mine, its = (
        torch.autograd.grad((value * weights).sum(), inputs, retain_graph=True)
        for value in (ours, theirs)
    )
    assert may_vanish or all(slope.abs().sum() > 0 for slope in mine)
    torch.testing.assert_close(mine, its)
