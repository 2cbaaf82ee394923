"""A chapter as a notebook: its cells, their ids, their metadata."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any

import nbformat
from dlbook_site import links, reporting
from docutils import nodes
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sphinx.config import Config
from sphinx.util import logging
from sphinx_exercise.nodes import is_exercise_node, is_solution_node

from dlbook_notebooks import outputs, source
from dlbook_notebooks.markdown import Markdown, folded
from dlbook_utils import __version__

LOGGER = logging.getLogger(__name__)
INSTALL = Path(__file__).with_name("install.py")
INSTALL_TITLE = (
    "#@title Install the book's package where it is missing; nothing else is changed "
    '{ display-mode: "form" }'
)
MARKUP = re.compile(r"`{3}|:{3}|\(.*\)=|%|\+{3}|:[\w-]+:")  # lines of MyST that say nothing
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}


class Chapter:
    """Makes the cells of one notebook, one after the other.

    Arguments:
        builder: knows the book's settings and works.
        docname: the chapter.
        path: its source.
        old: the notebook as it stands, whose values and outputs stay where nothing newer is known.
        ran: the chapter as last executed, if it was.
    """

    def __init__(
        self,
        builder: Any,
        docname: str,
        path: Path,
        old: NotebookNode | None,
        ran: NotebookNode | None,
    ) -> None:
        self.builder, self.docname, self.old, self.ran = builder, docname, old, ran
        values = outputs.stored_values(old) | outputs.glued(ran)
        self.markdown = Markdown(builder, docname, values)
        self.source = reporting.cells(path)
        self.titles = reporting.titles(self.source)  # of the cells that fold
        self.cells: list[NotebookNode] = []
        self.seen: Counter[str] = Counter()
        self.text: list[str] = []  # blocks since the last cell
        self.solution = ""  # what the solution is called that is being written
        self.begin = 0  # where its text begins

    def notebook(self, doctree: nodes.document) -> NotebookNode:
        """Return the notebook of a doctree."""
        self.walk(doctree, 0)
        self.flush(len(self.source))
        self.references()
        new = new_notebook(cells=self.cells)
        outputs.fill(new, outputs.known(self.old), outputs.known(self.ran))
        used = {name: self.markdown.values[name] for name in sorted(self.markdown.used)}
        origin = {"source": f"{self.docname}.md", "glue": used}
        new.metadata = NotebookNode({**METADATA, "dlbook": origin})
        nbformat.validate(new)
        return new

    def walk(self, parent: nodes.Element, depth: int) -> None:
        """Make cells of what stands in a section, an exercise, a solution."""
        for node in parent.children:
            if isinstance(node, nodes.title) and isinstance(parent, nodes.section):
                self.text.append(f"{'#' * depth} {self.markdown.inline(node)}")
                self.text += [self.links()] * (depth == 1)
            elif isinstance(node, nodes.section):
                self.walk(node, depth + 1)
            elif isinstance(node, nodes.container) and node.get("nb_element") == "cell_code":
                self.code(node)
            elif is_exercise_node(node):
                self.text.append(f"**{self.markdown.heading('exercise', node)}**")
                self.walk(_content(node), depth)
            elif is_solution_node(node):
                self.solve(node, depth)
            else:
                self.text.append(self.markdown.block(node))

    def solve(self, node: nodes.Element, depth: int) -> None:
        """Write a solution: all of its text is folded, and its code."""
        if not node.resolved_title:  # sphinx-exercise says so without a line
            LOGGER.error("solves %r, which is no exercise", node["target_label"], location=node)
        self.solution, self.begin = self.markdown.inline(node[0]), len(self.text)
        self.walk(_content(node), depth)
        self.fold()
        self.solution = ""

    def fold(self) -> None:
        """Fold the text that belongs to a solution."""
        text = self.markdown.joined(self.text[self.begin :])
        if self.solution and text:
            self.text[self.begin :] = [folded(self.solution, text)]
            self.solution = self.solution.removesuffix(", continued") + ", continued"

    def flush(self, place: int) -> None:
        """Make a cell of the text before the source's cell at `place`, with its footnotes."""
        self.fold()
        text = self.markdown.joined([*self.text, *self.markdown.called_notes()])
        self.text, self.begin = [], 0
        if text:
            self.add(new_markdown_cell(text), _first_words(self.source[place - 1]))

    def code(self, node: nodes.container) -> None:
        """Add a cell of code, and below it the captions of its figures."""
        place = node["cell_index"]
        cell = self.source[place]
        title = "Solution" if self.solution else self.titles.get(place, "")
        self.flush(place)
        if not any(cell.cell_type == "code" for cell in self.cells):
            self.install()
        metadata = _metadata(cell) | (FOLDED if title else {})
        code = f"#@title {title}\n{cell.source}" if title and _titled(cell) else cell.source
        self.add(new_code_cell(code, metadata=metadata), _first_words(cell))
        for word in source.unclear(cell.source):
            LOGGER.error("explore: %s must be a plain string", word, location=node)
        for figure in node.findall(nodes.figure):
            self.caption(figure)

    def caption(self, figure: nodes.figure) -> None:
        """Add the caption of a figure that the cell above draws."""
        captions = [self.markdown.block(child) for child in figure if _is_caption(child)]
        names = figure["names"]
        if captions and not names:
            LOGGER.error("a figure with a caption needs a name", location=figure)
        elif captions:
            self.add(new_markdown_cell(captions[0]), f"caption:{names[0]}")

    def install(self) -> None:
        """Add the cell that installs the package where it is missing."""
        metadata = {"tags": ["nbval-skip"], **FOLDED}
        self.add(new_code_cell(install_code(self.builder.config), metadata=metadata), "install")

    def references(self) -> None:
        """Add the list of cited works, in the order of the bibliography."""
        cited = self.markdown.cited
        works = [text for name, text in self.builder.works.items() if name in cited]
        if works:
            text = "\n".join(f"- {work}" for work in works)
            self.add(new_markdown_cell(f"## References\n\n{text}"), "references")

    def links(self) -> str:
        """Return the line below the chapter's title: to the site, to Colab, to Binder."""
        config, path = self.builder.config, links.notebook(self.docname)
        return (
            f"[Read this chapter on the site]({links.page(config, self.docname)})"
            f" · [Open in Colab]({links.colab(config, path)})"
            f" · [Open in Binder]({links.binder(config, path)})"
        )

    def add(self, cell: NotebookNode, key: str) -> None:
        """Append a cell. Its id depends on path and key, not on the cells before it."""
        key = f"{cell.cell_type}:{key}"
        self.seen[key] += 1
        digest = hashlib.sha256(f"{self.docname}:{key}:{self.seen[key]}".encode()).hexdigest()
        cell["id"] = f"{Path(self.docname).name[:40]}-{digest[:10]}"
        self.cells.append(cell)


