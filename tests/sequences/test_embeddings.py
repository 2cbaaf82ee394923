"""Word embeddings: the company words keep.

Counts against loops, surprise against scikit-learn's mutual information, the loss against PyTorch's
binary cross-entropy, values and gradients.
"""

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import mutual_info_score

from dlbook_utils.sequences.embeddings import cooccurrences, negative_sampling_loss, pmi


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_neighbours_are_counted_on_both_sides_and_not_across_what_is_no_word():
    ids = torch.tensor([0, 1, 2, -1, 0, 0])
    near = torch.tensor([[2.0, 1, 0], [1, 0, 1], [0, 1, 0]])
    assert torch.equal(cooccurrences(ids, 3, 1), near)
    far = torch.tensor([[2.0, 1, 2], [1, 0, 1], [2, 1, 0]])
    assert torch.equal(cooccurrences(ids, 3, 2), far)


def test_a_number_that_is_no_words_is_refused():
    with pytest.raises(ValueError, match="ids must be int64 below 2, got torch.int64 up to 2"):
        cooccurrences(torch.tensor([0, 2, 1]), 2, 1)
    with pytest.raises(ValueError, match=r"window must be in 1\.\.2, got 3"):
        cooccurrences(torch.tensor([0, 1, 1]), 2, 3)


def test_the_mean_surprise_is_the_mutual_information():
    N = torch.arange(20).view(5, 4) * 7 % 11 + 1.0
    mean = (N / N.sum() * pmi(N)).sum().item()
    wanted = mutual_info_score(None, None, contingency=N.long().numpy())
    assert abs(mean - wanted) < 1e-6


def test_surprise_at_independent_words_is_none_and_smoothing_lifts_the_rare():
    row, column = torch.tensor([1.0, 2, 7]), torch.tensor([3.0, 96])
    N = row[:, None] * column
    assert torch.allclose(pmi(N), torch.zeros(3, 2), atol=1e-6)
    smoothed = pmi(N, 0.75)
    assert (smoothed[:, 0] < 0).all()  # the rarer context, whose chance is lifted
    assert (smoothed[:, 1] > 0).all()


def test_what_was_never_counted_is_minus_infinity():
    assert pmi(torch.tensor([[0.0, 1], [1, 1]]))[0, 0] == -torch.inf
    with pytest.raises(ValueError, match="0 or more and not all 0, got -1.0 to 1.0"):
        pmi(torch.tensor([[-1.0, 1]]))
    with pytest.raises(ValueError, match="not all 0"):
        pmi(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="counts must be finite: 1 of 2 numbers"):
        pmi(torch.tensor([[torch.inf, 1]]))


@pytest.mark.parametrize("power", [torch.nan, -2000.0, 1.5])
def test_a_power_that_gives_no_distribution_is_refused(power):
    with pytest.raises(ValueError, match=rf"a power lies in 0\.\.1, got {power}"):
        pmi(torch.ones(2, 2), power)


def test_the_loss_is_the_binary_cross_entropy_forward_and_backward():
    u, v, noise = (x.requires_grad_() for x in (draw(6, 4), draw(6, 4) + 1, draw(6, 3, 4)))
    scores = torch.cat([(u * v).sum(1, keepdim=True), (noise * u[:, None]).sum(2)], 1)
    truth = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(6, 4)
    theirs = 4 * F.binary_cross_entropy_with_logits(scores, truth)
    ours = negative_sampling_loss(u, v, noise)
    assert torch.allclose(ours, theirs)
    slopes, wanted = (torch.autograd.grad(value, (u, v, noise)) for value in (ours, theirs))
    assert all(map(torch.allclose, slopes, wanted))


def test_the_loss_does_not_overflow_and_wants_shapes_that_fit():
    u = torch.full((1, 1), 200.0)
    assert negative_sampling_loss(u, -u, u[:, None]) == 80_000
    with pytest.raises(ValueError, match=r"v must have shape \(2, 4\), got \(2, 3\)"):
        negative_sampling_loss(torch.ones(2, 4), torch.ones(2, 3), torch.ones(2, 5, 4))
    with pytest.raises(ValueError, match=r"words: empty, x has shape \(0, 4\)"):
        negative_sampling_loss(torch.ones(0, 4), torch.ones(0, 4), torch.ones(0, 5, 4))
    with pytest.raises(ValueError, match=r"noise must have shape \(2, k, 4\), got \(2, 4\)"):
        negative_sampling_loss(torch.ones(2, 4), torch.ones(2, 4), torch.ones(2, 4))
