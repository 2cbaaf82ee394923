"""Learning from reward: games against Gymnasium, targets against their definitions."""

import itertools
from collections import deque

import gymnasium
import numpy as np
import pytest
import torch
from scipy.stats import trim_mean
from torch import nn

from dlbook_utils.beyond.reinforcement import (
    CartPole,
    Episodes,
    Pendulum,
    advantages,
    bootstrap_interval,
    clipped_loss,
    epsilon_greedy,
    interquartile_mean,
    learn_dqn,
    learn_ppo,
    play_out,
    q_targets,
    value_iteration,
)
from dlbook_utils.page.devices import generator


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def balance(x):
    return (x[:, 2] + x[:, 3] > 0).long()


@pytest.mark.parametrize(
    ("game", "name", "theirs"),
    [(CartPole(), "CartPole-v1", int), (Pendulum(), "Pendulum-v1", lambda a: 2.0 * a.numpy() - 2)],
)
def test_a_move_is_gymnasiums(game, name, theirs):
    env = gymnasium.make(name).unwrapped
    for seed in range(40):
        env.reset(seed=seed)
        state = (
            draw(1, len(env.state), seed=seed) * torch.tensor([1.0, 1, 0.12, 1])[-len(env.state) :]
        )
        env.state = state[0].numpy()
        a = torch.randint(game.actions, (1,), generator=generator(seed))
        seen, reward, ended, *_ = env.step(theirs(a))
        s, own, fallen = game.move(state, a)
        assert np.allclose(s[0], env.state, atol=1e-12)
        assert np.allclose(game.see(s)[0], seen, atol=1e-6)
        assert own.item() == pytest.approx(reward)
        assert fallen.item() == ended


def test_a_whole_game_is_gymnasiums_to_the_cut():
    env = gymnasium.make("CartPole-v1")
    cuts = 0
    for seed in range(4):
        env.reset(seed=seed)
        ours = Episodes(CartPole(), 1, generator(seed))
        ours.state, stops = torch.tensor(env.unwrapped.state)[None], [False, False]
        while not any(stops):
            a = balance(ours.see())
            _, _, *stops = env.step(int(a))[:4]
            _, _, *own = ours.step(a)
            assert [bool(stop) for stop in own] == stops
        cuts += stops[1]
    assert cuts, "no game of these was cut, so nothing was tested"


def test_games_that_are_over_begin_anew_and_are_counted():
    env = Episodes(CartPole(), 8, generator(0))
    for _ in range(60):
        env.step(torch.ones(8, dtype=torch.long))
    assert len(env.finished) >= 8 * 5
    assert all(8 <= total <= 11 for total in env.finished)


def test_value_iteration_solves_bellmans_equation():
    P = draw(5, 3, 5).softmax(2)
    R = draw(5, 3, seed=1)
    Q = value_iteration(P, R, 0.9, 500)
    assert torch.allclose(Q, R + 0.9 * P @ Q.amax(1))
    best = Q.argmax(1)
    rows = torch.arange(5)
    V = torch.linalg.solve(torch.eye(5).double() - 0.9 * P[rows, best], R[rows, best])
    assert torch.allclose(V, Q.amax(1))


def test_advantages_are_their_sums_and_stop_at_both_kinds_of_end():
    reward, V, after = draw(3, 15, 4)
    ended, cut = draw(2, 15, 4, seed=1) > 1.2
    ours = advantages(reward, V, after, ended, cut, 0.9, 0.7)
    delta = reward + 0.9 * after * ~ended - V
    for t, i in itertools.product(range(15), range(4)):
        total, weight = 0.0, 1.0
        for k in range(t, 15):
            total, weight = total + weight * delta[k, i], weight * 0.9 * 0.7
            if ended[k, i] or cut[k, i]:
                break
        assert ours[t, i] == pytest.approx(total.item())


