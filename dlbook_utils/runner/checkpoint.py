"""The state of a run after an epoch, on the disk: all of it, or the state of the epoch before.

A checkpoint begins with the SHA-256 of what follows, so that a damaged one is noticed. It is
written to a file of another name, forced to the disk, and renamed in one step.
"""

from __future__ import annotations

import hashlib
import io
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from dlbook_utils.records.ledger import Damaged

_HEX = 64
_PACKAGE = Path(__file__).parents[1]
# what decides a run's result, beside the modules of this folder
_SHARED = ("data/augment.py", "foundations/optimisation.py")


@lru_cache(1)
def code() -> str:
    """A digest of the code that decides a run's result: this folder, and what it borrows."""
    sha = hashlib.sha256()
    own = sorted(Path(__file__).parent.glob("*.py"))
    for path in [*own, *(_PACKAGE / name for name in _SHARED)]:
        sha.update(path.name.encode() + path.read_bytes())
    return sha.hexdigest()[:12]


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint at `path` by `state` (tensors, numbers, strings, lists, dicts)."""
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
    """Return the state saved at `path`, its tensors on `device`; None if there is no checkpoint.

    Raises Damaged if the file is not what was written. Nothing in it is run as code.
    """
    if not path.exists():
        return None
    content = path.read_bytes()
    if hashlib.sha256(content[_HEX:]).hexdigest().encode() != content[:_HEX]:
        raise Damaged(
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
