"""Chords as sets of notes, drawn note by note, and the rules of voice leading counted in them.

As built in the chapter on music. A piece is a piano roll (T, K): 1 where one of K notes sounds in
one of T steps, lowest note first, else 0; n pieces of unequal length are (n, T, K) with a mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.page.guards import check_count, check_finite, check_shape

LOWEST, NOTES = 21, 88  # of a piano, as MIDI numbers them: A0 to C8


def piano_roll(piece: Sequence[Sequence[int]]) -> Tensor:
    """Return a piece, a sequence of chords of MIDI pitches, as a roll (T, 88) of zeros and ones.

    Raises ValueError for a pitch that a piano does not have.
    """
    roll = torch.zeros(len(piece), NOTES)
    for t, chord in enumerate(piece):
        for pitch in chord:
            key = check_count(pitch - LOWEST, "pitch - 21", 0, NOTES - 1)
            roll[t, key] = 1
    return roll


def step_nats(scores: Tensor, rolls: Tensor, here: Tensor) -> Tensor:
    """Return the mean of -ln p(chord) over the steps that count, in nats.

    Arguments:
        scores, rolls: (n, T, K); p of a note is the sigmoid of its score.
        here: (n, T), True where a step counts.

    Raises ValueError for other shapes, and if no step counts; TypeError for another mask.
    """
    check_shape(scores, rolls.shape, "scores")
    check_shape(here, rolls.shape[:2], "here")
    if here.dtype != torch.bool:
        raise TypeError(f"here must be bool, not {here.dtype}")
    if not here.any():
        raise ValueError(f"no step of {tuple(here.shape)} counts")
    losses = F.binary_cross_entropy_with_logits(scores, rolls, reduction="none")
    return losses.sum(-1)[here].mean()


class ChordHead(nn.Module):
    """Scores for the notes of a chord, each given the past and the notes below it in the chord.

    Arguments:
        m: features of the past.
        notes: how many notes there are, K.
        aware: if False, A stays 0, and the notes are independent given the past.

    Called with features h (..., m) and the chords that sound (..., K), it returns the scores
    (..., K). `draw` lets chords sound. A logistic autoregressive network: B. J. Frey (1998),
    Graphical Models for Machine Learning and Digital Communication, MIT Press.
    """

    def __init__(self, m: int, notes: int = NOTES, aware: bool = True):
        super().__init__()
        self.linear = nn.Linear(m, notes)
        self.A = nn.Parameter(torch.zeros(notes, notes), requires_grad=aware)

    def below(self) -> Tensor:
        """Return the weights (K, K) of the notes that sound, 0 on and above the diagonal."""
        return self.A.tril(-1)

    def forward(self, h: Tensor, chords: Tensor) -> Tensor:
        check_shape(chords, [*h.shape[:-1], len(self.A)], "chords")
        return self.linear(h) + chords @ self.below().T

    @torch.no_grad()
    def draw(self, h: Tensor, g: torch.Generator, temperature: float = 1.0) -> Tensor:
        """Return chords (..., K) drawn from the lowest note up, given features h (..., m).

        Each note sounds with probability sigmoid(score / temperature). Raises ValueError unless
        the temperature is positive, and for features that are not finite.
        """
        if not temperature > 0:
            raise ValueError(f"a temperature is positive, got {temperature}")
        scores, A = self.linear(check_finite(h, "features")), self.below()
        chords = torch.zeros_like(scores)
        for k in range(len(A)):
            p = (scores[..., k] / temperature).sigmoid().cpu()
            chords[..., k] = p.bernoulli(generator=g)
            scores = scores + chords[..., k, None] * A[:, k]
        return chords


class RollModel(nn.Module):
    """A core that reads the chords so far, and a head for the next one.

    Arguments:
        core: maps rolls (n, T, K) to features (n, T, m), or to a pair whose first they are; what
            it says at a step depends on that step and those before.
        head: such as ChordHead(m, K).

    Called with rolls (n, T, K) it returns scores (n, T - 1, K) of all chords but the first.
    """

    def __init__(self, core: nn.Module, head: ChordHead):
        super().__init__()
        self.core = core
        self.head: ChordHead = head

    def features(self, rolls: Tensor) -> Tensor:
        """Return what the core says after each chord, (n, T, m)."""
        check_shape(rolls, ["n", "T", len(self.head.A)], "rolls")
        H = self.core(rolls)
        return H[0] if isinstance(H, tuple) else H

    def forward(self, rolls: Tensor) -> Tensor:
        return self.head(self.features(rolls[:, :-1]), rolls[:, 1:])

    @torch.no_grad()
    def compose(
        self, rolls: Tensor, steps: int, g: torch.Generator, temperature: float = 1.0
    ) -> Tensor:
        """Return rolls (n, T, K) with `steps` more chords, each drawn after those before it."""
        check_count(rolls.shape[1], "length of the beginning")
        for _ in range(check_count(steps, "steps", 0)):
            h = self.features(rolls)[:, -1]
            chord = self.head.draw(h, g, temperature)
            rolls = torch.cat([rolls, chord[:, None]], dim=1)
        return rolls


def voice_moves(roll: Tensor) -> tuple[Tensor, Tensor]:
    """Return the notes of four voices before and after each move, int64 (moves, 4) each.

    A move leads from one step of the roll (T, K) to the next where both have four notes; voices
    are told apart by height alone, the lowest first. Raises ValueError for numbers other than
    0 and 1.
    """
    check_shape(roll, ["T", "K"], "roll")
    if not ((roll == 0) | (roll == 1)).all():
        raise ValueError(f"a roll holds zeros and ones; its largest entry is {roll.max():g}")
    four = roll.sum(1) == 4
    moves = (four[:-1] & four[1:]).nonzero()[:, 0]
    notes = torch.zeros(len(roll), 4, dtype=torch.int64, device=roll.device)
    notes[four] = roll[four].nonzero()[:, 1].view(-1, 4)
    return notes[moves], notes[moves + 1]


def broken_rules(before: Tensor, after: Tensor) -> dict[str, Tensor]:
    """Return which moves (moves, 4) break a rule of voice leading: for each, bool (moves,).

    Parallel fifths or octaves: two voices that far apart move in one direction and are so again.
    Overlap: a voice goes beyond where its neighbour just was. Leap: one of the upper three moves
    by more than a fifth. Raises ValueError unless voices run from the lowest up.
    """
    check_shape(before, ["moves", 4], "before")
    check_shape(after, before.shape, "after")
    if any((notes.diff(dim=1) < 0).any() for notes in (before, after)):
        raise ValueError("voices run from the lowest up")
    i, j = torch.triu_indices(4, 4, 1)
    move = after - before
    together = move[:, i] * move[:, j] > 0
    gaps = [(notes[:, j] - notes[:, i]) % 12 for notes in (before, after)]
    fifths, octaves = ((together & (gaps[0] == gap) & (gaps[1] == gap)).any(1) for gap in (7, 0))
    beyond = (after[:, :-1] > before[:, 1:]) | (after[:, 1:] < before[:, :-1])
    leap = (move[:, 1:].abs() > 7).any(1)
    return {"fifths": fifths, "octaves": octaves, "overlap": beyond.any(1), "leap": leap}
