"""Language models as built in the chapter of that name: tokenisers, GPT, training and writing.

Texts are rows of ids, int64 (n, T). A model maps them to scores (n, T, K): those at place t are
for what stands at place t + 1 (GPT), or at place t itself where it is hidden (BERT).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import inf
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.foundations.optimisation import cosine
from dlbook_utils.page.devices import generator
from dlbook_utils.page.guards import check_count, check_loss, check_shape
from dlbook_utils.sequences.rnn import sequence_loss
from dlbook_utils.transformers.transformer import EncoderBlock, causal_mask

Pair = tuple[int, int]
PIECES = re.compile(r" ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


class Characters:
    """A token for each character of an alphabet.

    `encode` raises KeyError for any other character.
    """

    def __init__(self, alphabet: str):
        self.alphabet = alphabet
        self.ids = {c: k for k, c in enumerate(alphabet)}

    def __len__(self) -> int:
        return len(self.alphabet)

    def encode(self, text: str) -> list[int]:
        """Return an id for each character."""
        return [self.ids[c] for c in text]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text that ids stand for."""
        return "".join(self.alphabet[k] for k in ids)


def merge(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    """Replace each occurrence of a pair of neighbours, from the left, by one new id."""
    out: list[int] = []
    left, right = pair
    for k in ids:
        if out and out[-1] == left and k == right:
            out[-1] = new
        else:
            out.append(k)
    return out


def learn_merges(text: str, n: int) -> list[Pair]:
    """Return the n pairs of tokens that byte pair encoding merges, the first first.

    Tokens 0 to 255 are bytes, token 256 + k is the k-th pair. Pairs are counted inside the pieces
    of text that PIECES finds; of equally frequent ones the larger ids win. Fewer than n come back
    when nothing is left to merge. Source: R. Sennrich et al. (2016), doi:10.18653/v1/P16-1162.
    """
    check_count(n, "n", 0)
    words = [(list(w.encode()), c) for w, c in Counter(PIECES.findall(text)).items()]
    pairs: Counter[Pair] = Counter()
    where: dict[Pair, set[int]]
    merges: list[Pair]
    where, merges = defaultdict(set), []
    for i, (ids, count) in enumerate(words):
        for pair in pairwise(ids):
            pairs[pair] += count
            where[pair].add(i)
    while len(merges) < n and pairs:
        best = max(pairs.items(), key=lambda item: item[::-1])[0]
        for i in where.pop(best):
            old, count = words[i]
            ids = merge(old, best, 256 + len(merges))
            for pair in pairwise(old):
                pairs[pair] -= count
            for pair in pairwise(ids):
                pairs[pair] += count
                where[pair].add(i)
            words[i] = ids, count
        merges.append(best)
        pairs = +pairs
    return merges


class BPE:
    """Tokens that are bytes or merged pairs of tokens; any text can be encoded.

    Arguments:
        merges: pairs of ids, such as `learn_merges` returns.
    """

    def __init__(self, merges: Sequence[Pair]):
        merges = [(int(a), int(b)) for a, b in merges]  # a tensor's, too
        self.ranks = {pair: 256 + k for k, pair in enumerate(merges)}
        self.pieces = [bytes([b]) for b in range(256)]
        for a, b in merges:
            self.pieces.append(self.pieces[a] + self.pieces[b])
        self.known: dict[str, list[int]] = {}  # what was encoded before

    def __len__(self) -> int:
        return len(self.pieces)

    def split(self, word: str) -> list[int]:
        """Return the ids of one piece of text: the earliest learned pair is merged first."""
        ids = list(word.encode())
        while len(ids) > 1:
            best = min(pairwise(ids), key=lambda pair: self.ranks.get(pair, inf))
            if best not in self.ranks:
                break
            ids = merge(ids, best, self.ranks[best])
        return ids

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        words = PIECES.findall(text)
        for word in set(words) - self.known.keys():
            self.known[word] = self.split(word)
        return [k for word in words for k in self.known[word]]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text that ids stand for; bytes that are no UTF-8 become U+FFFD."""
        return b"".join(self.pieces[k] for k in ids).decode(errors="replace")


Draw = Callable[[torch.Generator], tuple[Tensor, Tensor]]


def start_small(model: nn.Module, depth: int, deviation: float = 0.02) -> None:
    """Start a stack of blocks as GPT-2 does, and take all biases away.

    Weights are normal with the deviation given; those of maps that add to the way past the blocks
    are smaller by the root of 2 depth, the number of such maps. Source: A. Radford et al. (2019).
    """
    for name, module in model.named_modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            adds = name.endswith(("attend.out", "feed.down"))
            shrink = (2 * depth) ** 0.5 if adds else 1
            nn.init.normal_(module.weight, std=deviation / shrink)
        if getattr(module, "bias", None) is not None:
            module.register_parameter("bias", None)


class GPT(nn.Module):
    """A stack of Transformer blocks that says what comes next.

    Arguments:
        tokens: how many there are; ids run from 0.
        block: the longest text it can read, in tokens.
        d, heads, depth: features, heads of each block, number of blocks (hidden units: 4 d).
        causal: look to the left only; without, it is the body of BERT.
        deviation: of the first weights.

    Called with ids (n, T), T <= block, it returns scores (n, T, tokens). The table of tokens
    serves as input and as output. There are no biases and no dropout. Raises ValueError for
    longer texts. Source: A. Radford et al. (2018, 2019); the settings of A. Karpathy's nanoGPT.
    """

    def __init__(
        self,
        tokens: int,
        block: int,
        d: int,
        heads: int,
        depth: int,
        causal: bool = True,
        deviation: float = 0.02,
    ):
        super().__init__()
        self.table = nn.Embedding(tokens, d)
        self.places = nn.Embedding(block, d)
        self.blocks = nn.ModuleList(
            EncoderBlock(d, heads, 4 * d, F.gelu) for _ in range(check_count(depth, "depth", 0))
        )
        self.norm = nn.LayerNorm(d)
        self.causal = causal
        start_small(self, depth, deviation)

    def hidden(self, ids: Tensor) -> Tensor:
        """Return a vector for each place, (n, T, d), from which the scores are computed."""
        check_shape(ids, ["n", "T"], "ids")
        T, block = ids.shape[1], self.places.num_embeddings
        if block < T:
            raise ValueError(f"it reads at most {block} tokens, got {T}")
        mask = causal_mask(T, ids.device) if self.causal else None
        x = self.table(ids) + self.places.weight[:T]
        for layer in self.blocks:
            x = layer(x, mask)
        return self.norm(x)

    def forward(self, ids: Tensor) -> Tensor:
        return self.hidden(ids) @ self.table.weight.T


def draw_blocks(ids: Tensor, n: int, T: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return n random stretches of a text as x (n, T), and y, what follows each token of x.

    Raises ValueError unless T is in 1..len(ids) - 1.
    """
    check_count(T, "T", 1, len(ids) - 1)
    starts = torch.randint(len(ids) - T, (n, 1), generator=g).to(ids.device)
    places = starts + torch.arange(T, device=ids.device)
    return ids[places], ids[places + 1]


def adamw_for(model: nn.Module, rate: float, decay: float = 0.1) -> torch.optim.AdamW:
    """Return an AdamW that lets matrices decay, but no gains (and no biases)."""
    groups = [[p for p in model.parameters() if (p.ndim >= 2) == big] for big in (True, False)]
    return torch.optim.AdamW(
        [{"params": groups[0], "weight_decay": decay}, {"params": groups[1], "weight_decay": 0.0}],
        rate, betas=(0.9, 0.99), fused=True,
    )  # fmt: skip


def train_language_model(
    model: nn.Module, draw: Draw, steps: int, rate: float, seed: int, warm: int = 100
) -> list[float]:
    """Train on the batches (x, y) that `draw` draws; return the loss of each step, in nats.

    The rate rises for `warm` steps and falls along half a cosine to a tenth; gradients longer
    than 1 are cut. Raises TrainingFailed as soon as the loss is not finite.
    """
    adam, g, losses = adamw_for(model, rate), generator(seed), []
    model.train()
    for t in range(check_count(steps, "steps", 0)):
        rising = (t + 1) / (warm + 1)
        factor = rising if t < warm else cosine(t - warm, steps - warm, 0.1)
        for group in adam.param_groups:
            group["lr"] = rate * factor
        x, y = draw(g)
        loss = sequence_loss(model(x), y)
        losses.append(check_loss(loss, 1, t + 1))
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
    return losses


@torch.no_grad()
def token_losses(model: nn.Module, ids: Tensor, T: int, n: int = 64) -> Tensor:
    """Return the loss of every token of a text but the first, in nats, (len(ids) - 1,).

    The text is read in stretches of T tokens that do not overlap, n at a time.
    """
    check_count(T, "T", 1, len(ids) - 1)
    model.eval()
    whole = (len(ids) - 1) // T * T
    x, y = ids[:whole].view(-1, T), ids[1 : whole + 1].view(-1, T)
    parts = [
        *zip(x.split(n), y.split(n), strict=True),
        (ids[None, whole:-1], ids[None, whole + 1 :]),
    ]
    return torch.cat(
        [F.cross_entropy(model(a).flatten(0, 1), b.flatten(), reduction="none")
         for a, b in parts if a.numel()]
    )  # fmt: skip


def next_probabilities(
    scores: Tensor, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
) -> Tensor:
    """Return the probabilities (..., K) from which the next token is drawn, given scores.

    Arguments:
        temperature: scores are divided by it.
        top_k: at most so many tokens stay in; 1 is greedy.
        top_p: the fewest tokens stay in whose probabilities sum to this (nucleus sampling).

    Raises ValueError unless temperature, top_p and top_k (if given) are positive.
    """
    if temperature <= 0 or top_p <= 0 or (top_k is not None and top_k < 1):
        raise ValueError(
            f"temperature, top_p and top_k are positive, got {temperature}, {top_p}, {top_k}"
        )
    p = (scores / temperature).softmax(-1)
    ranked, order = p.sort(dim=-1, descending=True)
    better = ranked.float().cumsum(-1) - ranked  # what the better ones sum to
    stays = (better < top_p) | bool(top_p >= 1)
    stays[..., top_k:] &= top_k is None
    p = torch.zeros_like(p).scatter(-1, order, ranked * stays)
    return p / p.sum(-1, keepdim=True)


def read_on(
    model: GPT, ids: Tensor, past: list[tuple[Tensor, Tensor]] | None = None
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Return the scores (n, T, K) after ids (n, T) that follow what `past` was made from.

    The past is a pair of keys and values (n, heads, S, d / heads) for each block of the model;
    it comes back with T places more. Raises ValueError for a model that also looks to the right,
    whose keys and values change with each token, and for longer texts than it can read.
    """
    check_shape(ids, ["n", "T"], "ids")
    start = 0 if past is None else past[0][0].shape[2]
    end, block = start + ids.shape[1], model.places.num_embeddings
    if not model.causal or end > block:
        raise ValueError(
            f"only a causal model reads on, {block} tokens at "
            f"most: causal = {model.causal}, {end} tokens"
        )
    mask, grown = causal_mask(end, ids.device)[start:], []
    x = model.table(ids) + model.places.weight[start:end]
    layer: Any  # nn.ModuleList does not say what it holds
    for k, layer in enumerate(model.blocks):
        h = layer.add1.norm(x)
        K, V = layer.attend.keys_values(h)
        if past is not None:
            K = torch.cat([past[k][0], K], 2)
            V = torch.cat([past[k][1], V], 2)
        x = x + layer.attend.mix(h, K, V, mask)[0]
        x = layer.add2(x, layer.feed)
        grown.append((K, V))
    return model.norm(x) @ model.table.weight.T, grown


@torch.no_grad()
def generate(
    model: GPT,
    ids: Tensor,
    length: int,
    g: torch.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    cached: bool = True,
) -> Tensor:
    """Let a GPT continue each of the ids (n, T) by `length` tokens; return (n, T + length).

    When a text outgrows the model's block, all but its last half block is forgotten.

    Arguments:
        g: where the random numbers come from.
        temperature, top_k, top_p: as in next_probabilities.
        cached: keep keys and values, instead of computing all of them for each token.

    Raises ValueError for a prompt without a token, and like `read_on`.
    """
    model.eval()
    check_shape(ids, ["n", "T"], "ids")
    check_count(ids.shape[1], "length of the prompt")
    block, start, past = model.places.num_embeddings, 0, None
    for _ in range(check_count(length, "length", 0)):
        if ids.shape[1] - start > block:
            start, past = ids.shape[1] - max(block // 2, 1), None
        if cached:
            new = ids[:, start:] if past is None else ids[:, -1:]
            scores, past = read_on(model, new, past)
        else:
            scores = model(ids[:, start:])
        p = next_probabilities(scores[:, -1], temperature, top_k, top_p)
        drawn = p.cpu().multinomial(1, generator=g).to(ids.device)
        ids = torch.cat([ids, drawn], dim=1)
    return ids
