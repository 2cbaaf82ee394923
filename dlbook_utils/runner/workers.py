"""Going through a grid: what is done, what is next, several processes at once.

No process hands out work. Each worker takes the first run of the grid that is neither recorded nor
locked by another; the lock goes with its process, however that ends. So workers may be started in
any number and stopped at any moment, on every machine that shares the folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlbook_utils import records
from dlbook_utils.records import ledger

from . import engine, grids
from .settings import Setting


def files(study: str, folder: Path) -> list[Path]:
    """The records of a study: the book's own, and the one in `folder` if it is another."""
    book, own = records.folder() / f"{study}.jsonl", folder / f"{study}.jsonl"
    return [own] if own.resolve() == book.resolve() else [book, own]


def recorded(study: str, folder: Path) -> list[dict[str, Any]]:
    """Every run recorded, once."""
    runs = [run for path in files(study, folder) for run in ledger.read(path)]
    return list({run["key"]: run for run in runs}.values())


Choice = Callable[[Setting], bool]


def work(
    study: str, way: engine.Way, choice: Choice, changes: dict[str, Any], record: Path
) -> tuple[int, bool]:
    """Do the runs of a grid that `choice` wants, with `changes` to their settings, one by one.

    Returns how many were finished, and whether nothing is left to do (False: the time ran out, or
    another worker is at the last ones).
    """
    done, busy = 0, set()
    first = way.group.first  # of the processes that share one run: it alone chooses and records
    while True:
        setting = None
        if first:
            setting = _next(study, recorded(study, record.parent), choice, changes, busy)
        with _lock(way, setting) as mine:
            if setting is not None and not mine:
                busy.add(setting.key)
                continue
            if setting is not None and setting.key in _keys(study, record):
                continue  # another worker has just finished it
            setting = way.group.share(setting)
            if setting is None:
                return done, not busy
            result = engine.run(setting, way)
            if result is None:
                way.say(f"{setting.key}: the time is up; the same command goes on from here")
                return done, False
            if first:
                ledger.append(record, result)
                way.checkpoint(setting).unlink(missing_ok=True)
                way.say(summary(result))
            done += 1


def _lock(way: engine.Way, setting: Setting | None):
    if setting is None:
        return nullcontext(True)
    return ledger.locked(way.folder / "locks" / f"{setting.key}.lock", wait=False)


def _keys(study: str, record: Path) -> set[str]:
    return {run["key"] for run in recorded(study, record.parent)}


def _next(
    study: str, runs: list[dict[str, Any]], choice: Choice, changes: dict[str, Any], busy: set[str]
) -> Setting | None:
    """The first run that is wanted, not recorded, and not at another worker."""
    had = {run["key"] for run in runs} | busy
    for setting in wanted(study, runs, choice, changes):
        if setting.key not in had:
            return setting
    return None


def wanted(
    study: str, runs: list[dict[str, Any]], choice: Choice, changes: dict[str, Any]
) -> Iterable[Setting]:
    """The settings of a grid that `choice` wants, changed, each once.

    A try-out waits for no other run: what would follow from one is invented.
    """
    tried_out = changes.get("arm") == grids.TRY_OUT
    grid = grids.foreseen(study) if tried_out else grids.STUDIES[study](runs)
    return list(dict.fromkeys(replace(s, **changes) for s in grid if choice(s)))


def summary(run: dict[str, Any]) -> str:
    """A finished run in one line."""
    if run["status"] == "failed":
        return f"{run['key']}: recorded as failed: {run['reason']}"
    chosen = run["selected"]
    valid = f", validation {chosen['valid']['accuracy']:.2%}" if "valid" in chosen else ""
    return (
        f"{run['key']}: recorded; epoch {chosen['epoch']} of {len(run['epochs'])}{valid}, "
        f"training (clean) {chosen['train_clean']:.2%}, {run['seconds']:.0f} s"
    )


def several(number: int, arguments: list[str]) -> int:
    """Run the command with these arguments in `number` processes; return the worst exit status.

    Ctrl-C reaches all of them, and they stop as one does.
    """
    environment = os.environ | {"DLBOOK_PARALLEL": str(number)}
    command = [sys.executable, "-m", "dlbook_utils.runner", *arguments]
    running = [subprocess.Popen(command, env=environment) for _ in range(number)]
    try:
        return max(process.wait() for process in running)
    except KeyboardInterrupt:
        for process in running:
            process.send_signal(signal.SIGINT)
        return max(abs(process.wait()) for process in running)
