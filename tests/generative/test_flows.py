"""Flows: densities against autograd's Jacobians, grid integrals and what is known exactly."""

import pytest
import torch
from scipy.integrate import solve_ivp
from torch import nn

from dlbook_utils.generative.diffusion import Mixture, MLPsSideBySide
from dlbook_utils.generative.flows import (
    CouplingFlow,
    affine_coupling,
    follow_velocity,
    log_density_along,
    log_standard,
    matching_loss,
    train_flow,
    undo_coupling,
    velocity_and_trace,
    velocity_of,
)
from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.page.guards import TrainingFailed


def shaken(module, seed=0):
    """Give every weight a random value, and double precision."""
    g, module = generator(seed), module.double()
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(0.5 * torch.randn(p.shape, generator=g, dtype=p.dtype))
    return module


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def test_standard_noise_has_pytorchs_density():
    z = draws(5, 3)
    wanted = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(log_standard(z), wanted)


@pytest.mark.parametrize("d", [2, 6])
def test_a_coupling_is_undone_and_its_log_det_is_autograds(d):
    net = shaken(nn.Sequential(nn.Linear(d // 2, 8), nn.SiLU(), nn.Linear(8, d)))
    z = draws(5, d)
    x, log_det = affine_coupling(z, net)
    back, again = undo_coupling(x, net)
    torch.testing.assert_close(back, z)
    torch.testing.assert_close(again, log_det)
    for row, wanted in zip(z, log_det, strict=True):
        J = torch.autograd.functional.jacobian(lambda p: affine_coupling(p[None], net)[0][0], row)
        torch.testing.assert_close(J.det().abs().log(), wanted)
    assert log_det.abs().max() <= 2 * d / 2


def test_a_flows_gradients_are_those_of_the_determinant_written_out():
    flow, x = shaken(CouplingFlow(1, 3, 2, 4)), draws(1, 6, 2)
    z = x
    for net in reversed(flow.nets):
        z, _ = undo_coupling(z, net)
    z = z.detach()

    def by_determinant():
        total = 0.0
        for row in z[0]:
            J = torch.autograd.functional.jacobian(
                lambda p: flow(p[None, None])[0][0, 0], row, create_graph=True
            )
            total = total + J.det().abs().log()
        return total

    weights = list(flow.parameters())
    ours = torch.autograd.grad(flow(z)[1].sum(), weights, allow_unused=True)
    theirs = torch.autograd.grad(by_determinant(), weights, allow_unused=True)
    for mine, other in zip(ours, theirs, strict=True):
        if mine is not None:
            torch.testing.assert_close(mine, torch.zeros_like(mine) if other is None else other)


def test_a_flows_density_integrates_to_one_and_draws_follow_it():
    flow = shaken(CouplingFlow(1, 2, 2, 4), seed=3)
    ticks = torch.linspace(-15, 15, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(ticks, ticks)
    with torch.no_grad():
        p = flow.log_prob(grid[None])[0].exp() * 0.05**2
        x = flow(draws(1, 20_000, 2, seed=4))[0][0]
    assert p.sum().item() == pytest.approx(1, abs=2e-3)
    right = p[grid[:, 0] > 0.5].sum().item()
    assert (x[:, 0] > 0.5).double().mean().item() == pytest.approx(right, abs=0.02)


def test_a_flow_starts_without_stretch_or_shift():
    z = draws(2, 5, 4).float()
    x, log_det = CouplingFlow(2, 2, 4)(z)
    torch.testing.assert_close(x, z)  # two swaps
    assert not log_det.any()
    with pytest.raises(ValueError, match="even, got 3"):
        CouplingFlow(1, 2, 3)


def test_training_raises_the_likelihood_and_names_a_loss_that_is_not_finite():
    seed_everything(0)
    flow = CouplingFlow(2, 4, 2, 8)
    x = 0.3 * draws(2, 200, 2).float() + 1
    before = flow.log_prob(x).mean().item()
    out = train_flow(flow, lambda g: -flow.log_prob(x).mean(), 150, 1e-2, 0)
    assert out is flow
    assert flow.log_prob(x).mean().item() > before + 1
    assert not any(p.requires_grad for p in flow.parameters())
    other = CouplingFlow(1, 1)
    with pytest.raises(TrainingFailed, match="nan"):
        train_flow(other, lambda g: other.log_prob(x[:1]).mean() * float("nan"), 1, 1e-2, 0)


def test_a_net_that_says_nothing_has_the_mean_square_of_the_directions_as_its_loss():
    eps, x = draws(2, 40, 1).float(), draws(2, 40, 1, seed=1).float()
    zero = matching_loss(lambda h: 0 * h[..., :1], eps, x, generator(2))
    torch.testing.assert_close(zero, (x - eps).square().mean())
    with pytest.raises(ValueError, match="eps"):
        matching_loss(lambda h: h, eps[:, :5], x, generator(2))


def test_a_velocity_asks_its_net_at_the_right_time():
    seed_everything(0)
    net, x = MLPsSideBySide(2, [18, 8, 2]), draws(2, 5, 2).float()
    eps = draws(2, 5, 2, seed=1).float()
    u = torch.rand(2, 5, generator=generator(3))
    loss = matching_loss(net, eps, x, generator(3))
    wanted = []
    for k in range(2):
        for i in range(5):
            place = (1 - u[k, i]) * eps + u[k, i] * x
            v = velocity_of(net)(place, u[k, i].item())[k, i]
            wanted.append((v - (x - eps)[k, i]).square())
    torch.testing.assert_close(loss, torch.stack(wanted).mean())


def test_eulers_path_along_a_constant_velocity_is_a_line():
    x = draws(3, 2)
    path = follow_velocity(lambda x, u: torch.ones_like(x), x, 4)
    assert path.shape == (5, 3, 2)
    torch.testing.assert_close(path[-1], x + 1)
    torch.testing.assert_close(path[1], x + 0.25)


def test_the_trace_is_that_of_autograds_jacobian():
    net = shaken(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 3)))
    x = draws(5, 3)
    v, trace = velocity_and_trace(lambda x, u: u * net(x), x, 0.5)
    torch.testing.assert_close(v, 0.5 * net(x).detach())
    for row, mine in zip(x, trace, strict=True):
        J = torch.autograd.functional.jacobian(lambda p: 0.5 * net(p), row)
        torch.testing.assert_close(mine, J.trace())


def test_the_density_along_a_velocity_is_the_known_one():
    mixture = Mixture(torch.tensor([[1.0, 0.0], [-1.0, 0.5]]), torch.ones(2), spread=0.3)

    def velocity(x, u):
        c = (u**2 + (1 - u) ** 2) ** 0.5
        a = torch.tensor((u / c) ** 2).to(x)
        return (mixture.denoise(x / c, a) - x) / (1 - u)

    x, end = draws(20, 2), 0.8
    c = (end**2 + (1 - end) ** 2) ** 0.5
    a = torch.tensor((end / c) ** 2, dtype=torch.float64)
    wanted = mixture.log_parts(x / c, a).logsumexp(-1) - 2 * torch.tensor(c).log()
    torch.testing.assert_close(log_density_along(velocity, x, 200, end), wanted, atol=1e-3, rtol=0)


def test_heuns_walk_agrees_with_scipys_solver():
    net = shaken(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)))
    x = draws(1, 2)

    def slope(u, state):
        v, trace = velocity_and_trace(lambda x, u: net(x), torch.tensor(state[None, :2]), u)
        return torch.cat([v[0], trace]).numpy()

    start = torch.cat([x[0], torch.zeros(1)]).numpy()
    end = torch.tensor(solve_ivp(slope, (1, 0), start, rtol=1e-9, atol=1e-9).y[:, -1])
    wanted = log_standard(end[None, :2]) + end[2]  # integrated from 1 to 0: minus the integral
    ours = log_density_along(lambda x, u: net(x), x, 400)
    torch.testing.assert_close(ours, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("move", [affine_coupling, undo_coupling])
def test_a_coupling_that_does_not_fit_is_refused(move):
    with pytest.raises(ValueError, match="got 3 and 3"):
        move(torch.randn(4, 3), lambda h: torch.ones(4, 3))
    with pytest.raises(ValueError, match="got 4 and 2"):
        move(torch.randn(4, 4), lambda h: torch.ones(4, 2))


def test_no_flow_at_all_is_refused():
    with pytest.raises(ValueError, match="count"):
        CouplingFlow(0, 2)


def test_a_shift_has_no_trace():
    x = torch.randn(5, 2, generator=generator(1))
    v, trace = velocity_and_trace(lambda x, u: torch.ones(5, 2), x, 0.5)
    assert torch.equal(v, torch.ones(5, 2))
    assert torch.equal(trace, torch.zeros(5))
    moved = log_density_along(lambda x, u: torch.ones(5, 2), x + 1, 3)
    assert torch.allclose(moved, log_standard(x), atol=1e-5)


@pytest.mark.parametrize("end", [0, -1.0, 1.5, float("nan")])
def test_a_walk_has_its_end_between_noise_and_data(end):
    with pytest.raises(ValueError, match=f"at most at 1, got {end}"):
        log_density_along(lambda x, u: x * u, torch.zeros(2, 2), 3, end)
