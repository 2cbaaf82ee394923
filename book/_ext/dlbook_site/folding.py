"""What folds, folds natively: admonitions and solutions of class ``dropdown`` become <details>.

A browser opens these without a script, finds text in them, and tells a screen reader their state.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.locale import admonitionlabels
from sphinx.transforms.post_transforms import SphinxPostTransform

SHARED_IDS = {"exercise-content", "solution-content", "proof-content", "proof"}


class details_node(nodes.General, nodes.Element):
    """What folds."""


class summary_node(nodes.General, nodes.TextElement):
    """What stays visible of it."""


class Fold(SphinxPostTransform):
    """Replaces folding admonitions, once sphinx-exercise has resolved their titles."""

    default_priority = 900
    formats = ("html",)

    def run(self, **options: Any) -> None:
        """Fold, and drop the ids that sphinx-exercise gives to several elements of a page."""
        for node in list(self.document.findall(nodes.Element)):
            if SHARED_IDS & set(node["ids"]):
                node["ids"] = [name for name in node["ids"] if name not in SHARED_IDS]
        for node in list(self.document.findall(_folds)):
            node.replace_self(_details(node))


def _folds(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Admonition) and "dropdown" in node["classes"]


def _details(node: nodes.Element) -> details_node:
    kind = node.tagname if node.tagname in admonitionlabels else ""
    classes = [name for name in node["classes"] if name != "dropdown"]
    details = details_node(classes=["admonition", *classes, *([kind] if kind else [])])
    details["ids"] = node["ids"]
    children = list(node.children)
    if children and isinstance(children[0], nodes.title):
        title = children.pop(0).children
    else:
        title = [nodes.Text(admonitionlabels.get(kind, "More"))]
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
    app.add_post_transform(Fold)
