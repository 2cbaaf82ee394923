"""Networks on graphs, as built in the chapter on them: attention along the edges.

A graph has n nodes, numbered from 0. Messages go along `edges`, int64 (2, E): the first row says
who sends, the second who receives. Both directions of a citation are two of them, and a node that
hears itself has an edge to itself. H (n, d) holds a row for each node.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.page.guards import check_between, check_count, check_edges, check_shape


def link_nodes(pairs: Tensor, n: int) -> Tensor:
    """Return the edges (2, 2 m + n) of m pairs (2, m): there, back, and of each node to itself.

    Each pair is to be listed once, in either order: what is listed twice counts twice. Raises
    ValueError for a node outside 0..n-1 and for one that makes a pair with itself.
    """
    pairs = check_edges(pairs, n, check_count(n, "n"))
    alone = pairs[0, pairs[0] == pairs[1]].tolist()
    if alone:
        raise ValueError(f"paired with themselves: nodes {alone}")
    own = torch.arange(n, device=pairs.device).repeat(2, 1)
    return torch.cat([pairs, pairs.flip(0), own], 1)


def pass_messages(H: Tensor, edges: Tensor, weights: Tensor, n: int | None = None) -> Tensor:
    """Return for each of n receivers the weighted sum of what its neighbours send.

    Arguments:
        H: (senders, ..., d).
        edges: (2, E), see the module.
        weights: (E, ...), one for each edge, or for each edge and head.
        n: how many receive; as many as send by default.

    Returns (n, ..., d). Raises ValueError for shapes or edges that do not fit.
    """
    n = len(H) if n is None else n
    sender, receiver = check_edges(edges, len(H), n)
    check_shape(weights, [len(sender), *H.shape[1:-1]], "weights")
    messages = weights[..., None] * H.index_select(0, sender)  # (E, ..., d)
    return H.new_zeros(n, *H.shape[1:]).index_add(0, receiver, messages)


def edge_softmax(scores: Tensor, edges: Tensor, n: int) -> Tensor:
    """Return weights (E, ...): positive, and for each receiver those that reach it sum to 1."""
    receiver = check_edges(edges, n, n)[1]
    check_shape(scores, [len(receiver), *scores.shape[1:]], "scores")
    place = receiver.view(-1, *[1] * (scores.ndim - 1)).expand_as(scores)
    top = scores.new_zeros(n, *scores.shape[1:]).scatter_reduce(
        0, place, scores.detach(), "amax", include_self=False
    )
    weights = (scores - top.index_select(0, receiver)).exp()  # the largest is 1
    total = torch.zeros_like(top).index_add(0, receiver, weights)
    return weights / total.index_select(0, receiver)


def degree_weights(edges: Tensor, n: int) -> Tensor:
    """Return for each edge 1 / sqrt(how many the sender hears times how many the receiver hears).

    Source: T. N. Kipf, M. Welling (2017), arXiv:1609.02907.
    """
    sender, receiver = check_edges(edges, n, check_count(n, "n"))
    count = receiver.bincount(minlength=n).clamp(min=1).float()
    return (count[sender] * count[receiver]).rsqrt()


def check_settings(drop: float, **sizes: int) -> None:
    """Raise unless the sizes of a network are 1 or more, and the share to drop is one."""
    for name, size in sizes.items():
        check_count(size, name)
    check_between(torch.tensor(drop), 0, 1, "drop")


def count_nodes(edges: Tensor) -> int:
    """Return the largest number in edges (2, E) plus 1: n if each node hears itself.

    Raises ValueError where there is no edge.
    """
    check_count(edges.shape[-1], "the number of edges")
    n = int(edges.max()) + 1
    check_edges(edges, n, n)
    return n


def glorot(*shape: int) -> nn.Parameter:
    """Return a parameter, uniform within sqrt(6 / (rows + columns)) of 0."""
    return nn.Parameter(nn.init.xavier_uniform_(torch.empty(*shape)))


class GCN(nn.Module):
    """A graph convolutional network: maps without biases, and after each a sum over neighbours.

    Arguments:
        d, m, K: words, hidden features, classes.
        depth: how many maps.
        drop: share of the inputs of each map that is dropped in training.

    Called with words (2, W), edges from a word to a node, and edges (2, E) between the n nodes, it
    returns scores (n, K). Each node gets every edge to it counted, so at least one must reach it.
    Source: T. N. Kipf, M. Welling (2017), arXiv:1609.02907.
    """

    def __init__(self, d: int, m: int, K: int, depth: int = 2, drop: float = 0.5):
        super().__init__()
        check_settings(drop, d=d, m=m, K=K)
        sizes = [d, *[m] * (check_count(depth, "depth") - 1), K]
        self.maps = nn.ParameterList(glorot(*pair) for pair in pairwise(sizes))
        self.drop = drop

    def forward(self, words: Tensor, edges: Tensor) -> Tensor:
        n = count_nodes(edges)
        weights = degree_weights(edges, n)
        H = look_up(self.maps[0], words, n, self.drop * self.training)
        H = pass_messages(H, edges, weights)
        for W in self.maps[1:]:
            H = F.dropout(H.relu(), self.drop, self.training) @ W
            H = pass_messages(H, edges, weights)
        return H


def look_up(table: Tensor, words: Tensor, n: int, drop: float = 0.0) -> Tensor:
    """Return the mean row of table (d, m) over the words of each of n nodes; some are dropped.

    `words` (2, W) are edges from a word to a node that has it. In effect X @ table, for X (n, d)
    whose rows sum to 1, without storing its zeros; a word that a node has twice counts twice.
    """
    word, node = check_edges(words, len(table), n)
    if not table.is_floating_point():
        raise TypeError(f"table must be numbers with a point, not {table.dtype}")
    share = (1 / node.bincount(minlength=n).clamp(min=1)[node]).to(table)
    X = torch.sparse_coo_tensor(
        words.flip(0), F.dropout(share, drop), (n, len(table)), check_invariants=False
    )
    return torch.sparse.mm(X, table)


def learn_nodes(
    net: nn.Module,
    graph: tuple[Tensor, Tensor],
    y: Tensor,
    parts: tuple[Tensor, Tensor, Tensor],
    lr: float,
    decay: tuple[float, float],
) -> Iterator[tuple[float, float, float]]:
    """Train on some nodes of a graph, a step at a time; after each, say how it goes on others.

    Arguments:
        net: called with `graph`, it returns scores (n, K).
        y: classes (n,).
        parts: nodes to train on, to validate and to test.
        lr: of Adam.
        decay: how strongly the first parameter is held back, and how strongly all others.

    Yields the loss and the accuracy on the validation nodes, and the accuracy on the test nodes.
    Raises ValueError for a part without nodes and for other than n classes.
    """
    train, valid, test = parts
    for part in parts:
        check_count(len(part), "nodes in a part")
    first, *others = net.parameters()
    adam = torch.optim.Adam(
        [
            {"params": [first], "weight_decay": decay[0]},
            {"params": others, "weight_decay": decay[1]},
        ],
        lr,
    )
    while True:
        net.train()
        loss = F.cross_entropy(net(*graph)[train], y[train])
        adam.zero_grad()
        loss.backward()
        adam.step()
        net.eval()
        with torch.no_grad():
            scores = net(*graph)
        check_shape(y, [len(scores)], "y")
        hits = (scores.argmax(1) == y).float()
        loss = F.cross_entropy(scores[valid], y[valid])
        yield loss.item(), hits[valid].mean().item(), hits[test].mean().item()


class GAT(nn.Module):
    """A graph attention network of two layers; the first has several heads side by side.

    Arguments:
        d, m, K: words, features of each head, classes.
        heads: in the first layer; the second has one.
        drop: share of inputs, of mapped features and of weights that is dropped in training.
        learned: whether scores are learned; else all neighbours count the same.

    Called as GCN is. Source: P. Velickovic et al. (2018), arXiv:1710.10903.
    """

    def __init__(
        self,
        d: int,
        m: int,
        K: int,
        heads: int = 8,
        drop: float = 0.6,
        learned: bool = True,
    ):
        super().__init__()
        check_settings(drop, d=d, m=m, K=K, heads=heads)
        self.table, self.second = glorot(d, heads * m), glorot(heads * m, K)
        self.bias1, self.bias2 = (nn.Parameter(torch.zeros(k)) for k in (heads * m, K))
        self.ask1, self.tell1, self.ask2, self.tell2 = (
            glorot(*shape).requires_grad_(learned) for shape in [(heads, m)] * 2 + [(1, K)] * 2
        )
        self.learned, self.drop = learned, drop

    def score(self, G: Tensor, edges: Tensor, ask: Tensor, tell: Tensor) -> Tensor:
        """Return the score (E, heads) of each edge: what the receiver asks plus what the sender
        tells, through a leaky ReLU.
        """
        both = sum(
            (G * a).sum(-1).index_select(0, ends) for a, ends in zip((ask, tell), edges.flip(0))
        )
        return F.leaky_relu(both, 0.2) * self.learned  # type: ignore[arg-type]

    def attend(self, G: Tensor, edges: Tensor, ask: Tensor, tell: Tensor) -> Tensor:
        """Return (n, heads m) from G (n, heads m): each head takes a mean over neighbours."""
        G = G.unflatten(1, ask.shape)  # (n, heads, m)
        weights = edge_softmax(self.score(G, edges, ask, tell), edges, len(G))
        drop = self.drop * self.training
        return pass_messages(F.dropout(G, drop), edges, F.dropout(weights, drop)).flatten(1)

    def forward(self, words: Tensor, edges: Tensor) -> Tensor:
        drop, n = self.drop * self.training, count_nodes(edges)
        G = look_up(self.table, words, n, drop)
        H = F.elu(self.attend(G, edges, self.ask1, self.tell1) + self.bias1)
        G = F.dropout(H, drop) @ self.second
        return self.attend(G, edges, self.ask2, self.tell2) + self.bias2


def refine_colours(edges: Tensor, colours: list[int]) -> list[int]:
    """Return the colours of the nodes after as many rounds as bring new ones.

    A round gives nodes different colours if their own or those of their neighbours (how often
    each, in no order) differed: the one-dimensional Weisfeiler-Leman test. Raises TypeError for
    colours that are no whole numbers.
    """
    n = len(colours)
    colours = [check_count(colour, "a colour", 0) for colour in colours]
    pairs = check_edges(edges, n, n).T.tolist()
    while True:
        heard: list[list[int]] = [[] for _ in range(n)]
        for sender, receiver in pairs:
            heard[receiver].append(colours[sender])
        seen = [(own, tuple(sorted(near))) for own, near in zip(colours, heard)]
        numbers = {entry: k for k, entry in enumerate(sorted(set(seen)))}
        if len(numbers) == len(set(colours)):
            return colours
        colours = [numbers[entry] for entry in seen]
