"""Learning from reward: two games, proximal policy optimisation, deep Q-learning, and their scores.

As built in the chapter on reinforcement. Many games are played at once: a state is a tensor
(n, ...), a row for each game. The games are Gymnasium's CartPole-v1 and Pendulum-v1, the latter
with three torques to choose from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.page.devices import device, generator, seed_everything
from dlbook_utils.page.guards import check_count, check_finite, check_inputs, check_shape

Curve = Iterator[tuple[int, nn.Module, list[float]]]


def value_iteration(P: Tensor, R: Tensor, gamma: float, steps: int) -> Tensor:
    """Return the action values (S, A) after so many sweeps, from 0 (Bellman 1957).

    Arguments:
        P: probabilities (S, A, S) of the next state; a row of zeros ends the game.
        R: expected rewards (S, A).
        gamma: discount, in [0, 1).
        steps: how many sweeps.

    Raises ValueError for shapes that do not fit, for rows of P that are no probabilities, and for a
    discount out of range.
    """
    check_inputs(check_shape(P, ["S", "A", len(P)], "P"), where="P")
    check_inputs(check_shape(R, P.shape[:2], "R"), where="R")
    if not 0 <= gamma < 1:
        raise ValueError(f"gamma must be in [0, 1), got {gamma}")
    if not (P >= 0).all() or P.sum(-1).max() > 1.0001:
        raise ValueError(
            f"rows of P: a probability must lie in [0, 1], and their sum, got {P.sum(-1).max():g}"
        )
    Q = torch.zeros_like(R)
    for _ in range(check_count(steps, "steps", 0)):
        Q = R + gamma * P @ Q.amax(1)
    return Q


class CartPole:
    """The pole on a cart of Barto, Sutton and Anderson (1983), as in Gymnasium's CartPole-v1.

    A state is position, speed, angle and its speed, (n, 4); action 1 pushes to the right, 0 to the
    left. Each step earns 1, until the pole leans more than 12 degrees or the cart is 2.4 away.
    """

    features, actions, limit = 4, 2, 500

    def start(self, n: int, g: torch.Generator) -> Tensor:
        return (torch.rand(n, 4, generator=g) / 10 - 0.05).to(device())

    def see(self, s: Tensor) -> Tensor:
        return s

    def move(self, s: Tensor, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _, speed, angle, spin = s.unbind(-1)
        sin, cos = angle.sin(), angle.cos()
        pull = (20.0 * a - 10 + 0.05 * spin**2 * sin) / 1.1
        turn = (9.8 * sin - cos * pull) / (2 / 3 - 0.05 * cos**2 / 1.1)
        change = [speed, pull - 0.05 * turn * cos / 1.1, spin, turn]
        s = s + 0.02 * torch.stack(change, -1)
        fallen = (s[..., 2].abs() > torch.pi / 15) | (s[..., 0].abs() > 2.4)
        return s, torch.ones_like(angle), fallen


class Pendulum:
    """The pendulum of Gymnasium's Pendulum-v1, with torques -2, 0 and 2 for the actions 0 to 2.

    A state is an angle (0: upright) and its speed, (n, 2). A step costs the angle's square and a
    little for speed and torque; the game has no end but its time limit.
    """

    features, actions, limit = 3, 3, 200

    def start(self, n: int, g: torch.Generator) -> Tensor:
        most = torch.tensor([torch.pi, 1.0])
        return (most * (2 * torch.rand(n, 2, generator=g) - 1)).to(device())

    def see(self, s: Tensor) -> Tensor:
        return torch.stack([s[..., 0].cos(), s[..., 0].sin(), s[..., 1]], -1)

    def move(self, s: Tensor, a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        angle, spin = s.unbind(-1)
        torque = 2.0 * a - 2
        lean = (angle + torch.pi) % (2 * torch.pi) - torch.pi
        cost = lean**2 + 0.1 * spin**2 + 0.001 * torque**2
        spin = (spin + 0.05 * (15 * angle.sin() + 3 * torque)).clamp(-8, 8)
        s = torch.stack([angle + 0.05 * spin, spin], -1)
        return s, -cost, torch.zeros_like(spin, dtype=torch.bool)


class Episodes:
    """n games at once; one that is over begins anew. `finished` keeps the return of each."""

    def __init__(self, game: Any, n: int, g: torch.Generator) -> None:
        self.game, self.n, self.g = game, n, g
        self.state = game.start(n, g)
        self.age = self.state.new_zeros(n)
        self.total = self.state.new_zeros(n)
        self.finished: list[float] = []

    def see(self) -> Tensor:
        return self.game.see(self.state)

    def step(self, a: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Act, (n,); return rewards, what is seen after, who has ended and who was cut."""
        s, reward, ended = self.game.move(self.state, a)
        self.age, self.total = self.age + 1, self.total + reward
        cut = (self.age >= self.game.limit) & ~ended
        over = ended | cut
        self.finished += self.total[over].tolist()
        fresh = self.game.start(self.n, self.g)
        self.state = torch.where(over[:, None], fresh, s)
        self.age, self.total = self.age * ~over, self.total * ~over
        return reward, self.game.see(s), ended, cut


