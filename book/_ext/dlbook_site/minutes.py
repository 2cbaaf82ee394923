"""How long a chapter takes to read and to run, computed from what is there: the role ``minutes``.

``{minutes}`page``` stands in the head of each chapter, ``{minutes}`book``` where the sums are
wanted. A reader has 180 words a minute and 15 lines of code, a minute for a displayed equation and
half a minute for a figure. What is folded waits for a click and does not count, nor does what a
cell printed, so that page and notebook come to the same number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from dlbook_site import again, reporting

WORDS, LINES = 180, 15  # that are read in a minute
EQUATION, FIGURE = 1, 0.5  # minutes
STEP = 5  # minutes and seconds are rounded to such steps
SCOPES = ("page", "book")
WORD = re.compile(r"\S*\w\S*")
SILENT = (nodes.Invisible, nodes.raw, nodes.system_message, nodes.image)
LOGGER = logging.getLogger(__name__)


@dataclass
class Amount:
    """What stands in sight on a page, or on several."""

    words: int = 0
    lines: int = 0  # of code, empty ones apart
    equations: int = 0
    figures: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(*(mine + more for mine, more in zip(astuple(self), astuple(other))))

    @property
    def minutes(self) -> float:
        """How long it takes to read."""
        text = self.words / WORDS + self.lines / LINES
        return text + EQUATION * self.equations + FIGURE * self.figures


class minutes_node(nodes.Inline, nodes.Element):
    """Where the sentence goes."""


class Minutes(SphinxRole):
    """``{minutes}`page```: leaves the place; the sentence is known when every page is read."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the place, and remember that this page holds it."""
        if self.text not in SCOPES:
            LOGGER.warning(
                "minutes of %r, expected page or book", self.text, location=self.env.docname
            )
            return [], []
        if self.text == "book":
            again.mark(self.env)
        return [minutes_node(scope=self.text)], []


def amount(node: nodes.Node, folded: Iterable[int] = ()) -> Amount:
    """Return what of a tree is in sight, `folded` being the places of cells whose code is not."""
    if isinstance(node, nodes.Text):
        return Amount(words=len(WORD.findall(node.astext())))
    if isinstance(node, nodes.math) or "pasted-text" in node.get("classes", []):
        return Amount(words=1)  # as a glued value, which has no words before its cell has run
    if isinstance(node, nodes.math_block):
        return Amount(equations=1)
    if isinstance(node, nodes.literal_block):
        return Amount(lines=sum(bool(line.strip()) for line in node.astext().split("\n")))
    if isinstance(node, SILENT) or "dropdown" in node.get("classes", []):
        return Amount()
    if node.get("nb_element") == "cell_code":
        return sum(_of_cell(node, folded), Amount())
    here = Amount(figures=isinstance(node, nodes.figure))
    return sum((amount(child, folded) for child in node.children), here)


def _of_cell(cell: nodes.Element, folded: Iterable[int]) -> Iterator[Amount]:
    """Yield a cell's code, and the figures that it draws, with their captions."""
    for child in cell.children:
        if child.get("nb_element") == "cell_code_source":
            yield Amount() if cell["cell_index"] in folded else amount(child)
        else:
            yield from map(_of_drawing, child.findall(nodes.figure))


def _of_drawing(figure: nodes.figure) -> Amount:
    """Return a figure that a cell draws, and its caption: what else it holds, the run has made."""
    captions = [part for part in figure.children if isinstance(part, nodes.caption)]
    return sum(map(amount, captions), Amount(figures=1))


def measure(app: Sphinx, doctree: nodes.document) -> None:
    """Keep what is in sight on a chapter that was just read."""
    page = app.env.docname
    if "kernelspec" in app.env.metadata.get(page, {}):
        cells = reporting.cells(Path(app.env.doc2path(page)))
        folded = {*reporting.titles(cells), *reporting.solutions(cells)}
        _amounts(app.env)[page] = amount(doctree, folded)


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget a page that is read again or gone."""
    _amounts(env).pop(docname, None)


def merge(app: Sphinx, env: BuildEnvironment, docnames: Iterable[str], other: Any) -> None:
    """Take over what another process of a parallel build has read."""
    for docname in docnames:
        if docname in _amounts(other):
            _amounts(env)[docname] = _amounts(other)[docname]


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the sentences in their places."""
    html = app.builder.format == "html"  # a notebook must not change with the machine
    for place in list(doctree.findall(minutes_node)):
        pages = [docname] if place["scope"] == "page" else list(_amounts(app.env))
        amounts = [_amounts(app.env)[page] for page in pages if page in _amounts(app.env)]
        seconds = [_seconds(app.env, page) for page in pages] if html else []
        sentence = of_page if place["scope"] == "page" else of_book
        place.replace_self(nodes.Text(sentence(sum(amounts, Amount()), seconds)))


def of_page(seen: Amount, seconds: list[float]) -> str:
    """Return what the head of a chapter says, of its run only if it ran."""
    text = f"Reading time: {rounded(seen.minutes)} minutes, folded parts not counted."
    if any(seconds):
        text += f" The code ran in {spoken(seconds[0])} on one CPU core when this page was made."
    return text


def of_book(seen: Amount, seconds: list[float]) -> str:
    """Return the sums over all chapters."""
    text = (
        f"Reading all chapters takes about {seen.minutes / 60:.0f} hours, folded parts not counted."
    )
    if any(seconds):
        text += (
            f" Their code ran in {spoken(sum(seconds))} on one CPU core when this book was made;"
            f" the longest chapter took {spoken(max(seconds))}."
        )
    return text


def short(env: BuildEnvironment, page: str) -> str:
    """Return how long a chapter takes, in few words: to read, and to run if it ran."""
    text = f"{rounded(_amounts(env).get(page, Amount()).minutes)} min"
    seconds = _seconds(env, page)
    return f"{text}, runs in {spoken(seconds)}" if seconds else text


def rounded(number: float) -> int:
    """Return a number of minutes or seconds as it is told: in steps, and never 0."""
    return max(STEP, STEP * round(number / STEP))


def spoken(seconds: float) -> str:
    """Return a time in words: whole minutes from two on."""
    return f"{rounded(seconds)} seconds" if seconds < 118 else f"{seconds / 60:.0f} minutes"


def _seconds(env: Any, page: str) -> float:
    """Return how long a page ran, as the build's cache knows it; 0 if it did not."""
    ran = NbMetadataCollector.get_exec_data(env, page)
    return float((ran and ran["runtime"]) or 0)


def _amounts(env: Any) -> dict[str, Amount]:
    if not hasattr(env, "dlbook_amounts"):
        env.dlbook_amounts = {}
    return env.dlbook_amounts


def setup(app: Sphinx) -> None:
    """Register role, node and events."""
    app.add_node(minutes_node)
    app.add_role("minutes", Minutes())
    app.connect("doctree-read", measure)
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge)
    app.connect("doctree-resolved", fill)
