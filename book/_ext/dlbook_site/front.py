"""What the front page is made of: the parts with their chapters, and the map of what needs what.

``{parts}`` shows every numbered part of the contents with a picture and its chapters, each with
its reading and running time; its content says which figure stands for which part. ``{needs}`` draws
what the heads of the chapters say ("**You need** ..."). Both are filled when the page is written.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from dlbook_site import again, minutes

NEED = "You need"  # how the paragraph in the head of a chapter begins
ROW = 10  # height of a row of the map, in its own units
LOGGER = logging.getLogger(__name__)


@dataclass
class Kept:
    """What is kept of a page: references in its head (kind, target), pictures by anchor."""

    needs: list[tuple[str, str]]
    pictures: dict[str, nodes.image]


class parts_node(nodes.General, nodes.Element):
    """Where the parts go."""


class needs_node(nodes.General, nodes.Element):
    """Where the map goes, and then what it shows."""


class Parts(SphinxDirective):
    """``{parts}``: lines "Part: label of a figure"."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the place that `fill` fills, and remember that this page holds it."""
        again.mark(self.env)
        pairs = [line.split(":", 1) for line in self.content if line.strip()]
        if any(len(pair) != 2 for pair in pairs):
            raise self.error("parts: expected lines such as `Foundations: fig-mlp-moons`")
        return [parts_node(figures={part.strip(): label.strip() for part, label in pairs})]


class Needs(SphinxDirective):
    """``{needs}``: the map of all numbered chapters."""

    def run(self) -> list[nodes.Node]:
        """Return the place that `fill` fills, and remember that this page holds it."""
        again.mark(self.env)
        return [needs_node()]


def collect(app: Sphinx, doctree: nodes.document) -> None:
    """Keep of a page that was just read what its head needs, and the pictures of its figures."""
    page = app.env.docname
    kept = _kept(app.env)[page] = Kept([], {})
    for paragraph in doctree.findall(nodes.paragraph):
        first = next(iter(paragraph.findall(nodes.strong)), None)
        if first is not None and first.astext() == NEED:
            refs = paragraph.findall(addnodes.pending_xref)
            kept.needs.extend((ref["reftype"], ref["reftarget"]) for ref in refs)
            break
    for figure in doctree.findall(nodes.figure):
        image = next(iter(figure.findall(nodes.image)), None)
        if image is not None:
            kept.pictures.update((anchor, image.deepcopy()) for anchor in figure["ids"])


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget a page that is read again or gone."""
    _kept(env).pop(docname, None)


def merge(app: Sphinx, env: BuildEnvironment, docnames: Any, other: Any) -> None:
    """Take over what another process of a parallel build has read."""
    _kept(env).update({page: _kept(other)[page] for page in docnames if page in _kept(other)})


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the parts and the map in their places, on the site: a notebook has no pictures yet."""
    if app.builder.format != "html":
        return
    for place in list(doctree.findall(parts_node)):
        place.replace_self(_cards(app, docname, place["figures"]))
    for place in doctree.findall(needs_node):
        place["rows"], place["arcs"] = _map(app, docname)


def parts(env: BuildEnvironment) -> Iterator[tuple[str, list[str]]]:
    """Yield caption and pages of each numbered part, in the order of the contents."""
    root = env.get_doctree(env.config.root_doc)
    for tree in root.findall(addnodes.toctree):
        if tree.get("numbered"):
            yield tree.get("caption") or "", list(tree["includefiles"])


def _cards(app: Sphinx, here: str, figures: dict[str, str]) -> nodes.container:
    known = dict(parts(app.env))
    for part in figures.keys() ^ known.keys():
        LOGGER.warning("parts: %r is %s", part, "no part" if part in figures else "without figure",
                       location=here)  # fmt: skip
    cards = nodes.container(classes=["parts"])
    for part, pages in known.items():
        card = nodes.container(classes=["part-card"])
        if picture := _picture(app, here, figures.get(part, "")):
            card += picture
        card += nodes.rubric("", part)
        card += nodes.bullet_list("", *(_chapter(app, here, page) for page in pages))
        cards += card
    return cards


def _picture(app: Sphinx, here: str, label: str) -> nodes.Element | None:
    """Return the first picture of a labelled figure, as a link to it."""
    page, anchor = app.env.domains["std"].anonlabels.get(label, ("", ""))
    if page and (image := _kept(app.env)[page].pictures.get(anchor)):
        uri = f"{app.builder.get_relative_uri(here, page)}#{anchor}"
        link = nodes.reference("", "", image.deepcopy(), refuri=uri, internal=True)
        return nodes.container("", nodes.paragraph("", "", link), classes=["part-picture"])
    if label:
        LOGGER.warning("parts: no figure with a picture is called %r", label, location=here)
    return None


