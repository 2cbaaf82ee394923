"""A chapter as a notebook: its cells, their ids, their metadata."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import address
from tools.notebooks import outputs
from tools.notebooks.book import Book, normal
from tools.notebooks.figures import Figure, drawn
from tools.notebooks.inline import Inline
from tools.notebooks.render import REFERENCES, Renderer
from tools.notebooks.syntax import SourceError, parser
from tools.toc import Page

INSTALL = Path(__file__).with_name("install.py")
INSTALL_TITLE = (
    "#@title Install the book's package where it is missing; nothing else is changed "
    '{ display-mode: "form" }'
)
HIDDEN = {"hide-input", "remove-input", "hide-cell", "remove-cell"}
MARKUP = re.compile(r"`{3}|:{3}|\(.*\)=|%|\+{3}|:[\w-]+:")  # lines of MyST that say nothing
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebook(book: Book, page: Page, old: NotebookNode | None, ran: NotebookNode | None):
    """Return the notebook of a chapter.

    Arguments:
        book: labels, numbers and works of the whole book.
        page: the chapter.
        old: the notebook as it stands, whose values and outputs stay where nothing newer is known.
        ran: the chapter as last executed, if it was.
    """
    source = jupytext.reads(page.text, fmt="md:myst")
    values = outputs.stored_values(old) | outputs.glued(ran)
    inline = Inline(book, page, values=values, facts=_facts(source))
    new = _Maker(book, page, Renderer(inline)).make(source)
    outputs.fill(new, outputs.known(old), outputs.known(ran))
    _title_forms(new)
    used = {name: inline.values[name] for name in sorted(inline.used)}
    new.metadata = NotebookNode({**METADATA, "dlbook": {"source": f"{page.name}.md", "glue": used}})
    nbformat.validate(new)
    return new


def written(node: NotebookNode) -> str:
    """Return the bytes of a notebook file, the same for the same notebook."""
    return nbformat.writes(node).rstrip("\n") + "\n"


class _Maker:
    """Makes the cells of one notebook, one after the other."""

    def __init__(self, book: Book, page: Page, render: Renderer):
        self.book, self.page, self.render = book, page, render
        self.cells: list[NotebookNode] = []
        self.seen: Counter[str] = Counter()
        self.installs = False

    def make(self, source: NotebookNode) -> NotebookNode:
        """Return the notebook of a source as jupytext reads it."""
        lines = _Lines(self.page.text)
        for cell in source.cells:
            if cell.cell_type == "markdown":
                self.markdown(cell, lines.of(cell.source))
            else:
                self.code(cell, lines.of(cell.source))
        if self.render.gate:
            raise SourceError(f"{self.page.name}.md: the {self.render.gate} is never closed")
        self.references()
        return new_notebook(cells=self.cells)

    def add(self, cell: NotebookNode, key: str) -> None:
        """Append a cell. Its id depends on path and key, not on the cells before it."""
        key = f"{cell.cell_type}:{key}"
        self.seen[key] += 1
        digest = hashlib.sha256(f"{self.page.name}:{key}:{self.seen[key]}".encode()).hexdigest()
        cell["id"] = f"{Path(self.page.name).name[:40]}-{digest[:10]}"
        self.cells.append(cell)

    def markdown(self, cell: NotebookNode, line: int) -> None:
        """Add a cell of text, the first one with the links below its title."""
        text = self.render.cell(cell.source, line)
        if not self.cells:
            text = self.headed(text)
        if text.strip():
            tags = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
            self.add(new_markdown_cell(text, metadata=tags), _first_words(cell))

    def headed(self, text: str) -> str:
        """Return the chapter's first text with links to the site, Colab and Binder."""
        root, path = self.book.root, self.page.notebook
        links = (
            f"[Read this chapter on the site]({address.page(self.page.name, root=root)})"
            f" · [Open in Colab]({address.colab(path, root)})"
            f" · [Open in Binder]({address.binder(path, root)})"
        )
        title, _, rest = text.partition("\n")
        if not title.startswith("# "):
            raise SourceError(f"{self.page.name}.md: begins with {title[:40]!r}, not with # Title")
        return f"{title}\n\n{links}\n\n{rest.strip()}".strip()

    def code(self, cell: NotebookNode, line: int) -> None:
        """Add a cell of code, and its figure's caption below it."""
        if not self.installs:
            self.install()
        tags = list(cell.metadata.get("tags", []))
        metadata = {"tags": tags} if tags else {}
        if self.render.gate == "solution" or "solution" in tags:
            metadata |= {"cellView": "form", "jupyter": {"source_hidden": True}}
        elif HIDDEN & set(tags):
            metadata["jupyter"] = {"source_hidden": True}
        own = cell.metadata.get("mystnb", {})
        alt = own.get("image", {}).get("alt")
        if alt:
            metadata["alt"] = alt
        self.add(new_code_cell(cell.source, metadata=metadata), _first_words(cell))
        for figure in drawn(cell.source, cell.metadata):
            self.caption(figure, line)

    def caption(self, figure: Figure, line: int) -> None:
        """Add the caption of a figure that the cell above draws."""
        if not figure.caption:
            return
        if not figure.name:
            raise SourceError(f"{self.page.name}.md:{line}: a figure with a caption needs a name")
        number = self.book.labels[normal(figure.name)].words
        text = f"**{number}.** {self.render.inline(figure.caption, line)}"
        self.add(new_markdown_cell(text), f"caption:{figure.name}")

    def install(self) -> None:
        """Add the cell that installs the package where it is missing."""
        self.installs = True
        self.add(
            new_code_cell(install_code(self.book.root), metadata=_install_metadata()), "install"
        )

    def references(self) -> None:
        """Put the list of cited works where the chapter wants it, or at its end."""
        works = [self.book.works[key] for key in self.render.inline.cited]
        works.sort(key=lambda work: (work.people, work.year, work.title))
        text = "\n".join(f"- {work.reference()}" for work in works)
        for cell in self.cells:
            cell.source = cell.source.replace(REFERENCES, text)
        if works and not self.render.listed:
            self.add(new_markdown_cell(f"## References\n\n{text}"), "references")


