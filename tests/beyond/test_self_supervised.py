"""Learning without labels: losses against loops and PyTorch's, values and gradients."""

import math

import pytest
import torch

from dlbook_utils.beyond.self_supervised import contrastive_loss, effective_rank, pair_loss


def pair(n=5, d=4, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return [
        torch.randn(n, d, generator=draw, dtype=torch.float64).requires_grad_() for _ in range(2)
    ]


def by_loops(a, b, temperature):
    z, n, total = torch.cat([a, b]), len(a), 0.0
    for i in range(2 * n):
        cosines = [torch.cosine_similarity(z[i], z[j], dim=0) for j in range(2 * n)]
        others = sum((c / temperature).exp() for j, c in enumerate(cosines) if j != i)
        total = total - ((cosines[(i + n) % (2 * n)] / temperature).exp() / others).log()
    return total / (2 * n)


def pairs_by_loops(a, b, temperature):
    S = torch.cosine_similarity(a[:, None], b[None], dim=2) / temperature
    return -(S.log_softmax(0).diagonal() + S.log_softmax(1).diagonal()).mean() / 2


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
@pytest.mark.parametrize(
    ("loss", "reference"), [(contrastive_loss, by_loops), (pair_loss, pairs_by_loops)]
)
def test_values_and_gradients_are_those_of_the_formula(loss, reference, temperature):
    a, b = pair()
    ours, theirs = loss(a, b, temperature), reference(a, b, temperature)
    assert torch.allclose(ours, theirs)
    for slope, wanted in zip(*(torch.autograd.grad(value, [a, b]) for value in (ours, theirs))):
        assert torch.allclose(slope, wanted)


def test_the_loss_of_equal_outputs_counts_the_candidates():
    same = torch.ones(8, 3)
    assert contrastive_loss(same, same).item() == pytest.approx(math.log(15), rel=1e-5)
    assert pair_loss(same, same).item() == pytest.approx(math.log(8), rel=1e-5)


def test_lengths_do_not_count():
    a, b = pair()
    assert torch.allclose(contrastive_loss(a, b), contrastive_loss(3 * a, 7 * b))
    assert torch.allclose(pair_loss(a, b), pair_loss(3 * a, 7 * b))


def test_the_rank_counts_directions():
    assert effective_rank(torch.ones(6, 3)).item() == pytest.approx(1, abs=1e-3)
    assert effective_rank(torch.eye(5)).item() == pytest.approx(5, abs=1e-3)
    two = torch.tensor([[1.0, 0, 0], [0, 1, 0], [-2, 0, 0], [0, -3, 0]])
    assert effective_rank(two).item() == pytest.approx(2, abs=1e-3)


@pytest.mark.parametrize("loss", [contrastive_loss, pair_loss])
def test_bad_input_is_refused(loss):
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    with pytest.raises(ValueError, match=r"\(5, 3\)"):
        loss(a, torch.randn(5, 3))
    with pytest.raises(ValueError, match="positive, got 0"):
        loss(a, b, 0)
    with pytest.raises(ValueError, match="b "):
        loss(a, b * torch.nan)
    with pytest.raises(ValueError, match="z "):
        effective_rank(a * torch.inf)
