"""What PyTorch says of itself on a machine with a CUDA device: torch.cuda, generators, autocast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch

from tools.pretend_gpu.device import CPU, GPU, PretendGPU, named_device

NAME = "a pretended GPU"


class Generator(torch.Generator):
    """A generator that says it draws on the device it was made for; the draws are the CPU's."""

    pretended: torch.device

    def __new__(cls, device: Any = "cpu"):
        self = super().__new__(cls, device="cpu")  # type: ignore[call-arg]
        self.pretended = named_device(device) or CPU
        return self

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self.pretended


class Autocast(torch.autocast):
    """autocast("cuda"), with its default of half precision, on the CPU."""

    def __init__(self, device_type: str, dtype: torch.dtype | None = None, **options: Any):
        if device_type == "cuda":
            device_type, dtype = "cpu", dtype or torch.float16
        super().__init__(device_type, dtype, **options)


class Stream:
    """The one stream, which is done with everything at once."""

    def __init__(self, *where: Any, **options: Any):
        pass

    def is_capturing(self) -> bool:
        return False

    def synchronize(self) -> None:
        pass

    wait_stream = record_event = wait_event = lambda self, other=None: None


def _gives(value: Any) -> Callable[..., Any]:
    return lambda *args, **kwargs: value


CUDA: dict[str, Callable[..., Any]] = {
    "is_available": _gives(True),
    "is_initialized": _gives(True),
    "device_count": _gives(1),
    "current_device": _gives(0),
    "set_device": _gives(None),
    "get_device_name": _gives(NAME),
    "get_device_capability": _gives((9, 0)),
    "is_bf16_supported": _gives(True),
    "synchronize": _gives(None),
    "current_stream": Stream,
    "default_stream": Stream,
    "Stream": Stream,
    "is_current_stream_capturing": _gives(False),
    "empty_cache": _gives(None),
    "memory_allocated": _gives(0),
    "max_memory_allocated": _gives(0),
    "memory_reserved": _gives(0),
    "max_memory_reserved": _gives(0),
    "mem_get_info": _gives((2**34, 2**34)),
    "reset_peak_memory_stats": _gives(None),
    "manual_seed": _gives(None),
    "manual_seed_all": _gives(None),
    "get_rng_state": lambda device="cuda": torch.get_rng_state(),
    "set_rng_state": _gives(None),
}


def _tag(storage: Any) -> str | None:
    """Say in a file that a storage lay on the GPU."""
    memory = getattr(storage, "_untyped_storage", storage).__dict__
    return str(GPU) if memory.get("on_gpu") else None


def _restore(storage: Any, location: str) -> Any:
    """Put a storage that is read from a file on the GPU, if it is to lie there."""
    if not location.startswith("cuda"):
        return None
    getattr(storage, "_untyped_storage", storage).__dict__["on_gpu"] = True
    return storage


@contextmanager
def _files() -> Iterator[None]:
    """In this context torch.save and torch.load know the GPU."""
    registry = torch.serialization._package_registry
    before = list(registry)
    torch.serialization.register_package(0, _tag, _restore)
    try:
        yield
    finally:
        registry[:] = before


@contextmanager
def pretended_gpu(watch: Callable[..., None] | None = None) -> Iterator[None]:
    """In this context the machine has one CUDA device, as far as PyTorch can tell.

    watch: see PretendGPU.
    """
    with ExitStack() as stack:
        for name, function in CUDA.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, function))
        for place, name, new in (
            (torch, "Generator", Generator),
            (torch, "autocast", Autocast),
            (torch.amp, "autocast", Autocast),
            (torch.accelerator, "current_accelerator", _gives(torch.device("cuda"))),
            (torch.accelerator, "current_stream", Stream),
            (torch.backends.cudnn, "is_acceptable", _gives(False)),
        ):
            stack.enter_context(mock.patch.object(place, name, new))
        stack.enter_context(_files())
        stack.enter_context(PretendGPU(watch))
        yield
