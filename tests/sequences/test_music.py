"""Music: rolls, nats a step, the head that draws chords from the lowest note up, voice leading."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.sequences.lstm import LSTM
from dlbook_utils.sequences.music import (
    LOWEST,
    ChordHead,
    RollModel,
    broken_rules,
    piano_roll,
    step_nats,
    voice_moves,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def a_head(m=3, notes=6, seed=0):
    seed_everything(seed)
    head = ChordHead(m, notes).double()
    nn.init.normal_(head.A)
    return head


EVERY = torch.tensor([*product([0.0, 1.0], repeat=6)], dtype=torch.float64)


def test_a_roll_has_a_one_for_each_pitch():
    roll = piano_roll([(21, 60), (), (108,)])
    assert roll.shape == (3, 88)
    assert roll.nonzero().tolist() == [[0, 0], [0, 60 - LOWEST], [2, 87]]


@pytest.mark.parametrize("pitch", [20, 109])
def test_a_pitch_that_a_piano_has_not_is_refused(pitch):
    with pytest.raises(ValueError, match=rf"pitch - 21 must be in 0\.\.87, got {pitch - 21}"):
        piano_roll([(pitch,)])


def test_nats_are_pytorchs_binary_cross_entropy_over_the_steps_that_count():
    scores, rolls = draw(2, 4, 5).requires_grad_(), (draw(2, 4, 5, seed=1) > 0).double()
    here = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    ours = step_nats(scores, rolls, here)
    parts = [F.binary_cross_entropy(scores[i, :n].sigmoid(), rolls[i, :n], reduction="sum")
             for i, n in ((0, 4), (1, 2))]  # fmt: skip
    theirs = sum(parts) / 6
    assert torch.allclose(ours, theirs)
    gradients = [torch.autograd.grad(value, scores)[0] for value in (ours, theirs)]
    assert torch.allclose(*gradients)
    assert not gradients[0][1, 2:].any()


def test_nats_of_nothing_and_of_other_shapes_are_refused():
    rolls = torch.zeros(2, 4, 5)
    with pytest.raises(ValueError, match=r"no step of \(2, 4\) counts"):
        step_nats(rolls, rolls, torch.zeros(2, 4).bool())
    with pytest.raises(TypeError, match=r"here must be bool, not torch\.int64"):
        step_nats(rolls, rolls, torch.ones(2, 4).long())
    with pytest.raises(ValueError, match=r"here must have shape \(2, 4\), got \(4, 2\)"):
        step_nats(rolls, rolls, torch.ones(4, 2).bool())


def test_the_head_is_the_product_of_logistic_regressions():
    head, h = a_head(), draw(3)
    nats = F.binary_cross_entropy_with_logits(head(h.expand(64, 3), EVERY), EVERY, reduction="none")
    W, b = head.linear.weight, head.linear.bias
    for chord, value in zip(EVERY, nats.sum(1), strict=True):
        p = torch.ones((), dtype=torch.float64)
        for k in range(6):
            q = torch.sigmoid(b[k] + W[k] @ h + head.A[k, :k] @ chord[:k])
            p = p * (q if chord[k] else 1 - q)
        assert torch.allclose(-p.log(), value)
    assert torch.allclose((-nats.sum(1)).exp().sum(), torch.ones(()).double())


def test_the_gradient_is_error_times_the_notes_below():
    head, h, chords = a_head(), draw(8, 3), EVERY[::8]
    scores = head(h, chords)
    loss = F.binary_cross_entropy_with_logits(scores, chords, reduction="sum")
    (slope,) = torch.autograd.grad(loss, head.A)
    assert torch.allclose(slope, ((scores.sigmoid() - chords).T @ chords).tril(-1))


def test_drawn_chords_are_as_frequent_as_they_should_be():
    head, h = a_head(), draw(3)
    for heat in (1.0, 0.5):
        scores = head(h.expand(64, 3), EVERY) / heat
        p = (-F.binary_cross_entropy_with_logits(scores, EVERY, reduction="none").sum(1)).exp()
        chords = head.draw(h.expand(20_000, 3), generator(1), heat)
        number = (chords @ 2.0 ** torch.arange(5, -1, -1).double()).long()
        often = torch.bincount(number, minlength=64) / 20_000
        assert (often - p).abs().max() < 0.015


def test_a_head_that_is_not_aware_keeps_keys_independent():
    head = ChordHead(3, 6, aware=False)
    assert [name for name, p in head.named_parameters() if p.requires_grad] == [
        "linear.weight",
        "linear.bias",
    ]
    scores = head(draw(3).float().expand(64, 3), EVERY.float())
    assert torch.equal(scores, scores[:1].expand(64, 6))


def test_a_temperature_is_positive():
    with pytest.raises(ValueError, match="a temperature is positive, got 0"):
        a_head().draw(draw(2, 3), generator(0), 0)
    for bad in (torch.nan, torch.inf):
        with pytest.raises(ValueError, match="features must be finite: 6 of 6 numbers"):
            a_head().draw(draw(2, 3) * bad, generator(0))


def test_a_head_with_weights_of_its_own_scores_and_draws_by_them():
    class Never(ChordHead):  # a sounding note forbids all above it
        def below(self):
            return torch.full_like(self.A, -1e9).tril(-1)

    head = Never(3, 6).double()
    assert head(draw(4, 3), torch.ones(4, 6).double())[:, 1:].max() < -1e8
    assert head.draw(draw(200, 3), generator(0)).sum(1).max() == 1


def test_what_is_foretold_depends_on_the_past_and_on_the_notes_below_alone():
    seed_everything(0)
    model = RollModel(LSTM(6, 4), ChordHead(4, 6)).double()
    nn.init.normal_(model.head.A)
    rolls = (draw(1, 5, 6) > 0).double().requires_grad_()
    (slope,) = torch.autograd.grad(model(rolls)[0, 2, 3], rolls)  # of step 3, key 3
    assert slope[0, :3].abs().min() > 0
    assert slope[0, 3, :3].abs().min() > 0
    assert not slope[0, 3, 3:].any()
    assert not slope[0, 4].any()


def test_compositions_begin_as_asked_and_can_be_repeated():
    model = RollModel(nn.Identity(), ChordHead(6, 6))
    start = (draw(2, 3, 6) > 0).float()
    first, again = (model.compose(start, 4, generator(1)) for _ in range(2))
    assert first.shape == (2, 7, 6)
    assert torch.equal(first[:, :3], start)
    assert torch.equal(first, again)
    assert set(first.unique().tolist()) <= {0.0, 1.0}


def moves(*chords):
    return voice_moves(piano_roll(chords))


def test_only_moves_between_chords_of_four_notes_count():
    a, b, c = (48, 55, 64, 72), (50, 57, 65, 74), (48, 55, 64)
    before, after = moves(a, b, c, a, a)
    assert before.tolist() == [[p - LOWEST for p in chord] for chord in (a, a)]
    assert after.tolist() == [[p - LOWEST for p in chord] for chord in (b, a)]
    assert len(moves(c, c)[0]) == 0


def test_a_roll_of_other_numbers_has_no_voices():
    with pytest.raises(ValueError, match="a roll holds zeros and ones; its largest entry is 2"):
        voice_moves(torch.full((3, 4), 2.0))


@pytest.mark.parametrize(
    ("before", "after", "broken"),
    [
        ((48, 55, 64, 72), (50, 57, 65, 74), {"fifths", "octaves"}),
        ((48, 55, 64, 72), (48, 55, 64, 72), set()),
        ((48, 55, 64, 72), (47, 55, 62, 67), set()),  # contrary and by step
        ((48, 55, 63, 76), (50, 57, 65, 74), {"fifths"}),
        ((48, 52, 60, 67), (50, 53, 62, 65), {"octaves"}),
        ((48, 52, 60, 67), (53, 57, 60, 69), {"overlap"}),
        ((48, 55, 64, 72), (48, 55, 64, 81), {"leap"}),
        ((60, 64, 67, 76), (48, 64, 67, 76), set()),  # the bass may leap
    ],
)
def test_rules_by_hand(before, after, broken):
    rules = broken_rules(*moves(before, after))
    assert {rule for rule, hit in rules.items() if hit.item()} == broken


def test_voices_run_from_the_lowest_up():
    before, after = moves((48, 55, 64, 72), (50, 57, 65, 74))
    with pytest.raises(ValueError, match="voices run from the lowest up"):
        broken_rules(before.flip(1), after.flip(1))
    assert not any(hit.any() for hit in broken_rules(before[:0], after[:0]).values())
