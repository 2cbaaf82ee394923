"""What computes on the CPU although the machine has a GPU: training, and large products."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

from tools.pretend_gpu.cuda import pretended_gpu
from tools.pretend_gpu.device import GPU, where
from tools.records.chapters import CELL, ROOT

LARGE = 100_000  # numbers in a tensor that is worth a GPU
PRODUCTS = {
    "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "baddbmm", "mv", "einsum",
    "tensordot", "linear", "bilinear", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
    "conv_transpose2d", "lstm", "gru", "rnn_tanh", "rnn_relu", "scaled_dot_product_attention",
    "multi_head_attention_forward", "cdist",
}  # fmt: skip
PACKAGE = str(ROOT / "dlbook_utils")


class Stays(dict[str, int]):
    """Where training ("trains in ...") and large products ("computes in ...") stay on the CPU.

    Each place has the size of the largest model or tensor seen there.
    """

    def computed(self, func: Callable[..., Any], tensors: list[Tensor]) -> None:
        """Note a product of tensors on the CPU, if one of them is large."""
        if getattr(func, "__name__", "") in PRODUCTS:
            size = max((x.numel() for x in tensors if x.device.type == "cpu"), default=0)
            if size >= LARGE:
                self._note("computes in", size)

    def trained(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """Note an optimizer's step, if it changed parameters on the CPU."""
        with torch._C.DisableTorchFunction():
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            size = sum(p.numel() for p in parameters if where(p) != GPU)
        if size:
            self._note("trains in", size)

    def _note(self, action: str, size: int) -> None:
        key = f"{action} {place()}"
        self[key] = max(size, self.get(key, 0))


def place() -> str:
    """Name the innermost function of a chapter or the package that is running now.

    For code of a cell that is in no function this is its line.
    """
    frame = sys._getframe()
    while frame := frame.f_back:  # type: ignore[assignment]
        file, function = frame.f_code.co_filename, frame.f_code.co_qualname
        if CELL in file and function == "<module>":
            return linecache.getline(file, frame.f_lineno).strip()
        if CELL in file or file.startswith(PACKAGE):
            return function.replace(".<locals>", "")
    return "no chapter"


@contextmanager
def watched_gpu() -> Iterator[Stays]:
    """In this context the machine has a GPU, and what stays on the CPU is noted."""
    stays = Stays()
    hook = register_optimizer_step_post_hook(stays.trained)
    try:
        with pretended_gpu(stays.computed):
            yield stays
    finally:
        hook.remove()
