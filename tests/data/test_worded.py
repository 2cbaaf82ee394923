"""Small pictures and their captions: what is said is shown, and gaps stay out."""

import pytest
import torch

from dlbook_utils.data import worded
from dlbook_utils.page.devices import generator


@pytest.mark.parametrize("sort", range(4))
@pytest.mark.parametrize("gaps", [False, True])
def test_captions_agree_with_what_is_shown_and_seldom_with_another(sort, gaps):
    part = worded.draw_worded(300, generator(sort), gaps, sort)
    assert worded.agrees(part.words, part.cells).all()
    assert (part.gaps == gaps).all()
    everything = worded.draw_worded(300, generator(9))
    crossed = worded.agrees(everything.words.roll(1, 0), everything.cells)
    assert crossed.float().mean() < 0.15


def test_what_is_learned_from_shows_no_gap():
    part = worded.draw_worded(4000, generator(0))
    assert not (part.cells == worded.RED_RING).any()
    texts = {worded.say(row) for row in part.words}
    assert "a triangle not green" not in texts
    assert not [text for text in texts if text.startswith("three blue")]
    ordered = [text for text in texts if " left of " in text or " above " in text]
    assert ordered
    assert not [text for text in ordered if text.startswith("a yellow")]
    said = " ".join(texts)
    assert all(word in said for word in worded.WORDS[2:])


@pytest.mark.parametrize(
    ("text", "cells", "holds"),
    [
        ("a red square", [12, 0, 12, 12], True),
        ("a red square", [12, 0, 0, 12], False),
        ("two red square", [12, 0, 0, 12], True),
        ("three red square", [12, 0, 0, 12], False),
        ("a red square left of a blue ring", [12, 12, 0, 6], True),
        ("a red square left of a blue ring", [12, 12, 6, 0], False),
        ("a red square left of a blue ring", [0, 12, 6, 12], False),
        ("a red square above a blue ring", [0, 12, 6, 12], True),
        ("a red square above a blue ring", [0, 12, 6, 3], False),
        ("a square not red", [12, 12, 2, 12], True),
        ("a square not red", [12, 12, 0, 12], False),
        ("a square not red", [12, 12, 6, 12], False),
    ],
)
def test_agreement_by_hand(text, cells, holds):
    words = worded.spell(text)
    assert worded.say(words) == text
    assert worded.agrees(words[None], torch.tensor([cells])).item() is holds


def test_things_are_painted_in_their_cells_in_their_colours():
    cells = torch.tensor([[worded.EMPTY, 0, 6, worded.EMPTY]])  # red square, blue ring
    x = worded.paint(cells, generator(0))
    assert x.shape == (1, 3, 16, 16)
    assert 0 <= x.min() <= x.max() <= 1
    assert (x[0, :, :8, :8] == worded.GROUND).all()
    assert (x[0, :, 8:, 8:] == worded.GROUND).all()
    assert torch.allclose(x[0, :, 3, 11], torch.tensor(worded.PAINT[0]))
    ground, blue = torch.full((3,), worded.GROUND), torch.tensor(worded.PAINT[2])
    hole, rim = x[0, :, 11, 3], x[0, :, 8:, :8].flatten(1).T
    assert (hole - ground).norm() < 0.2 * (blue - ground).norm()  # its edge may reach in
    assert (rim - blue).norm(dim=1).min() < 0.01


def test_what_is_no_caption_is_refused():
    with pytest.raises(ValueError, match="got 'a pink square'"):
        worded.spell("a pink square")
    with pytest.raises(ValueError, match=r"words must have shape \(n, 7\), got \(2, 5\)"):
        worded.agrees(torch.zeros(2, 5).long(), torch.zeros(2, 4).long())
    with pytest.raises(ValueError, match="cells"):
        worded.paint(torch.full((1, 4), 13), generator(0))
    with pytest.raises(ValueError, match="sort must be in 0..3, got 4"):
        worded.draw_worded(3, generator(0), sort=4)
