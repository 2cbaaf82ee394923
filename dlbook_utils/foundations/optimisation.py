"""Update rules and schedules of the learning rate, as built in the chapter on optimisation.

A rule changes a parameter p in place, given its gradient g (same shape), a `state` of its own
that it alone reads and writes (a dict in which what is missing counts as 0.0), and a learning
rate. A rule with other settings is `functools.partial(heavy_ball, momentum=0.99)`. All rules but
`muon` work entry by entry, so that lr may also be a tensor that broadcasts against p.

A schedule maps the step t = 0, 1, ... to a factor, by which the largest rate is multiplied.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from math import cos, pi, sqrt

import torch
from torch import Tensor

from dlbook_utils.page.guards import check_count, check_inputs

State = defaultdict[str, float | Tensor]
Rate = float | Tensor


class Descent:
    """Apply an update rule to every parameter: what `fit` takes as its optimizer.

    Arguments:
        parameters: tensors that require gradients, such as model.parameters().
        rule: called as rule(p, g, state, lr) for each parameter that has a gradient.
        lr: the learning rate, or a function of the step t = 0, 1, ... that returns it.

    Raises ValueError if there is no parameter (a generator that has been used up has none left).
    """

    def __init__(self, parameters: Iterable[Tensor], rule: Callable, lr: Rate | Callable):
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("expected at least one parameter, got none")
        self.rule, self.lr, self.t = rule, lr, 0
        self.states: list[State] = [defaultdict(float) for _ in self.parameters]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Take one step against the gradients that `backward` has left."""
        lr = self.lr(self.t) if callable(self.lr) else self.lr
        for p, state in zip(self.parameters, self.states, strict=True):
            if p.grad is not None:
                self.rule(p, p.grad, state, lr)
        self.t += 1


def sgd(p: Tensor, g: Tensor, state: State, lr: Rate) -> None:
    """Step against the gradient. Source: H. Robbins, S. Monro (1951)."""
    p -= lr * g


def heavy_ball(p: Tensor, g: Tensor, state: State, lr: Rate, momentum: float = 0.9) -> None:
    """Add the gradient to a velocity that decays, and step against it.

    As torch.optim.SGD with dampening 0: the rate multiplies the velocity, not the gradient that
    enters it. Source: B. T. Polyak (1964), doi:10.1016/0041-5553(64)90137-5.
    """
    v = state["v"] = momentum * state["v"] + g
    p -= lr * v


def nesterov(p: Tensor, g: Tensor, state: State, lr: Rate, momentum: float = 0.9) -> None:
    """Step as `heavy_ball` will have to step next if the gradient stays as it is.

    As torch.optim.SGD with nesterov=True: p is the point at which Nesterov's method looks ahead.
    Source: Y. Nesterov (1983); this form: I. Sutskever, J. Martens,
    G. Dahl, G. Hinton (2013), https://proceedings.mlr.press/v28/sutskever13.html.
    """
    v = state["v"] = momentum * state["v"] + g
    p -= lr * (g + momentum * v)


def adagrad(p: Tensor, g: Tensor, state: State, lr: Rate, eps: float = 1e-10) -> None:
    """Divide by the root of the sum of all squared gradients so far.

    As torch.optim.Adagrad, eps stands outside the root.
    Source: J. Duchi, E. Hazan, Y. Singer (2011), JMLR 12.
    """
    s = state["s"] = state["s"] + g**2
    p -= lr * g / (s.sqrt() + eps)


def rmsprop(
    p: Tensor, g: Tensor, state: State, lr: Rate, beta: float = 0.99, eps: float = 1e-8
) -> None:
    """Divide by the root of a running average of squared gradients.

    As torch.optim.RMSprop: beta is 0.99 where the lecture has 0.9, eps is outside the root, and
    the average, which starts at 0, is not corrected. Source: T. Tieleman, G. Hinton (2012).
    """
    s = state["s"] = beta * state["s"] + (1 - beta) * g**2
    p -= lr * g / (s.sqrt() + eps)


