"""What a model costs: operations per image, parameters, and time."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from . import models, steps
from .settings import Setting


@lru_cache(64)
def count(name: str, side: int = 32) -> dict[str, int]:
    """Return "parameters" of a model and "flops" for one image of `side` pixels, forward.

    A multiplication and an addition are two operations. PyTorch's counter sees matrix products,
    convolutions and attention; what it leaves out (normalisation, activations, pooling) is a few
    per cent. Nothing is computed: the tensors have shapes only.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model = models.build(name).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(torch.empty(1, 3, side, side))
    parameters = sum(p.numel() for p in model.parameters())
    return {"parameters": parameters, "flops": counter.get_total_flops()}


@torch.no_grad()
def inference_time(
    model: nn.Module, device: torch.device, batch: int, amp: str = "fp32", repeats: int = 1000
) -> dict[str, Any]:
    """Return the median time of a forward pass of `batch` random images, in milliseconds.

    Warmed up, synchronised after every pass; "low" and "high" are the quartiles. From bytes on the
    device to scores on the device, so that neither loading nor copying counts. Stops after 20 s,
    with at least 5 passes.
    """
    setting = Setting("costs", "cnn-32", amp=amp)
    model = model.to(device, memory_format=torch.channels_last).eval()
    normalise = steps.Normalise((0.5,) * 3, (0.25,) * 3, True).to(device)
    x = torch.randint(0, 256, (batch, 3, 32, 32), dtype=torch.uint8, device=device)
    times: list[float] = []
    with steps.precision(setting.amp, device):
        warm = time.perf_counter() + 2
        for k in range(max(3, repeats // 50)):
            if k < 2 or time.perf_counter() < warm:
                model(normalise(x))
        stop = time.perf_counter() + 20
        while len(times) < repeats and (len(times) < 5 or time.perf_counter() < stop):
            _wait(device)
            began = time.perf_counter()
            model(normalise(x))
            _wait(device)
            times.append(1000 * (time.perf_counter() - began))
    low, median, high = torch.tensor(times).quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
    return {"batch": batch, "ms": median, "low": low, "high": high, "passes": len(times)}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