def _chapter(app: Sphinx, here: str, page: str) -> nodes.list_item:
    title = app.env.titles[page].astext()
    uri = app.builder.get_relative_uri(here, page)
    link = nodes.reference("", title, refuri=uri, internal=True)
    time = nodes.inline("", minutes.short(app.env, page), classes=["part-time"])
    return nodes.list_item("", nodes.paragraph("", "", link, nodes.Text(" "), time))


def _map(app: Sphinx, here: str) -> tuple[list[dict[str, Any]], list[tuple[int, int]]]:
    """Return a row for each chapter (part, title, address, rows that it needs), and all arcs."""
    chapters = [(part, page) for part, pages in parts(app.env) for page in pages]
    at = {page: number for number, (_, page) in enumerate(chapters)}
    rows = [
        {
            "part": part,
            "title": app.env.titles[page].astext(),
            "uri": app.builder.get_relative_uri(here, page),
            "needs": sorted(
                {at[need] for need in needed(app.env, page) if need in at} - {at[page]}
            ),
        }
        for part, page in chapters
    ]
    return rows, [(need, number) for number, row in enumerate(rows) for need in row["needs"]]


def needed(env: BuildEnvironment, page: str) -> set[str]:
    """Return the pages that the head of a chapter names as what it needs."""
    targets = {_target(env, page, *reference) for reference in _kept(env)[page].needs}
    return targets - {""}


def _target(env: BuildEnvironment, page: str, form: str, name: str) -> str:
    """Return the page that a reference leads to; "" if it leads to a term, or nowhere."""
    if form == "doc":
        return posixpath.normpath(posixpath.join(posixpath.dirname(page), name)).lstrip("/")
    if form == "eq":
        return env.domains["math"].equations.get(name, ("", 0))[0]
    return env.domains["std"].anonlabels.get(name, ("", ""))[0] if form == "ref" else ""


def visit_needs(writer: Any, node: needs_node) -> None:
    """Write a list of links beside an SVG with an arc from each chapter to what it needs."""
    rows, arcs = node["rows"], node["arcs"]
    lines = "".join(arc(need, number) for need, number in arcs)
    height = ROW * len(rows)
    writer.body.append(
        '<div class="needs" data-live="needs">'
        f'<svg viewBox="0 0 100 {height}" style="height: calc({len(rows)} * var(--row))" '
        f'preserveAspectRatio="none" aria-hidden="true">{lines}</svg><ol>'
    )
    for number, row in enumerate(rows):
        first = number == 0 or rows[number - 1]["part"] != row["part"]
        names = ", ".join(rows[need]["title"] for need in row["needs"]) or "nothing before it"
        link = writer.starttag(nodes.reference(), "a", "", href=row["uri"])
        part = f'<span class="needs-part">{writer.encode(row["part"])}</span>' if first else ""
        writer.body.append(
            f'<li data-needs="{" ".join(map(str, row["needs"]))}">{link}'
            f"{writer.encode(row['title'])}</a>{part}"
            f'<span class="visually-hidden"> needs {writer.encode(names)}</span></li>'
        )
    writer.body.append('</ol><p class="js-only needs-said" aria-live="polite"></p></div>\n')
    raise nodes.SkipNode


def arc(need: int, number: int) -> str:
    """Return the curve from the row of a chapter to the row of one that it needs."""
    above, below = ROW * (need + 0.5), ROW * (number + 0.5)
    reach = 98 * min(1.0, 0.16 + 0.84 * (number - need) / 30)
    left = f"{100 - reach:.1f}"
    curve = f"M100 {above:g}C{left} {above:g} {left} {below:g} 100 {below:g}"
    return f'<path data-from="{need}" data-to="{number}" d="{curve}"/>'


def visit_nothing(writer: Any, node: nodes.Element) -> None:
    """Other builders have no map."""
    raise nodes.SkipNode


def _kept(env: Any) -> dict[str, Kept]:
    if not hasattr(env, "dlbook_kept"):
        env.dlbook_kept = {}
    return env.dlbook_kept


def setup(app: Sphinx) -> None:
    """Register nodes, directives and events."""
    nothing = (visit_nothing, None)
    app.add_node(needs_node, html=(visit_needs, None), text=nothing, latex=nothing)
    app.add_node(parts_node)
    app.add_directive("parts", Parts)
    app.add_directive("needs", Needs)
    app.connect("doctree-read", collect)
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge)
    app.connect("doctree-resolved", fill)
    app.add_js_file("live-needs.js", loading_method="defer")
