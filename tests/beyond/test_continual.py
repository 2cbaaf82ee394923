"""Continual learning: against PyTorch and scikit-learn, by enumeration, and what is refused."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from dlbook_utils.beyond.continual import (
    ParallelMLP,
    StreamingLDA,
    fisher_diagonal,
    offer_reservoir,
    task_scores,
)
from dlbook_utils.foundations.mlp import MLP
from dlbook_utils.page.devices import generator, seed_everything


def models(*sizes, n=3):
    seed_everything(0)
    return [MLP(sizes).double() for _ in range(n)]


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def test_scores_of_a_stream_by_hand():
    A = torch.tensor([[0.9, 0.5, 0.5], [0.7, 0.8, 0.6], [0.8, 0.6, 0.9]])
    average, forgetting, transfer = task_scores(A[None])
    assert average.item() == pytest.approx(2.3 / 3)
    assert forgetting.item() == pytest.approx(0.15)
    assert transfer.item() == pytest.approx(-0.15)
    assert task_scores(A.expand(4, 3, 3))[0].shape == (4,)


def test_a_task_that_was_better_before_it_was_learned_counts_in_forgetting():
    A = torch.tensor([[0.9, 0.8, 0.0], [0.9, 0.7, 0.0], [0.9, 0.7, 0.6]])
    assert task_scores(A[None])[1].item() == pytest.approx(0.05)
    assert task_scores(A[None])[2].item() == pytest.approx(0.0)


def test_models_side_by_side_answer_and_learn_as_alone():
    alone, x = models(6, 5, 4, 3), draw(3, 7, 6)
    side = ParallelMLP(alone)
    assert torch.allclose(side(x), torch.stack([m(part) for m, part in zip(alone, x)]))
    side(x).square().sum().backward()
    for s, model in enumerate(alone):
        model(x[s]).square().sum().backward()
        for W, b, layer in zip(side.W, side.b, model.layers):
            assert torch.allclose(W.grad[s].T, layer.weight.grad)
            assert torch.allclose(b.grad[s, 0], layer.bias.grad)


def test_models_side_by_side_are_copies():
    alone = models(2, 3)
    side = ParallelMLP(alone)
    with torch.no_grad():
        alone[0].layers[0].weight.zero_()
    assert side.W[0][0].abs().min() > 0


def by_examples(model, x, allowed):
    """The diagonal with a gradient for each example and class."""
    total = [torch.zeros_like(p) for p in model.parameters()]
    for example, ok in zip(x, allowed):
        log_p = model(example[None])[0].masked_fill(~ok, -torch.inf).log_softmax(0)
        for k in ok.nonzero()[:, 0]:
            slopes = torch.autograd.grad(log_p[k], list(model.parameters()), retain_graph=True)
            for square, slope in zip(total, slopes):
                square += log_p[k].exp().detach() * slope**2 / len(x)
    return total  # weight, bias, weight, bias, ...


@pytest.mark.parametrize("pairs", [False, True])
def test_the_fisher_diagonal_is_that_of_single_gradients(pairs):
    alone, x = models(6, 5, 4), draw(3, 7, 6)
    allowed = torch.ones(3, 7, 4, dtype=torch.bool)
    if pairs:
        allowed[:, :4, 2:] = allowed[:, 4:, :2] = False
    side = ParallelMLP(alone)
    ours = fisher_diagonal(side, x, allowed)
    assert [f.shape for f in ours] == [p.shape for p in side.parameters()]
    for s, model in enumerate(alone):
        theirs = by_examples(model, x[s], allowed[s])
        for ours_W, ours_b, W, b in zip(ours[:2], ours[2:], theirs[::2], theirs[1::2]):
            assert torch.allclose(ours_W[s].T, W)
            assert torch.allclose(ours_b[s, 0], b)


def test_the_fisher_diagonal_of_softmax_regression_is_the_hessians():
    (model,), x = models(4, 3, n=1), draw(20, 4)
    ours = fisher_diagonal(ParallelMLP([model]), x[None], torch.ones(20, 3, dtype=torch.bool))
    y = torch.arange(20) % 3
    b = model.layers[0].bias.detach()
    H = torch.func.hessian(lambda W: F.cross_entropy(x @ W.T + b, y))(
        model.layers[0].weight.detach()
    )
    assert torch.allclose(ours[0][0].T.flatten(), H.reshape(12, 12).diagonal())


@pytest.mark.parametrize(("n", "size"), [(4, 1), (5, 2), (5, 3), (2, 4)])
def test_every_example_has_the_same_chance(n, size):
    kept, courses = [0] * n, 0
    for places in product(*map(range, range(1, n + 1))):
        memory = []
        for item, place in enumerate(places):
            offer_reservoir(memory, item, place, size)
        kept = [count + (item in memory) for item, count in enumerate(kept)]
        courses += 1
    assert kept == [courses * min(size, n) // n] * n


def classes(n=300):
    y = torch.arange(n) % 3
    return draw(n, 4) @ draw(4, 4, seed=2) + draw(3, 4, seed=1)[y], y


def test_streaming_lda_is_scikit_learns_whatever_the_order():
    x, y = classes()
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(x, y).predict_proba(x)
    for order in (range(3), (2, 0, 1)):
        lda = StreamingLDA(4, 3, shrink=1e-12)
        for k in order:
            lda.observe(x[y == k], y[y == k])
        assert torch.allclose(lda.scores(x).softmax(1), torch.from_numpy(theirs))


def test_a_class_that_was_not_seen_is_never_the_answer():
    x, y = classes()
    lda = StreamingLDA(4, 3)
    lda.observe(x[y < 2], y[y < 2])
    assert (lda.scores(x)[:, 2] == -torch.inf).all()
    assert lda.scores(x)[:, :2].isfinite().all()


REFUSED = [
    (lambda: task_scores(torch.ones(1, 3, 2)), r"got \(1, 3, 2\)"),
    (lambda: task_scores(torch.ones(1, 1, 1)), "2 or more, got 1"),
    (lambda: ParallelMLP([]), r"one shape, got \[\]"),
    (lambda: ParallelMLP([MLP([2, 3]), MLP([2, 4])]), "expected models of one shape"),
    (lambda: ParallelMLP([MLP([2, 3])])(torch.ones(2, 5, 2)), r"got \(2, 5, 2\)"),
    (lambda: offer_reservoir([], 1, -1, 2), "place must be 0 or more, got -1"),
    (lambda: offer_reservoir([], 1, 0, 0), "size must be 1 or more, got 0"),
    (lambda: StreamingLDA(4, 3, shrink=0.0), "shrink must be above 0, got 0.0"),
    (lambda: StreamingLDA(4, 3).observe(torch.ones(2, 5), torch.tensor([0, 1])), r"got \(2, 5\)"),
    (lambda: StreamingLDA(4, 3).observe(torch.ones(2, 4), torch.tensor([0, 3])), "3"),
    (lambda: StreamingLDA(4, 3).scores(torch.ones(2, 4)), "no example"),
    (
        lambda: fisher_diagonal(
            ParallelMLP([MLP([2, 3])]), torch.ones(1, 1, 2), torch.zeros(1, 3).bool()
        ),
        "an allowed class",
    ),
]


@pytest.mark.parametrize(("call", "words"), REFUSED)
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
