"""The block of today's language models, and exact ways to make them cheaper.

Sequences are (n, T, d), queries, keys and values (n, heads, T, s) with s = d / heads features for
each head. Nothing here has biases or dropout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from math import inf

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.foundations.gradient_flow import RMSNorm
from dlbook_utils.page.guards import check_between, check_count, check_labels, check_shape
from dlbook_utils.transformers.language_models import start_small
from dlbook_utils.transformers.transformer import (
    EncoderBlock,
    FeedForward,
    TokenEmbedding,
    causal_mask,
    sinusoids,
)

PLACES = ("sinusoids", "rotary", "alibi")


def rotate(x: Tensor, start: int = 0, base: float = 10_000.0) -> Tensor:
    """Turn the features of x (..., T, s), pair by pair, by angles that grow with the place.

    The first place has number `start`. The inner product of two turned vectors depends on the
    distance of their places only. Angles are computed in float32 at least. Raises ValueError
    unless s is even and base above 0. Source: J. Su et al. (2021), arXiv:2104.09864.
    """
    check_shape(x, [..., "T", "s"])
    T, s = x.shape[-2:]
    if s % 2 or not x.is_floating_point():
        raise ValueError(f"numbers are turned in pairs, got s = {s}, {x.dtype}")
    if not 0 < base < inf:
        raise ValueError(f"base must be above 0, got {base}")
    dtype, device = torch.promote_types(x.dtype, torch.float32), x.device
    rates = base ** (-torch.arange(0, s, 2, dtype=dtype, device=device) / s)
    places = torch.arange(start, start + T, dtype=dtype, device=device)
    angles = places[:, None] * rates  # (T, s / 2)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


def place_bias(
    T: int,
    window: int | None = None,
    slopes: Tensor | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Return what is added to the scores of T places that look at T places: -inf forbids.

    Arguments:
        window: look at so many places at most, the own one included; None for all.
        slopes: (heads,), what a step of distance costs each head (ALiBi); None for nothing.

    The result is (T, T), with slopes (heads, T, T).
    """
    places = torch.arange(check_count(T, "T"), device=device)
    back = places[:, None] - places  # how far back a key lies, (T, T)
    reach = T if window is None else check_count(window, "window")
    bias = torch.zeros(T, T, device=device)
    if slopes is not None:
        check_between(check_shape(slopes, ["heads"], "slopes"), 0, 1e9, "slopes")
        if not slopes.is_floating_point():
            raise TypeError(f"slopes must be floats, not {slopes.dtype}")
        bias = -slopes.to(device)[:, None, None] * back
    return bias.masked_fill((back < 0) | (back >= reach), -inf)


