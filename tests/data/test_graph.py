"""Graphs: what they are made of, how Planetoid's files are read, and the stand-in."""

from __future__ import annotations

import pickle
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch

from dlbook_utils import data
from dlbook_utils.data import formats, registry, standins
from tests.data.test_data import given, needs_real_data

__all__ = ["given"]  # a fixture


def some_graph(**changes) -> data.Graph:
    settings = {
        "x": torch.tensor([[1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]]).bool(),
        "edges": torch.tensor([[0, 0, 2], [1, 3, 3]]),
        "y": torch.tensor([0, 0, 1, 1]),
        "nodes": torch.tensor([3, 0]),
        "classes": ("a", "b"),
        "name": "some",
    }
    return data.Graph(**(settings | changes))


def test_a_split_of_a_graph_asks_about_some_nodes_of_the_whole():
    graph = some_graph()
    assert (len(graph), repr(graph)) == (2, "Graph(some: 2 of 4 nodes, 3 edges)")
    assert graph[1:].nodes.tolist() == [0]
    assert graph[[1]].edges.shape == (2, 3)
    assert graph.inputs().tolist() == [[0.5, 0.5, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]]
    whole = some_graph(nodes=torch.arange(4))
    for half in data.split(whole, 0.5, 0.5):
        assert half.y[half.nodes].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x": torch.zeros(4, 3)}, r"words must be bool \(n, d\), got torch.float32 \(4, 3\)"),
        ({"edges": torch.zeros(3, 2).long()}, r"int64 \(2, m\), got torch.int64 \(3, 2\)"),
        ({"edges": torch.zeros(2, 3)}, r"int64 \(2, m\), got torch.float32"),
        ({"edges": torch.tensor([[0, 2], [1, 1]])}, r"an edge \[2, 1\], expected two nodes of 0 t"),
        ({"edges": torch.tensor([[0], [0]])}, r"an edge \[0, 0\]"),
        ({"edges": torch.tensor([[0], [4]])}, r"an edge \[0, 4\], expected two nodes of 0 to 3"),
        ({"edges": torch.tensor([[0, 0], [1, 1]])}, "an edge is there twice"),
        ({"nodes": torch.tensor([0.0])}, r"nodes must be int64 \(k,\), got torch.float32 \(1,\)"),
        ({"nodes": torch.tensor([0, 4])}, "nodes 0 to 4, expected some of 0 to 3"),
        ({"y": torch.tensor([0, 0, 1, 2])}, "label 2 is out of range"),
    ],
)
def test_a_graph_that_is_none_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        some_graph(**changes)


class Rows:
    """Pickles as Python 2 pickled a matrix of SciPy."""

    def __init__(self, dense):
        self.dense = np.array(dense, np.float32)

    def __reduce__(self):
        row, column = self.dense.nonzero()
        arrays = {
            "data": np.ones(len(row), np.float32),
            "indices": column.astype(np.int32),
            "indptr": np.searchsorted(row, np.arange(len(self.dense) + 1)).astype(np.int32),
            "_shape": self.dense.shape,
        }
        return (_matrix, (), arrays)


def _matrix():
    raise AssertionError("SciPy's own class is not asked")


def planetoid_files(index: bytes = b"4\n3\n") -> dict[str, bytes]:
    """Five nodes, of which 4 and 3 (in this order) are the test's; 0 and 1 are neighbours twice."""
    near = defaultdict(list, {0: [1, 1, 4], 1: [0], 2: [2], 3: [], 4: [0]})
    parts = {
        "allx": Rows([[1, 0], [0, 1], [1, 1]]),
        "ally": np.eye(7, dtype=np.int32)[[0, 1, 2]],
        "tx": Rows([[0, 0], [1, 0]]),
        "ty": np.eye(7, dtype=np.int32)[[5, 6]],
        "graph": near,
    }
    old_names = {
        b"ctests.data.test_graph\n_matrix\n": b"cscipy.sparse.csr\ncsr_matrix\n",
        b"cnumpy._core": b"cnumpy.core",
        b"cbuiltins\nlist": b"c__builtin__\nlist",
    }
    files = {"test.index": index}
    for name, part in parts.items():
        files[name] = pickle.dumps(part, 3)
        for ours, theirs in old_names.items():
            files[name] = files[name].replace(ours, theirs)
    return files


def read(files: dict[str, bytes], split: str = "train", **sizes) -> data.Graph:
    sizes = {"train": 1, "valid": 2, "test": 2} | sizes
    source = replace(registry.find("cora"), sizes=sizes)
    return formats.citations(source, lambda file: files[file.path.split("cora.")[-1]], split)


def test_planetoid_files_are_put_in_order_of_their_nodes():
    graph = read(planetoid_files())
    assert graph.y.tolist() == [0, 1, 2, 6, 5]
    assert graph.x.int().tolist() == [[1, 0], [0, 1], [1, 1], [1, 0], [0, 0]]
    assert graph.edges.T.tolist() == [[0, 1], [0, 4]]  # once each, and none from 2 to itself
    assert [read(planetoid_files(), part).nodes.tolist() for part in ("valid", "test")] == [
        [1, 2],
        [4, 3],
    ]
    with pytest.raises(data.DataError, match="test.index is no order of 3 to 4"):
        read(planetoid_files(b"4\n2\n"))
    with pytest.raises(data.DataError, match="cora/test: 2 items, expected 3"):
        read(planetoid_files(), "test", test=3)


def test_what_could_run_code_is_refused():
    files = planetoid_files() | {"graph": pickle.dumps(print, 3)}
    with pytest.raises(pickle.UnpicklingError, match="print, which is refused"):
        read(files)


def test_made_up_papers_have_the_form_of_the_real_ones():
    source = registry.find("cora")
    parts = {split: standins.papers(source, split) for split in source.splits}
    train = parts["train"]
    assert (len(train), train.x.shape[1], len(train.classes), train.real) == (140, 1433, 7, False)
    assert train.y[train.nodes].bincount().tolist() == [20] * 7
    asked = torch.cat([part.nodes for part in parts.values()])
    assert asked.sort().values.tolist() == list(range(len(train.y)))
    first, second = train.y[train.edges]
    assert 0.75 < (first == second).float().mean() < 0.9


@needs_real_data
def test_real_papers_are_those_of_the_files(given):
    parts = {split: data.load("cora", split) for split in ("train", "valid", "test")}
    assert [len(part) for part in parts.values()] == [140, 500, 1000]
    graph = parts["train"]
    assert tuple(graph.x.shape) == (2708, 1433)
    assert int(graph.x.sum()) == 49_216
    assert graph.edges.shape == (2, 5278)
    assert graph.y.bincount().tolist() == [351, 217, 418, 818, 426, 298, 180]
    assert graph.y[graph.nodes].bincount().tolist() == [20] * 7
    assert parts["test"].nodes[:3].tolist() == [2692, 2532, 2050]
    assert parts["test"].nodes.sort().values.tolist() == list(range(1708, 2708))
