"""Sequences of characters: tables of counts, and the recurrent network of Elman (1990).

As built in the chapter on recurrent networks. A sequence is a row of ids; id 0 is the mark that
stands before its first character and after its last. Targets past the end are IGNORED.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.page.guards import (
    check_count,
    check_ids,
    check_labels,
    check_shape,
    check_state,
)

IGNORED = -100  # the target that PyTorch's cross-entropy leaves out


class Alphabet:
    """The characters of some words, numbered from 1; 0 is the mark at both ends of a word, a dot,
    which no word may hold.

    Raises ValueError for a word with a dot, and KeyError for a character that none of the words
    had.
    """

    def __init__(self, words: Sequence[str]):
        letters = set("".join(words))
        if "." in letters:
            raise ValueError("the dot is the mark: no word may hold it")
        self.characters = [".", *sorted(letters)]
        self.ids = {c: k for k, c in enumerate(self.characters)}

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, words: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return inputs x and targets y, both int64 (n, T): y holds what follows x.

        T is the length of the longest word and 1 more. Behind its end a word has inputs 0 and
        targets IGNORED.
        """
        T = max(map(len, words), default=0) + 1
        x = torch.zeros(len(words), T, dtype=torch.int64)
        y = torch.full((len(words), T), IGNORED)
        for i, word in enumerate(words):
            ids = torch.tensor([self.ids[c] for c in word], dtype=torch.int64)
            x[i, 1 : len(word) + 1] = ids
            y[i, : len(word)] = ids
            y[i, len(word)] = 0
        return x, y

    def decode(self, ids: Sequence[int]) -> str:
        """Return the word that ids spell, up to the first mark."""
        return "".join(self.characters[k] for k in ids).split(".")[0]


def contexts(x: Tensor, order: int) -> list[Tensor]:
    """Return, for ids x (n, T), the `order` latest ids at each place: x itself, x one earlier, ...

    Before the first place stands the mark, id 0. An empty list for order 0.
    """
    check_shape(x, ["n", "T"], "ids")
    return [F.pad(x, (lag, 0))[:, : x.shape[1]] for lag in range(order)]