class _Lines:
    """Finds in which line of its file each cell begins, for error messages."""

    def __init__(self, text: str):
        self.text, self.position = text, 0

    def of(self, source: str) -> int:
        """Return the line of the next cell."""
        at = self.text.find(source.split("\n")[0], self.position)
        self.position = max(at, self.position)
        return 1 + self.text.count("\n", 0, self.position)


def install_code(root: Path) -> str:
    """Return the code of the first cell, with the package's address from _config.yml."""
    code = f"{INSTALL_TITLE}\n{INSTALL.read_text('utf-8').strip()}"
    where = f"git+{address.repository(root)}@{address.branch(root)}"
    return code.replace("ADDRESS", where)


def _install_metadata() -> dict:
    return {"tags": ["nbval-skip"], "cellView": "form", "jupyter": {"source_hidden": True}}


def _title_forms(node: NotebookNode) -> None:
    """Give folded solutions the title that Colab shows in place of the code."""
    for cell in node.cells:
        first = cell.source[:7]
        if cell.metadata.get("cellView") == "form" and first != "#@title" and first[:2] != "%%":
            cell.source = f"#@title Solution\n{cell.source}"


def _first_words(cell: NotebookNode) -> str:
    """Return what names a cell: its first line that says something."""
    lines = [" ".join(line.split()) for line in cell.source.split("\n") if line.strip()]
    words = [line for line in lines if cell.cell_type == "code" or not MARKUP.match(line)]
    return [*words, *lines, ""][0][:60]


def _facts(source: NotebookNode) -> dict[str, str]:
    """Return the words of a chapter and the minutes to read them, as MyST counts them."""
    env: dict = {}
    for cell in source.cells:
        if cell.cell_type == "markdown":
            parser().parse(cell.source, env)  # counts on from cell to cell
    counted = env.get("wordcount", {"words": 0, "minutes": 0})
    return {f"wordcount-{name}": str(counted[name]) for name in ("words", "minutes")}
