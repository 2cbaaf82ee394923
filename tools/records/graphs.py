"""Train networks on Cora as published, longer and more often than a page may.

usage: OMP_NUM_THREADS=1 python -m tools.records.graphs [--seeds 20] [ARM ...]

Graph convolutions (Kipf and Welling 2017) and graph attention (Velickovic et al. 2018), each by
its paper's rates and its repository's rule for stopping, on the public split or, with --split
random, on random splits of the same sizes. "No edges" is the convolutional network on a graph in
which each node hears itself alone, "equal weights" the attention network with all scores 0. The
"deep" arms vary the number of layers: 200 steps, of which the one with the least validation loss
counts. Appends a line per run to records/graphs.jsonl; runs that stand there are left out, so the
command can be stopped and called again.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils import data, records
from dlbook_utils.page.devices import device, generator, seed_everything
from dlbook_utils.records import ledger, provenance
from dlbook_utils.transformers.graphs import GAT, GCN, learn_nodes, link_nodes

RECORD = records.folder() / "graphs.jsonl"
MOST = 3000  # steps, where a rule for stopping does not come first
DEPTHS = (2, 4, 8, 16)
Curve = Iterator[tuple[float, float, float]]
Result = tuple[float, float, int]  # accuracy to validate and to test, and steps


def stop_by_window(curve: Curve, steps: int = 200, window: int = 10) -> Result:
    """Stop when the validation loss is above the mean of the last ones; the last step counts.

    As in gcn/train.py of https://github.com/tkipf/gcn.
    """
    losses: list[float] = []
    for loss, valid, test in islice(curve, steps):  # noqa: B007
        before = losses[-window:]
        losses.append(loss)
        if len(losses) > window + 1 and loss > sum(before) / window:
            break
    return valid, test, len(losses)


def stop_by_patience(curve: Curve, patience: int = 100) -> Result:
    """Stop when neither loss nor accuracy has been as good as the best for so many steps; the last
    step counts at which both were.

    As in execute_cora.py of https://github.com/PetarV-/GAT.
    """
    least, most, waited, kept, step = float("inf"), 0.0, 0, (0.0, 0.0), 0
    for step, (loss, valid, test) in enumerate(islice(curve, MOST), 1):  # noqa: B007
        if valid >= most or loss <= least:
            if valid >= most and loss <= least:
                kept = valid, test
            least, most, waited = min(loss, least), max(valid, most), 0
        else:
            waited += 1
            if waited == patience:
                break
    return *kept, step


def best_of(curve: Curve, steps: int = 200) -> Result:
    """Take the step with the least validation loss."""
    step, (_, valid, test) = min(enumerate(islice(curve, steps), 1), key=lambda entry: entry[1][0])
    return valid, test, step


def arms(d: int, K: int) -> dict[str, tuple[Callable[[], nn.Module], bool, Any, dict[str, Any]]]:
    """Return of each arm: its net, whether it has edges, its rule to stop, and how it learns."""
    gcn = {"lr": 0.01, "decay": (5e-4, 0.0)}
    gat = {"lr": 0.005, "decay": (5e-4, 5e-4)}
    made: dict[str, tuple[Callable[[], nn.Module], bool, Any, dict[str, Any]]] = {
        "GCN": (lambda: GCN(d, 16, K), True, stop_by_window, gcn),
        "no edges": (lambda: GCN(d, 16, K), False, stop_by_window, gcn),
        "GAT": (lambda: GAT(d, 8, K), True, stop_by_patience, gat),
        "equal weights": (lambda: GAT(d, 8, K, learned=False), True, stop_by_patience, gat),
    }
    for depth in DEPTHS:
        for name, edges in (("deep", True), ("deep no edges", False)):
            made[f"{name} {depth}"] = (partial(GCN, d, 16, K, depth), edges, best_of, gcn)
    return made


def random_parts(
    y: Tensor, sizes: tuple[int, int, int], g: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return nodes to train on, to validate and to test, at random.

    Arguments:
        y: classes (n,).
        sizes: how many of each class to train on, and how many in all to validate and to test.
        g: what draws.
    """
    order = torch.randperm(len(y), generator=g)
    rank = F.one_hot(y.cpu()[order]).cumsum(0)  # (n, K): how many of class k so far
    chosen = rank[torch.arange(len(y)), y.cpu()[order]] <= sizes[0]
    rest = order[~chosen]
    if len(rest) < sizes[1] + sizes[2]:
        raise ValueError(f"{len(rest)} nodes are left for {sizes[1]} and {sizes[2]}")
    return order[chosen], rest[: sizes[1]], rest[sizes[1] : sizes[1] + sizes[2]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("arm", nargs="*", help="all by default")
    parser.add_argument("--split", choices=("public", "random"), default="public")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start none after")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    graphs = [data.load("cora", part) for part in ("train", "valid", "test")]
    graph, n = graphs[0], len(graphs[0].y)
    if not graph.real:
        raise SystemExit("cora: a record is made from the real data only")
    y, words = graph.y.to(device()), graph.x.nonzero().T.flip(0).to(device())
    edges = link_nodes(graph.edges, n).to(device())
    own = edges[:, edges[0] == edges[1]]
    sha = hashlib.sha256(graph.x.numpy().tobytes() + graph.edges.numpy().tobytes())
    digest = f"cora {sha.hexdigest()[:16]}"
    known, begun = {run["key"] for run in ledger.read(RECORD)}, time.monotonic()
    settings = arms(graph.x.shape[1], len(graph.classes))
    for seed in range(asked.seeds):
        for name in asked.arm or list(settings):
            key = f"{name}, {asked.split}, seed {seed}"
            if key in known:
                continue
            if time.monotonic() - begun > asked.seconds:
                return
            parts = tuple(part.nodes for part in graphs)
            if asked.split == "random":
                parts = random_parts(graph.y, (20, 500, 1000), generator(1000 + seed))
            make, linked, rule, learn = settings[name]
            start = time.process_time()
            seed_everything(seed)
            curve = learn_nodes(
                make().to(device()),
                (words, edges if linked else own),
                y,
                tuple(part.to(device()) for part in parts),  # type: ignore[arg-type]
                **learn,
            )
            valid, test, steps = rule(curve)
            row = {"key": key, "arm": name, "split": asked.split, "seed": seed}
            row |= {"steps": steps, "valid": round(valid, 4), "test": round(test, 4)}
            row |= provenance.origin(device(), seed, digest, round(time.process_time() - start, 1))
            ledger.append(RECORD, row)
            print(key, row["valid"], row["test"], steps, row["seconds"], flush=True)


if __name__ == "__main__":
    main()