class Ngrams(nn.Module):
    """Predict a character from a table of counts, given the `order` characters before it.

    Each count begins at `smoothing` instead of 0 (1: Laplace's rule). Called with ids (n, T) it
    returns log-probabilities (n, T, K), which serve as scores like those of any network here.
    """

    log_p: Tensor

    def __init__(self, x: Tensor, y: Tensor, K: int, order: int, smoothing: float = 1.0):
        super().__init__()
        self.order = check_count(order, "order", 0)
        here = y != IGNORED
        check_ids(x, K)
        check_ids(y[here], K, "targets")
        places = [*(c[here] for c in contexts(x, order)), y[here]]
        counts = torch.full((K,) * (order + 1), float(smoothing), device=x.device)
        counts.index_put_(tuple(places), counts.new_ones(()), accumulate=True)
        self.register_buffer("log_p", (counts / counts.sum(-1, keepdim=True)).log())

    def forward(self, x: Tensor) -> Tensor:
        check_ids(x, len(self.log_p))
        if self.order == 0:
            return self.log_p.expand(*x.shape, -1)
        return self.log_p[tuple(contexts(x, self.order))]

    def read(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return what follows each of the ids x (n, T), and all that was read so far."""
        past = x if past is None else torch.cat([past, x], dim=1)
        return self(past)[:, -x.shape[1] :], past


def sequence_loss(scores: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross-entropy, in nats, of scores (n, T, K) for targets y (n, T).

    It is a mean over the places whose target is not IGNORED. Raises ValueError for targets of
    another shape, out of range, or all IGNORED.
    """
    check_labels(scores, y, IGNORED)
    return F.cross_entropy(scores.flatten(0, 1), y.flatten(), ignore_index=IGNORED)


@torch.no_grad()
def bits_per_character(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the cross-entropy of a model of characters on (x, y), in bits for each target."""
    model.eval()
    return sequence_loss(model(x), y).item() / log(2)


@torch.no_grad()
def draw_words(
    model: Any,
    n: int,
    shuffle: torch.Generator,
    temperature: float = 1.0,
    longest: int = 20,
) -> Tensor:
    """Let a model write n words; return their ids (n, longest), 0 from the end of a word on.

    Each character is drawn from softmax(scores / temperature) and then read by the model, whose
    `read` maps ids (n, T) and its memory so far, or None, to scores (n, T, K) and its memory.
    The higher the temperature, the more daring the choice. Raises ValueError unless it is > 0.
    """
    if not temperature > 0:
        raise ValueError(f"a temperature is positive, got {temperature}")
    place = [*model.parameters(), *model.buffers()][0].device
    x, h = torch.zeros(n, 1, dtype=torch.int64, device=place), None
    written, done = [], torch.zeros(n, dtype=torch.bool)
    for _ in range(check_count(longest, "longest")):
        scores, h = model.read(x, h)
        p = (scores[:, -1] / temperature).softmax(-1).cpu()
        k = p.multinomial(1, generator=shuffle)[:, 0].masked_fill(done, 0)
        done |= k == 0
        written.append(k)
        x = k[:, None].to(place)
    return torch.stack(written, dim=1)


class RNN(nn.Module):
    """Elman's recurrent network: h_t = phi(W_xh x_t + W_hh h_{t-1} + b).

    Arguments:
        d: features of an input.
        m: units, the length of the state h.
        phi: activation, such as torch.tanh or torch.relu.

    Called with X (n, T, d) and, if need be, a first state h (n, m) other than 0, it returns all
    states (n, T, m) and the last one (n, m). Weights start uniform in ±1/sqrt(m), as in nn.RNN
    (whose two biases are one here, which starts at 0). Raises ValueError for other inputs.
    Source: J. L. Elman (1990), doi:10.1207/s15516709cog1402_1.
    """

    def __init__(self, d: int, m: int, phi: Callable[[Tensor], Tensor] = torch.tanh):
        super().__init__()
        self.W_xh = nn.Parameter(torch.empty(m, d).uniform_(-(m**-0.5), m**-0.5))
        self.W_hh = nn.Parameter(torch.empty(m, m).uniform_(-(m**-0.5), m**-0.5))
        self.b = nn.Parameter(torch.zeros(m))
        self.phi = phi

    def forward(self, X: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if X.ndim != 3 or X.shape[2] != self.W_xh.shape[1]:
            d = self.W_xh.shape[1]
            raise ValueError(f"expected inputs (n, T, {d}), got {tuple(X.shape)}")
        zeros = X.new_zeros(len(X), len(self.b))
        h = zeros if h is None else check_state(h, zeros)
        states = []
        for from_x in (X @ self.W_xh.T + self.b).unbind(1):
            h = self.phi(from_x + h @ self.W_hh.T)
            states.append(h)
        return torch.stack(states, dim=1), h


class CharacterModel(nn.Module):
    """Scores for the next character, from a recurrent network that reads one-hot characters.

    Arguments:
        recurrent: maps (inputs (n, T, K), state or None) to (states (n, T, m), last state).
        m: length of its states.
        K: number of characters, the mark included.

    Called with ids (n, T) it returns scores (n, T, K).
    """

    def __init__(self, recurrent: nn.Module, m: int, K: int):
        super().__init__()
        self.recurrent = recurrent
        self.head = nn.Linear(m, K)
        self.K = K

    def read(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the scores (n, T, K) after each of the ids x (n, T), and the last state."""
        one_hot = F.one_hot(x, self.K).to(self.head.weight.dtype)
        H, h = self.recurrent(one_hot, h)
        return self.head(H), h

    def forward(self, x: Tensor) -> Tensor:
        return self.read(x)[0]
