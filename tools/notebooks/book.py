"""The book as a whole: what has a label or a number, and where on the site it stands."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from docutils.nodes import make_id
from sphinx.util.nodes import _make_id as make_term_id  # keeps the case, as glossaries do

from tools import address, toc
from tools.notebooks import citations, maths
from tools.notebooks.figures import drawn
from tools.notebooks.syntax import Directive, SourceError, plain, walk
from tools.toc import Page

PROOFS = (
    *("theorem", "lemma", "definition", "remark", "conjecture", "corollary", "algorithm"),
    *("criterion", "axiom", "example", "property", "observation", "proposition", "assumption"),
)
EXERCISES = {"exercise", "exercise-start"}
SOLUTIONS = {"solution", "solution-start"}
CAPTIONED = {
    "figure": "figure",
    "table": "table",
    "list-table": "table",
    "code-block": "code-block",
}
# Sphinx calls them "Fig. 1" unless _config.yml sets numfig_format to the same words
FORMATS = {"figure": "Figure %s", "table": "Table %s", "code-block": "Listing %s"}


@dataclass(frozen=True)
class Target:
    """Something that can be referred to."""

    page: str
    anchor: str
    kind: str  # page, section, place, figure, table, equation, exercise, solution, theorem ...
    number: str = ""
    title: str = ""

    @property
    def words(self) -> str:
        """How the book names it: "Figure 3", "Theorem 1", or its title."""
        if self.number and self.kind != "equation":
            kind = FORMATS.get(self.kind, f"{self.kind.capitalize()} %s")
            return kind % self.number
        return self.title


@dataclass
class Book:
    """Everything a chapter can refer to. Numbers are counted as Sphinx counts them."""

    root: Path
    pages: list[Page]
    labels: dict[str, Target] = field(default_factory=dict)
    equations: dict[str, Target] = field(default_factory=dict)
    terms: dict[str, Target] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    works: dict[str, citations.Work] = field(default_factory=dict)
    macros: dict[str, str] = field(default_factory=dict)
    substitutions: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> Book:
        """Read every page of the table of contents."""
        book = cls(root, toc.pages(root), works=citations.works(root), macros=maths.macros(root))
        parse = address.config(root).get("parse", {})
        book.substitutions = parse.get("myst_substitutions", {})
        counts: Counter[tuple[str, int | None]] = Counter()
        for page in book.pages:
            _Indexer(book, page, counts).run()
        return book

    def url(self, target: Target) -> str:
        """Return the address of a target on the site."""
        return address.page(target.page, target.anchor, self.root)


@dataclass
class _Indexer:
    """Walks one page in order and notes its labels and numbers in the book."""

    book: Book
    page: Page
    counts: Counter[tuple[str, int | None]]
    waiting: list[str] = field(default_factory=list)  # (label)= lines before what they name
    heading: bool = False

    def run(self) -> None:
        """Note everything on the page."""
        text = self.page.text
        head = toc.FRONT_MATTER.match(text)
        skipped = head.end() if head else 0
        line = 1 + text[:skipped].count("\n")
        for token, found, at in walk(text[skipped:], line):
            if token.type == "myst_target":
                self.waiting.append(token.content)
            elif token.type == "heading_open":
                self.heading = True
            elif token.type == "inline" and self.heading:
                self.section(plain(token.content))
            elif token.type in {"math_block_label", "math_block"}:
                self.equation(token.info if token.type == "math_block_label" else "", at)
            elif token.type == "amsmath" and not token.meta["numbered"]:
                raise SourceError(
                    f"{self.page.name}.md:{at}: number it with $$ ... $$ (label), "
                    f"or write \\begin{{{token.meta['environment']}*}}"
                )
            elif found:
                self.directive(found)
            elif token.type.endswith("_open") and token.level == 0:
                self.place()

    def number(self, kind: str) -> str:
        """Count one more of a kind: within the chapter if chapters are numbered, else on and on."""
        self.counts[kind, self.page.section] += 1
        count = self.counts[kind, self.page.section]
        return f"{self.page.section}.{count}" if self.page.section else str(count)

    def add(self, label: str, target: Target) -> None:
        """Give a target its label and those that stood before it."""
        for name in [*self.waiting, label]:
            if name:
                anchor = make_id(name)
                self.note(self.book.labels, name, replace(target, anchor=anchor))
        self.waiting = []

    def note(self, where: dict[str, Target], name: str, target: Target) -> None:
        """Note a target under its name, once."""
        key = normal(name)
        if key in where and where[key].page != target.page:
            raise SourceError(
                f"{self.page.name}.md: label {name!r} is also in {where[key].page}.md"
            )
        where[key] = target

    def section(self, title: str) -> None:
        """Note a heading, under its labels and its slug."""
        self.heading = False
        first = self.page.name not in self.book.titles
        self.book.titles.setdefault(self.page.name, title)
        kind = "page" if first else "section"
        target = Target(self.page.name, make_id(title), kind, title=title)
        self.book.labels.setdefault(f"{self.page.name}#{slugify(title)}", target)
        self.add("", target)

    def place(self) -> None:
        """Note a paragraph, list or table that a (label)= names."""
        self.add("", Target(self.page.name, "", "place"))

    def equation(self, label: str, at: int) -> None:
        """Note an equation; only those with a label have a number."""
        if not label:
            return
        anchor = make_id(f"equation-{label}")
        target = Target(self.page.name, anchor, "equation", self.number("equation"))
        self.note(self.book.equations, label, target)
        self.add("", target)

    def directive(self, found: Directive) -> None:
        """Note what a directive numbers or names."""
        name = found.name.removeprefix("prf:")
        options = found.options
        if name in EXERCISES | SOLUTIONS:
            kind = name.removesuffix("-start")
            counted = kind == "exercise" and "nonumber" not in options
            self.numbered(kind, found.label, found.argument, counted)
        elif found.name.startswith("prf:") and name in PROOFS:
            self.numbered(name, found.label, found.argument, "nonumber" not in options)
        elif name == "math":
            self.equation(found.label, found.line)
        elif name == "code-cell":
            for figure in drawn(found.body, options):
                self.numbered("figure", figure.name, figure.caption, bool(figure.caption))
        elif name in CAPTIONED:
            caption = caption_of(found)
            self.numbered(CAPTIONED[name], found.label, caption, bool(caption))
        elif name == "glossary":
            for term, _ in glossary(found.body):
                anchor = make_term_id(f"term-{term}")
                self.note(self.book.terms, term, Target(self.page.name, anchor, "term", "", term))
        elif found.label:
            self.numbered("place", found.label, found.argument, False)

    def numbered(self, kind: str, label: str, title: str, counted: bool) -> None:
        """Note a figure, theorem, exercise and the like; it counts even without a label."""
        number = self.number(kind) if counted else ""
        self.add(label, Target(self.page.name, "", kind, number, plain(title)))


def caption_of(found: Directive) -> str:
    """Return the caption of a figure (its body), a table (its argument) or code (an option)."""
    if found.name == "figure":
        return found.body.strip()
    return found.argument if "table" in found.name else str(found.options.get("caption") or "")


def glossary(body: str) -> list[tuple[str, str]]:
    """Return the terms of a glossary with their definitions, as they stand."""
    entries: list[tuple[str, str]] = []
    for block in re.split(r"\n\s*\n(?=\S)", body.strip("\n")):
        terms = re.findall(r"^\S.*$", block, re.M)
        definition = "\n".join(line for line in block.split("\n") if not re.match(r"\S", line))
        entries += [(term.split(" : ")[0].strip(), definition) for term in terms]
    return entries


def normal(name: str) -> str:
    """Return a label as Sphinx compares it: lower case, single spaces."""
    return " ".join(name.split()).lower()


def slugify(title: str) -> str:
    """Return the anchor that Markdown links use for a heading, as on GitHub."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
