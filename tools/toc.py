"""The reading order: the pages of `_toc.yml`, and which of them are chapters that run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = "book/reference/"  # pages that run and are no chapters
FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---[ \t]*\n", re.S)


@dataclass(frozen=True)
class Page:
    """One page of the book; `name` is its path without suffix, such as book/foundations/mlp."""

    root: Path
    name: str
    section: int | None = None  # its number in a numbered table of contents

    @property
    def path(self) -> Path:
        """The source file."""
        return self.root / f"{self.name}.md"

    @property
    def text(self) -> str:
        """The source, front matter included."""
        return self.path.read_text("utf-8")

    @property
    def notebook(self) -> str:
        """The path of the notebook made of this page, relative to the root."""
        return f"notebooks/{self.name.removeprefix('book/')}.ipynb"

    @property
    def runs(self) -> bool:
        """Whether the page has code: its front matter names a kernel."""
        head = FRONT_MATTER.match(self.text)
        return bool(head and "kernelspec" in (yaml.safe_load(head[1]) or {}))

    @property
    def is_reference(self) -> bool:
        """Whether the page is no chapter: it recalls, and owes no headline claim."""
        return self.name.startswith(REFERENCE)


def pages(root: Path) -> list[Page]:
    """Return the pages that are there in reading order; Sphinx warns of those that are not."""
    toc = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    numbered = toc.get("options", {}).get("numbered") or toc.get("defaults", {}).get("numbered")
    listed = [Page(root, _stem(toc["root"]))]
    count = 0
    for part in toc.get("parts", [toc]):
        is_numbered = part.get("numbered", numbered)
        for entry in part.get("chapters", []) + part.get("sections", []):
            count += bool(is_numbered)
            for name in _walk(entry):
                listed.append(Page(root, name, count if is_numbered else None))
    return [page for page in listed if page.path.exists()]


def chapters(root: Path) -> list[Page]:
    """Return the pages that run, in reading order, those of reference among them."""
    return [page for page in pages(root) if page.runs]


def module(page: Page) -> str:
    """Return the module of the package that a chapter would build: foundations.gradient_flow."""
    return page.name.removeprefix("book/").replace("/", ".").replace("-", "_")


def _walk(entry: dict[str, Any]) -> Iterator[str]:
    """Yield the page of an entry and those below it; entries that are links have none."""
    if "file" in entry:
        yield _stem(entry["file"])
    for below in entry.get("sections", []):
        yield from _walk(below)


def _stem(name: str) -> str:
    return name.removesuffix(".md")
