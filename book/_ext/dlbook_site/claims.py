"""Claims in the pages, and the list of them all that the directive ``claims`` makes.

The list is filled when the page that holds it is written, from what the other pages left in the
environment, so it is right in incremental and in parallel builds alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective, SphinxRole

from dlbook_site import again
from dlbook_utils.page.claims import origin
from dlbook_utils.page.mime import WORDS, claim_node
from dlbook_utils.records import folder, ledger

KEPT = ("kind", "statement", "evidence", "outcome", "on", "headline", "breaks_if", "saying")
MAY_LACK = ("recorded", "fixed")
KINDS = ("check", "claim", "verdict")
SUMMARY = {True: "supported", False: "refuted", None: "untested"}


class claims_list(nodes.General, nodes.Element):
    """Where the list of all claims goes."""


class claims_count(nodes.Inline, nodes.Element):
    """Where the number of claims of one kind goes."""


class Count(SphinxRole):
    """``{claims}`verdict```: how many claims of a kind the book states."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the place that `fill` fills, and remember that this page holds it."""
        again.mark(self.env)
        if self.text not in KINDS:
            self.inliner.reporter.warning(f"claims of kind {self.text!r}, expected one of {KINDS}")
        return [claims_count(of=self.text)], []


class Claims(SphinxDirective):
    """``{claims}``: all claims of the book, verdicts on sayings first, then page by page."""

    def run(self) -> list[nodes.Node]:
        """Return the place that `fill` fills, and remember that this page holds it."""
        again.mark(self.env)
        return [claims_list()]


def visit_claim(writer: Any, node: claim_node) -> None:
    """Open the box of a claim."""
    classes = ["claim", f"claim-{node['kind']}", f"is-{SUMMARY[node['supported']]}"]
    if node["headline"]:
        classes.append("claim-headline")
    writer.body.append(writer.starttag(node, "div", CLASS=" ".join(classes)))


def depart_claim(writer: Any, node: claim_node) -> None:
    """Close it."""
    writer.body.append("</div>\n")


def visit_as_text(writer: Any, node: claim_node) -> None:
    """Let other builders write the paragraphs inside."""


def collect(app: Sphinx, doctree: nodes.document) -> None:
    """Keep the claims of a page that was just read."""
    stated = [
        {"id": node["ids"][0]}
        | {key: node[key] for key in KEPT}
        | {key: node.get(key, "") for key in MAY_LACK}
        for node in doctree.findall(claim_node)
    ]
    _claims(app.env)[app.env.docname] = stated


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget a page that is read again or gone."""
    _claims(env).pop(docname, None)


def merge(app: Sphinx, env: BuildEnvironment, docnames: Iterable[str], other: Any) -> None:
    """Take over what another process of a parallel build has read."""
    for docname in docnames:
        if docname in _claims(other):
            _claims(env)[docname] = _claims(other)[docname]


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the lists and the counts in their places."""
    for count in list(doctree.findall(claims_count)):
        count.replace_self(nodes.Text(str(stated(app.env, count["of"]))))
    places = list(doctree.findall(claims_list))
    if not places:
        return
    order = [name for name in _reading_order(app.env) if _claims(app.env).get(name)]
    for place in places:
        place.replace_self(_lists(app, docname, order))


def stated(env: BuildEnvironment, kind: str) -> int:
    """Return how many claims of a kind the pages state."""
    return sum(item["kind"] == kind for items in _claims(env).values() for item in items)


def elsewhere(path: Path) -> dict[tuple[str, str], str]:
    """Return, for page and statement, how it fared under other seeds, threads and instructions.

    The record is what `make robust` leaves; of a page's lines the last one counts.
    """
    last = {run["page"]: run["claims"] for run in ledger.read(path)}
    return {(page, row["statement"]): _fared(row) for page, rows in last.items() for row in rows}


def _fared(row: dict[str, Any]) -> str:
    least = row["least"]
    margin = "" if least is None else f", least margin {least:.1f} standard errors"
    return f"held in {row['held']} of {row['runs']} runs over seeds, threads and processors{margin}"


def _lists(app: Sphinx, here: str, order: list[str]) -> list[nodes.Node]:
    tried = elsewhere(folder() / "robust.jsonl")
    everything = [
        (page, item | {"elsewhere": tried.get((page, item["statement"]), "")})
        for page in order
        for item in _claims(app.env)[page]
    ]
    if not everything:
        return [nodes.paragraph("", "No page of this book states a claim yet.")]
    count = _count([item for _, item in everything])
    result: list[nodes.Node] = [nodes.paragraph("", count, classes=["claims-count"])]
    verdicts = [(page, item) for page, item in everything if item["kind"] == "verdict"]
    if verdicts:
        rows = [_verdict_row(app, here, page, item) for page, item in verdicts]
        result.append(_section("What people say", "sayings", _table(rows)))
    for page in order:
        items = [item for at, item in everything if at == page and item["kind"] != "verdict"]
        items.sort(key=lambda item: (not item["headline"], item["kind"] == "check"))
        if items:
            rows = [_claim_row(app, here, page, item) for item in items]
            title = app.env.titles[page].astext()
            result.append(_section(title, nodes.make_id(f"claims-of-{page}"), _list(rows)))
    return result


