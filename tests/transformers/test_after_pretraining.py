"""After pre-training: a task language, low-rank updates, preferences.

Against loops, PyTorch's losses, full matrices and closed forms.
"""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlbook_utils.transformers.after_pretraining import (
    BOOK,
    CHAT,
    LETTERS,
    PROMPT,
    SIGNS,
    STOP,
    LowRank,
    add_low_rank,
    all_words,
    answer_log_probs,
    dpo_loss,
    draw_lines,
    four_answers,
    obedient_lines,
    task_lines,
    tilted,
)
from dlbook_utils.transformers.language_models import GPT, Characters


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def small_gpt():
    torch.manual_seed(0)
    return GPT(len(SIGNS), 8, 16, 2, 1, deviation=0.3).double()


def test_answers_and_lines_read_as_they_should():
    signs = Characters(SIGNS)
    word = torch.tensor([signs.encode("fbj")])
    told = [signs.decode(ids) for ids in four_answers(word)[0].tolist()]
    assert told == ["fbj", "jbf", "bfj", "gca"]
    lines = [signs.decode(line) for line in obedient_lines(word, book=True).tolist()]
    assert lines == ["#fbj=fbj.", "#fbj<jbf.", "#fbj^bfj.", "#fbj+gca."]
    two, three = torch.tensor([1]), torch.tensor([2])
    line = task_lines(word, two, three, torch.tensor([False]))
    assert signs.decode(line[0].tolist()) == "~fbj<bfj."
    assert line[0, 0] == CHAT
    assert line[0, -1] == STOP


def test_words_are_each_in_one_part_and_letters_in_all_places_of_both():
    train, test = all_words()
    assert (len(train), len(test)) == (800, 200)
    assert len({tuple(word) for word in torch.cat([train, test]).tolist()}) == 1000
    for part in (train, test):
        assert all(len(part[:, k].unique()) == LETTERS for k in range(3))


def test_books_obey_and_chat_does_by_luck():
    train, _ = all_words()
    x, y = draw_lines(train, 4000, 0.3, torch.Generator().manual_seed(1))
    assert torch.equal(x[:, 1:], y[:, :-1])
    lines = torch.cat([x, y[:, -1:]], 1)
    book = lines[:, 0] == BOOK
    assert abs(book.float().mean() - 0.3) < 0.03
    asked = lines[:, 4] - LETTERS
    wanted = four_answers(lines[:, 1:4])[torch.arange(len(lines)), asked]
    right = (lines[:, 5:8] == wanted).all(1)
    assert right[book].all()
    assert 0.25 < right[~book].float().mean() < 0.4


def test_answers_are_judged_as_by_loops_and_by_pytorch():
    model, lines = small_gpt(), obedient_lines(all_words()[1][:3])
    for start in (1, PROMPT, 8):
        own = answer_log_probs(model, lines, start)
        loops = [
            sum(
                model(line[None, :t])[0, -1].log_softmax(0)[line[t]]
                for t in range(start, len(line))
            )
            for line in lines
        ]
        assert torch.allclose(own, torch.stack(loops))
        targets = lines[:, 1:].clone()
        targets[:, : start - 1] = -100
        theirs = -F.cross_entropy(
            model(lines[:, :-1]).flatten(0, 1), targets.flatten(), reduction="sum"
        )
        slopes = [torch.autograd.grad(v, model.table.weight)[0] for v in (own.sum(), theirs)]
        assert torch.allclose(*slopes)


def test_all_answers_together_have_probability_one():
    model, line = small_gpt(), obedient_lines(all_words()[1][:1])[:1]
    lines = line[:, :6].repeat(len(SIGNS), 1)
    lines[:, 5] = torch.arange(len(SIGNS))
    assert torch.allclose(answer_log_probs(model, lines).exp().sum(), torch.ones(()).double())


@pytest.mark.parametrize("bias", [True, False])
def test_a_low_rank_update_is_the_full_one(bias):
    low = LowRank(nn.Linear(6, 5, bias).double(), 2, 0.5)
    x = normal(7, 6)
    assert torch.equal(low(x), low.linear(x))  # nothing has changed at first
    low.B.data = normal(5, 2, seed=1)
    full = (low.linear.weight + 0.5 * low.B @ low.A).detach().requires_grad_()
    says = low(x), F.linear(x, full, low.linear.bias)
    assert torch.allclose(*says)
    dA, dB = torch.autograd.grad(says[0].pow(2).sum(), (low.A, low.B))
    (G,) = torch.autograd.grad(says[1].pow(2).sum(), full)
    assert torch.allclose(dA, 0.5 * low.B.T @ G)
    assert torch.allclose(dB, 0.5 * G @ low.A.T)


