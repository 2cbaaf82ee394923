"""A run's curves for TensorBoard, written while it trains: beside its checkpoints, not its record.

`tensorboard --logdir ~/.cache/dlbook/study/cifar10/curves` shows them. Where the package
`tensorboard` is not installed nothing is written: all that a curve shows is in the record, too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

SHOWN = {
    "train_loss": "loss/training",
    "valid_loss": "loss/validation",
    "train_accuracy": "accuracy/training",
    "valid_accuracy": "accuracy/validation",
    "lr": "rate",
    "seconds": "seconds an epoch",
}


class Curves:
    """A folder of TensorBoard's to which each epoch adds a point; used in a `with` statement.

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
        for name, label in SHOWN.items():
            if name in row:
                self.writer.add_scalar(label, row[name], row["epoch"])
        self.writer.flush()
