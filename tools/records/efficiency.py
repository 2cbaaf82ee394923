"""Time what the chapter on smaller and faster networks says about speed, as ratios in one run.

usage: OMP_NUM_THREADS=1 python -m tools.records.efficiency [NAME ...]

For each name of PAIRS two ways to do the same work run in turn, ROUNDS times, after a first time
that is not counted, each as often as takes a twentieth of a second. The ratio of each round's two
times is kept, above 1 where the second is faster. For torch.compile the seconds of the first call,
in which it compiles, are kept, too, without its cache on disk. Appends a line per pair to
records/efficiency.jsonl; pairs that stand there are left out. A minute on one core.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn

from dlbook_utils import records
from dlbook_utils.page.devices import device, generator, seed_everything
from dlbook_utils.practice.classical import rival_net
from dlbook_utils.records import ledger, provenance

RECORD = records.folder() / "efficiency.jsonl"
ROUNDS = 15
Work = Callable[[], object]


def seconds(work: Work, times: int = 1) -> float:
    """Return the seconds that a core works for it, which other processes do not lengthen by
    waiting; on a GPU those on the clock.
    """
    gpu = device().type == "cuda"
    clock = time.perf_counter if gpu else time.process_time
    start = clock()
    for _ in range(times):
        work()
    if gpu:
        torch.cuda.synchronize()
    return (clock() - start) / times


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(0)).to(device())


def step_of(
    net: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, half: bool = False
) -> Work:
    """Return a forward and a backward pass, in bfloat16 where that is asked for."""

    def work() -> None:
        with torch.autocast(device().type, torch.bfloat16, enabled=half):
            loss = net(x).float().square().mean()
        loss.backward()

    return work


def convolutions(half: bool) -> Work:
    seed_everything(0)
    net = nn.Sequential(
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1),
    ).to(device())  # fmt: skip
    x = draw(32, 32, 28, 28)
    if half:
        net = net.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    return step_of(net, x, half)


def small_mlp(half: bool) -> Work:
    seed_everything(0)
    net = rival_net("MLP", torch.Size([784]), 10, 0.0).to(device())
    return step_of(net, draw(64, 784), half)


def product(whole: bool) -> Work:
    """A product of two square matrices, of floats or of integers of 8 bits."""
    a, b = draw(1024, 1024), draw(1024, 1024)
    if not whole:
        return lambda: a @ b
    a, b = ((30 * part).round().clamp(-127, 127).to(torch.int8) for part in (a, b))
    return lambda: torch._int_mm(a, b)


def entrywise(x: torch.Tensor) -> torch.Tensor:
    """Fifteen operations entry by entry, each of which reads and writes all numbers."""
    for _ in range(3):
        x = (x * 1.01 + 0.1).abs() - x.sigmoid()
    return x


def compiled_chain(compiled: bool) -> Work:
    x = draw(4_000_000)
    run = torch.compile(entrywise) if compiled else entrywise
    return lambda: run(x)


def compiled_mlp(compiled: bool) -> Work:
    seed_everything(0)
    net = rival_net("MLP", torch.Size([784]), 10, 0.0).to(device())
    return step_of(torch.compile(net) if compiled else net, draw(64, 784))


PAIRS: dict[str, Callable[[bool], Work]] = {
    "bfloat16, convolutions": convolutions,
    "bfloat16, small MLP": small_mlp,
    "int8, product of matrices": product,
    "compiled, entry by entry": compiled_chain,
    "compiled, small MLP": compiled_mlp,
}


def run(make: Callable[[bool], Work]) -> dict:
    """Time the two in turn; return the ratios, the first time's median and the second's start."""
    plain, other = make(False), make(True)
    plain()
    start = time.perf_counter()
    other()
    first = time.perf_counter() - start  # compilers are processes of their own
    times = max(1, round(0.05 / seconds(plain)))
    seconds(other, times)
    rounds = [(seconds(plain, times), seconds(other, times)) for _ in range(ROUNDS)]
    return {
        "ratios": [round(a / b, 3) for a, b in rounds],
        "plain_ms": round(1000 * median(a for a, _ in rounds), 3),
        "first_call_s": round(first, 2),
    }


def main(names: list[str]) -> None:
    done = {row["key"] for row in ledger.read(RECORD)}
    for name in names or PAIRS:
        if name in done:
            continue
        start = time.perf_counter()
        row = {"key": name} | run(PAIRS[name])
        wall = round(time.perf_counter() - start, 1)
        row |= provenance.origin(device(), 0, "drawn", wall)
        ledger.append(RECORD, row)
        print(name, row["ratios"], row["plain_ms"], row["first_call_s"], flush=True)


if __name__ == "__main__":
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"
    torch.set_num_threads(1)
    main(sys.argv[1:])
