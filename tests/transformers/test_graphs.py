"""Networks on graphs: along the edges, as dense attention under a mask."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
import torch.nn.functional as F

from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.transformers import graphs
from dlbook_utils.transformers.transformer import attention
from tests.random_weights import draw, shake


def some_graph(n: int = 9, seed: int = 0):
    """Return edges with loops, and who hears whom as a mask (n, n)."""
    linked = torch.rand(n, n, generator=generator(seed)).triu(1) > 0.6
    edges = graphs.link_nodes(linked.nonzero().T, n)
    mask = torch.zeros(n, n, dtype=torch.bool)
    mask[edges[1], edges[0]] = True
    return edges, mask


def same(ours, theirs, inputs):
    g = torch.randn(ours.shape, generator=generator(3)).to(ours)
    slopes, wanted = (
        torch.autograd.grad((out * g).sum(), inputs, retain_graph=True) for out in (ours, theirs)
    )
    assert torch.allclose(ours, theirs)
    for slope, other in zip(slopes, wanted, strict=True):
        assert slope.any()
        assert torch.allclose(slope, other)


def test_each_pair_goes_both_ways_and_each_node_hears_itself():
    edges = graphs.link_nodes(torch.tensor([[0, 1], [2, 2]]), 4)
    assert edges.T.tolist() == [[0, 2], [1, 2], [2, 0], [2, 1], [0, 0], [1, 1], [2, 2], [3, 3]]


def test_message_passing_is_attention_under_the_mask_of_the_graph():
    edges, mask = some_graph()
    Q, K, V = draw(9, 4, seed=1), draw(9, 4, seed=2), draw(9, 6, seed=3)
    scores = (Q[edges[1]] * K[edges[0]]).sum(1) / 2
    ours = graphs.pass_messages(V, edges, graphs.edge_softmax(scores, edges, 9))
    same(ours, attention(Q, K, V, mask)[0], [Q, K, V])
    same(ours, F.scaled_dot_product_attention(Q, K, V, mask), [Q, K, V])


def test_heads_are_attentions_side_by_side_and_large_scores_do_not_overflow():
    edges, mask = some_graph(seed=1)
    V = draw(9, 3, 2)
    scores = draw(edges.shape[1], 3, seed=4)
    weights = graphs.edge_softmax(1000 * scores, edges, 9)
    assert torch.allclose(torch.zeros(9, 3).double().index_add(0, edges[1], weights).detach(),
                          torch.ones(9, 3).double())  # fmt: skip
    ours = graphs.pass_messages(V, edges, graphs.edge_softmax(scores, edges, 9))
    dense = torch.full((9, 9, 3), -torch.inf).double()
    dense = dense.index_put((edges[1], edges[0]), scores).softmax(1)
    same(ours, torch.einsum("vuh,uhm->vhm", dense, V), [V, scores])


def test_degree_weights_are_a_product_of_matrices():
    edges, mask = some_graph(seed=2)
    half = torch.diag(mask.sum(1).double() ** -0.5)
    V = draw(9, 2)
    ours = graphs.pass_messages(V, edges, graphs.degree_weights(edges, 9).double())
    same(ours, half @ mask.double() @ half @ V, [V])


def test_looking_up_words_is_the_product_with_their_shares():
    table = draw(5, 3)
    words = torch.tensor([[0, 4, 2, 3], [0, 0, 1, 3]])  # node 2 has none
    X = torch.zeros(4, 5).double()
    X[0, [0, 4]], X[1, 2], X[3, 3] = 0.5, 1, 1
    ours = graphs.look_up(table, words, 4).double()
    assert torch.allclose(ours, X @ table)
    with pytest.raises(TypeError, match="numbers with a point, not torch.uint8"):
        graphs.look_up(table.byte(), words, 4)


@pytest.mark.parametrize("make", [graphs.GCN, graphs.GAT])
def test_new_numbers_of_the_nodes_give_the_same_answers(make):
    seed_everything(0)
    net = shake(make(5, 4, 3)).float()
    edges, _ = some_graph()
    words = torch.stack([torch.arange(9) % 5, torch.arange(9)])
    order = torch.randperm(9, generator=generator(1))
    moved = torch.stack([words[0], order[words[1]]])
    assert torch.allclose(net(moved, order[edges])[order], net(words, edges), atol=1e-5)


def test_equal_weights_are_those_of_a_plain_mean():
    net = graphs.GAT(5, 4, 3, learned=False).eval()
    assert not net.ask1.requires_grad
    edges, mask = some_graph()
    G = torch.randn(9, 32, generator=generator(0))
    mean = mask.float() @ G / mask.sum(1, keepdim=True)
    assert torch.allclose(net.attend(G, edges, net.ask1, net.tell1), mean, atol=1e-6)


def test_learning_needs_the_edges_where_the_words_say_nothing():
    """Two cliques, all with the same word: only from whom one hears tells the class."""
    pairs = torch.combinations(torch.arange(4))
    edges = graphs.link_nodes(torch.cat([pairs, pairs + 4]).T, 8)
    y = torch.tensor([0] * 4 + [1] * 4)
    words = torch.stack([torch.tensor([0, 2, 2, 2, 1, 2, 2, 2]), torch.arange(8)])
    parts = torch.tensor([0, 4]), torch.tensor([1, 5]), torch.tensor([2, 3, 6, 7])
    ends = []
    for linked in (edges, edges[:, edges[0] == edges[1]]):
        seed_everything(0)
        curve = graphs.learn_nodes(graphs.GCN(3, 8, 2, drop=0.0), (words, linked), y, parts, 0.05,
                                   (0.0, 0.0))  # fmt: skip
        *_, last = islice(curve, 60)
        ends.append(last)
    assert ends[0][1:] == (1.0, 1.0)
    assert ends[1][1] == 0.5


def test_colours_are_those_of_networkx():
    nx = pytest.importorskip("networkx")
    for seed in range(20):
        graph = nx.gnp_random_graph(9, 0.3, seed=seed)
        pairs = torch.tensor(list(graph.edges)).T if graph.edges else torch.zeros(2, 0).long()
        ours = graphs.refine_colours(graphs.link_nodes(pairs, 9), [0] * 9)
        last = nx.weisfeiler_lehman_subgraph_hashes(graph, iterations=9)
        theirs = [last[v][-1] for v in range(9)]
        assert [ours[u] == ours[v] for u in range(9) for v in range(9)] == [
            theirs[u] == theirs[v] for u in range(9) for v in range(9)
        ]


def learned(y: int = 4, train: int = 1, valid: int = 1, edges: int = 4):
    """Take a step on four nodes that hear themselves, or so many of each."""
    nodes = torch.arange(4)
    parts = nodes[:train], nodes[:valid], nodes[3:]
    curve = graphs.learn_nodes(
        graphs.GCN(4, 2, 2), (nodes.repeat(2, 1), nodes[:edges].repeat(2, 1)), nodes[:y] % 2,
        parts, 0.1, (0.0, 0.0))  # fmt: skip
    return next(curve)


def test_colours_are_whole_numbers():
    with pytest.raises(TypeError, match="a colour must be a whole number, not nan"):
        graphs.refine_colours(torch.tensor([[0], [1]]), [float("nan")] * 3)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: graphs.link_nodes(torch.tensor([[0], [3]]), 3), "nodes 3 to 3, expected 0 to 2"),
        (lambda: graphs.link_nodes(torch.zeros(3, 2), 3), r"int64 \(2, E\), got torch.float32"),
        (
            lambda: graphs.pass_messages(
                torch.zeros(2, 3), torch.tensor([[0], [1]]), torch.ones(2)
            ),
            r"weights must have shape \(1,\), got \(2,\)",
        ),
        (lambda: graphs.GCN(3, 4, 2, depth=0), "depth must be 1 or more, got 0"),
        (lambda: graphs.GCN(3, 0, 2), "m must be 1 or more, got 0"),
        (lambda: graphs.GCN(3, 4, 0), "K must be 1 or more, got 0"),
        (lambda: graphs.GCN(3, 4, 2, drop=2.0), "drop must lie in 0..1, found 2.0"),
        (lambda: graphs.GAT(3, 4, 2, heads=0), "heads must be 1 or more, got 0"),
        (lambda: graphs.GAT(3, 4, 2, drop=float("nan")), "drop must lie in 0..1, found nan"),
        (
            lambda: graphs.link_nodes(torch.tensor([[0, 1], [1, 1]]), 3),
            r"paired with themselves: nodes \[1\]",
        ),
        (lambda: learned(y=1), r"y must have shape \(4,\), got \(1,\)"),
        (lambda: learned(train=0), "nodes in a part must be 1 or more, got 0"),
        (lambda: learned(valid=0), "nodes in a part must be 1 or more, got 0"),
        (lambda: learned(edges=0), "the number of edges must be 1 or more, got 0"),
    ],
)
def test_graphs_that_are_none_are_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()
