"""Write requirements.lock, everything that requirements.txt brings along, with digests.

usage: python -m tools.lock        (make lock)

uv resolves for every system and every Python that the book supports. What is locked stays as it is
unless requirements.txt says otherwise; to let everything move, delete requirements.lock first.
constraints.txt holds the same versions without digests, for `pip install -r requirements.txt`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.toc import ROOT

PYTHON = "3.11.5"  # the oldest that all dependencies support
HEAD = "# Everything that requirements.txt brings along. Rewrite with: make lock\n"
PIN = re.compile(r"^([\w.-]+==[^\s;\\]+)( ; [^\\\n]+?)?(?: \\)?$", re.M)


def direct(requirements: str) -> str:
    """Return the pins of requirements.txt, without its options."""
    return "".join(line + "\n" for line in requirements.splitlines() if not line.startswith("-"))


def pins(lock: str) -> list[str]:
    """Return the versions of a lock, with the systems that they are for, but without digests."""
    return [match[1] + (match[2] or "") for match in PIN.finditer(lock)]


def resolve(root: Path) -> str:
    """Return a new lock; uv is asked, with the present one's versions as its preference."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", "--quiet", "--universal"]
    command += ["--python-version", PYTHON, "--generate-hashes", "--no-annotate", "--no-header"]
    text = direct((root / "requirements.txt").read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "requirements.lock")  # uv prefers the versions that it finds there
        if (root / output.name).exists():
            shutil.copy(root / output.name, output)
        command += ["--output-file", str(output)]
        run = subprocess.run(command, input=text, cwd=root, capture_output=True, text=True)
        if run.returncode:
            sys.exit(run.stderr)
        return HEAD + output.read_text("utf-8")


def main(root: Path = ROOT) -> None:
    """Write both files."""
    lock = resolve(root)
    (root / "requirements.lock").write_text(lock, "utf-8")
    (root / "constraints.txt").write_text(HEAD + "".join(pin + "\n" for pin in pins(lock)), "utf-8")


if __name__ == "__main__":
    main()
