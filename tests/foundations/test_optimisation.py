"""The update rules and schedules against PyTorch's, step for step."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from dlbook_utils.foundations import optimisation as optim
from dlbook_utils.foundations.linear import fit
from dlbook_utils.foundations.mlp import MLP
from dlbook_utils.foundations.optimisation import Descent
from dlbook_utils.page.devices import generator, seed_everything

STEPS = 60
PAIRS = {
    "sgd": (optim.sgd, torch.optim.SGD, {"lr": 0.05}),
    "heavy ball": (optim.heavy_ball, torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    "heavy ball 0.5": (
        partial(optim.heavy_ball, momentum=0.5),
        torch.optim.SGD,
        {"lr": 0.05, "momentum": 0.5},
    ),
    "nesterov": (
        optim.nesterov,
        torch.optim.SGD,
        {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    ),
    "adagrad": (optim.adagrad, torch.optim.Adagrad, {"lr": 0.05}),
    "rmsprop": (optim.rmsprop, torch.optim.RMSprop, {"lr": 0.01}),
    "rmsprop eps": (
        partial(optim.rmsprop, beta=0.9, eps=1e-2),
        torch.optim.RMSprop,
        {"lr": 0.01, "alpha": 0.9, "eps": 1e-2},
    ),
    "adam": (optim.adam, torch.optim.Adam, {"lr": 0.01}),
    "adam eps": (
        partial(optim.adam, beta1=0.8, beta2=0.95, eps=1e-2),
        torch.optim.Adam,
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-2},
    ),
    "adamw": (
        partial(optim.adamw, decay=0.1),
        torch.optim.AdamW,
        {"lr": 0.01, "weight_decay": 0.1},
    ),
    "muon": (
        partial(optim.muon, decay=0.1),
        getattr(torch.optim, "Muon", None),
        {"lr": 0.02, "weight_decay": 0.1},
    ),
}


def network():
    """A random network without biases, whose parameters are matrices, tall and wide."""
    seed_everything(0)
    layers = nn.Linear(5, 9, bias=False), nn.Tanh(), nn.Linear(9, 3, bias=False)
    return nn.Sequential(*layers).double()


def path(model, optimizer):
    """The parameters after each of many noisy steps, (steps, parameters)."""
    draw, points = generator(1), []
    for _ in range(STEPS):
        x = torch.randn(8, 5, generator=draw, dtype=torch.float64)
        y = torch.randint(3, (8,), generator=draw)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        points.append(nn.utils.parameters_to_vector(model.parameters()).detach().clone())
    return torch.stack(points)


@pytest.mark.parametrize("name", PAIRS)
def test_same_steps_as_pytorch(name):
    rule, reference, settings = PAIRS[name]
    if reference is None:
        pytest.skip("this torch has no Muon")
    ours, theirs = network(), network()
    a = path(ours, Descent(ours.parameters(), rule, settings["lr"]))
    b = path(theirs, reference(theirs.parameters(), **settings))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)
    assert (a[-1] - a[0]).norm() > 0.1  # it moved


def test_lion_by_hand():
    p, state = torch.tensor([1.0, 1.0, 1.0]), optim.defaultdict(float)
    optim.lion(p, torch.tensor([2.0, -0.001, 0.0]), state, 0.1, decay=0.5)
    torch.testing.assert_close(p, torch.tensor([0.85, 1.05, 0.95]))
    torch.testing.assert_close(state["m"], torch.tensor([0.02, -0.00001, 0.0]))
    optim.lion(p, torch.tensor([-0.1, 1.0, 0.0]), state, 0.1)  # 0.9 m + 0.1 g: 0.008, 0.1, 0
    torch.testing.assert_close(p, torch.tensor([0.75, 0.95, 0.95]))


@pytest.mark.parametrize("shape", [(6, 6), (4, 11), (11, 4)])
def test_newton_schulz_keeps_singular_vectors_and_levels_values(shape):
    G = torch.randn(shape, generator=generator(2), dtype=torch.float64)
    U, S, Vt = torch.linalg.svd(G, full_matrices=False)
    inner = U.T @ optim.newton_schulz(G, dtype=torch.float64) @ Vt.T
    level = inner.diagonal()
    assert (inner - level.diag()).abs().max() < 1e-10
    near = level[S / S.norm() > 0.02]
    assert near.min() > 0.5
    assert near.max() < 1.3
    rough = optim.newton_schulz(G)
    assert (rough - U @ torch.diag(level) @ Vt).norm() < 0.1 * level.norm()


def test_muon_refuses_what_is_no_matrix():
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        optim.muon(torch.zeros(3), torch.ones(3), optim.defaultdict(float), 0.1)


def test_descent_follows_a_schedule_and_leaves_alone_what_has_no_gradient():
    p, idle = torch.zeros(1, requires_grad=True), torch.ones(1, requires_grad=True)
    descent = Descent([p, idle], optim.sgd, lambda t: [1.0, 0.5, 0.25][t])
    for _ in range(3):
        descent.zero_grad()
        p.sum().backward()
        descent.step()
    assert p.item() == -1.75
    assert idle.item() == 1


def test_descent_refuses_to_descend_without_parameters():
    used_up = (p for p in [])
    with pytest.raises(ValueError, match="at least one parameter"):
        Descent(used_up, optim.sgd, 0.1)


def test_fit_takes_it():
    draw = generator(3)
    x, y = torch.randn(40, 4, generator=draw), torch.randint(3, (40,), generator=draw)
    ends = []
    for make in (
        lambda m: Descent(m.parameters(), optim.adam, 0.01),
        lambda m: torch.optim.Adam(m.parameters(), lr=0.01),
    ):
        seed_everything(4)
        model = MLP([4, 8, 3])
        ends.append(fit(model, (x, y), optimizer=make(model), epochs=3, size=10)[-1]["train_loss"])
    assert ends[0] == pytest.approx(ends[1], abs=1e-5)


@pytest.mark.parametrize("rule", [optim.sgd, optim.heavy_ball, optim.rmsprop, optim.adam])
def test_a_tensor_of_rates_is_several_runs(rule):
    rates = torch.tensor([0.1, 0.01]).double()
    together, state = torch.ones(2, 3).double(), optim.defaultdict(float)
    alone = [torch.ones(3).double(), torch.ones(3).double()]
    states = [optim.defaultdict(float), optim.defaultdict(float)]
    for g in torch.randn(20, 3, generator=generator(5)).double():
        rule(together, g.expand(2, 3), state, rates[:, None])
        for p, own, lr in zip(alone, states, rates, strict=True):
            rule(p, g, own, lr)
    torch.testing.assert_close(together, torch.stack(alone))


SCHEDULES = {
    "step": (
        lambda t: optim.step_decay(t, 30, 0.3),
        lambda o: lr_scheduler.StepLR(o, 30, gamma=0.3),
    ),
    "cosine": (
        lambda t: optim.cosine(t, 100, 0.05),
        lambda o: lr_scheduler.CosineAnnealingLR(o, 100, eta_min=0.05 * 0.2),
    ),
    "warm-up": (
        lambda t: optim.warm_up(t, 40, 0.25),
        lambda o: lr_scheduler.LinearLR(o, 0.25, total_iters=40),
    ),
    "triangular": (
        lambda t: optim.triangular(t, 15, 0.1),
        lambda o: lr_scheduler.CyclicLR(o, 0.02, 0.2, step_size_up=15, cycle_momentum=False),
    ),
    "one-cycle": (
        lambda t: optim.one_cycle(t, 100),
        lambda o: lr_scheduler.OneCycleLR(o, 0.2, total_steps=100, cycle_momentum=False),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_same_rates_as_pytorch(name):
    ours, theirs = SCHEDULES[name]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
    scheduler = theirs(optimizer)
    for t in range(100):
        assert 0.2 * ours(t) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12), t
        optimizer.step()
        scheduler.step()
