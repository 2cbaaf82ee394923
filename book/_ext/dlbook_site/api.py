"""The reference of the package: what every public name is, from its docstring, by autodoc.

``{api} foundations`` lists the modules of a room of ``dlbook_utils``; below each name stands a link
to the cell that builds it. The cells that define something get an anchor to be linked to.
"""

from __future__ import annotations

import pkgutil
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PACKAGE = "dlbook_utils"
DEFINED = re.compile(r"^(?:def|class) (\w+)", re.M)
CODE_EDGE = r"^(?::\w+:)?`+|`+$"
SPECIAL = re.compile(r"([*|\\]|_\b)")  # to reStructuredText
FENCED = re.compile(r"^```\{code-cell\}.*?^```$", re.M | re.S)


class Api(SphinxDirective):
    """``{api} ROOM``: every public name of the modules of a room, in the order of its code."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Have autodoc list each module under a heading; one without a public name is left out."""
        room = import_module(f"{PACKAGE}.{self.arguments[0]}")
        names = [name for name in (room.__name__, *_modules(room)) if public(import_module(name))]
        return [self._section(name) for name in names]

    def _section(self, name: str) -> nodes.section:
        title = nodes.title("", "", nodes.literal("", name.removeprefix(f"{PACKAGE}.")))
        section = nodes.section("", title, ids=[nodes.make_id(f"api-{name}")], names=[name])
        lines = [f".. automodule:: {name}", "   :members:", "   :member-order: bysource"]
        text = "\n".join(["```{eval-rst}", *lines, "```"])
        section += self.parse_text_to_nodes(text)
        return section


def _modules(room: Any) -> list[str]:
    found = pkgutil.iter_modules(room.__path__, f"{room.__name__}.")
    return [m.name for m in found if not m.name.rpartition(".")[2].startswith("_")]


def public(module: Any) -> list[str]:
    """Return the public names with a docstring that a module defines itself."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
        and value.__doc__
    ]


def page_of(app: Any, module: str) -> str | None:
    """Return the page whose chapter builds a module of the package, without suffix, or None."""
    name = "book/" + module.removeprefix(f"{PACKAGE}.").replace(".", "/").replace("_", "-")
    return name if (Path(app.srcdir) / f"{name}.md").exists() else None


def module_of(app: Any, page: str) -> Path:
    """Return the file of the module that a page would build, which need not be there."""
    return Path(app.srcdir) / PACKAGE / f"{page.removeprefix('book/').replace('-', '_')}.py"


def built(app: Any, page: str) -> frozenset[str]:
    """Return the functions and classes that a page's cells define and its module holds."""
    return _shared(Path(app.srcdir) / f"{page}.md", module_of(app, page))


@cache  # asked once for each name of a module; files do not change while a build reads them
def _shared(source: Path, module: Path) -> frozenset[str]:
    if not (source.exists() and module.exists()):
        return frozenset()
    cells = "\n".join(FENCED.findall(source.read_text("utf-8")))
    return frozenset(DEFINED.findall(cells)) & {*DEFINED.findall(module.read_text("utf-8"))}


def anchor(page: str, name: str) -> str:
    """Return the label of the cell that defines a name of a page."""
    return f"built-{page.removeprefix('book/').replace('/', '-')}-{name}".lower()


def tell_where(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Add to a docstring where the chapter builds what it documents."""
    lines[:] = [_literals(line) for line in lines]
    module = name if what == "module" else name.rpartition(".")[0]
    page = page_of(app, module)
    if page and what == "module":
        lines += ["", f"Built in :doc:`/{page}`."]
    elif page and (short := name.rpartition(".")[2]) in built(app, page):
        lines += ["", f":ref:`Where it is built <{anchor(page, short)}>`"]


def _literals(line: str) -> str:
    """One pair of backticks means code here, as in Markdown; stars and bars mean themselves."""
    return "".join(
        f"``{re.sub(CODE_EDGE, '', part)}``" if part.endswith("`") else SPECIAL.sub(r"\\\1", part)
        for part in re.split(r"((?::\w+:)?`+[^`]+`+)", line)
    )


def mark_cells(app: Sphinx, doctree: nodes.document) -> None:
    """Give each cell that defines something an anchor for each of its names."""
    page = app.env.docname
    wanted = set(built(app, page))
    if not wanted:
        return
    labels = app.env.domaindata["std"]["labels"]
    named = app.env.domaindata["std"]["anonlabels"]
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") != "cell_code":
            continue
        code = "".join(block.astext() for block in list(cell.findall(nodes.literal_block))[:1])
        for name in DEFINED.findall(code):
            if name not in wanted:
                continue
            wanted.remove(name)  # what is built twice on a page is linked where it comes first
            label = anchor(page, name)
            cell["ids"].append(label)
            labels[label] = page, label, name
            named[label] = page, label


def setup(app: Sphinx) -> None:
    """Register the directive, the anchors, and what is added to docstrings."""
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.napoleon")
    app.add_directive("api", Api)
    app.connect("autodoc-process-docstring", tell_where, priority=400)  # before napoleon
    app.connect("doctree-read", mark_cells)
