"""How the book's build turns outputs of claims and sliders into nodes of its page.

myst-nb finds the renderers by the entry points of this package (group ``myst_nb.mime_renderers``);
the Sphinx extension in ``book/_ext/dlbook_site`` writes the nodes as HTML. Nothing else imports
this module: a reader needs no docutils.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes

from dlbook_utils.page.claims import origin

CLAIM = "application/vnd.dlbook.claim+json"
FRAMES = "application/vnd.dlbook.frames+json"
WORDS = {"not tested": "not tested in this run", "fails": "not supported here"}


class claim_node(nodes.General, nodes.Element):
    """A check, claim or verdict; attributes as in ``dlbook_utils.page.claims.Claim``, and ids."""


class frames_node(nodes.General, nodes.Element):
    """A figure with a slider: label, values, frames (SVG documents) and alts, all in order."""


class ClaimRenderer:
    """Renders claims, and the frames of ``dlbook_utils.page.interactive.explore``."""

    mime_priority_overrides = [("*", CLAIM, 1), ("*", FRAMES, 1)]

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Element] | None:
        """Return the nodes for an output of ours; None, "not mine", for anything else."""
        render = {CLAIM: _claim, FRAMES: _frames}.get(data.mime_type)
        return None if inline or render is None else [render(renderer.renderer, data)]


def _claim(renderer: Any, data: Any) -> claim_node:
    """Return a claim with paragraphs inside, so that the search finds its words."""
    document = renderer.document
    node = claim_node(**data.content)
    node["ids"] = [_unique("claim-" + nodes.make_id(node["statement"])[:60], document)]
    document.ids[node["ids"][0]] = node
    node.extend(_paragraphs(node))
    node.source, node.line = document["source"], data.line
    return node


def _frames(renderer: Any, data: Any) -> nodes.figure:
    """Return a figure, with its number and caption, around the frames."""
    content = dict(data.content)
    name, caption = content.pop("name", ""), content.pop("caption", "")
    figure = nodes.figure("", frames_node(**content), classes=["frames"])
    figure.source, figure.line = renderer.document["source"], data.line
    if name:
        figure["names"].append(nodes.fully_normalize_name(name))
        renderer.document.note_explicit_target(figure, figure)
    if caption:
        figure += _caption(renderer, caption, data.line)
    return figure


def _caption(renderer: Any, text: str, line: int | None) -> nodes.caption:
    """Return a caption whose text is MyST, as that of other figures is."""
    holder = nodes.Element()
    with renderer.current_node_context(holder):
        renderer.nested_render_text(text, line or 0)
    return nodes.caption(text, "", *holder[0].children)


def _paragraphs(node: claim_node) -> list[nodes.paragraph]:
    """Return what the box says: statement and outcome, evidence and its origin, what breaks it."""
    says = _says(node)
    parts = [("statement", node["statement"]), ("evidence", node["evidence"])]
    if node["kind"] != "check" or node["supported"] is not True:
        parts.insert(0, ("outcome", says))
    if source := origin(node.get("recorded", ""), node.get("fixed", "")):
        parts.append(("source", f"{source[0].upper()}{source[1:]}."))
    if node["breaks_if"]:
        parts.append(("breaks", f"Breaks if {node['breaks_if']}."))
    return [nodes.paragraph("", text, classes=[f"claim-{part}"]) for part, text in parts if text]


def _says(node: claim_node) -> str:
    word = "headline claim" if node["headline"] else node["kind"]
    if node["outcome"] == "depends":
        return f"{word}: depends on {node['on']}"
    return f"{word}: {WORDS.get(node['outcome'], node['outcome'])}"


def _unique(wanted: str, document: nodes.document) -> str:
    """Return an id that the page does not have yet, the same one in every build."""
    name, count = wanted, 2
    while name in document.ids:
        name, count = f"{wanted}-{count}", count + 1
    return name