def _count(items: list[dict[str, Any]]) -> str:
    kinds = [item["kind"] for item in items]
    untested = sum(item["outcome"] == "not tested" for item in items)
    verb = "was" if untested == 1 else "were"
    tail = (
        f" Of these, {untested} {verb} not tested: the data were not at hand." if untested else ""
    )
    read = sum(bool(item["recorded"]) for item in items)
    fixed = sum(bool(item["fixed"]) for item in items)
    return (
        f"The book states {_plural(kinds.count('claim'), 'claim')}, "
        f"{_plural(kinds.count('verdict'), 'verdict')} and "
        f"{_plural(kinds.count('check'), 'check')}.{tail} "
        f"Claims and verdicts on a record: {read}; with a test fixed beforehand: {fixed}."
    )


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _section(title: str, name: str, content: nodes.Node) -> nodes.section:
    return nodes.section("", nodes.title(title, title), content, ids=[name])


def _link(app: Sphinx, here: str, page: str, item: dict[str, Any], text: str) -> nodes.reference:
    uri = app.builder.get_relative_uri(here, page) + "#" + item["id"]
    return nodes.reference("", text, refuri=uri, internal=True)


def _outcome(item: dict[str, Any]) -> str:
    if item["outcome"] == "depends":
        return f"depends on {item['on']}"
    return WORDS.get(item["outcome"], item["outcome"])


def _origin(item: dict[str, Any]) -> str:
    return origin(item["recorded"], item["fixed"])


def _verdict_row(app: Sphinx, here: str, page: str, item: dict[str, Any]) -> list[nodes.Node]:
    saying = nodes.inline("", "", _link(app, here, page, item, f"“{item['statement']}”"))
    where = nodes.inline("", app.env.titles[page].astext())
    evidence = " · ".join(filter(None, (item["evidence"], _origin(item), item["elsewhere"])))
    return [saying, nodes.inline("", _outcome(item)), nodes.inline("", evidence), where]


def _claim_row(app: Sphinx, here: str, page: str, item: dict[str, Any]) -> nodes.list_item:
    classes = [f"claim-{item['kind']}"] + ["claim-headline"] * item["headline"]
    row = nodes.list_item("", classes=classes)
    row += nodes.paragraph("", "", _link(app, here, page, item, item["statement"]))
    if item["kind"] == "check" and item["outcome"] == "holds" and not item["evidence"]:
        return row
    word = "headline claim" if item["headline"] else item["kind"]
    words = [f"{word}, {_outcome(item)}", item["evidence"], _origin(item), item["elsewhere"]]
    words += [f"breaks if {item['breaks_if']}"] * bool(item["breaks_if"])
    text = " · ".join(word for word in words if word)
    row += nodes.paragraph("", text, classes=["claim-evidence"])
    return row


def _list(rows: list[nodes.list_item]) -> nodes.bullet_list:
    return nodes.bullet_list("", *rows, classes=["claims-list"])


def _table(rows: list[list[nodes.Node]]) -> nodes.table:
    head = [nodes.inline("", text) for text in ("Saying", "Verdict", "Evidence", "Chapter")]
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    group += nodes.thead("", _row(head))
    group += nodes.tbody("", *(_row(row) for row in rows))
    return nodes.table("", group, classes=["claims-table"])


def _row(cells: list[nodes.Node]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", cell)) for cell in cells))


def _reading_order(env: BuildEnvironment) -> Iterator[str]:
    """Yield every page once, in the order of the table of contents."""
    seen: set[str] = set()
    waiting = [env.config.root_doc]
    while waiting:
        page = waiting.pop(0)
        if page not in seen:
            seen.add(page)
            yield page
            waiting = list(env.toctree_includes.get(page, [])) + waiting
    yield from sorted(env.found_docs - seen)


def _claims(env: Any) -> dict[str, list[dict[str, Any]]]:
    if not hasattr(env, "dlbook_claims"):
        env.dlbook_claims = {}
    return env.dlbook_claims


def setup(app: Sphinx) -> None:
    """Register nodes, directive and events."""
    other = (visit_as_text, visit_as_text)
    app.add_node(claim_node, html=(visit_claim, depart_claim), text=other, latex=other)
    app.add_node(claims_list)
    app.add_node(claims_count)
    app.add_role("claims", Count())
    app.add_directive("claims", Claims)
    app.connect("doctree-read", collect)
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge)
    app.connect("doctree-resolved", fill)