def install_code(config: Config) -> str:
    """Return the code of the first cell, with the package's version and its address."""
    address = f"git+{links.repository(config)}@{links.branch(config)}"
    code = INSTALL.read_text("utf-8").replace("<<address>>", address)
    return f"{INSTALL_TITLE}\n{code.replace('<<version>>', __version__).strip()}"


def _metadata(cell: NotebookNode) -> dict[str, Any]:
    """Return a cell's tags and the alt text of its picture."""
    tags = list(cell.metadata.get("tags", []))
    if source.draws(cell) and outputs.COMPARED not in tags:
        tags.append(outputs.DRAWN)
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
    return ({"tags": tags} if tags else {}) | ({"alt": alt} if alt else {})


def _titled(cell: NotebookNode) -> bool:
    """Whether Colab takes a title: not one more, and not above a magic that must come first."""
    return not cell.source.startswith(("#@title", "%%"))


def _content(node: nodes.Element) -> nodes.Element:
    """Return what an exercise or a solution holds, without the box around and its title."""
    content = [child for child in node.children[1:] if isinstance(child, nodes.section)]
    return content[0] if content else nodes.container("", *node.children[1:])


def _is_caption(node: nodes.Node) -> bool:
    return isinstance(node, nodes.caption)


def _first_words(cell: NotebookNode) -> str:
    """Return what names a cell: its first line that says something."""
    lines = [" ".join(line.split()) for line in cell.source.split("\n") if line.strip()]
    words = [line for line in lines if cell.cell_type == "code" or not MARKUP.match(line)]
    return [*words, *lines, ""][0][:60]
