"""Sums of digits: against enumeration and PyTorch, forward and backward, and what is refused."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F

from dlbook_utils.beyond.neuro_symbolic import log_sums, log_total
from dlbook_utils.page.devices import generator


def draw(*shape, seed=0):
    scores = torch.randn(*shape, dtype=torch.float64, generator=generator(seed))
    return scores.requires_grad_()


def slopes(value, *scores):
    weights = torch.randn(value.shape, dtype=value.dtype, generator=generator(9))
    return torch.autograd.grad((value * weights).sum(), scores)


@pytest.mark.parametrize("K", [1, 2, 10])
def test_sums_are_a_convolution_forward_and_backward(K):
    u, v = draw(4, K), draw(4, K, seed=1)
    ours = log_sums(u.log_softmax(1), v.log_softmax(1))
    p, q = u.softmax(1), v.softmax(1)
    theirs = F.conv1d(p[None], q.flip(1)[:, None], padding=K - 1, groups=4)[0].log()
    assert ours.shape == (4, 2 * K - 1)
    assert torch.allclose(ours, theirs)
    assert torch.allclose(ours.exp().sum(1), torch.ones(4).double())
    for a, b in zip(slopes(ours, u, v), slopes(theirs, u, v)):
        assert torch.allclose(a, b)


@pytest.mark.parametrize(
    "wrong", [torch.full((2, 10), 0.1).double(), torch.zeros(2, 10).double() / 0]
)
def test_what_is_no_log_probability_is_refused(wrong):
    log_p = draw(2, 10).log_softmax(1)
    for pair in ((wrong, log_p), (log_p, wrong)):
        with pytest.raises(ValueError, match=r"the sums of exp\(log_[pq]\) must lie in"):
            log_sums(*pair)


def test_numbers_without_digits_are_refused():
    none = torch.zeros(2, 0, 10)
    with pytest.raises(ValueError, match="T must be 1 or more, got 0"):
        log_total(none, none, torch.zeros(2, 1, dtype=torch.int64))


def test_sums_take_any_axes_before():
    log_p, log_q = draw(2, 3, 10).log_softmax(2), draw(2, 3, 10, seed=1).log_softmax(2)
    assert torch.equal(log_sums(log_p, log_q)[1, 2], log_sums(log_p[1, 2], log_q[1, 2]))


def enumerated(p, q, total):
    """The probability of a total by all pairs of numbers; p, q (T, K)."""
    T, K = p.shape
    wanted = sum(int(s) * K**t for t, s in enumerate(total))
    value = 0
    for a, b in product(product(range(K), repeat=T), repeat=2):
        if sum((i + j) * K**t for t, (i, j) in enumerate(zip(a, b))) == wanted:
            value = value + p[range(T), a].prod() * q[range(T), b].prod()
    return value


@pytest.mark.parametrize("total", [[0, 0, 0], [9, 9, 1], [8, 9, 1], [5, 0, 0], [0, 0, 1]])
def test_a_total_is_what_enumeration_says(total):
    u, v = draw(2, 10), draw(2, 10, seed=1)
    ours = log_total(u.log_softmax(1)[None], v.log_softmax(1)[None], torch.tensor([total]))[0]
    theirs = enumerated(u.softmax(1), v.softmax(1), total)
    if theirs == 0:  # 199 is no sum of two numbers of two digits
        assert ours < -1e20
        return
    assert torch.allclose(ours, theirs.log())
    for a, b in zip(torch.autograd.grad(ours, (u, v)), torch.autograd.grad(theirs.log(), (u, v))):
        assert torch.allclose(a, b)


def test_all_totals_together_are_certain():
    log_p, log_q = (draw(1, 3, 4, seed=s).log_softmax(2) for s in (0, 1))
    totals = torch.tensor([(*d, top) for d in product(range(4), repeat=3) for top in (0, 1)])
    ours = log_total(log_p.expand(128, -1, -1), log_q.expand(128, -1, -1), totals)
    assert ours.exp().sum().item() == pytest.approx(1)


def test_a_hundred_digits_do_not_underflow():
    log_p = torch.full((1, 100, 10), 0.1).log().requires_grad_()
    log_total(log_p, log_p, torch.full((1, 101), 1)).sum().backward()
    assert log_p.grad.isfinite().all()


@pytest.mark.parametrize(
    ("total", "error", "words"),
    [
        (torch.tensor([[1, 2, 2]]), ValueError, "0 or 1 at last"),
        (torch.tensor([[10, 2, 1]]), ValueError, r"0\.\.9"),
        (torch.tensor([[1.0, 2, 1]]), TypeError, "int64"),
        (torch.tensor([[1, 2]]), ValueError, r"\(1, 3\)"),
    ],
)
def test_a_total_that_none_can_be_is_refused(total, error, words):
    log_p = draw(1, 2, 10).log_softmax(2)
    with pytest.raises(error, match=words):
        log_total(log_p, log_p, total)


def test_unequal_digits_are_refused():
    with pytest.raises(ValueError, match=r"log_q must have shape \(4, 10\), got \(4, 9\)"):
        log_sums(draw(4, 10), draw(4, 9))