@torch.no_grad()
def play_out(game: Any, choose: Callable[[Tensor], Tensor], n: int, g: torch.Generator) -> Tensor:
    """Return the returns (n,) of n games in which `choose` maps what is seen to actions."""
    s = game.start(n, g)
    total, alive = s.new_zeros(n), s.new_ones(n, dtype=torch.bool)
    for _ in range(game.limit):
        s, reward, ended = game.move(s, choose(game.see(s)))
        total += reward * alive
        alive &= ~ended
        if not alive.any():
            break
    return total


def small_net(d: int, k: int, width: int, unit: type[nn.Module]) -> nn.Sequential:
    """Return a network from d numbers to k scores with two hidden layers."""
    return nn.Sequential(
        nn.Linear(d, width), unit(), nn.Linear(width, width), unit(), nn.Linear(width, k)
    ).to(device())


def advantages(
    reward: Tensor,
    V: Tensor,
    after: Tensor,
    ended: Tensor,
    cut: Tensor,
    gamma: float = 0.99,
    lam: float = 0.95,
) -> Tensor:
    """Return the generalised advantages (T, n) of T steps (Schulman et al. 2016).

    Arguments:
        reward: rewards (T, n).
        V: values of the states before each step, (T, n).
        after: values of the states after each step, before a new game begins, (T, n).
        ended: whether the game ended there, bool (T, n): nothing follows.
        cut: whether it was cut there, bool (T, n): the value after it counts, and no later step.
        gamma: discount.
        lam: weight of each further step.
    """
    T, n = check_shape(reward, ["T", "n"], "reward").shape
    others = {"V": V, "after": after, "ended": ended, "cut": cut}
    for name, x in others.items():
        check_shape(x, [T, n], name)
    if ended.dtype != torch.bool or cut.dtype != torch.bool:
        raise TypeError(f"ended, cut must be bool, not {ended.dtype}, {cut.dtype}")
    delta = reward + gamma * after * ~ended - V
    A, later = torch.zeros_like(delta), torch.zeros_like(delta[0])
    for t in reversed(range(T)):
        later = delta[t] + gamma * lam * later * ~(ended[t] | cut[t])
        A[t] = later
    return A


def clipped_loss(log_p: Tensor, old: Tensor, A: Tensor, clip: float) -> Tensor:
    """Return the loss of proximal policy optimisation (Schulman et al. 2017), a number.

    Arguments:
        log_p: log-probabilities (n,) that the policy now gives to the actions taken.
        old: those of the policy that took them, (n,).
        A: advantages (n,).
        clip: how far from 1 the ratio of the probabilities still counts.
    """
    check_shape(old, check_shape(log_p, ["n"], "log_p").shape, "old")
    check_shape(A, log_p.shape, "A")
    ratio = (log_p - old).exp()
    return -torch.min(ratio * A, ratio.clamp(1 - clip, 1 + clip) * A).mean()


def collect(policy: nn.Module, env: Episodes, T: int, g: torch.Generator) -> list[Tensor]:
    """Play T steps; return what was seen, done and given, each (T, n, ...)."""
    rows = []
    for _ in range(T):
        x = env.see()
        log_p = policy(x).log_softmax(-1)
        a = log_p.exp().cpu().multinomial(1, generator=g).to(x.device)
        taken = log_p.gather(1, a)[:, 0]
        rows.append((x, a[:, 0], taken, *env.step(a[:, 0])))
    return [torch.stack(column) for column in zip(*rows)]


def learn_ppo(
    game: Any,
    seed: int,
    updates: int,
    lr: float = 3e-3,
    gamma: float = 0.99,
    clip: float = 0.2,
    scale: float = 1.0,
    cut_ends: bool = False,
    n: int = 64,
    T: int = 32,
) -> Curve:
    """Train a policy; after each update yield steps so far, the policy, and returns (all games)."""
    seed_everything(seed)
    g, d = generator(seed), game.features
    policy = small_net(d, game.actions, 64, nn.Tanh)
    critic = small_net(d, 1, 64, nn.Tanh)
    policy[-1].weight.data *= 0.01  # type: ignore[operator, assignment]  # begin with chance
    params = [*policy.parameters(), *critic.parameters()]
    adam, env = torch.optim.Adam(params, lr=lr), Episodes(game, n, g)
    for u in range(updates):
        adam.param_groups[0]["lr"] = lr * (1 - u / updates)
        with torch.no_grad():
            x, a, old, reward, after, ended, cut = collect(policy, env, T, g)
            V, ended = critic(x)[..., 0], ended | (cut & cut_ends)
            A = advantages(scale * reward, V, critic(after)[..., 0], ended, cut, gamma)
        batch = [z.flatten(0, 1) for z in (x, a, old, A, A + V)]
        for idx in (i for _ in range(4) for i in torch.randperm(n * T, generator=g).chunk(4)):
            loss = ppo_loss(policy, critic, *(z[idx] for z in batch), clip)  # type: ignore
            adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(params, 0.5)
            adam.step()
        yield (u + 1) * n * T, policy, env.finished