class GroupedAttention(nn.Module):
    """Causal attention in which several heads share their keys and values.

    Arguments:
        d, heads: features, and heads that divide them.
        groups: pairs of keys and values; `heads` of them make it multi-head attention.
        turn: what is done to queries and keys, for places; nn.Identity() for nothing.
        prefer: called with T and a device, gives what is added to the scores.

    Called with x (n, T, d), it returns (n, T, d). Raises ValueError if heads cannot share features
    or groups equally. Source: J. Ainslie et al. (2023), arXiv:2305.13245.
    """

    def __init__(
        self,
        d: int,
        heads: int,
        groups: int,
        turn: Callable[[Tensor], Tensor] = rotate,
        prefer: Callable[..., Tensor] = place_bias,
    ):
        super().__init__()
        if min(heads, groups) < 1 or d % heads or heads % groups:
            raise ValueError(f"{groups} groups, {heads} heads, {d} features")
        self.heads, self.groups = heads, groups
        self.turn, self.prefer = turn, prefer
        narrow = d // heads * groups
        self.query, self.out = nn.Linear(d, d, False), nn.Linear(d, d, False)
        self.key, self.value = nn.Linear(d, narrow, False), nn.Linear(d, narrow, False)

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, ["n", "T", self.query.in_features])
        Q = self.query(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
        K = self.key(x).unflatten(2, (self.groups, -1)).transpose(1, 2)
        V = self.value(x).unflatten(2, (self.groups, -1)).transpose(1, 2)
        Q, K = self.turn(Q), self.turn(K)
        K, V = (M.repeat_interleave(self.heads // self.groups, 1) for M in (K, V))
        scores = Q @ K.mT / Q.shape[-1] ** 0.5
        scores = scores + self.prefer(x.shape[1], device=x.device).to(x)
        return self.out((scores.softmax(-1) @ V).transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """A feed-forward part in which one map is the gate of another.

    Called with x (..., d), it returns (..., d). It has three matrices where others have two: for
    as many parameters as with 4 d hidden units, take 8 d / 3. Source: N. Shazeer (2020),
    arXiv:2002.05202.
    """

    def __init__(self, d: int, hidden: int):
        super().__init__()
        check_count(d, "d")
        check_count(hidden, "hidden")
        self.gate, self.up = nn.Linear(d, hidden, False), nn.Linear(d, hidden, False)
        self.down = nn.Linear(hidden, d, False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class ModernBlock(nn.Module):
    """Look, then think, each past an RMSNorm and added to what comes in.

    Arguments:
        d: features.
        attend, feed: modules that map (n, T, d) to (n, T, d).
    """

    def __init__(self, d: int, attend: nn.Module, feed: nn.Module):
        super().__init__()
        self.norm1, self.attend = RMSNorm(d), attend
        self.norm2, self.feed = RMSNorm(d), feed

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.feed(self.norm2(x))


class ModernGPT(nn.Module):
    """Blocks between a table of tokens and the scores of the next one.

    Arguments:
        tokens, d: how many tokens there are, and features of each.
        blocks, norm: what a text goes through, each (n, T, d) to (n, T, d).
        places: called with (T, d), gives what is added to the tokens; torch.zeros for nothing.
        tied: the table serves as output, too.

    Called with ids (n, T), it returns scores (n, T, tokens).
    """

    def __init__(
        self,
        tokens: int,
        d: int,
        blocks: Iterable[nn.Module],
        norm: nn.Module,
        places: Callable[[int, int], Tensor] = torch.zeros,
        tied: bool = True,
    ):
        super().__init__()
        self.embed = TokenEmbedding(tokens, d, places)
        self.blocks, self.norm = nn.Sequential(*blocks), norm
        self.head = nn.Linear(d, tokens, bias=False)
        if tied:
            self.head.weight = self.embed.table.weight

    def forward(self, ids: Tensor) -> Tensor:
        check_shape(ids, ["n", "T"], "ids")
        return self.head(self.norm(self.blocks(self.embed(ids))))


def mild_sinusoids(T: int, d: int) -> Tensor:
    """Return sinusoids as small beside a table of small numbers as those of 2017 beside theirs."""
    return sinusoids(check_count(T, "T"), d) / d**0.5


class BlockOf2017(EncoderBlock):
    """The block of the chapter on the Transformer, looking to the left only."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(x, causal_mask(x.shape[1], x.device))


def gpt_of_2017(tokens: int, d: int, depth: int, pre: bool = False, heads: int = 4) -> ModernGPT:
    """Return a language model of blocks as in 2017, with `pre` normalised before their parts.

    Sinusoids, ReLU, LayerNorm; started as `start_small` does, without biases.
    """
    blocks = (
        BlockOf2017(d, heads, 4 * d, torch.relu, pre) for _ in range(check_count(depth, "depth", 0))
    )
    norm = nn.LayerNorm(d) if pre else nn.Identity()
    model = ModernGPT(tokens, d, blocks, norm, mild_sinusoids)
    start_small(model, depth, 0.1)
    return model


def modern_gpt(
    tokens: int,
    d: int,
    depth: int,
    places: str = "rotary",
    gated: bool = True,
    groups: int = 4,
    window: int | None = None,
    heads: int = 4,
) -> ModernGPT:
    """Return a language model of today's blocks with about as many parameters as one of 2017:
    hidden units are rounded down.

    Arguments:
        tokens, d, depth: as in ModernGPT; number of blocks.
        places: "sinusoids", "rotary" or "alibi".
        gated: SwiGLU, or ReLU as in 2017; what fewer groups save goes into hidden units.
        groups, window, heads: as in GroupedAttention and place_bias.
    """
    if places not in PLACES:
        raise ValueError(f"places are one of {PLACES}, got {places!r}")
    check_count(1 if window is None else window, "window")
    slopes = 2.0 ** (-8 * torch.arange(1, check_count(heads, "heads") + 1) / heads)
    prefer = partial(place_bias, window=window, slopes=slopes if places == "alibi" else None)
    turn = rotate if places == "rotary" else nn.Identity()
    saved = 2 * d * (heads - groups) // heads
    feed, hidden = (SwiGLU, (8 * d + saved) // 3) if gated else (FeedForward, 4 * d + saved // 2)
    added = mild_sinusoids if places == "sinusoids" else torch.zeros
    blocks = (
        ModernBlock(d, GroupedAttention(d, heads, groups, turn, prefer), feed(d, hidden))
        for _ in range(check_count(depth, "depth", 0))
    )
    model = ModernGPT(tokens, d, blocks, RMSNorm(d), added)
    start_small(model, depth, 0.1)
    return model


def tiled_attention(Q: Tensor, K: Tensor, V: Tensor, size: int) -> Tensor:
    """Return causal attention, computed for `size` queries and `size` keys at a time.

    Arguments:
        Q, K, V: (..., T, s), of one shape.
        size: side of a tile; no more than size x size scores exist at once, without gradients.

    Sources: M. Milakov, N. Gimelshein (2018), arXiv:1805.02867; T. Dao et al. (2022),
    arXiv:2205.14135.
    """
    check_shape(K, check_shape(Q, [..., "T", "s"], "Q").shape, "K")
    check_shape(V, Q.shape, "V")
    T, s = Q.shape[-2:]
    tiles, rows = range(0, check_count(T, "T"), check_count(size, "size")), []
    for i in tiles:
        q = Q[..., i : i + size, :] / s**0.5
        top = torch.full_like(q[..., :1], -inf)  # the largest score so far
        total, mixed = torch.zeros_like(top), torch.zeros_like(q)
        for j in tiles[: i // size + 1]:  # later keys are all in the future
            z = q @ K[..., j : j + size, :].mT
            if j == i:
                z = z + place_bias(z.shape[-1], device=z.device).to(z)
            new = torch.maximum(top, z.amax(-1, keepdim=True))
            e, shrink = (z - new).exp(), (top - new).exp()
            total = shrink * total + e.sum(-1, keepdim=True)
            mixed = shrink * mixed + e @ V[..., j : j + size, :]
            top = new
        rows.append(mixed / total)
    return torch.cat(rows, -2)


class Experts(nn.Module):
    """A feed-forward part of which each token uses k of several experts.

    Arguments:
        d, hidden: features, and hidden units of each expert, a SwiGLU.
        experts, k: how many there are, and how many a token goes to.
        balance: after each training pass experts with more than their share are handicapped by so
            much in the choice, those with less are favoured. 0: no balance.

    Called with x (n, T, d), it returns (n, T, d). `load` is the share of choices that fell on each
    expert in the last pass. Sources: N. Shazeer et al. (2017), arXiv:1701.06538; the balance: L.
    Wang et al. (2024), arXiv:2408.15664.
    """

    handicap: Tensor
    load: Tensor

    def __init__(self, d: int, hidden: int, experts: int, k: int, balance: float = 0.0):
        super().__init__()
        self.k, self.balance = check_count(k, "k", 1, experts), balance
        if not 0 <= balance < inf:
            raise ValueError(f"balance is 0 or more, got {balance}")
        self.router = nn.Linear(d, experts, bias=False)
        self.experts = nn.ModuleList(SwiGLU(d, hidden) for _ in range(experts))
        self.register_buffer("handicap", torch.zeros(experts))
        self.register_buffer("load", torch.zeros(experts))

    def forward(self, x: Tensor) -> Tensor:
        z = self.router(check_shape(x, ["n", "T", self.router.in_features]))
        chosen = (z - self.handicap).topk(self.k, -1).indices  # (n, T, k)
        shares = z.gather(-1, chosen).softmax(-1)
        out = torch.zeros_like(x)
        for e, expert in enumerate(self.experts):
            here = chosen == e
            at = here.any(-1)  # (n, T)
            out[at] += shares[here][:, None] * expert(x[at])
        self.keep_books(chosen)
        return out

    @torch.no_grad()
    def keep_books(self, chosen: Tensor) -> None:
        """Count the choices (n, T, k) and, in training, move the handicaps."""
        n = len(self.load)
        self.load.copy_(F.one_hot(chosen, n).to(self.load).mean((0, 1, 2)))
        if self.training:
            self.handicap += self.balance * (self.load - 1 / n).sign()


def verify_draft(p: Tensor, q: Tensor, drafts: Tensor, g: torch.Generator) -> Tensor:
    """Return those drafted tokens that stay, from the left, and one more: 1 to k + 1 tokens.

    Arguments:
        p: (k + 1, K), the target's probabilities at the places of the drafts, and after them.
        q: (k, K), the probabilities from which the drafts were drawn.
        drafts: (k,), int64.

    What is returned is distributed as if drawn from p. Source: Y. Leviathan et al. (2022),
    arXiv:2211.17192.
    """
    check_shape(p, [len(check_shape(q, ["k", "K"], "q")) + 1, q.shape[1]], "p")
    check_count(len(q), "k")
    check_labels(q, drafts)
    for name, rows in (("p", p), ("q", q)):
        if not ((rows.sum(-1) - 1).abs() < 1e-3).all():
            raise ValueError(f"{name} is finite and sums to 1, not {rows.sum(-1)}")
        check_between(rows, 0, 1.001, name)
    if not q.gather(1, drafts[:, None]).all():
        raise ValueError(f"of {drafts.tolist()} some have probability 0 in q")
    for t, x in enumerate(drafts.tolist()):
        if torch.rand((), generator=g) * q[t, x] >= p[t, x]:
            rest = (p[t] - q[t]).clamp(min=0)
            return torch.cat([drafts[:t], rest.multinomial(1, generator=g)])
    return torch.cat([drafts, p[-1].multinomial(1, generator=g)])


Scorer = Callable[[Tensor], Tensor]


@torch.no_grad()
def speculate(
    target: Scorer, draft: Scorer, ids: Tensor, length: int, k: int, g: torch.Generator
) -> tuple[Tensor, int]:
    """Let `draft` propose and `target` verify; return ids (T + length,) and the target's passes.

    Arguments:
        target, draft: map ids (1, T) to scores (1, T, K) for the next tokens.
        ids: (T,), what comes before, one token at least.
        length, k: how many tokens are written; how many are drafted at a time.
    """
    check_count(len(check_shape(ids, ["T"], "ids")), "length of the prompt")
    end, passes = len(ids) + check_count(length, "length", 0), 0
    k = check_count(k, "k")
    while len(ids) < end:
        told, q = ids, []
        for _ in range(k):
            q.append(draft(told[None])[0, -1].softmax(-1).cpu())
            told = torch.cat([told, q[-1].multinomial(1, generator=g).to(ids)])
        p = target(told[None])[0, -k - 1 :].softmax(-1).cpu()
        stay = verify_draft(p, torch.stack(q), told[-k:].cpu(), g)
        ids, passes = torch.cat([ids, stay.to(ids)]), passes + 1
    return ids[:end], passes
