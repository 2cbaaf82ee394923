"""Tables of counts and the recurrent network: against hand counts and PyTorch's nn.RNN."""

import math

import pytest
import torch
from torch import nn

from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.sequences.rnn import (
    IGNORED,
    RNN,
    Alphabet,
    CharacterModel,
    Ngrams,
    bits_per_character,
    contexts,
    draw_words,
    sequence_loss,
)

WORDS = ["anna", "nan", "a"]


@pytest.fixture
def names():
    alphabet = Alphabet(WORDS)
    return alphabet, *alphabet.encode(WORDS)


def test_inputs_and_targets_are_one_step_apart(names):
    alphabet, x, y = names
    assert alphabet.characters == [".", "a", "n"]
    assert x.tolist() == [[0, 1, 2, 2, 1], [0, 2, 1, 2, 0], [0, 1, 0, 0, 0]]
    assert y.tolist() == [
        [1, 2, 2, 1, 0],
        [2, 1, 2, 0, IGNORED],
        [1, 0, IGNORED, IGNORED, IGNORED],
    ]
    assert [alphabet.decode(row) for row in x[:, 1:].tolist()] == WORDS
    with pytest.raises(KeyError, match="z"):
        alphabet.encode(["zn"])


def test_contexts_reach_back_over_the_mark(names):
    _, x, _ = names
    latest, before = contexts(x, 2)
    assert torch.equal(latest, x)
    assert before[0].tolist() == [0, 0, 1, 2, 2]
    assert contexts(x, 0) == []


def test_a_bigram_table_holds_smoothed_shares(names):
    _, x, y = names
    table = Ngrams(x, y, 3, order=1, smoothing=1)
    # after "n": a, n, a (words 1 and 2) and once the end
    assert torch.allclose(table.log_p[2].exp(), torch.tensor([1 + 1, 2 + 1, 1 + 1]) / 7)
    assert torch.allclose(table.log_p.exp().sum(-1), torch.ones(3))
    assert table(x).shape == (3, 5, 3)
    assert torch.equal(table(x)[0, 2], table.log_p[2])


def test_a_table_of_order_0_forgets_all_context(names):
    _, x, y = names
    scores = Ngrams(x, y, 3, order=0, smoothing=0)(x)
    assert torch.allclose(scores[1, 3].exp(), torch.tensor([3, 4, 4]) / 11)
    assert scores.shape == (3, 5, 3)


def test_reading_one_by_one_is_reading_at_once(names):
    _, x, y = names
    seed_everything(1)
    for model in (Ngrams(x, y, 3, order=2), CharacterModel(RNN(3, 4), 4, 3)):
        memory, steps = None, []
        for t in range(x.shape[1]):
            scores, memory = model.read(x[:, t : t + 1], memory)
            steps.append(scores)
        assert torch.allclose(torch.cat(steps, dim=1), model(x), atol=1e-6)


def test_bits_count_only_what_is_a_target(names):
    _, x, y = names

    class Even(nn.Module):
        def forward(self, x):
            return torch.zeros(*x.shape, 4)

    assert bits_per_character(Even(), x, y) == pytest.approx(2)
    scores = torch.randn(3, 5, 3, generator=generator(0))
    here = y != IGNORED
    p = scores.log_softmax(-1)[here].gather(1, y[here][:, None])
    assert sequence_loss(scores, y).item() == pytest.approx(-p.mean().item(), rel=1e-6)
    assert here.sum() == sum(len(word) + 1 for word in WORDS)


@pytest.mark.parametrize("phi", ["tanh", "relu"])
@pytest.mark.parametrize("first", [True, False])
def test_values_and_gradients_equal_those_of_nn_rnn(phi, first):
    seed_everything(5)
    ours = RNN(3, 4, getattr(torch, phi)).double()
    theirs = nn.RNN(3, 4, nonlinearity=phi, batch_first=True).double()
    with torch.no_grad():
        ours.b.normal_()
        theirs.weight_ih_l0.copy_(ours.W_xh)
        theirs.weight_hh_l0.copy_(ours.W_hh)
        theirs.bias_hh_l0.copy_(ours.b - theirs.bias_ih_l0)
    X = torch.randn(2, 7, 3, dtype=torch.float64, requires_grad=True)
    h = torch.randn(2, 4, dtype=torch.float64, requires_grad=True) if first else None
    H, last = ours(X, h)
    H_theirs, last_theirs = theirs(X, h[None] if first else None)
    assert torch.allclose(H, H_theirs)
    assert torch.allclose(last, last_theirs[0])
    assert H.abs().sum() > 0
    g = torch.randn_like(H)
    inputs = [X, h] if first else [X]
    got = torch.autograd.grad((H * g).sum(), [ours.W_xh, ours.W_hh, ours.b, *inputs])
    wanted = torch.autograd.grad(
        (H_theirs * g).sum(),
        [theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_hh_l0, *inputs],
    )
    for a, b in zip(got, wanted, strict=True):
        assert a.abs().sum() > 0
        assert torch.allclose(a, b)


def test_a_start_in_the_range_of_nn_rnn():
    seed_everything(0)
    rnn = RNN(50, 100)
    for W in (rnn.W_xh, rnn.W_hh):
        assert 0.095 < W.abs().max() <= 0.1
        assert W.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.05)
    assert rnn.b.abs().sum() == 0


def test_inputs_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(n, T, 3\), got \(2, 5, 4\)"):
        RNN(3, 4)(torch.zeros(2, 5, 4))
    with pytest.raises(ValueError, match=r"\(5, 3\)"):
        RNN(3, 4)(torch.zeros(5, 3))


def test_words_are_drawn_from_the_model(names):
    alphabet, x, y = names
    table = Ngrams(x, y, 3, order=1, smoothing=0)
    ids = draw_words(table, 4000, generator(0))
    share = torch.bincount(ids[:, 0], minlength=3) / len(ids)
    assert torch.allclose(share, table.log_p[0].exp(), atol=0.03)
    ended = (ids == 0).cumsum(1) > 0
    assert (ids[ended] == 0).all()
    assert torch.equal(ids, draw_words(table, 4000, generator(0)))
    words = {alphabet.decode(row) for row in ids.tolist()}
    assert "a" in words
    assert len(words) > 20


def test_a_low_temperature_takes_the_likeliest():
    seed_everything(2)
    model = CharacterModel(RNN(3, 4), 4, 3)
    ids = draw_words(model, 50, generator(0), temperature=1e-6)
    assert (ids == ids[0]).all()
    assert ids[0, 0] == model(torch.zeros(1, 1, dtype=torch.int64)).argmax()
    with pytest.raises(ValueError, match="-1"):
        draw_words(model, 1, generator(0), temperature=-1)
