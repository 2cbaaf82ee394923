"""The classical rivals.

Against PyTorch, values and gradients, and where the formula overflows.
"""

import torch
import torch.nn.functional as F

from dlbook_utils.practice.classical import classical_softplus


def test_values_and_gradients_are_pytorchs():
    z = torch.randn(50, dtype=torch.float64, requires_grad=True)
    ours, theirs = classical_softplus(z), F.softplus(z, threshold=1e3)
    assert torch.allclose(ours, theirs)
    (slope,), (wanted,) = (torch.autograd.grad(value.sum(), z) for value in (ours, theirs))
    assert torch.allclose(slope, wanted)


def test_nothing_overflows():
    z = torch.tensor([-1e4, 1e4])
    assert torch.equal(classical_softplus(z), torch.tensor([0.0, 1e4]))
