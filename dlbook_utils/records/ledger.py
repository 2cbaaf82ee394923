"""A record: a file of JSON lines to which each run adds one line, whole or not at all.

Several processes may add at once: a lock on the file lets one in at a time, and the operating
system releases it when a process dies. A line is on the disk (fsync) before it counts. If the
power fails in the middle of it, a piece without a line end is left: the next addition cuts it off,
says so, and keeps the piece in a file of its own. Any other damage is nobody's to repair: it is
refused, and nothing is written.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROVENANCE = ("device", "driver", "versions", "seed", "seconds", "data", "commit", "date")
REQUIRED = ("key", *PROVENANCE)


class Damaged(ValueError):
    """A record or a checkpoint is not what was written."""


@contextlib.contextmanager
def locked(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a lock on the file `path`, made if need be; yields whether it was had.

    Where the system knows no such locks (Windows), nothing is locked and True is yielded: run one
    process at a time there.
    """
    try:
        import fcntl
    except ImportError:
        yield True
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a record as dicts; [] if there is none yet.

    A piece without a line end at the end of the file is no line. Raises Damaged, naming the line,
    for anything that is not a run with its provenance.
    """
    return parse(path, _whole(path)[0])


def parse(path: Path, content: bytes) -> list[dict[str, Any]]:
    """Return the runs that the content of a record holds, one per line.

    Raises Damaged, naming file and line, for one that is no run with its key and provenance.
    """
    runs = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            run = json.loads(line)
            missing = [key for key in REQUIRED if key not in run]
        except (ValueError, TypeError) as error:
            raise Damaged(
                f"{path}, line {number} is damaged ({error}); nothing is written to this file "
                "until it is repaired, for example from the repository's history"
            ) from error
        if missing:
            raise Damaged(f"{path}, line {number} lacks its {', '.join(missing)}")
        runs.append(run)
    return runs


def append(path: Path, run: dict[str, Any]) -> bool:
    """Add a run to the record unless one with its "key" stands there; return whether it was added.

    Raises ValueError for a run without its key or provenance, Damaged if the record is damaged;
    in both cases nothing is written.
    """
    missing = [key for key in REQUIRED if key not in run]
    if missing:
        raise ValueError(f"a run cannot be recorded without its {', '.join(missing)}")
    line = json.dumps(run, allow_nan=False).encode() + b"\n"
    with locked(path):
        whole, torn = _whole(path)
        if any(old["key"] == run["key"] for old in parse(path, whole)):
            return False
        with path.open("ab") as file:
            if torn:
                _cut(path, len(whole), torn)
            try:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            except BaseException:
                os.truncate(path, len(whole))  # a full disk leaves no half line
                raise
    return True


def _whole(path: Path) -> tuple[bytes, bytes]:
    """The lines of the file, and the piece without a line end that may follow them."""
    content = path.read_bytes() if path.exists() else b""
    end = content.rfind(b"\n") + 1
    return content[:end], content[end:]


def _cut(path: Path, end: int, torn: bytes) -> None:
    aside = path.with_name(path.name + ".torn")
    with aside.open("ab") as file:
        file.write(torn + b"\n")
    os.truncate(path, end)
    print(
        f"{path.name}: the last line was torn ({len(torn)} bytes without a line end, a run that "
        f"was interrupted while it was written); cut off, and kept in {aside.name}",
        file=sys.stderr,
        flush=True,
    )
