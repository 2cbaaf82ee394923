"""Where a chapter first imports helpers of the package's ``page``, a line says who explains them.

It is put into the page itself, before references are resolved: site and notebook both have it.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

PACKAGE = "dlbook_utils.page"
LABEL, TITLE = "helpers", "A few names that no chapter derives"  # in index.md


class helpers_node(nodes.Admonition, nodes.TextElement):
    """The line; an admonition, which none of those who describe a page by its first words read."""


def visit_line(writer: Any, node: helpers_node) -> None:
    """Open the line."""
    writer.body.append(writer.starttag(node, "p", "", CLASS="helpers"))


def depart_line(writer: Any, node: helpers_node) -> None:
    """Close it."""
    writer.body.append("</p>\n")


def point(app: Sphinx, doctree: nodes.document) -> None:
    """Put the line below the first cell that imports from the package."""
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") == "cell_code" and _imports(cell):
            cell.parent.insert(cell.parent.index(cell) + 1, _line(app.env.docname))
            return


def _imports(cell: nodes.container) -> bool:
    code = [block.astext() for block in cell.findall(nodes.literal_block)]
    return bool(code) and f"from {PACKAGE}" in code[0]


def _line(page: str) -> helpers_node:
    where = addnodes.pending_xref(
        "", nodes.inline("", TITLE), refdomain="std", reftype="ref", reftarget=LABEL,
        refexplicit=True, refwarn=False, refdoc=page,
    )  # fmt: skip
    name, stop = nodes.literal("", PACKAGE), nodes.Text(".")
    words = [nodes.Text("What comes from "), name, nodes.Text(" is explained under "), where, stop]
    return helpers_node("", "", *words)


def setup(app: Sphinx) -> None:
    """Register the node, and the handler, before the page is measured."""
    app.add_node(helpers_node, html=(visit_line, depart_line))
    app.connect("doctree-read", point, priority=400)