def test_only_the_narrow_matrices_of_a_model_learn():
    model = small_gpt()
    low = add_low_rank(copy.deepcopy(model), 3)
    learns = [p for p in low.parameters() if p.requires_grad]
    wide = [m for m in model.modules() if isinstance(m, nn.Linear)]
    assert sum(p.numel() for p in learns) == sum(3 * sum(m.weight.shape) for m in wide)
    ids = obedient_lines(all_words()[1][:2])[:, :-1]
    assert torch.equal(low(ids), model(ids))


def test_the_tilted_reference_is_the_best():
    log_ref, reward, beta = normal(5).log_softmax(0), normal(5, seed=1), 0.7

    def objective(log_pi):
        p = log_pi.exp()
        return (p * reward).sum() - beta * (p * (log_pi - log_ref)).sum()

    best = tilted(log_ref, reward, beta)
    log_Z = torch.logsumexp(log_ref + reward / beta, 0)
    assert torch.allclose(objective(best), beta * log_Z)
    theta = log_ref.clone().requires_grad_()
    for _ in range(5000):
        (slope,) = torch.autograd.grad(objective(theta.log_softmax(0)), theta)
        theta = (theta + 0.5 * slope).detach().requires_grad_()
    assert torch.allclose(theta.log_softmax(0), best, atol=1e-4)


def test_dpo_has_the_gradient_of_its_closed_form():
    better, worse, ref = normal(4).requires_grad_(), normal(4, seed=1), normal(2, 4, seed=2)
    loss = dpo_loss(better, worse, *ref, 0.3)
    u = (better - ref[0]) - (worse - ref[1])
    assert torch.allclose(loss, F.binary_cross_entropy_with_logits(0.3 * u, torch.ones_like(u)))
    (slope,) = torch.autograd.grad(loss, better)
    assert torch.allclose(slope, -0.3 * torch.sigmoid(-0.3 * u) / 4)


def test_what_cannot_be_is_refused():
    words = torch.zeros(4, 3).long()
    with pytest.raises(ValueError, match=r"books is a share, got 1\.5"):
        draw_lines(words, 2, 1.5, torch.Generator())
    with pytest.raises(ValueError, match="beta is positive, got 0"):
        tilted(normal(3), normal(3), 0)
    with pytest.raises(ValueError, match="beta is positive, got -1"):
        dpo_loss(normal(3), normal(3), normal(3), normal(3), -1)
    with pytest.raises(ValueError, match=r"rank must be in 1\.\.2, got 0"):
        LowRank(nn.Linear(2, 2), 0)
    with pytest.raises(ValueError, match="words must have shape"):
        four_answers(torch.zeros(4, 2).long())
    with pytest.raises(ValueError, match=r"start must be in 1\.\.8, got 9"):
        answer_log_probs(small_gpt(), torch.zeros(2, 9).long(), 9)


def test_what_would_silently_be_something_else_is_refused():
    words = torch.zeros(2, 3).long()
    for book, error in ((0.5, TypeError), (2, ValueError)):
        with pytest.raises(error, match="book must be"):
            obedient_lines(words, book)
    with pytest.raises(TypeError, match=r"not an nn\.Linear: Conv1d"):
        LowRank(nn.Conv1d(2, 2, 1), 1)
    with pytest.raises(ValueError, match=r"rank must be in 1\.\.2, got 3"):
        LowRank(nn.Linear(4, 2), 3)
    for model in (nn.Linear(3, 3), nn.Sequential(nn.Conv1d(2, 2, 1))):
        with pytest.raises(ValueError, match=r"no nn\.Linear inside"):
            add_low_rank(model, 1)
        assert all(p.requires_grad for p in model.parameters())
    with pytest.raises(ValueError, match="number of pairs must be 1 or more, got 0"):
        dpo_loss(*normal(4, 0), 0.5)