def adam(
    p: Tensor,
    g: Tensor,
    state: State,
    lr: Rate,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> None:
    """Divide an average gradient by the root of an average squared gradient, both corrected.

    Source: D. P. Kingma, J. Ba (2014), arXiv:1412.6980.
    """
    state["t"] += 1
    m = state["m"] = beta1 * state["m"] + (1 - beta1) * g
    s = state["s"] = beta2 * state["s"] + (1 - beta2) * g**2
    m_hat = m / (1 - beta1 ** state["t"])
    s_hat = s / (1 - beta2 ** state["t"])
    p -= lr * m_hat / (s_hat.sqrt() + eps)


def adamw(
    p: Tensor,
    g: Tensor,
    state: State,
    lr: Rate,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    decay: float = 0.01,
) -> None:
    """Shrink the parameter by the factor 1 - lr decay, then step as `adam`.

    Source: I. Loshchilov, F. Hutter (2017), arXiv:1711.05101; as in torch.optim.AdamW the decay
    is multiplied by the learning rate, in the paper only by the schedule.
    """
    p -= lr * decay * p
    adam(p, g, state, lr, beta1, beta2, eps)


def lion(
    p: Tensor,
    g: Tensor,
    state: State,
    lr: Rate,
    beta1: float = 0.9,
    beta2: float = 0.99,
    decay: float = 0.0,
) -> None:
    """Move every entry by the same amount, in the direction of a short average gradient.

    Source: X. Chen et al. (2023), arXiv:2302.06675.
    """
    direction = torch.sign(beta1 * state["m"] + (1 - beta1) * g)
    state["m"] = beta2 * state["m"] + (1 - beta2) * g
    p -= lr * (direction + decay * p)


def newton_schulz(G: Tensor, steps: int = 5, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Return a matrix with the singular vectors of G (m, n) and singular values near 1.

    Near means between about 0.7 and 1.2, for singular values that are not tiny beside the largest.
    Computed in `dtype`, returned in that of G. Source: K. Jordan et al. (2024), "Muon".
    """
    check_inputs(G, where="a gradient")
    X = G.to(dtype) if len(G) <= len(G.T) else G.T.to(dtype)
    X = X / X.norm().clamp(min=1e-7)
    for _ in range(check_count(steps, "steps", 0)):
        A = X @ X.T
        B = torch.addmm(A, A, A, beta=-4.7750, alpha=2.0315)
        X = torch.addmm(X, B, X, beta=3.4445)
    return (X if len(G) <= len(G.T) else X.T).to(G.dtype)


def muon(
    p: Tensor, g: Tensor, state: State, lr: Rate, momentum: float = 0.95, decay: float = 0.0
) -> None:
    """Step by the orthogonalised momentum of a weight matrix p (m, n).

    As torch.optim.Muon with its Nesterov form and the "original" adjustment of the rate, a factor
    sqrt(max(1, m / n)); its default decay is 0.1. Raises ValueError unless p is a matrix.
    Source: K. Jordan et al. (2024), https://kellerjordan.github.io/posts/muon/.
    """
    if p.ndim != 2:
        raise ValueError(f"muon is for matrices, not for shape {tuple(p.shape)}")
    v = state["v"] = momentum * state["v"] + (1 - momentum) * g
    direction = newton_schulz(momentum * v + (1 - momentum) * g)
    scale = sqrt(max(1, len(p) / len(p.T)))
    p -= lr * decay * p
    p -= lr * scale * direction


def step_decay(t: int, every: int, factor: float = 0.1) -> float:
    """Multiply by `factor` after `every` steps, and again (torch: StepLR)."""
    return factor ** (t // every)


def cosine(t: float, total: float, least: float = 0.0) -> float:
    """Fall from 1 to `least` in half a wave of `total` steps (torch: CosineAnnealingLR).

    Source: I. Loshchilov, F. Hutter (2016), arXiv:1608.03983.
    """
    return least + (1 - least) * (1 + cos(pi * t / total)) / 2


def warm_up(t: int, steps: float, start: float = 0.0) -> float:
    """Rise in a straight line from `start` to 1 in `steps` steps, and stay (torch: LinearLR)."""
    return start + (1 - start) * min(t / steps, 1)


def triangular(t: int, half: int, least: float = 0.1) -> float:
    """Rise from `least` to 1 in `half` steps, fall back in as many, repeat (torch: CyclicLR).

    Source: L. N. Smith (2015), arXiv:1506.01186.
    """
    return least + (1 - least) * (1 - abs(t / half % 2 - 1))


def one_cycle(
    t: int, total: int, rise: float = 0.3, first: float = 1 / 25, last: float = 1e-4 / 25
) -> float:
    """Rise from `first` to 1 and fall to `last`, each as half a wave (torch: OneCycleLR).

    The top is reached after the fraction `rise` of `total` steps.
    Source: L. N. Smith, N. Topin (2017), arXiv:1708.07120; this form is PyTorch's.
    """
    top = rise * total - 1
    if t <= top:
        return 1 + first - cosine(t, top, first)
    return cosine(t - top, total - 1 - top, last)
