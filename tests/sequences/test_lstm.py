"""Gated recurrent networks against PyTorch's, values and gradients, from random weights."""

import pytest
import torch
from torch import nn

from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.sequences.lstm import GRU, LSTM, Bidirectional
from dlbook_utils.sequences.rnn import Alphabet, CharacterModel, draw_words


def copy_lstm(ours, theirs, suffix=""):
    """Give nn.LSTM our weights; its second bias is left as it is, and taken off the first."""
    with torch.no_grad():
        ours.b.normal_()
        getattr(theirs, f"weight_ih_l0{suffix}").copy_(ours.W_xh)
        getattr(theirs, f"weight_hh_l0{suffix}").copy_(ours.W_hh)
        second = getattr(theirs, f"bias_hh_l0{suffix}")
        getattr(theirs, f"bias_ih_l0{suffix}").copy_(ours.b - second)


def copy_gru(ours, theirs):
    m = len(ours.b_n)
    with torch.no_grad():
        ours.b.normal_()
        ours.b_n.normal_()
        theirs.weight_ih_l0.copy_(ours.W_xh)
        theirs.weight_hh_l0.copy_(ours.W_hh)
        theirs.bias_hh_l0[2 * m :] = ours.b_n
        theirs.bias_ih_l0[: 2 * m] = (ours.b - theirs.bias_hh_l0)[: 2 * m]
        theirs.bias_ih_l0[2 * m :] = ours.b[2 * m :]


def same_gradients(outputs, inputs, outputs_theirs, inputs_theirs):
    g = torch.randn_like(outputs)
    got = torch.autograd.grad((outputs * g).sum(), inputs)
    wanted = torch.autograd.grad((outputs_theirs * g).sum(), inputs_theirs)
    for a, b in zip(got, wanted, strict=True):
        assert a.abs().sum() > 0
        assert torch.allclose(a, b)


def leaf(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("first", [True, False])
def test_lstm_equals_nn_lstm(first):
    seed_everything(1)
    ours, theirs = LSTM(3, 4).double(), nn.LSTM(3, 4, batch_first=True).double()
    copy_lstm(ours, theirs)
    X, h, c = leaf(2, 7, 3), leaf(2, 4), leaf(2, 4)
    H, last = ours(X, (h, c) if first else None)
    H_theirs, last_theirs = theirs(X, (h[None], c[None]) if first else None)
    assert torch.allclose(H, H_theirs)
    assert H.abs().sum() > 0
    for a, b in zip(last, last_theirs, strict=True):
        assert torch.allclose(a, b[0])
    inputs = [X, h, c] if first else [X]
    same_gradients(
        torch.cat([H, last[1][:, None]], 1),
        [ours.W_xh, ours.W_hh, ours.b, *inputs],
        torch.cat([H_theirs, last_theirs[1][0][:, None]], 1),
        [theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_ih_l0, *inputs],
    )


@pytest.mark.parametrize("first", [True, False])
def test_gru_equals_nn_gru(first):
    seed_everything(2)
    ours, theirs = GRU(3, 4).double(), nn.GRU(3, 4, batch_first=True).double()
    copy_gru(ours, theirs)
    X, h = leaf(2, 7, 3), leaf(2, 4)
    H, last = ours(X, h if first else None)
    H_theirs, last_theirs = theirs(X, h[None] if first else None)
    assert torch.allclose(H, H_theirs)
    assert torch.allclose(last, last_theirs[0])
    inputs = [X, h] if first else [X]
    same_gradients(
        H,
        [ours.W_xh, ours.W_hh, ours.b, *inputs],
        H_theirs,
        [theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_ih_l0, *inputs],
    )


def test_the_bias_inside_the_reset_gate_has_a_gradient_of_its_own():
    seed_everything(3)
    ours, theirs = GRU(3, 4).double(), nn.GRU(3, 4, batch_first=True).double()
    copy_gru(ours, theirs)
    X = leaf(2, 5, 3)
    (got,) = torch.autograd.grad(ours(X)[0].square().sum(), [ours.b_n])
    (wanted,) = torch.autograd.grad(theirs(X)[0].square().sum(), [theirs.bias_hh_l0])
    assert torch.allclose(got, wanted[8:])


def test_bidirectional_equals_nn_lstm_bidirectional():
    seed_everything(4)
    ours = Bidirectional(LSTM(3, 4), LSTM(3, 4)).double()
    theirs = nn.LSTM(3, 4, batch_first=True, bidirectional=True).double()
    copy_lstm(ours.forwards, theirs)
    copy_lstm(ours.backwards, theirs, "_reverse")
    X = leaf(2, 7, 3)
    H, (last, first) = ours(X)
    H_theirs, (h, c) = theirs(X)
    assert H.shape == (2, 7, 8)
    assert torch.allclose(H, H_theirs)
    assert torch.allclose(last[0], h[0])
    assert torch.allclose(first[1], c[1])
    parts = [ours.forwards, ours.backwards]
    names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0"]
    same_gradients(
        H,
        [X] + [p for net in parts for p in (net.W_xh, net.W_hh, net.b)],
        H_theirs,
        [X] + [getattr(theirs, n + end) for end in ("", "_reverse") for n in names],
    )


def test_only_the_backward_half_looks_ahead():
    seed_everything(5)
    net = Bidirectional(LSTM(2, 3), LSTM(2, 3))
    X = torch.randn(1, 6, 2, requires_grad=True)
    H, _ = net(X)
    (left,) = torch.autograd.grad(H[0, 2, :3].sum(), X, retain_graph=True)
    (right,) = torch.autograd.grad(H[0, 2, 3:].sum(), X)
    assert (left[0].abs().sum(-1) > 0).tolist() == [True] * 3 + [False] * 3
    assert (right[0].abs().sum(-1) > 0).tolist() == [False] * 2 + [True] * 4


@pytest.mark.parametrize("make", [LSTM, GRU])
def test_reading_on_from_a_state_is_reading_at_once(make):
    seed_everything(6)
    net = make(3, 4)
    X = torch.randn(2, 8, 3)
    whole, _ = net(X)
    start, state = net(X[:, :5])
    end, _ = net(X[:, 5:], state)
    assert torch.allclose(torch.cat([start, end], 1), whole, atol=1e-6)


def test_the_forget_gate_starts_where_it_is_told():
    net = LSTM(3, 5, forget=2.5)
    assert net.b.view(4, 5).tolist() == [[0.0] * 5, [2.5] * 5, [0.0] * 5, [0.0] * 5]
    assert LSTM(3, 5).b.view(4, 5)[1].tolist() == [1.0] * 5
    assert LSTM(40, 100).W_xh.abs().max() <= 0.1


def test_a_character_model_writes_with_an_lstm():
    seed_everything(7)
    alphabet = Alphabet(["anna", "nan"])
    K = len(alphabet)
    ids = draw_words(CharacterModel(LSTM(K, 4), 4, K), 20, generator(0))
    assert ids.shape == (20, 20)
    assert ids.max() < K


@pytest.mark.parametrize("make", [LSTM, GRU])
def test_inputs_of_another_shape_are_refused(make):
    with pytest.raises(ValueError, match=r"\(n, T, 3\), got \(2, 5, 4\)"):
        make(3, 4)(torch.zeros(2, 5, 4))
    with pytest.raises(ValueError, match=r"\(5, 3\)"):
        make(3, 4)(torch.zeros(5, 3))
