"""Normalisation layers, and gradients clipped by their norm, as built in "Gradient flow"."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from dlbook_utils.page.guards import check_shape, widened


def standardise_over(x: Tensor, dims: list[int], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return x with mean 0 and variance 1 over the axes `dims`, and that mean and variance, which
    are computed, and returned, in float32 where x is in half precision.

    The variance is the mean squared distance from the mean (divided by the count, not by one
    less); `eps` is added to it under the root, so that a constant becomes 0. Mean and variance
    keep the axes, with length 1.
    """
    wide = widened(x)  # squares are too large for half precision
    mean = wide.mean(dims, keepdim=True)
    var = (wide - mean).pow(2).mean(dims, keepdim=True)
    y = (wide - mean) / torch.sqrt(var + eps)
    return y.to(x.dtype), mean, var


class LayerNorm(nn.Module):
    """Standardise each example over its d features, then scale and shift each feature.

    Inputs are (..., d): all axes but the last count examples (or positions). Training and
    evaluation are the same, and no example sees another. Raises ValueError for another d.
    Source: J. L. Ba, J. R. Kiros, G. E. Hinton (2016), arXiv:1607.06450.
    """

    def __init__(self, d: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))
        self.bias = nn.Parameter(torch.zeros(d))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, [..., len(self.weight)])
        y, _, _ = standardise_over(x, [-1], self.eps)
        return self.weight * y + self.bias


class RMSNorm(nn.Module):
    """Divide each example by the root mean square of its d features, then scale each feature.

    Inputs are (..., d). No mean is subtracted and no shift is added. `eps` stands under the
    root; nn.RMSNorm takes the machine epsilon of the dtype unless told otherwise. Half precision
    is squared in float32. Raises ValueError for another d.
    Source: B. Zhang, R. Sennrich (2019), arXiv:1910.07467.
    """

    def __init__(self, d: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        wide = widened(check_shape(x, [..., len(self.weight)]))
        square = wide.pow(2).mean(-1, keepdim=True)
        y = self.weight * wide / torch.sqrt(square + self.eps)
        return y.to(x.dtype)


def batch_axes(x: Tensor, d: int) -> tuple[list[int], list[int]]:
    """Return the axes over which d features are averaged, and the shape that lines d values up.

    For (n, d) these are [0] and [1, d], for (n, d, h, w) [0, 2, 3] and [1, d, 1, 1]. Raises
    ValueError for any other shape.
    """
    if x.ndim not in (2, 4) or x.shape[1] != d:
        raise ValueError(f"expected (n, {d}) or (n, {d}, h, w), got {tuple(x.shape)}")
    axes = [0, 2, 3][: x.ndim - 1]
    return axes, [1, d, 1, 1][: x.ndim]


class BatchNorm(nn.Module):
    """Standardise each of d features over the batch, then scale and shift it.

    Inputs are (n, d) or (n, d, h, w); in the second case d counts channels, and the positions of
    an image count like further examples. In training the statistics are the batch's, and running
    averages are kept, r <- (1 - momentum) r + momentum s, in which the variance is the unbiased
    one (divided by the count less one). In evaluation the running averages are used. These are
    the conventions of nn.BatchNorm1d and nn.BatchNorm2d.

    Raises ValueError for other shapes and, in training, for fewer than two values per feature.
    Source: S. Ioffe, C. Szegedy (2015), arXiv:1502.03167.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, d: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))
        self.bias = nn.Parameter(torch.zeros(d))
        self.register_buffer("running_mean", torch.zeros(d))
        self.register_buffer("running_var", torch.ones(d))
        self.eps, self.momentum = eps, momentum

    def forward(self, x: Tensor) -> Tensor:
        axes, shape = batch_axes(x, len(self.weight))
        if self.training:
            y, mean, var = standardise_over(x, axes, self.eps)
            self.remember(mean, var, x.numel() // len(self.weight))
        else:
            mean, var = self.running_mean.view(shape), self.running_var.view(shape)
            y = (x - mean) / torch.sqrt(var + self.eps)
        return self.weight.view(shape) * y + self.bias.view(shape)

    @torch.no_grad()
    def remember(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Move the running averages towards the statistics of a batch of `count` values."""
        if count < 2:
            raise ValueError(f"a batch needs 2 values per feature or more, got {count}")
        mean, var = mean.to(self.running_mean), var.to(self.running_var)
        unbiased = var.flatten() * count / (count - 1)
        self.running_mean.lerp_(mean.flatten(), self.momentum)
        self.running_var.lerp_(unbiased, self.momentum)


@torch.no_grad()
def clip_gradients(parameters: Iterable[Tensor], max_norm: float) -> Tensor:
    """Shorten the gradient, all parameters taken together, to length `max_norm` if it is longer.

    Works in place on `.grad`, keeps the direction, and returns the length before (0-d). As in
    nn.utils.clip_grad_norm_, 1e-6 is added to the length before dividing by it. What is
    already infinite or NaN cannot be saved: it is NaN afterwards, and all the rest is 0 or NaN.
    Raises ValueError if there is no gradient at all, or for a negative length.
    Source: R. Pascanu, T. Mikolov, Y. Bengio (2013), arXiv:1211.5063.
    """
    grads = [p.grad for p in parameters if p.grad is not None]
    if not grads or not max_norm >= 0:
        raise ValueError(f"{len(grads)} gradients, max_norm {max_norm}")
    length = torch.stack([g.norm() for g in grads]).norm()
    scale = (max_norm / (length + 1e-6)).clamp(max=1)
    for g in grads:
        g.mul_(scale)
    return length