def test_a_cut_keeps_the_value_after_it_and_an_end_does_not():
    one, no = torch.ones(1, 1), torch.zeros(1, 1, dtype=torch.bool)
    assert advantages(one, 0 * one, 10 * one, no, ~no, 0.5).item() == 6
    assert advantages(one, 0 * one, 10 * one, ~no, no, 0.5).item() == 1


def test_the_clipped_loss_forward_and_backward():
    log_p, old, A = draw(50).requires_grad_(), draw(50, seed=1), draw(50, seed=2)
    loss = clipped_loss(log_p, old, A, 0.2)
    ratio = (log_p - old).exp()
    stuck = ((A > 0) & (ratio > 1.2)) | ((A < 0) & (ratio < 0.8))
    plain = torch.where(stuck, torch.where(A > 0, 1.2, 0.8), ratio) * A
    assert torch.allclose(loss, -plain.mean())
    (slope,) = torch.autograd.grad(loss, log_p)
    assert torch.allclose(slope, -(ratio * A * ~stuck).detach() / 50)


def test_targets_single_and_double():
    Q, old = nn.Linear(4, 3).double(), nn.Linear(4, 3).double()
    reward, after, ended = draw(9), draw(9, 4, seed=1), draw(9, seed=2) > 0
    single = q_targets(Q, old, reward, after, ended, 0.9)
    assert torch.allclose(single, reward + 0.9 * old(after).amax(1) * ~ended)
    double = q_targets(Q, old, reward, after, ended, 0.9, double=True)
    chosen = old(after)[torch.arange(9), Q(after).argmax(1)]
    assert torch.allclose(double, reward + 0.9 * chosen * ~ended)
    assert (double <= single).all()


def test_exploring_takes_the_share_asked_for():
    scores = torch.tensor([[0.0, 1.0, 0.0]]).expand(6000, -1)
    assert (epsilon_greedy(scores, 0.0, generator(0)) == 1).all()
    other = (epsilon_greedy(scores, 0.3, generator(0)) != 1).float().mean()
    assert other == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(("learn", "length"), [(learn_ppo, 12), (learn_dqn, 6000)])
def test_both_ways_of_learning_learn_and_repeat(learn, length):
    (_, policy, one), (_, _, two) = (deque(learn(CartPole(), 0, length), 1)[0] for _ in range(2))
    assert one == two
    left = play_out(CartPole(), lambda x: torch.zeros(len(x)).long(), 50, generator(0))
    learned = play_out(CartPole(), lambda x: policy(x).argmax(1), 50, generator(0))
    assert learned.mean() > 3 * left.mean()


@pytest.mark.parametrize("n", [1, 3, 4, 10])
def test_the_interquartile_mean_is_scipys(n):
    values = draw(5, n)
    assert np.allclose(interquartile_mean(values), trim_mean(values.numpy(), 0.25, axis=1))


def test_the_bootstrap_holds_the_interquartile_mean_and_shrinks():
    small, large = draw(10), draw(1000)
    for values in (small, large):
        low, high = bootstrap_interval(values, generator(0))
        assert low < interquartile_mean(values) < high
    (a, b), (c, d) = (bootstrap_interval(v, generator(0)) for v in (small, large))
    assert d - c < (b - a) / 4


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: value_iteration(draw(3, 2, 4), draw(3, 2), 0.9, 1), ValueError, r"\(S, A, 3\)"),
        (lambda: value_iteration(draw(3, 2, 3), draw(3, 2), 0.9, 1), ValueError, "rows of P"),
        (
            lambda: value_iteration(draw(3, 2, 3), draw(3, 2), 1.0, 1),
            ValueError,
            r"\[0, 1\), got 1",
        ),
        (lambda: clipped_loss(draw(3), draw(4), draw(3), 0.2), ValueError, r"\(3,\), got \(4"),
        (lambda: advantages(*draw(5, 3, 2)), TypeError, "bool, not torch.float64"),
        (lambda: interquartile_mean(draw(0)), ValueError, "number of values"),
        (lambda: bootstrap_interval(draw(5), generator(0), level=95), ValueError, "got 95"),
    ],
)
def test_what_is_bad_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
