"""Number formats, networks with few bits or few weights, and memory bought with computing.

As built in the chapter on smaller and faster networks. Weights are (outputs, inputs), as in
`nn.Linear`; a row of them belongs to one unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.page.guards import (
    check_count,
    check_finite,
    check_ids,
    check_inputs,
    check_shape,
)


def decode_float(bits: Tensor, exponent: int, fraction: int) -> Tensor:
    """Return the numbers (float64) that patterns of bits stand for: a sign, exponent, fraction.

    Arguments:
        bits: whole numbers (int64) from 0 on, the patterns.
        exponent, fraction: how many bits each has: 5 and 10 in float16, 8 and 7 in bfloat16.

    Source: IEEE 754.
    """
    exponent = check_count(exponent, "exponent", 2, 11)
    fraction = check_count(fraction, "fraction", 1, 52)
    check_ids(bits, 2 ** (1 + exponent + fraction), "bits")
    sign = 1.0 - 2 * (bits >> (exponent + fraction))
    e = bits >> fraction & 2**exponent - 1
    f = (bits & 2**fraction - 1).double() / 2**fraction
    offset = 2 ** (exponent - 1) - 1
    size = torch.where(
        e > 0,
        (1 + f) * 2.0 ** (e - offset).double(),
        f * 2.0 ** (1 - offset),  # subnormal
    )
    last = torch.where(f == 0, torch.inf, torch.nan)
    return sign * torch.where(e == 2**exponent - 1, last, size)


class LossScale:
    """A factor on the loss that halves where gradients overflow and doubles after a quiet while.

        >>> scaler = LossScale()
        >>> (scaler.scale * loss).backward()
        >>> scaler.step(optimizer)

    Arguments:
        scale: the first factor.
        patience: steps without overflow after which it doubles.

    Source: P. Micikevicius et al. (2018), arXiv:1710.03740.
    """

    def __init__(self, scale: float = 2.0**16, patience: int = 2000) -> None:
        if not 0 < scale < torch.inf:
            raise ValueError(f"scale must be positive and finite, got {scale}")
        self.scale, self.quiet = scale, 0
        self.patience = check_count(patience, "patience")

    def step(self, optimizer: torch.optim.Optimizer) -> bool:
        """Divide the gradients by the scale and take the step, or skip it; return whether taken."""
        grads = [
            p.grad
            for group in optimizer.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        taken = all(bool(g.isfinite().all()) for g in grads)
        if not taken:
            self.scale, self.quiet = self.scale / 2, 0
            return taken
        for g in grads:
            g /= self.scale
        optimizer.step()
        self.quiet += 1
        if self.quiet == self.patience:
            self.scale, self.quiet = 2 * self.scale, 0
        return taken


class RoundThrough(torch.autograd.Function):
    """Rounding to whole numbers from -high to high, whose gradient passes as if there were none.

    It is 0 where the rounded number lies beyond.

    Source: Y. Bengio, N. Léonard, A. Courville (2013), arXiv:1308.3432.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, high: int) -> Tensor:
        q = x.round()
        ctx.inside = q.abs() <= high
        return q.clamp(-high, high)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return g * ctx.inside, None


def fake_quantise(W: Tensor, step: Tensor, bits: int) -> Tensor:
    """Return W (outputs, inputs) on its grid: whole numbers of `bits` bits times a step per row.

    The numbers go from -(2^(bits - 1) - 1) to its opposite. The gradient passes straight through
    to weights within that range, and is 0 beyond.
    """
    check_inputs(W, where="weights")
    check_finite(W, "W")
    check_inputs(step, where="step")
    check_finite(step, "step")
    check_shape(W, ["outputs", "inputs"], "W")
    check_shape(step, [len(W), 1], "step")
    if not (step > 0).all():
        raise ValueError(f"steps must be positive, the least is {step.min()}")
    high = 2 ** (check_count(bits, "bits", 2, 16) - 1) - 1
    return RoundThrough.apply(W / step, high) * step


def grid_step(W: Tensor, bits: int, tries: int = 40) -> Tensor:
    """Return the step (outputs, 1) for each row of W (outputs, inputs) that rounds it best.

    Of `tries` steps, the largest of which has the row's largest weight at the end of the grid, that
    one with the least squared error. A row of zeros gets the smallest normal number.
    """
    check_inputs(W, where="weights")
    check_finite(W, "W")
    check_shape(W, ["outputs", "inputs"], "W")
    high = 2 ** (check_count(bits, "bits", 2, 16) - 1) - 1
    largest = W.abs().amax(1, keepdim=True).clamp(min=torch.finfo(W.dtype).tiny * high)
    best, least = largest / high, torch.full_like(largest, torch.inf)
    for k in range(1, check_count(tries, "tries") + 1):
        step = largest / high * k / tries
        gap = fake_quantise(W, step, bits) - W
        error = gap.square().sum(1, keepdim=True)
        best = torch.where(error < least, step, best)
        least = torch.minimum(error, least)
    return best


class ViewedLinear(nn.Linear):
    """A linear layer that computes with what `view`, a function, makes of its weights."""

    view: Callable[[Tensor], Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        W = self.weight if self.view is None else self.view(self.weight)
        return F.linear(x, W, self.bias)


def largest_mask(W: Tensor, share: float) -> Tensor:
    """Return 1 where W is among the `share` of its entries that are largest in size, else 0."""
    check_inputs(W, where="weights")
    check_finite(W, "W")
    if not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1], got {share}")
    kept = W.abs().flatten().topk(max(1, round(share * W.numel()))).indices
    return torch.zeros_like(W).flatten().index_fill(0, kept, 1).view_as(W)


class Recompute(torch.autograd.Function):
    """Apply a block and keep its input only; going backward, apply it a second time.

        >>> y = Recompute.apply(block, x, *block.parameters())

    Source: T. Chen et al. (2016), arXiv:1604.06174.
    """

    @staticmethod
    def forward(ctx: Any, block: nn.Module, x: Tensor, *weights: Tensor) -> Tensor:
        ctx.block = block
        ctx.save_for_backward(x, *weights)
        return block(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple:
        x, *weights = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            y = ctx.block(x)
        return None, *torch.autograd.grad(y, (x, *weights), g)
