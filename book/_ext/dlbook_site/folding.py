"""What folds, folds natively: admonitions and solutions of class ``dropdown`` become <details>.

A browser opens these without a script, finds text in them, and tells a screen reader their state.
So does the code of cells that only report or only draw, below the box or the figure it makes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.locale import admonitionlabels
from sphinx.transforms.post_transforms import SphinxPostTransform

from dlbook_site import reporting

SHARED_IDS = {"exercise-content", "solution-content", "proof-content", "proof"}


class details_node(nodes.General, nodes.Element):
    """What folds."""


class summary_node(nodes.General, nodes.TextElement):
    """What stays visible of it."""


class FoldCells(SphinxPostTransform):
    """Marks the cells that fold by what is in them as if they were tagged; then myst-nb wraps."""

    default_priority = 150
    formats = ("html",)

    def run(self, **options: Any) -> None:
        """Ask of all cells of a page at once: what one defines may be read in another."""
        cells = [node for node in self.document.findall(nodes.container) if _is_cell(node)]
        source = Path(self.env.doc2path(self.env.docname))
        titles = reporting.titles(reporting.cells(source)) if cells else {}
        for node in cells:
            if node["cell_index"] in titles and "hide_mode" not in node:
                node["hide_mode"] = "input"
                node["prompt_show"] = self.config.nb_code_prompt_show
                node["prompt_hide"] = self.config.nb_code_prompt_hide
                node["classes"].append("tag_hide-input")


class Fold(SphinxPostTransform):
    """Replaces folding admonitions, once sphinx-exercise has resolved their titles."""

    default_priority = 900
    formats = ("html",)

    def run(self, **options: Any) -> None:
        """Fold, and drop the ids that sphinx-exercise gives to several elements of a page."""
        for node in list(self.document.findall(HideCodeCellNode)):
            if _is_cell(node.parent) and node.parent["hide_mode"] == "input":
                node.parent.children.reverse()  # what came out is read before the code
        for node in list(self.document.findall(nodes.Element)):
            if SHARED_IDS & set(node["ids"]):
                node["ids"] = [name for name in node["ids"] if name not in SHARED_IDS]
        for node in list(self.document.findall(_folds)):
            node.replace_self(_details(node))


def _is_cell(node: nodes.Node) -> bool:
    return isinstance(node, nodes.container) and node.get("nb_element") == "cell_code"


def _folds(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Admonition) and "dropdown" in node["classes"]


def _details(node: nodes.Element) -> details_node:
    admonition = node.tagname if node.tagname in admonitionlabels else ""
    classes = [name for name in node["classes"] if name != "dropdown"]
    details = details_node(classes=["admonition", *classes, *([admonition] if admonition else [])])
    details["ids"] = node["ids"]
    children = list(node.children)
    if children and isinstance(children[0], nodes.title):
        title = children.pop(0).children
    else:
        title = [nodes.Text(admonitionlabels.get(admonition, "More"))]
    details += summary_node("", "", *_plain(title), classes=["admonition-title"])
    details.extend(children)
    return details


def _plain(title: list[nodes.Node]) -> list[nodes.Node]:
    """Return a title without links: a summary is a button, and no button holds another."""
    words = " ".join(node.astext().strip() for node in title)
    kept = [node for node in title if not isinstance(node, nodes.reference)]
    return kept if len(kept) == len(title) else [nodes.Text(words)]


def visit_details(writer: Any, node: details_node) -> None:
    """Open <details>."""
    writer.body.append(writer.starttag(node, "details"))


def depart_details(writer: Any, node: details_node) -> None:
    """Close it."""
    writer.body.append("</details>\n")


def visit_summary(writer: Any, node: summary_node) -> None:
    """Open <summary>."""
    writer.body.append(writer.starttag(node, "summary", ""))


def depart_summary(writer: Any, node: summary_node) -> None:
    """Close it."""
    writer.body.append("</summary>\n")


def setup(app: Sphinx) -> None:
    """Register nodes and transform."""
    app.add_node(details_node, html=(visit_details, depart_details))
    app.add_node(summary_node, html=(visit_summary, depart_summary))
    app.add_post_transform(FoldCells)
    app.add_post_transform(Fold)
