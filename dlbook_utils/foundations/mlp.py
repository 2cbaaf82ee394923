"""Networks that chapters build and later chapters train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """A multilayer perceptron: affine layers with an activation after each but the last.

    Arguments:
        sizes: number of inputs, of units in each hidden layer, and of outputs; [64, 10] has no
            hidden layer and is a linear model.
        activation: applied to each score of the hidden layers, such as torch.tanh.

    Inputs (n, ...) are flattened to (n, sizes[0]); outputs are scores (n, sizes[-1]), to which no
    activation is applied. Weights start as nn.Linear starts them.

    Raises ValueError for fewer than two sizes.
    """

    def __init__(self, sizes: Sequence[int], activation: Callable[[Tensor], Tensor] = torch.relu):
        if len(sizes) < 2:
            raise ValueError(f"sizes are inputs, ..., outputs; got {sizes}")
        super().__init__()
        layers = [nn.Linear(d, k) for d, k in pairwise(sizes)]
        self.layers = nn.ModuleList(layers)
        self.activation = activation

    def hidden(self, x: Tensor) -> Tensor:
        """Return what the last hidden layer hands on, (n, sizes[-2])."""
        h = x.flatten(1)
        for layer in self.layers[:-1]:
            h = self.activation(layer(h))
        return h

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[-1](self.hidden(x))


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers of a model are learned."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
