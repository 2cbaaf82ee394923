"""Small books for tests of the site: pages, chapters with outputs, and their build by Sphinx."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="30pt" height="15pt" viewBox="0 0 30 15"/>'
CLAIM = "application/vnd.dlbook.claim+json"
FRAMES = "application/vnd.dlbook.frames+json"
PARTS = ["book/_ext", "book/_static", "book/_templates", "_build/assets", "node_modules"]
CHILD = """
import sys
from pathlib import Path
from jupyter_book.config import get_final_config
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

jobs = int(sys.argv[1])
config, _ = get_final_config(
    user_yaml=Path("_config.yml"), cli_config={"latex_individualpages": False},
    sourcedir=Path("."), validate=False)
config.pop("latex_doc_overrides", None)
config["external_toc_path"] = "_toc.yml"
if jobs > 1:  # cannot be read in parallel, and no page of that book proves anything
    config["extensions"].remove("sphinx_proof")
with docutils_namespace():
    app = Sphinx(".", None, "out", "out/.doctrees", "html", confoverrides=config,
                 status=None, warning=sys.stderr, parallel=jobs)
    if jobs > 1:  # numbering over parts says nothing of parallel builds, and nothing is numbered
        app.extensions["sphinx_multitoc_numbering"].parallel_read_safe = True
    app.build()
"""


class Book:
    """A folder with pages; `build` returns what Sphinx warned of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in PARTS:
            (folder / part).parent.mkdir(parents=True, exist_ok=True)
            (folder / part).symlink_to(ROOT / part)
        config = yaml.safe_load((ROOT / "_config.yml").read_text("utf8"))
        config["execute"] = {"execute_notebooks": "off"}
        (folder / "_config.yml").write_text(yaml.safe_dump(config))
        (folder / "book" / "references.bib").write_text("")
        self.names = []
        self.page("index", "# The book\n\nText.\n")

    def page(self, name: str, text: str) -> None:
        """Write a page of Markdown and put it at the end of the contents."""
        self._enter(name)
        (self.folder / "book" / f"{name}.md").write_text(text)

    def notebook(
        self, name: str, *outputs: dict, text: str = "", code: str = "print(1)", tag: str = ""
    ) -> None:
        """Write a chapter with one code cell that has these outputs, and its notebook."""
        self._enter(name)
        cell = nbformat.v4.new_code_cell(code, outputs=[_output(o) for o in outputs], id="a")
        cell.metadata.tags = [tag] * bool(tag)
        head = nbformat.v4.new_markdown_cell(f"# {name}\n\n{text}", id="b")
        chapter = nbformat.v4.new_notebook(cells=[head, cell])
        chapter.metadata.kernelspec = {"name": "python3", "display_name": "P", "language": "python"}
        for folder in ("book", "notebooks"):
            (self.folder / folder).mkdir(exist_ok=True)
            nbformat.write(chapter, self.folder / folder / f"{name}.ipynb")

    def _enter(self, name: str) -> None:
        if name not in self.names:
            self.names.append(name)
            self._contents()

    def remove(self, name: str) -> None:
        """Take a chapter out of the book."""
        self.names.remove(name)
        (self.folder / "book" / f"{name}.ipynb").unlink()
        self._contents()

    def _contents(self) -> None:
        chapters = [{"file": f"book/{other}"} for other in self.names[1:] if other != "claims"]
        parts = [{"caption": "Foundations", "numbered": 1, "chapters": chapters}] * bool(chapters)
        if "claims" in self.names:
            parts.append({"caption": "At the end", "chapters": [{"file": "book/claims"}]})
        toc = {"format": "jb-book", "root": "book/index"} | ({"parts": parts} if parts else {})
        (self.folder / "_toc.yml").write_text(yaml.safe_dump(toc))

    def build(self, jobs: int = 1) -> str:
        """Build what changed, in a process of its own, and return its warnings."""
        run = subprocess.run(
            [sys.executable, "-c", CHILD, str(jobs)],
            cwd=self.folder,
            env=os.environ | {"NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert run.returncode == 0, run.stderr
        return run.stderr

    def html(self, name: str) -> BeautifulSoup:
        """Return a page of the site."""
        file = self.folder / "out" / f"{name}.html"
        return BeautifulSoup(file.read_text("utf8"), "html.parser")


def _output(data: dict) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("display_data", {"text/plain": "plain", **data})


def claim(statement: str, **fields) -> dict:
    """The output of a claim that holds, with other fields where given."""
    default = {
        "kind": "claim",
        "evidence": "n = 20, 3.9 ± 0.3 %",
        "outcome": "holds",
        "supported": True,
        "on": "",
        "headline": False,
        "breaks_if": "",
        "saying": "",
        "margin": None,
    }
    return {CLAIM: {"statement": statement, **default, **fields}}


def frames(**fields) -> dict:
    content = {"label": "rate", "values": ["0.1", "a\tb"], "frames": [SVG, SVG + " "]}
    words = {"alts": ["slow", "fast"], "caption": "Faster is *faster*.", "name": "fig-rate"}
    return {FRAMES: content | words | fields}
