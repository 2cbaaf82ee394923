"""Several processes, one run: PyTorch's DistributedDataParallel under torchrun.

Each process takes its share of every batch, and the gradients are averaged, so that a step is the
same as one process's on the whole batch. The first process validates, saves and records.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TypeVar

import torch
from torch import nn

T = TypeVar("T")
TIMEOUT = 600  # seconds that a process waits for the others; a dead one is noticed at once


class Impossible(RuntimeError):
    """What was asked for cannot be done here."""


def from_environment(name: str, default: int) -> int:
    """The number that an environment variable gives; Impossible is raised unless it is above 0."""
    text = os.environ.get(name, str(default))
    if not (text.isdecimal() and int(text) >= 1):
        raise Impossible(f"{name}: expected a whole number of at least 1, got {text!r}")
    return int(text)


class Group:
    """The processes of a run; just this one if torchrun has not started it."""

    def __init__(self, device: torch.device | None = None):
        self.rank = int(os.environ.get("RANK", "0"))
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.device = device or torch.device("cpu")
        if self.size > 1:
            import torch.distributed as dist

            backend = "nccl" if self.device.type == "cuda" else "gloo"
            seconds = from_environment("DLBOOK_TIMEOUT", TIMEOUT)
            dist.init_process_group(backend, timeout=timedelta(seconds=seconds))

    @staticmethod
    def device_of_rank(device: torch.device) -> torch.device:
        """Under torchrun, the GPU with the process's number on its machine."""
        if device.type == "cuda" and "LOCAL_RANK" in os.environ:
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        return device

    @property
    def first(self) -> bool:
        """Whether this process validates, saves and records."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return the model with its gradients averaged over the processes.

        Raises Impossible for batch normalisation on CPUs: PyTorch can gather its statistics over
        the whole batch on GPUs only, and over parts of it the result would be another.
        """
        if self.size == 1:
            return model
        if any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()):
            if self.device.type != "cuda":
                raise Impossible(
                    "batch normalisation over several processes needs GPUs: run this model in one "
                    "process, or name others with --model"
                )
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return nn.parallel.DistributedDataParallel(
            model, device_ids=[self.device] if self.device.type == "cuda" else None
        )

    def each(self, thing: T) -> list[T]:
        """Return every process's object (plain data), in order of their ranks, to all."""
        if self.size == 1:
            return [thing]
        import torch.distributed as dist

        box = [thing] * self.size
        dist.all_gather_object(box, thing)
        return box

    def share(self, thing: T) -> T:
        """Return the first process's object to all."""
        return self.each(thing)[0]

    def add(self, values: list[float]) -> list[float]:
        """Return the sums of the processes' values."""
        return [sum(one) for one in zip(*self.each(values))]

    def leave(self) -> None:
        """End the partnership in good order."""
        if self.size > 1:
            import torch.distributed as dist

            dist.destroy_process_group()