def ppo_loss(
    policy: nn.Module,
    critic: nn.Module,
    x: Tensor,
    a: Tensor,
    old: Tensor,
    A: Tensor,
    goal: Tensor,
    clip: float,
) -> Tensor:
    """Return the loss on a part of the steps: policy, critic, and a little for being certain."""
    A = (A - A.mean()) / (A.std() + 1e-8)
    log_p = policy(x).log_softmax(-1)
    taken = log_p.gather(1, a[:, None])[:, 0]
    critic_loss = F.mse_loss(critic(x)[:, 0], goal)
    surprise = -(log_p.exp() * log_p).sum(1).mean()
    return clipped_loss(taken, old, A, clip) + 0.5 * critic_loss - 0.01 * surprise


@torch.no_grad()
def q_targets(
    Q: nn.Module,
    old: nn.Module,
    reward: Tensor,
    after: Tensor,
    ended: Tensor,
    gamma: float,
    double: bool = False,
) -> Tensor:
    """Return what the action values should be, (n,) (Mnih et al. 2015; van Hasselt et al. 2016).

    Arguments:
        Q: the network that learns; with `double` it chooses the next action.
        old: its older copy, which says what the next action is worth.
        reward: rewards (n,).
        after: what is seen after the step, (n, d).
        ended: whether the game ended there, bool (n,).
        gamma: discount.
        double: whether Q chooses and `old` judges, or `old` does both.
    """
    best = (Q if double else old)(after).argmax(1, keepdim=True)
    return reward + gamma * old(after).gather(1, best)[:, 0] * ~ended


def epsilon_greedy(scores: Tensor, share: float, g: torch.Generator) -> Tensor:
    """Return the best actions (n,) of scores (n, actions), but random ones for a share."""
    n, actions = scores.shape
    random = torch.randint(actions, (n,), generator=g)
    coin = torch.rand(n, generator=g) < share
    return torch.where(coin, random, scores.argmax(1).cpu()).to(scores.device)


def learn_dqn(
    game: Any,
    seed: int,
    steps: int,
    lr: float = 5e-4,
    gamma: float = 0.99,
    every: int = 20,
    memory: int = 50_000,
    scale: float = 1.0,
    double: bool = False,
    n: int = 8,
    size: int = 128,
) -> Curve:
    """Train action values; after each step of n games yield as `learn_ppo` does."""
    seed_everything(seed)
    g, rows = generator(seed), memory // n
    Q = small_net(game.features, game.actions, 128, nn.ReLU)
    old, env = deepcopy(Q), Episodes(game, n, g)
    adam, store = torch.optim.Adam(Q.parameters(), lr=lr), []  # type: ignore[var-annotated]
    for t in range(steps // n):
        with torch.no_grad():
            share = max(0.05, 1 - 2.4 * t * n / steps)
            x = env.see()
            a = epsilon_greedy(Q(x), share, g)
            new = (x, a, *env.step(a)[:3])
        store = store or [z.new_zeros(rows, *z.shape) for z in new]
        for kept, z in zip(store, new):
            kept[t % rows] = z  # the oldest goes
        i = torch.randint(min(t + 1, rows), (size,), generator=g)
        j = torch.randint(n, (size,), generator=g)
        x, a, reward, after, ended = (kept[i, j] for kept in store)
        goal = q_targets(Q, old, scale * reward, after, ended, gamma, double)
        loss = F.mse_loss(Q(x).gather(1, a[:, None])[:, 0], goal)
        adam.zero_grad()
        loss.backward()
        adam.step()
        if t % every == 0:
            old.load_state_dict(Q.state_dict())
        yield (t + 1) * n, Q, env.finished


def interquartile_mean(values: Tensor) -> Tensor:
    """Return the mean (...) of values (..., n) without the lowest and the highest quarter.

    A quarter of n is rounded down (as in SciPy's trim_mean).
    """
    check_finite(check_shape(values, [..., "n"], "values"), "values")
    n = check_count(values.shape[-1], "the number of values")
    return values.sort(-1).values[..., n // 4 : n - n // 4].mean(-1)


def bootstrap_interval(
    values: Tensor, g: torch.Generator, rounds: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Return the ends of a bootstrap interval for the interquartile mean of values (n,).

    For one task what Agarwal et al. (2021) call stratified: whole runs are drawn again.
    """
    check_shape(values, ["n"], "values")
    if not 0 < level < 1:
        raise ValueError(f"a level is in (0, 1), got {level}")
    n, rounds = len(values), check_count(rounds, "rounds")
    draws = torch.randint(check_count(n, "the number of values"), (rounds, n), generator=g)
    means = interquartile_mean(values.cpu()[draws])
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2])
    low, high = torch.quantile(means, ends.to(means)).tolist()
    return low, high
