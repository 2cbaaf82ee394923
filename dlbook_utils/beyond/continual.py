"""Learning one thing after another: scores of forgetting, Fisher information, a reservoir, LDA.

As built in the chapter on continual learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dlbook_utils.foundations.mlp import MLP
from dlbook_utils.page.guards import check_count, check_data, check_finite, check_ids, check_shape


def task_scores(A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return average accuracy, forgetting and backward transfer (S,) of accuracies A (S, T, T).

    A[:, s, t] is the accuracy on task t after learning task s. Raises ValueError for other shapes
    and for fewer than two tasks. Sources: Lopez-Paz and Ranzato (2017), arXiv:1706.08840 (average
    and transfer); Chaudhry et al. (2018), arXiv:1801.10112 (forgetting).
    """
    S, T, _ = check_shape(A, ["S", "T", "T"], "A").shape
    check_shape(A, [S, T, check_count(T, "the number of tasks", 2)], "A")
    last = A[..., -1, :]
    best = A[..., :-1, :].amax(-2)
    just_learned = A.diagonal(dim1=-2, dim2=-1)
    forgetting = (best - last)[..., : T - 1].mean(-1)
    transfer = (last - just_learned)[..., : T - 1].mean(-1)
    return last.mean(-1), forgetting, transfer


class ParallelMLP(nn.Module):
    """Perceptrons of one shape side by side, one for each seed; none sees another.

    Inputs (S, n, d) for S models, outputs (S, n, K). The models' weights are copied. Raises
    ValueError for no models and for models of different shapes.
    """

    def __init__(self, models: Sequence[MLP]):
        super().__init__()
        if len({tuple(p.shape for p in m.parameters()) for m in models}) != 1:
            raise ValueError(f"expected models of one shape, got {list(models)}")
        levels = list(zip(*(model.layers for model in models)))
        weights = [torch.stack([layer.weight.T for layer in level]) for level in levels]
        biases = [torch.stack([layer.bias[None] for layer in level]) for level in levels]
        self.W = nn.ParameterList([w.detach() for w in weights])
        self.b = nn.ParameterList([b.detach() for b in biases])
        self.activation = models[0].activation

    def trace(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return what goes into each layer and its scores, lists of (S, n, ...)."""
        S, d, _ = self.W[0].shape
        inputs, scores = [check_shape(x, [S, "n", d])], []
        for W, b in zip(self.W, self.b):
            scores.append(torch.baddbmm(b, inputs[-1], W))
            inputs.append(self.activation(scores[-1]))
        return inputs[:-1], scores

    def forward(self, x: Tensor) -> Tensor:
        return self.trace(x)[1][-1]


def fisher_diagonal(net: ParallelMLP, x: Tensor, allowed: Tensor) -> list[Tensor]:
    """Return the diagonal of the Fisher information, a tensor for each of net.parameters().

    The mean over the examples x (S, n, d), the expectation over the labels that the model itself
    gives them. `allowed`, bool (n, K) or (S, n, K), says which classes an example may have. Raises
    ValueError for other shapes, and for an example that may have no class.
    """
    inputs, scores = net.trace(x)
    check_shape(allowed, [..., *scores[-1].shape[1:]], "allowed")
    if allowed.dtype != torch.bool or not allowed.any(-1).all():
        raise ValueError(f"each example needs an allowed class (bool), got {allowed}")
    log_p = scores[-1].masked_fill(~allowed, -torch.inf).log_softmax(-1)
    squares = [torch.zeros_like(z) for z in scores]
    for k in range(log_p.shape[-1]):
        if not allowed[..., k].any():
            continue
        slopes = torch.autograd.grad(log_p[..., k].sum(), scores, retain_graph=True)
        p = log_p[..., k, None].detach().exp()  # (S, n, 1)
        for square, slope in zip(squares, slopes):
            square += p * slope**2
    n = x.shape[1]
    weights = [(h**2).mT @ square / n for h, square in zip(inputs, squares)]
    return [w.detach() for w in weights] + [s.mean(1, keepdim=True) for s in squares]


def offer_reservoir(memory: list, item: Any, place: int, size: int) -> None:
    """Offer an item to a memory of `size` places; `place` is drawn from 0 to the items before it.

    Changes the memory. After n items each of them is in it with probability size / n. Raises
    ValueError unless size is 1 or more and place 0 or more. Source: Vitter (1985), algorithm R,
    doi:10.1145/3147.3165.
    """
    place = check_count(place, "place", 0)
    if len(memory) < check_count(size, "size"):
        memory.append(item)
    elif place < size:
        memory[place] = item


class StreamingLDA:
    """Linear discriminant analysis from sums, which do not depend on the order of the examples.

    `observe(x, y)` takes x (n, d) and classes y int64 (n,) below K; `scores(x)` returns (n, K),
    minus infinity for classes not yet seen. `shrink` is added to the variances. Sums are kept in
    float64 on the CPU. Source: Hayes and Kanan (2020), arXiv:1909.01520.
    """

    def __init__(self, d: int, K: int, shrink: float = 1e-2):
        d, K = check_count(d, "d"), check_count(K, "K")
        if not 0 < shrink < torch.inf:
            raise ValueError(f"shrink must be above 0, got {shrink}")
        self.count = torch.zeros(K).double()
        self.total = torch.zeros(K, d).double()
        self.outer = torch.zeros(d, d).double()
        self.shrink = shrink

    def observe(self, x: Tensor, y: Tensor) -> None:
        """Add examples x (n, d) of classes y (n,) to the sums."""
        check_finite(check_shape(x, ["n", len(self.outer)]))
        check_data(x, y)
        check_ids(check_shape(y, [len(x)], "y"), len(self.count), "y")
        x, y = x.cpu().double(), y.cpu()
        self.count += torch.bincount(y, minlength=len(self.count))
        self.total.index_add_(0, y, x)
        self.outer += x.T @ x

    def scores(self, x: Tensor) -> Tensor:
        """Return log-probabilities (n, K) up to a number for each example."""
        x = check_shape(x, ["n", len(self.outer)]).cpu().double()
        n = self.count.sum()
        if n == 0:
            raise ValueError("no example was observed before scores")
        mu = self.total / self.count.clamp(min=1)[:, None]  # (K, d)
        C = (self.outer - (mu.T * self.count) @ mu) / n
        C += self.shrink * torch.eye(len(C)).double()
        W = torch.linalg.solve(C, mu.T)  # (d, K)
        return x @ W - (mu.T * W).sum(0) / 2 + (self.count / n).log()
