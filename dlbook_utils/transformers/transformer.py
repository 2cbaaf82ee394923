"""The Transformer of Vaswani et al. (2017), arXiv:1706.03762, as built in the chapter of that name.

Sequences are (n, T, d): n of them, T places, d features. A mask is True where looking is allowed
and broadcasts against the scores, (n, heads, T, S) for T places that look at S others: (T, S) for
a causal mask, (n, 1, 1, S) for sources of unequal length. Nothing here has dropout.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dlbook_utils.page.guards import check_count

PAD = 0  # the id that fills up short sequences


def attention(Q: Tensor, K: Tensor, V: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return softmax(Q K^T / sqrt(d)) V and the weights, the softmax itself.

    Arguments:
        Q: queries (..., T, d).
        K, V: keys (..., S, d) and values (..., S, v).
        mask: True where a query may look at a key; broadcasts to (..., T, S).

    Raises ValueError if a query may look at nothing: a mean over nothing is not a number.
    """
    scores = Q @ K.mT / Q.shape[-1] ** 0.5
    if mask is not None:
        if not mask.any(-1).all():
            raise ValueError("each query needs a key to look at, one has none")
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(-1)
    return weights @ V, weights


def causal_mask(T: int, device: torch.device | str | None = None) -> Tensor:
    """Return the mask (T, T) under which place t looks at places 0 to t."""
    return torch.ones(T, T, dtype=torch.bool, device=device).tril()


def sinusoids(T: int, d: int, base: float = 10_000.0) -> Tensor:
    """Return a vector for each of T places, float32 (T, d): sine and cosine at d / 2 rates.

    The rates fall from 1 to nearly 1 / base. Raises ValueError unless d is even.
    """
    if check_count(d, "d", 0) % 2:
        raise ValueError(f"sines and cosines come in pairs, got d = {d}")
    rates = base ** (-torch.arange(0, d, 2) / d)
    places = torch.arange(check_count(T, "T", 0))
    angles = places[:, None] * rates  # (T, d / 2)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


class MultiHeadAttention(nn.Module):
    """Attention by several heads, each with d / heads features, mixed by a linear map.

    Called with x (n, T, d), it looks at `memory` (n, S, d) or, without, at x itself, and returns
    (n, T, d). `look` returns the weights (n, heads, T, S), too; nothing is kept. Whoever wants
    to keep keys and values of the past takes them from `keys_values` and gives them to `mix`.

    Raises ValueError if the heads cannot share the features equally.
    """

    def __init__(self, d: int, heads: int):
        super().__init__()
        if heads < 1 or d % heads:
            raise ValueError(f"{heads} heads cannot share {d} features")
        self.heads = heads
        self.query, self.key = nn.Linear(d, d), nn.Linear(d, d)
        self.value, self.out = nn.Linear(d, d), nn.Linear(d, d)

    def split(self, x: Tensor) -> Tensor:
        """Return (n, T, d) as (n, heads, T, d / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values of the places in memory, each (n, heads, S, d / heads)."""
        return self.split(self.key(memory)), self.split(self.value(memory))

    def mix(self, x: Tensor, K: Tensor, V: Tensor, mask: Tensor | None = None):
        """Return what the queries of x find among keys and values, and the weights."""
        mixed, weights = attention(self.split(self.query(x)), K, V, mask)
        return self.out(mixed.transpose(1, 2).flatten(2)), weights

    def look(self, x: Tensor, memory: Tensor | None = None, mask: Tensor | None = None):
        """Return the output (n, T, d) and the weights (n, heads, T, S)."""
        memory = x if memory is None else memory
        return self.mix(x, *self.keys_values(memory), mask)

    def forward(
        self, x: Tensor, memory: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        return self.look(x, memory, mask)[0]


class FeedForward(nn.Module):
    """Two linear maps with phi between them, applied to each place by itself."""

    def __init__(self, d: int, hidden: int, phi: Callable[[Tensor], Tensor] = torch.relu):
        super().__init__()
        self.up, self.down = nn.Linear(d, hidden), nn.Linear(hidden, d)
        self.phi = phi

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.phi(self.up(x)))


class AddNorm(nn.Module):
    """A way past f, and a LayerNorm: before f (x + f(norm(x))) or, as in 2017, after the sum."""

    def __init__(self, d: int, pre: bool = True):
        super().__init__()
        self.norm, self.pre = nn.LayerNorm(d), pre

    def forward(self, x: Tensor, f: Callable[[Tensor], Tensor]) -> Tensor:
        if self.pre:
            return x + f(self.norm(x))
        return self.norm(x + f(x))


