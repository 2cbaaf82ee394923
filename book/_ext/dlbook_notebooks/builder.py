"""The Sphinx builder ``notebooks``: from each chapter's resolved doctree to its notebook."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import nbformat
from dlbook_site import links
from docutils import nodes
from nbformat import NotebookNode
from sphinx.builders import Builder
from sphinx.util import logging
from sphinxcontrib.bibtex.domain import BibtexDomain

from dlbook_notebooks.cells import Chapter
from dlbook_notebooks.markdown import Markdown

LOGGER = logging.getLogger(__name__)
Executed = Callable[[Path], NotebookNode | None]


class NotebookBuilder(Builder):
    """Makes the notebooks in memory; who runs it compares them with those there are, or writes.

    `executed` gives the last run of a chapter, whose values then replace those that stand in the
    notebook. Without it only the sources count, so nothing differs because of another machine.
    """

    name = format = "notebooks"
    supported_image_types = ["image/svg+xml", "image/png", "image/jpeg", "image/gif"]
    executed: Executed = staticmethod(lambda path: None)

    def init(self) -> None:
        """Begin with no notebook."""
        self.made: dict[str, str] = {}

    def get_outdated_docs(self) -> str:
        """Have all pages written."""
        return "all pages"

    def get_target_uri(self, docname: str, typ: str | None = None) -> str:
        """Return the address of a page on the site: every reference leads there."""
        return links.page(self.config, docname)

    def get_relative_uri(self, from_: str, to: str, typ: str | None = None) -> str:
        """Return the same: a notebook stands beside no page."""
        return self.get_target_uri(to)

    def prepare_writing(self, docnames: set[str]) -> None:
        """Take the works from the pages that list them, in their order."""
        domain = cast(BibtexDomain, self.env.get_domain("cite"))
        pages = sorted({key.docname for key in domain.bibliographies})
        self.bibliographies = {self.get_target_uri(page) for page in pages}
        self.works: dict[str, str] = {}
        for page in pages:
            self.doctree = self.env.get_and_resolve_doctree(page, self)
            markdown = Markdown(self, page, {})
            for work in self.doctree.findall(nodes.citation):
                text = " ".join(markdown.blocks(work.children[1:]).split())
                self.works |= dict.fromkeys(work["ids"], text)

    def write_doc(self, docname: str, doctree: nodes.document) -> None:
        """Make the notebook of a chapter; a page without a kernel has none."""
        if "kernelspec" not in self.env.metadata[docname]:
            return
        self.doctree = doctree
        path = links.notebook(docname)
        file = Path(self.srcdir, path)
        old = nbformat.read(file, as_version=4) if file.exists() else None
        source = Path(self.env.doc2path(docname))
        chapter = Chapter(self, docname, source, old, self.executed(source))
        try:
            self.made[path] = nbformat.writes(chapter.notebook(doctree)).rstrip("\n") + "\n"
        except ValueError as error:
            LOGGER.error("%s", error, location=docname)

    def finish(self) -> None:
        """Nothing is left to do."""


def setup(app: Any) -> None:
    """Register the builder."""
    app.add_builder(NotebookBuilder)
