"""Flows: maps that can be run backwards and whose stretching is known, in layers or along a
velocity; as built in "Flows".

Points are (n, d) or, for several networks side by side, (nets, n, d). Noise is standard normal.
Time u runs from 0, noise, to 1, data.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from dlbook_utils.foundations.gradient_flow import clip_gradients
from dlbook_utils.foundations.optimisation import cosine, warm_up
from dlbook_utils.generative.diffusion import MLPsSideBySide, with_level
from dlbook_utils.generative.vae import log_normal
from dlbook_utils.page.devices import generator
from dlbook_utils.page.guards import check_count, check_inputs, check_loss, check_shape, progress


def log_standard(z: Tensor) -> Tensor:
    """Return the log-density of standard normal noise at z (..., d), as (...)."""
    check_inputs(z, where="points")
    return log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).sum(-1)


def affine_coupling(z: Tensor, net: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Move the second half of z (..., d) as the first half says; swap them; return log|det J| too.

    `net` maps the half that stays (..., d / 2) to log-stretches and shifts, together (..., d). A
    stretch is bounded by e² and its inverse. Raises ValueError for an odd d, and if `net` gives
    another number of entries. Source: L. Dinh et al. (2016), arXiv:1605.08803.
    """
    kept, moved = z.chunk(2, -1)
    out = net(kept)
    if z.shape[-1] % 2 or out.shape[-1] != z.shape[-1]:
        raise ValueError(
            f"expected an even d and as many numbers from net, "
            f"got {z.shape[-1]} and {out.shape[-1]}"
        )
    s, b = out.chunk(2, -1)
    s = 2 * torch.tanh(s / 2)
    return torch.cat([moved * s.exp() + b, kept], -1), s.sum(-1)


def undo_coupling(x: Tensor, net: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return the z that `affine_coupling` makes x of, and the log|det J| of the way forth."""
    moved, kept = x.chunk(2, -1)
    out = net(kept)
    if x.shape[-1] % 2 or out.shape[-1] != x.shape[-1]:
        raise ValueError(
            f"expected an even d and as many numbers from net, "
            f"got {x.shape[-1]} and {out.shape[-1]}"
        )
    s, b = out.chunk(2, -1)
    s = 2 * torch.tanh(s / 2)
    return torch.cat([kept, (moved - b) * (-s).exp()], -1), s.sum(-1)


class CouplingFlow(nn.Module):
    """Flows of coupling layers, several side by side.

    Arguments:
        count: how many flows.
        layers: couplings in each.
        d: numbers in a point, even.
        width: units in the two hidden layers of each coupling's network.

    Called with noise z (count, n, d); returns points of that shape and log|det J| (count, n). It
    starts without stretch or shift. Raises ValueError for an odd d.
    """

    def __init__(self, count: int, layers: int, d: int = 2, width: int = 32):
        super().__init__()
        check_count(count, "count")
        if check_count(d, "d", 2) % 2:
            raise ValueError(f"d must be even, got {d}")
        sizes = [d // 2, width, width, d]
        self.nets = nn.ModuleList(
            MLPsSideBySide(count, sizes) for _ in range(check_count(layers, "layers"))
        )
        for net in self.nets:
            nn.init.zeros_(net.W[-1])  # type: ignore[index]

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        log_det = z.new_zeros(z.shape[:-1])
        for net in self.nets:
            z, more = affine_coupling(z, net)
            log_det = log_det + more
        return z, log_det

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the exact log-density (count, n) at points x (count, n, d)."""
        log_det = x.new_zeros(x.shape[:-1])
        for net in reversed(self.nets):
            x, more = undo_coupling(x, net)
            log_det = log_det + more
        return log_standard(x) - log_det


def train_flow(
    net: nn.Module, loss_of: Callable[[Generator], Tensor], steps: int, lr: float, seed: int
) -> nn.Module:
    """Minimise a loss that is drawn anew at each step; return the network, no longer trainable.

    `loss_of` takes the generator that the seed starts. Adam, 50 steps of warm-up, then a cosine;
    gradients longer than 5 are clipped. Raises TrainingFailed as soon as a loss is not finite.
    """
    g = generator(seed)
    adam = torch.optim.Adam(net.parameters(), fused=True)
    for step in progress(range(steps), "steps"):
        adam.param_groups[0]["lr"] = lr * warm_up(step, 50) * cosine(step, steps)
        loss = loss_of(g)
        check_loss(loss, 1, step)
        adam.zero_grad()
        loss.backward()
        clip_gradients(net.parameters(), 5.0)
        adam.step()
    return net.requires_grad_(False)


def matching_loss(net: nn.Module, eps: Tensor, x: Tensor, g: Generator) -> Tensor:
    """Return the loss of flow matching for pairs of noise eps and data x, both (nets, n, d).

    The networks learn x - eps at random places between the two. Sources: Y. Lipman et al. (2022),
    arXiv:2210.02747; X. Liu et al. (2022), arXiv:2209.03003.
    """
    check_shape(x, ["nets", "n", "d"], "x")
    check_shape(eps, x.shape, "eps")
    u = torch.rand(x.shape[:2], generator=g).to(x)
    between = (1 - u[..., None]) * eps + u[..., None] * x
    out = net(with_level(between, 1000 * u))
    return (out - (x - eps)).square().mean()


def velocity_of(net: nn.Module) -> Callable[[Tensor, float], Tensor]:
    """Return a function (x, u) that asks a trained network for the velocity at x (nets, n, d)."""
    return lambda x, u: net(with_level(x, x.new_full(x.shape[:2], 1000 * u)))


@torch.no_grad()
def follow_velocity(velocity: Callable[[Tensor, float], Tensor], x: Tensor, steps: int) -> Tensor:
    """Take noise x along a velocity from u = 0 to 1 in equal Euler steps; return the path.

    The path is (steps + 1, ...): it starts with x and ends with the draws.
    """
    path = [x]
    for k in range(check_count(steps, "steps")):
        path.append(path[-1] + velocity(path[-1], k / steps) / steps)
    return torch.stack(path)


def velocity_and_trace(
    velocity: Callable[[Tensor, float], Tensor], x: Tensor, u: float
) -> tuple[Tensor, Tensor]:
    """Return the velocity at x (..., d) and the trace of its Jacobian (...), entry by entry."""
    x = x.detach().requires_grad_()
    v, trace = velocity(x, u), x.new_zeros(x.shape[:-1])
    if not v.requires_grad:  # the same at all places
        return v, trace
    for j in range(x.shape[-1]):
        (row,) = torch.autograd.grad(v[..., j].sum(), x, retain_graph=True)
        trace = trace + row[..., j]
    return v.detach(), trace.detach()


def log_density_along(
    velocity: Callable[[Tensor, float], Tensor], x: Tensor, steps: int, end: float = 1.0
) -> Tensor:
    """Return the log-density (...) at points x (..., d) that have come to time `end` from noise.

    Walks back to u = 0 in equal steps of Heun's method and adds up the trace. Source:
    R. T. Q. Chen et al. (2018), arXiv:1806.07366. Raises ValueError for an end outside of (0, 1].
    """
    if not 0 < end <= 1:
        raise ValueError(f"end lies above 0 and at most at 1, got {end}")
    total, h = x.new_zeros(x.shape[:-1]), end / check_count(steps, "steps")
    for k in range(steps, 0, -1):
        v, trace = velocity_and_trace(velocity, x, k * h)
        earlier = velocity_and_trace(velocity, x - h * v, (k - 1) * h)
        x = x - h / 2 * (v + earlier[0])
        total = total + h / 2 * (trace + earlier[1])
    return log_standard(x) - total
