"""Build the book: browser assets, then every chapter's cells, then the pages.

usage: python -m tools.book                                   the whole book, into _build/html
       python -m tools.book --page book/x/y.md --out DIR      one page for its author, into DIR
       python -m tools.book --linkcheck                       see that outside addresses answer

Warnings are errors. Prints where the book is and how long each step took.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from tools.execute import ROOT, chapters, environment, execute, report, state

LAST_BUILD = Path("_build") / "whole-build.json"  # tools.records.book keeps it
CORES = 2  # pages run two at a time, one thread each
SIDE_PAGES = ("book/notation", "book/glossary", "book/bibliography")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--page", type=Path, help="build this page only")
    parser.add_argument("--out", type=Path, default=ROOT, help="folder that gets _build/html")
    parser.add_argument("--linkcheck", action="store_true", help="check outside addresses")
    options = parser.parse_args()
    steps = Steps()
    with steps("browser assets"):
        subprocess.run([sys.executable, "-m", "tools.assets"], cwd=ROOT, check=True)
    pages = [options.page.resolve()] if options.page else chapters()
    with steps("cells"):
        ran = execute(pages)
    if report(ran):
        return 1
    with steps("pages"):
        stamp, digest = forget_old_pages(options.out.resolve() / "_build")
        status = build(options.out.resolve(), options.page, options.linkcheck)
        if status == 0:
            stamp.write_text(digest)
    whole = ran and not any(page.cached for page in ran)
    if status == 0 and whole and not (options.page or options.linkcheck):
        keep_time(options.out / LAST_BUILD, steps.times["cells"] + steps.times["pages"])
    steps.show(f"{sum(not page.cached for page in ran)} of {len(ran)} chapters executed")
    if status == 0 and not options.linkcheck:
        index = str(options.out.resolve() / "_build" / "html" / "index.html")
        encoding = sys.stdout.encoding or "utf-8"
        print(f"\nThe book is in {index.encode(encoding, 'backslashreplace').decode(encoding)}")
    return status


def build(out: Path, only: Path | None = None, linkcheck: bool = False) -> int:
    """Run jupyter-book; its warnings are errors, also for a reference that leads nowhere."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "."]
    if only:
        out.mkdir(parents=True, exist_ok=True)
        command += ["--toc", str(_short_contents(only, out)), "--path-output", str(out)]
        command += ["--keep-going"]
    else:
        command += ["-W", "-n", "--keep-going"]
    if linkcheck:
        command += ["--builder", "linkcheck"]
    # jupyter-book prints paths in a frame: a terminal that knows ASCII only shall not end the build
    spoken = {"PYTHONIOENCODING": f"{sys.stdout.encoding or 'utf-8'}:backslashreplace"}
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment() | spoken).returncode


def forget_old_pages(folder: Path) -> tuple[Path, str]:
    """Have Sphinx read all pages anew unless they were made, without a warning, from what is there
    now: it looks at their sources only, and warns of a page only when it reads it.

    Returns the file that says what the pages were made from, to be written when they are, and
    what it will say.
    """
    files = [ROOT / "_config.yml", ROOT / "_toc.yml", ROOT / "package-lock.json"]
    files += sorted((ROOT / "notebooks").rglob("*.ipynb"))
    for name in ("_ext", "_static", "_templates"):
        files += sorted(path for path in (ROOT / "book" / name).rglob("*.*") if path.is_file())
    texts = b"\0".join(path.read_bytes() for path in files if path.suffix != ".pyc")
    digest = hashlib.sha256(texts + state().encode()).hexdigest()
    stamp = folder / ".made-with"
    if not stamp.exists() or stamp.read_text() != digest:
        for old in ("html", ".doctrees"):
            shutil.rmtree(folder / old, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    return stamp, digest


def keep_time(path: Path, seconds: float) -> None:
    """Write down how long the whole book took, every chapter executed."""
    import torch

    from dlbook_utils import data
    from dlbook_utils.records import provenance

    line = provenance.origin(torch.device("cpu"), 0, data.fingerprint(), round(seconds, 1))
    line |= {"key": f"book {line['date']}", "device": line["device"].split(",")[0], "cores": CORES}
    path.write_text(json.dumps(line), "utf-8")


def _short_contents(page: Path, out: Path) -> Path:
    """Write a table of contents with one chapter and the pages that it refers to."""
    root = page.resolve().relative_to(ROOT).with_suffix("").as_posix()
    side = [{"file": name} for name in SIDE_PAGES if (ROOT / f"{name}.md").exists()]
    path = out / "_toc.yml"
    path.write_text(yaml.safe_dump({"format": "jb-book", "root": root, "chapters": side}))
    return path


class Steps:
    """Times of the build's steps: ``with steps("cells"): ...``, then ``steps.show()``."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}

    def __call__(self, name: str) -> Steps:
        self.name = name
        return self

    def __enter__(self) -> None:
        print(f"== {self.name}", flush=True)
        self.start = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.times[self.name] = time.perf_counter() - self.start

    def show(self, note: str) -> None:
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.times.items())
        print(f"\n{parts} ({note})")


if __name__ == "__main__":
    sys.exit(main())
