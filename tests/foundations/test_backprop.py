"""The engine of the chapter on backpropagation agrees with PyTorch in every operation."""

import numpy as np
import pytest
import torch

from dlbook_utils.foundations.backprop import (
    Node,
    as_node,
    cross_entropy_node,
    gradient_error,
    numeric_gradient,
    topological_order,
    unbroadcast,
)

SHAPES = [
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((3, 4), (1, 4)),
    ((3, 1), (1, 4)),
    ((3, 4), ()),
    ((), (2, 3)),
    ((2, 1, 4), (3, 1)),
    ((1, 1), (5, 1, 1)),
    ((1,), ()),
]
BINARY = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / (b * b + 1),
    "reuse": lambda a, b: (a * b + a) * b - b,
}
UNARY = {
    "tanh": lambda a: a.tanh(),
    "relu": lambda a: a.relu(),
    "exp": lambda a: a.exp(),
    "log": lambda a: (a * a + 1).log(),
    "power": lambda a: (a * a + 1) ** 1.5,
    "inverse": lambda a: 1 / (a * a + 1),
    "negative": lambda a: 2 - (-a),
    "sum": lambda a: a.sum(),
    "sum 0": lambda a: a.sum(0),
    "sum -1 kept": lambda a: a.sum(-1, True),
    "mean": lambda a: a.mean(),
    "mean 1": lambda a: a.mean(1),
    "mean 0 kept": lambda a: a.mean(0, True),
    "logsumexp 0": lambda a: a.logsumexp(0),
    "logsumexp 1": lambda a: a.logsumexp(1),
    "logsumexp of large": lambda a: (a * 1000).logsumexp(1),
    "transpose": lambda a: a.T,
    "reshape": lambda a: a.reshape(-1, 2),
    "row": lambda a: a[1],
    "entry twice": lambda a: a[[0, 0, 2], [1, 1, 3]],
    "slice": lambda a: a[:, 1:3],
    "matmul with itself": lambda a: a @ a.T,
}


def draw(shape, seed):
    return np.random.default_rng(seed).normal(size=shape)


