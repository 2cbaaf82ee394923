"""Bring the browser assets of the site (KaTeX's style, the fonts) from npm into _build/assets.

Nothing of third parties is committed: package-lock.json pins what `npm ci` installs, and this
copies the few files that the site serves, each with its licence. Run it before the book is built:

    python tools/assets.py
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from dlbook_site.node import node, npm  # noqa: E402  (the path comes first)

PACKAGES = ROOT / "node_modules"
TARGET = ROOT / "_build" / "assets"
FONTS = ("source-serif-4", "source-sans-3", "source-code-pro")


def main() -> None:
    """Install and copy, unless the lock file and this script are those of the last time."""
    key = _key()
    stamp = TARGET / ".key"
    if stamp.exists() and stamp.read_text() == key and (PACKAGES / "katex").is_dir():
        return
    install()
    shutil.rmtree(TARGET, ignore_errors=True)
    copy_katex(TARGET / "vendor" / "katex")
    copy_fonts(TARGET / "vendor" / "fonts")
    stamp.write_text(key)
    size = sum(path.stat().st_size for path in TARGET.rglob("*.*"))
    print(f"assets: {size / 1000:.0f} kB in {TARGET.relative_to(ROOT)}")


def install() -> None:
    """Run `npm ci`: exactly what package-lock.json says, or an error."""
    path = Path(node()).parent
    run = subprocess.run(
        [*npm(), "ci", "--ignore-scripts", "--no-progress", "--loglevel=error"],
        cwd=ROOT,
        env=_environment(path),
        capture_output=True,
        text=True,
    )
    if run.returncode:
        sys.exit(f"npm ci failed ({run.returncode}):\n{run.stdout}{run.stderr}")


def copy_katex(target: Path) -> None:
    """Copy KaTeX's style with its WOFF2 fonts; browsers that lack WOFF2 cannot show the site."""
    source = PACKAGES / "katex"
    (target / "fonts").mkdir(parents=True)
    style = (source / "dist" / "katex.min.css").read_text("utf8")
    style = re.sub(r',url\([^)]+\) format\("(?:woff|truetype)"\)', "", style)
    (target / "katex.min.css").write_text(style, "utf8")
    for font in (source / "dist" / "fonts").glob("*.woff2"):
        shutil.copy(font, target / "fonts")
    shutil.copy(source / "LICENSE", target)


def copy_fonts(target: Path) -> None:
    """Copy the Latin faces of each variable font, with its licence under the font's name."""
    target.mkdir(parents=True)
    for name in FONTS:
        source = PACKAGES / "@fontsource-variable" / name
        for subset in ("latin", "latin-ext"):
            for style in ("normal", "italic"):
                shutil.copy(source / "files" / f"{name}-{subset}-wght-{style}.woff2", target)
        shutil.copy(source / "LICENSE", target / f"{name}-LICENSE.txt")


def _key() -> str:
    files = (ROOT / "package-lock.json", Path(__file__))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment with that Node.js first on PATH, for npm's own children."""
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"}


if __name__ == "__main__":
    main()
