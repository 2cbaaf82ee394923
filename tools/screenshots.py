"""Take pictures of built pages for their authors: light, dark, and as a phone shows them.

    python -m tools.screenshots [PAGE ...]     such as book/foundations/mlp; without, every chapter

Needs a built site and Chromium; the pictures come into _build/screenshots.
"""

from __future__ import annotations

import subprocess
import sys

from tools.assets import ROOT, node
from tools.execute import chapters

SITE = ROOT / "_build" / "html"
FOLDER = ROOT / "_build" / "screenshots"


def main() -> int:
    pages = sys.argv[1:] or [path.relative_to(ROOT).as_posix() for path in chapters()]
    names = [f"{page.removesuffix('.md').removesuffix('.html')}.html" for page in pages]
    missing = [name for name in names if not (SITE / name).exists()]
    if missing:
        print(f"not in {SITE}: {', '.join(missing)}; build the book first (make book)")
        return 1
    command = [node(), "tools/screenshots.mjs", str(SITE), str(FOLDER), *names]
    return subprocess.run(command, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
