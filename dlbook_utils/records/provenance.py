"""Where and with what a run was made."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dlbook_utils


def device_name(device: torch.device) -> str:
    """The processor's or the GPU's own name, with the number of threads of a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = (line for line in info.read_text().splitlines() if line.startswith("model name"))
        name = next(lines, f": {name}").split(":", 1)[1].strip()
    return f"CPU {name}, {torch.get_num_threads()} threads"


@lru_cache(1)
def driver(device_type: str) -> str:
    """The version of the Nvidia driver; for a CPU the instructions that PyTorch uses."""
    if device_type != "cuda":
        return (
            f"{platform.system()} {platform.release()}, {torch.backends.cpu.get_cpu_capability()}"
        )
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return f"NVIDIA {answer.stdout.split()[0]}"
    except (OSError, subprocess.SubprocessError, IndexError):
        return "NVIDIA, version unknown"


def versions() -> dict[str, str]:
    """Versions of what the numbers may depend on."""
    known = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "dlbook_utils": dlbook_utils.__version__,
    }
    if torch.cuda.is_available():
        known["cuda"] = str(torch.version.cuda)
        known["cudnn"] = str(torch.backends.cudnn.version())
    return known


@lru_cache(1)
def commit() -> str:
    """The commit that runs, with "+changes" if files differ from it; DLBOOK_COMMIT where there is
    no repository.
    """
    given = os.environ.get("DLBOOK_COMMIT")
    if given:
        return given
    root = Path(__file__).parents[2]
    try:
        said = [
            subprocess.run(
                ["git", "-C", str(root), *words],
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            ).stdout.strip()
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "dlbook_utils"])
        ]
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said[0] + ("+changes" if said[1] else "")


def now() -> str:
    """The time, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def origin(device: torch.device, seed: int, data: str, seconds: float = 0.0) -> dict[str, Any]:
    """What every line of a record says about where it comes from."""
    return {
        "device": device_name(device),
        "driver": driver(device.type),
        "versions": versions(),
        "seed": seed,
        "seconds": seconds,
        "data": data,
        "commit": commit(),
        "date": now(),
    }


def forget_peak_memory(device: torch.device) -> None:
    """Begin to measure the peak anew, where the system can (a GPU, and Linux)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory(device: torch.device) -> int:
    """Bytes: of tensors on a GPU since the run began, or of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
