"""Reverse-mode differentiation of NumPy arrays, as built in the chapter on backpropagation.

Every operation makes a :class:`Node`: a value, and an edge to each array that it came from. An edge
is a pair (parent, pull): ``pull`` carries the gradient at the node back to the parent (it is the
vector-Jacobian product). ``Node.backward`` walks the edges once, in reverse topological order.

Method names and arguments follow PyTorch's, so that one expression runs on either.
Source of the method: S. Linnainmaa (1976), doi:10.1007/BF01931367.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def topological_order(root: Any) -> list[Any]:
    """Return every node with a gradient that `root` depends on, itself last, after all parents.

    Iterative, so that a chain of a million nodes does not meet Python's recursion limit.
    """
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        node, parents_done = stack.pop()
        if parents_done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent, _ in node.edges)
    return order


def unbroadcast(g: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Sum a gradient over the axes along which an array of this shape was repeated."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1)
    return g.sum(axis=stretched, keepdims=True)


def as_node(x: Any) -> Node:
    """Return x if it is a Node, else a constant: a Node that asks for no gradient."""
    return x if isinstance(x, Node) else Node(x, needs_grad=False)


def add_nodes(a: Node, b: Any) -> Node:
    """Return a + b, broadcast as in NumPy."""
    b = as_node(b)
    return Node(a.data + b.data, [(a, lambda g: g), (b, lambda g: g)])


def multiply_nodes(a: Node, b: Any) -> Node:
    """Return the elementwise product a * b, broadcast as in NumPy."""
    b = as_node(b)
    edges = [(a, lambda g: g * b.data), (b, lambda g: g * a.data)]
    return Node(a.data * b.data, edges)


def matmul_nodes(a: Any, b: Any) -> Node:
    """Return the product of two matrices (m, k) and (k, n); ValueError if they do not fit."""
    a, b = as_node(a), as_node(b)
    if a.data.ndim != 2 or b.data.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"{a.shape} @ {b.shape} is not (m, k) @ (k, n)")
    edges = [(a, lambda g: g @ b.data.T), (b, lambda g: a.data.T @ g)]
    return Node(a.data @ b.data, edges)


def power_node(a: Node, k: float) -> Node:
    """Return a to the power of a constant k, elementwise."""

    def pull(g):  # the slope of the constant a**0 is 0, at 0, too
        return g * k * a.data ** (k - 1) if k else 0 * g

    return Node(a.data**k, [(a, pull)])


def tanh_node(a: Node) -> Node:
    """Return tanh(a), elementwise."""
    t = np.tanh(a.data)
    return Node(t, [(a, lambda g: g * (1 - t**2))])


def relu_node(a: Node) -> Node:
    """Return max(a, 0), elementwise; its slope at 0 is taken as 0, as in PyTorch."""
    return Node(np.maximum(a.data, 0), [(a, lambda g: g * (a.data > 0))])


def exp_node(a: Node) -> Node:
    """Return exp(a), elementwise."""
    e = np.exp(a.data)
    return Node(e, [(a, lambda g: g * e)])


def log_node(a: Node) -> Node:
    """Return the natural logarithm of a, elementwise."""
    return Node(np.log(a.data), [(a, lambda g: g / a.data)])


def sum_node(a: Node, dim: int | None = None, keepdim: bool = False) -> Node:
    """Return the sum over one axis, or over all."""

    def pull(g):
        shrunk = dim is not None and not keepdim
        return np.ones_like(a.data) * (np.expand_dims(g, dim) if shrunk else g)

    return Node(a.data.sum(axis=dim, keepdims=keepdim), [(a, pull)])


def mean_node(a: Node, dim: int | None = None, keepdim: bool = False) -> Node:
    """Return the mean over one axis, or over all."""
    total = sum_node(a, dim, keepdim)
    return total * (total.data.size / a.data.size)


def logsumexp_node(a: Node, dim: int) -> Node:
    """Return log sum exp(a) over one axis, safe for large a; its derivative is the softmax."""
    top = a.data.max(axis=dim, keepdims=True)
    e = np.exp(a.data - top)
    total = e.sum(axis=dim, keepdims=True)
    value = (np.log(total) + top).squeeze(dim)
    return Node(value, [(a, lambda g: np.expand_dims(g, dim) * e / total)])


def reshape_node(a: Node, *shape: int) -> Node:
    """Return a with the same entries in another shape."""
    return Node(a.data.reshape(*shape), [(a, lambda g: g.reshape(a.shape))])


def transpose_node(a: Node) -> Node:
    """Return the transpose of a."""
    return Node(a.data.T, [(a, lambda g: g.T)])


def take_node(a: Node, index: Any) -> Node:
    """Return a[index]; an entry that was taken twice gets both gradients."""

    def pull(g):
        back = np.zeros_like(a.data)
        np.add.at(back, index, g)
        return back

    return Node(a.data[index], [(a, pull)])


class Operators:
    """Operators that are made of other operators, and need no way back of their own."""

    __add__: Callable[..., Node]
    __mul__: Callable[..., Node]
    __pow__: Callable[..., Node]

    def __neg__(self) -> Node:
        return self * -1

    def __sub__(self, other: Any) -> Node:
        return self + as_node(other) * -1

    def __rsub__(self, other: Any) -> Node:
        return self * -1 + other

    def __truediv__(self, other: Any) -> Node:
        return self * as_node(other) ** -1.0

    def __rtruediv__(self, other: Any) -> Node:
        return self**-1.0 * other

    def __rmatmul__(self, other: Any) -> Node:
        return as_node(other) @ self


class Node(Operators):
    """An array (float64) that remembers its edges: pairs of parent and pull-back.

    Arguments:
        data: anything that NumPy makes an array of.
        edges: pairs (parent, pull); `pull` maps the gradient of the result with respect to this
            node, of this node's shape, to the one with respect to the parent. Empty for a leaf.
        needs_grad: whether a leaf asks for a gradient. Data do not: their edges are dropped.

    `grad` has the shape of `data` after `backward`, and is 0.0 before, or if nothing reached it.
    """

    def __init__(self, data: Any, edges: Sequence[tuple] = (), needs_grad: bool = True):
        self.data = np.asanyarray(data, dtype=np.float64)
        self.edges = [edge for edge in edges if edge[0].needs_grad]
        self.needs_grad = bool(self.edges) if edges else needs_grad
        self.grad: np.ndarray | float = 0.0

    def backward(self) -> None:
        """Add the derivative of this number with respect to every leaf to the leaf's `grad`.

        Raises ValueError unless the node holds exactly one number.
        """
        if self.data.size != 1:
            raise ValueError(f"backward needs one number, not {self.shape}")
        nodes = topological_order(self)
        for node in nodes:
            if node.edges:  # leaves keep theirs, so that calls add up as in PyTorch
                node.grad = 0.0
        self.grad = self.grad + np.ones_like(self.data)
        for node in reversed(nodes):
            for parent, pull in node.edges:
                parent.grad += unbroadcast(pull(node.grad), parent.shape)

    shape, T = property(lambda a: a.data.shape), property(transpose_node)
    __add__ = __radd__ = add_nodes
    __mul__ = __rmul__ = multiply_nodes
    __matmul__, __pow__, __getitem__ = matmul_nodes, power_node, take_node
    tanh, relu, exp, log = tanh_node, relu_node, exp_node, log_node
    sum, mean, logsumexp = sum_node, mean_node, logsumexp_node
    reshape = reshape_node
    __array_ufunc__ = None  # array * node is ours to answer, not NumPy's


def cross_entropy_node(scores: Node, y: np.ndarray) -> Node:
    """Return the mean cross-entropy of class scores (n, K) for labels (n,) in 0..K-1."""
    n, k = scores.shape
    if y.shape != (n,) or y.min() < 0 or y.max() >= k:
        raise ValueError(f"expected {n} labels in 0..{k - 1}, got {y}")
    return (scores.logsumexp(1) - scores[np.arange(n), y]).mean()


def numeric_gradient(
    f: Callable[[np.ndarray], float], x: np.ndarray, h: float = 1e-5
) -> np.ndarray:
    """Return the gradient of f at x by central differences, two evaluations for each entry.

    The error is about h² f'''/6 + ε |f| / h with ε the precision of x's dtype, so that for
    float64 the step should be near 1e-5. Not to be trusted within h of a kink.
    Raises TypeError unless x is an array of floating-point numbers.
    """
    if getattr(x, "dtype", None) not in (np.float32, np.float64):
        raise TypeError(f"x must be a NumPy array of float32 or float64, not {x!r}")
    x, gradient = x.copy(), np.zeros_like(x)
    for i in np.ndindex(x.shape):
        here = x[i]
        x[i] = here + h
        above = f(x)
        x[i] = here - h
        gradient[i] = (above - f(x)) / (2 * h)
        x[i] = here
    return gradient


def gradient_error(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest difference of two arrays relative to their largest entry.

    It is 0 if both are 0 everywhere, and infinite if an entry is NaN or infinite.
    Raises ValueError if the shapes differ.
    """
    if np.shape(a) != np.shape(b):
        raise ValueError(f"shapes {np.shape(a)} and {np.shape(b)} differ")
    largest = np.maximum(np.abs(a).max(), np.abs(b).max())
    if not np.isfinite(largest):
        return np.inf
    return float(np.abs(a - b).max() / largest) if largest > 0 else 0.0