class EncoderBlock(nn.Module):
    """All places look at all others, then each thinks by itself; with a causal mask, GPT's block.

    Arguments:
        d, heads, hidden, phi: as in MultiHeadAttention and FeedForward.
        pre: normalise before each of the two parts, or after it as in 2017.

    Called with x (n, T, d), it returns (n, T, d). It equals nn.TransformerEncoderLayer without
    dropout. A stack of blocks with `pre` needs a LayerNorm at its end.
    """

    def __init__(
        self,
        d: int,
        heads: int,
        hidden: int,
        phi: Callable[[Tensor], Tensor] = torch.relu,
        pre: bool = True,
    ):
        super().__init__()
        self.attend = MultiHeadAttention(d, heads)
        self.feed = FeedForward(d, hidden, phi)
        self.add1, self.add2 = AddNorm(d, pre), AddNorm(d, pre)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = self.add1(x, lambda h: self.attend(h, mask=mask))
        return self.add2(x, self.feed)


class DecoderBlock(nn.Module):
    """Look at what is written so far, then at the source, then think.

    Arguments as in EncoderBlock. Called with x (n, T, d), memory (n, S, d) and the memory's mask,
    it returns (n, T, d). It equals nn.TransformerDecoderLayer without dropout.
    """

    def __init__(
        self,
        d: int,
        heads: int,
        hidden: int,
        phi: Callable[[Tensor], Tensor] = torch.relu,
        pre: bool = True,
    ):
        super().__init__()
        self.attend = MultiHeadAttention(d, heads)
        self.cross = MultiHeadAttention(d, heads)
        self.feed = FeedForward(d, hidden, phi)
        self.add1, self.add2 = AddNorm(d, pre), AddNorm(d, pre)
        self.add3 = AddNorm(d, pre)

    def forward(self, x: Tensor, memory: Tensor, memory_mask: Tensor | None = None) -> Tensor:
        mask = causal_mask(x.shape[1], x.device)
        x = self.add1(x, lambda h: self.attend(h, mask=mask))
        x = self.add2(x, lambda h: self.cross(h, memory, memory_mask))
        return self.add3(x, self.feed)


class TokenEmbedding(nn.Module):
    """A learned vector for each token, with that of its place added.

    Arguments:
        tokens: how many there are; ids run from 0.
        places: called with (T, d), gives the vectors that are added; torch.zeros for none.

    Called with ids (n, T), it returns (n, T, d).
    """

    def __init__(self, tokens: int, d: int, places: Callable[[int, int], Tensor] = sinusoids):
        super().__init__()
        self.table, self.places = nn.Embedding(tokens, d), places

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids)
        return x + self.places(*x.shape[1:]).to(x)


class Transformer(nn.Module):
    """Encoder and decoder: scores for the next token of a target, given a source.

    Arguments:
        sources, targets: how many tokens there are on either side; id PAD fills up sources.
        d, heads, hidden, phi, pre: of the blocks.
        depth: blocks in the encoder, and as many in the decoder.
        places: of the TokenEmbedding on either side.

    Called with ids source (n, S) and target (n, T), it returns scores (n, T, targets): those at
    place t are for the token after target[:, t]. `encode` and `decode` are its two halves.
    """

    def __init__(
        self,
        sources: int,
        targets: int,
        d: int,
        heads: int,
        hidden: int,
        depth: int = 2,
        phi: Callable[[Tensor], Tensor] = torch.relu,
        pre: bool = True,
        places: Callable[[int, int], Tensor] = sinusoids,
    ):
        super().__init__()
        check_count(depth, "depth", 0)
        self.source = TokenEmbedding(sources, d, places)
        self.target = TokenEmbedding(targets, d, places)
        settings = d, heads, hidden, phi, pre
        self.encoder = nn.ModuleList(EncoderBlock(*settings) for _ in range(depth))
        self.decoder = nn.ModuleList(DecoderBlock(*settings) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(d) if pre else nn.Identity() for _ in "ed")
        self.head = nn.Linear(d, targets)

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Return the memory (n, S, d) and its mask, True where the source is not PAD."""
        x, mask = self.source(source), (source != PAD)[:, None, None]
        for block in self.encoder:
            x = block(x, mask)
        return self.norms[0](x), mask

    def decode(self, target: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the scores (n, T, targets) after each of the ids target (n, T)."""
        x = self.target(target)
        for block in self.decoder:
            x = block(x, memory, mask)
        return self.head(self.norms[1](x))

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))