def agree(f, *arrays):
    """Assert that f has the same value and gradients in both engines, and that they are not 0."""
    ours, theirs = [Node(a) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]
    y, t = f(*ours), f(*theirs)
    np.testing.assert_allclose(y.data, t.detach().numpy(), rtol=1e-12, atol=1e-12)
    weights = draw(y.shape, 99)
    (y * weights).sum().backward()
    (t * torch.tensor(weights)).sum().backward()
    for a, b in zip(ours, theirs):
        assert np.shape(a.grad) == a.shape == tuple(b.grad.shape)
        assert np.abs(b.grad.numpy()).max() > 0
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_binary_operations_with_broadcasting(name, shapes):
    agree(BINARY[name], *(draw(shape, seed) for seed, shape in enumerate(shapes)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", UNARY)
def test_unary_operations(name, seed):
    agree(UNARY[name], draw((3, 4), seed))


@pytest.mark.parametrize("seed", range(5))
def test_matrix_product_of_random_shapes(seed):
    m, k, n = np.random.default_rng(seed).integers(1, 6, size=3)
    agree(lambda a, b: a @ b, draw((m, k), seed), draw((k, n), seed + 10))


def test_matrix_product_with_an_array_on_the_left():
    x, w = draw((5, 3), 0), Node(draw((3, 2), 1))
    y = x @ w
    np.testing.assert_array_equal(y.data, x @ w.data)
    y.sum().backward()
    np.testing.assert_allclose(w.grad, x.T @ np.ones((5, 2)))


def test_constants_on_either_side_are_constants():
    a, c = Node(draw((2, 3), 0)), draw((2, 3), 1)
    for y in (c + a, a + c, c * a, a * c, c - a, a - c, a / c, c / (a * a + 1)):
        assert isinstance(y, Node)
        assert all(parent.needs_grad for parent, _ in y.edges)
    assert not as_node(c).needs_grad
    assert [parent for parent, _ in (a + c).edges] == [a]
    data = Node(c, needs_grad=False)
    (data * a).sum().backward()
    assert data.grad == 0.0
    np.testing.assert_allclose(a.grad, c)
    assert not (data * data).needs_grad


def test_matrix_product_with_constant_inputs_computes_one_gradient():
    x, w = Node(draw((5, 3), 0), needs_grad=False), Node(draw((3, 2), 1))
    assert [parent for parent, _ in (x @ w).edges] == [w]


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs_with_reuse(seed):
    def f(*leaves):
        rng, pool = np.random.default_rng(seed), list(leaves)
        full = leaves[0] * 1
        for _ in range(15):
            a, b = (pool[i] for i in rng.integers(len(pool), size=2))
            step = [
                lambda a, b: a + b,
                lambda a, b: a * b,
                lambda a, b: (a * b).tanh(),
                lambda a, b: (a + full) @ (b * full) * 0.1,
                lambda a, b: a.relu() - b,
            ]
            pool.append(step[rng.integers(5)](a, b).tanh())
        total = pool[0].sum()
        for node in pool[1:]:
            total = total + node.sum()
        return total

    agree(f, draw((3, 3), seed), draw((1, 3), seed + 100), draw((3, 1), seed + 200))


def test_reuse_adds_up():
    x = Node(3.0)
    y = x * x + x
    (y + y).backward()
    assert float(x.grad) == 14.0


def test_backward_twice_adds_up_in_leaves_as_in_torch():
    x = Node(3.0)
    y = (x * x).exp() * 0.001
    y.backward()
    once = float(x.grad)
    y.backward()
    assert float(x.grad) == pytest.approx(2 * once, rel=1e-14)


def test_gradients_do_not_share_memory():
    a, b = Node(draw(3, 0)), Node(draw(3, 1))
    (a + b).sum().backward()
    a.grad += 1
    np.testing.assert_array_equal(b.grad, np.ones(3))


def test_deep_chain_does_not_meet_the_recursion_limit():
    x = Node(1.0)
    y = x
    for _ in range(50_000):
        y = y + 1e-6 * x
    y.backward()
    assert float(x.grad) == pytest.approx(1 + 50_000e-6)


def test_every_node_comes_after_its_parents():
    x = Node(2.0)
    u = x * 3
    y = (u + x) * (u * x)
    order = topological_order(y)
    place = {id(node): i for i, node in enumerate(order)}
    assert len(place) == len(order)
    assert order[-1] is y
    assert all(place[id(p)] < place[id(node)] for node in order for p, _ in node.edges)


def test_diamonds_are_visited_once():
    y = Node(1.0)
    for _ in range(60):  # 2**60 paths
        y = y + y
    assert len(topological_order(y)) == 61
    y.backward()


@pytest.mark.parametrize(("shape", "repeated"), [((1, 3), (4, 3)), ((), (2, 2)), ((3,), (5, 1, 3))])
def test_unbroadcast_is_the_transpose_of_broadcasting(shape, repeated):
    x, g = draw(shape, 0), draw(repeated, 1)
    back = unbroadcast(g, shape)
    assert back.shape == shape
    assert (np.broadcast_to(x, repeated) * g).sum() == pytest.approx((x * back).sum())


def test_cross_entropy():
    scores, y = draw((6, 4), 0) * 5, np.array([0, 3, 1, 1, 2, 0])
    ours, theirs = Node(scores), torch.tensor(scores, requires_grad=True)
    loss = cross_entropy_node(ours, y)
    reference = torch.nn.functional.cross_entropy(theirs, torch.tensor(y))
    loss.backward()
    reference.backward()
    assert float(loss.data) == pytest.approx(reference.item(), rel=1e-12)
    np.testing.assert_allclose(ours.grad, theirs.grad.numpy(), atol=1e-14)


@pytest.mark.parametrize("y", [np.array([0, 3]), np.array([-1, 0]), np.array([0, 1, 1])])
def test_cross_entropy_refuses_wrong_labels(y):
    with pytest.raises(ValueError, match=r"expected 2 labels in 0\.\.2"):
        cross_entropy_node(Node(np.zeros((2, 3))), y)


def test_backward_needs_one_number():
    with pytest.raises(ValueError, match=r"one number, not \(2, 3\)"):
        Node(np.zeros((2, 3))).backward()


@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((3,), (3, 2)), ((2, 3), (3,))], ids=str)
def test_matrix_product_names_the_shapes(shapes):
    a, b = (np.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"is not \(m, k\) @ \(k, n\)"):
        as_node(a) @ as_node(b)


def test_numeric_gradient_finds_the_gradient_and_leaves_x_alone():
    x = draw((2, 3), 0)
    before = x.copy()
    slope = numeric_gradient(lambda x: float(np.sin(x).sum()), x)
    np.testing.assert_array_equal(x, before)
    assert gradient_error(slope, np.cos(x)) < 1e-9
    assert gradient_error(slope, 1.01 * np.cos(x)) > 1e-3


def test_numeric_gradient_leaves_x_alone_even_when_the_function_fails():
    x = np.ones(2)
    with pytest.raises(ZeroDivisionError):
        numeric_gradient(lambda x: 1 / 0, x)
    np.testing.assert_array_equal(x, 1)


@pytest.mark.parametrize("x", [np.array([1, 2]), [1.0, 2.0]])
def test_numeric_gradient_needs_floats(x):
    with pytest.raises(TypeError, match="NumPy array of float32 or float64"):
        numeric_gradient(lambda x: 0.0, x)


def test_gradient_error():
    assert gradient_error(np.zeros(2), np.zeros(2)) == 0.0
    assert gradient_error(np.array([1.0, 4.0]), np.array([2.0, 4.0])) == 0.25
    for wrong in (np.nan, np.inf):  # must not pass for "no error"
        assert gradient_error(np.array([wrong, 1.0]), np.ones(2)) == np.inf
        assert gradient_error(np.ones(2), np.array([wrong, 1.0])) == np.inf
    with pytest.raises(ValueError, match="differ"):
        gradient_error(np.zeros(2), np.zeros(3))
