"""Where a chapter first imports helpers of the package's ``page``, a line says who explains them.

It is put into the page itself, before references are resolved: site and notebook both have it.
"""

from __future__ import annotations

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

PACKAGE = "dlbook_utils.page"
LABEL, TITLE = "helpers", "A few names that no chapter derives"  # in index.md


def point(app: Sphinx, doctree: nodes.document) -> None:
    """Put the line below the first cell that imports from the package."""
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") == "cell_code" and _imports(cell):
            cell.parent.insert(cell.parent.index(cell) + 1, _line(app.env.docname))
            return


def _imports(cell: nodes.container) -> bool:
    code = [block.astext() for block in cell.findall(nodes.literal_block)]
    return bool(code) and f"from {PACKAGE}" in code[0]


def _line(page: str) -> nodes.paragraph:
    where = addnodes.pending_xref(
        "", nodes.inline("", TITLE), refdomain="std", reftype="ref", reftarget=LABEL,
        refexplicit=True, refwarn=False, refdoc=page,
    )  # fmt: skip
    name, stop = nodes.literal("", PACKAGE), nodes.Text(".")
    words = [nodes.Text("What comes from "), name, nodes.Text(" is explained under "), where, stop]
    return nodes.paragraph("", "", *words, classes=["helpers"])


def setup(app: Sphinx) -> None:
    """Register the handler, before the page is measured."""
    app.connect("doctree-read", point, priority=400)
