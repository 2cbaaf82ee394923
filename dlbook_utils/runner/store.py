"""What a run leaves on the disk: its checkpoint, weights and curves, and the records of a study.

A checkpoint begins with the SHA-256 of what follows, so that a damaged one is noticed. It is
written to a file of another name, forced to the disk, and renamed in one step: the state after an
epoch is there whole, or that of the epoch before.
"""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from dlbook_utils import records
from dlbook_utils.records import ledger

_HEX = 64  # characters of a SHA-256
_PACKAGE = Path(__file__).parents[1]
# what decides a run's result, beside the modules of this folder
_BORROWED = ("data/augment.py", "foundations/optimisation.py", "study/cifar10.py")
CURVES = {
    "train_loss": "loss/training",
    "valid_loss": "loss/validation",
    "train_accuracy": "accuracy/training",
    "valid_accuracy": "accuracy/validation",
    "lr": "rate",
    "seconds": "seconds an epoch",
}


@lru_cache(1)
def code() -> str:
    """A digest of the code that decides a run's result: this folder, and what it borrows."""
    sha = hashlib.sha256()
    own = sorted(Path(__file__).parent.glob("*.py"))
    for path in [*own, *(_PACKAGE / name for name in _BORROWED)]:
        sha.update(path.name.encode() + path.read_bytes())
    return sha.hexdigest()[:12]


@dataclass(frozen=True)
class Place:
    """Where the files of a study lie: its records in one folder, and the rest in another."""

    study: str
    records: Path
    rest: Path

    def record(self, name: str = "") -> Path:
        """The file of the study's runs, or of what else is measured ("test", "costs" ...)."""
        return self.records / f"{self.study}{name and '-'}{name}.jsonl"

    def recorded(self, name: str = "") -> list[dict[str, Any]]:
        """Every line of such a record, once: of the book's own, and of the one here."""
        own = self.record(name)
        book = records.folder() / own.name
        files = [own] if own.resolve() == book.resolve() else [book, own]
        lines = [line for path in files for line in ledger.read(path)]
        return list({line["key"]: line for line in lines}.values())

    def checkpoint(self, key: str) -> Path:
        """Where a run's state is kept while it is not finished."""
        return self.rest / "checkpoints" / f"{key}.pt"

    def weights(self, key: str) -> Path:
        """Where a finished run's selected weights are kept."""
        return self.rest / "weights" / f"{key}.pt"

    def lock(self, key: str) -> Path:
        """What a worker holds while a run is its own."""
        return self.rest / "locks" / f"{key}.lock"

    def curves(self, key: str) -> Path:
        """Where TensorBoard finds a run's curves."""
        return self.rest / "curves" / key


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the file at `path` by `state` (tensors, numbers, strings, lists, dicts)."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(hashlib.sha256(content).hexdigest().encode())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(path.parent)


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any] | None:
    """Return the state saved at `path`, its tensors on `device`; None if there is no such file.

    Raises Damaged if the file is not what was written. Nothing in it is run as code.
    """
    if not path.exists():
        return None
    content = path.read_bytes()
    if hashlib.sha256(content[_HEX:]).hexdigest().encode() != content[:_HEX]:
        raise ledger.Damaged(
            f"the checkpoint {path} is damaged; it is left as it is. Move it away to begin this "
            "run again from its first epoch"
        )
    return torch.load(io.BytesIO(content[_HEX:]), map_location=device, weights_only=True)


def _sync_folder(folder: Path) -> None:
    """Force the renaming to the disk, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Curves:
    """A run's curves for TensorBoard, to which each epoch adds a point; used in a `with` statement.

    `tensorboard --logdir ~/.cache/dlbook/study/cifar10/curves` shows them. Where the package
    `tensorboard` is not installed nothing is written: all that a curve shows is in the record, too.

    Arguments:
        folder: of this run alone.
        done: epochs that are kept. What an interrupted run wrote beyond them is struck out.
        wanted: False: write nothing.
    """

    def __init__(self, folder: Path, done: int = 0, wanted: bool = True):
        self.writer = None
        if not wanted:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except Exception:  # absent, or broken by another package: a run does without curves
            return
        self.writer = SummaryWriter(str(folder), purge_step=done + 1)

    def __enter__(self) -> Curves:
        return self

    def __exit__(self, *problem: object) -> None:
        if self.writer is not None:
            self.writer.close()

    def add(self, row: dict[str, Any]) -> None:
        """Add an epoch's row of the history; it is on the disk when this returns."""
        if self.writer is None:
            return
        for name, label in CURVES.items():
            if name in row:
                self.writer.add_scalar(label, row[name], row["epoch"])
        self.writer.flush()
