"""Inside a paragraph: roles, links, mathematics, footnotes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from pathlib import PurePosixPath
from posixpath import normpath
from typing import Any

from tools import address
from tools.notebooks import maths
from tools.notebooks.book import Book, Target, normal, slugify
from tools.notebooks.syntax import SourceError, titled
from tools.toc import Page

MISSING = "…"  # stands for a glued value that no build has computed yet

# In order of precedence: what is found first at a place wins, as in Markdown itself.
SPAN = re.compile(
    r"""
      (?P<escape>\\[\\`$\[\]{}*_!])
    | \{(?P<role>[A-Za-z][\w:.+-]*)\}(?P<tick>`+)(?P<text>.+?)(?<!`)(?P=tick)(?!`)
    | (?P<code>(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))
    | (?P<displayed>\$\$.+?\$\$)
    | (?P<maths>\$(?:\\.|[^\\$])+?\$)
    | \[\^(?P<note>[^\]\s]+)\]
    | (?P<bang>!?)\[(?P<shown>(?:`[^`]*`|\$[^$]*\$|\{[\w:]+\}`[^`]*`|\\.|[^\[\]`$])*)\]
      \((?P<href>[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?P<hint>\s+"[^"]*")?\)
    | <(?P<auto>(?:project|path|inv|myst):[^>\s]+)>
    | \{\{\s*(?P<substitution>\w+)\s*\}\}
    | \[(?P<styled>[^\[\]]*)\]\{[.#][^{}]*\}
    | (?<=[)`\]])(?P<attrs>\{[.#\w][^{}`]*\})
    """,
    re.X | re.S,
)


@dataclass
class Inline:
    """Renders the inside of paragraphs of one chapter, and remembers what it cites."""

    book: Book
    page: Page
    values: dict[str, str] = field(default_factory=dict)  # glued values
    used: set[str] = field(default_factory=set)  # names of those that the text quotes
    cited: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # footnotes in order of first use
    facts: dict[str, str] = field(default_factory=dict)  # word count and reading time
    line: int = 0

    def __call__(self, text: str, line: int = 0) -> str:
        """Return text with everything that is MyST's own as plain Markdown."""
        start = self.line = line or self.line

        def span(match: re.Match) -> str:
            self.line = start + text.count("\n", 0, match.start())
            return self.span(match)

        rendered = SPAN.sub(span, text)
        self.line = start
        return rendered

    def span(self, match: re.Match) -> str:
        """Render one span."""
        found = match.groupdict()
        if found["role"]:
            return self.role(found["role"], found["text"])
        if found["href"] is not None:
            return self.link(found)
        if found["displayed"] or found["maths"]:
            return maths.expand(match[0], self.book.macros)
        if found["note"]:
            return f"<sup>{self.note(found['note'])}</sup>"
        if found["auto"]:
            return self.link({"bang": "", "shown": "", "href": found["auto"], "hint": None})
        if found["substitution"]:
            return self.substitution(found["substitution"])
        if found["styled"] is not None:
            return self(found["styled"])
        return "" if found["attrs"] else match[0]

    def error(self, message: str) -> SourceError:
        """Return an error that says where it happened."""
        return SourceError(f"{self.page.name}.md:{self.line}: {message}")

    def role(self, name: str, text: str) -> str:
        """Render {name}`text`."""
        if name.partition(":")[0] == "py" or name in CODE_ROLES:
            return f"`{titled(text)[0] or titled(text)[1].lstrip('~!')}`"
        if name not in ROLES:
            raise self.error(f"unknown role {{{name}}}; teach it to tools/notebooks/inline.py")
        return ROLES[name](self, text)

    def find(self, where: dict[str, Target], label: str, kind: str) -> Target:
        """Return the target of a label."""
        target = where.get(normal(label))
        if target is None:
            raise self.error(f"no {kind} is called {label!r}")
        return target

    def to(self, target: Target, text: str = "") -> str:
        """Return a link to a target."""
        text = text or target.words
        if not text:
            raise self.error(f"a link to {target.anchor!r} needs a text: it has no title")
        return f"[{text}]({self.book.url(target)})"

    def note(self, label: str) -> int:
        """Return the number of a footnote."""
        if label not in self.notes:
            self.notes.append(label)
        return self.notes.index(label) + 1

    def substitution(self, name: str) -> str:
        """Return the value of {{ name }} from the settings."""
        if name not in self.book.substitutions:
            raise self.error(f"unknown substitution {name!r}: not in _config.yml")
        return self(str(self.book.substitutions[name]))

    def link(self, found: dict[str, Any]) -> str:
        """Render [text](href) or ![alt](href)."""
        href, text = found["href"], found["shown"]
        hint = found["hint"] or ""
        if found["bang"]:
            return f"![{text}]({self.file(href, address.raw)}{hint})"
        text = self(text)
        if re.match(r"(https?|mailto|ftp):", href):
            return f"[{text}]({href}{hint})"
        return self.inner(re.sub(r"^(project|path|myst):", "", href), text)

    def inner(self, href: str, text: str) -> str:
        """Render a link to a place in the book: #label, page.md, page.md#heading, label, file."""
        path, _, anchor = href.partition("#")
        if path.endswith(".md"):
            page = self.document(path.removesuffix(".md"))
            target = page if not anchor else self.labelled(anchor, page.page)
        else:
            target = self.labelled(anchor or path, self.page.name)
        if target is None:
            return f"[{text or path}]({self.file(path, address.blob)})"
        return self.to(target, text)

    def labelled(self, label: str, page: str) -> Target | None:
        """Return what a link's #label means: a label or, on its page, a heading."""
        labels, name = self.book.labels, normal(label)
        heading = labels.get(f"{page}#{slugify(label)}")
        return labels.get(name) or self.book.equations.get(name) or heading

    def document(self, name: str) -> Target:
        """Return a page by its name, from the root (/book/index) or relative to this page."""
        folder = "" if name.startswith("/") else str(PurePosixPath(self.page.name).parent)
        docname = normpath(f"{folder}/{name}").lstrip("/")
        if docname not in self.book.titles:
            raise self.error(f"no page is called {name!r} ({docname}.md is not in _toc.yml)")
        return Target(docname, "", "page", title=self.book.titles[docname])

    def file(self, href: str, place: Callable[..., str]) -> str:
        """Return the address of a file of the repository, which must exist."""
        if re.match(r"(https?|data|attachment):", href):
            return href
        folder = "" if href.startswith("/") else str(PurePosixPath(self.page.name).parent)
        path = normpath(f"{folder}/{href}").lstrip("/")
        if not (self.book.root / path).is_file():
            raise self.error(f"{href!r} is no label, no page, and there is no file {path}")
        return place(path, self.book.root)


def _cite(style: str) -> Callable[[Inline, str], str]:
    """Return a citation role; t: in the sentence, p: in parentheses, s: all authors."""

    def cite(inline: Inline, text: str) -> str:
        parts = []
        for key in (key.strip() for key in text.split(",")):
            if key not in inline.book.works:
                raise inline.error(f"no work is called {key!r} in the bibliography")
            if key not in inline.cited:
                inline.cited.append(key)
            work = inline.book.works[key]
            words = CITATIONS[style.removesuffix("s")].format(
                author=work.author(full=style.endswith("s")), year=work.year
            )
            parts.append(f"[{words}]({work.url})" if work.url else words)
        joined = "; ".join(parts) if style[0] == "p" else ", ".join(parts)
        return f"({joined})" if style[0] == "p" else joined

    return cite


def _ref(inline: Inline, text: str) -> str:
    title, label = titled(text)
    return inline.to(inline.find(inline.book.labels, label, "label"), inline(title))


def _numref(inline: Inline, text: str) -> str:
    title, label = titled(text)
    target = inline.find(inline.book.labels, label, "label")
    if not target.number:
        raise inline.error(f"{label!r} has no number; has it a caption?")
    for mark, value in {
        "%s": target.number,
        "{number}": target.number,
        "{name}": target.title,
    }.items():
        title = title.replace(mark, value)
    return inline.to(target, title)


def _eq(inline: Inline, text: str) -> str:
    target = inline.find(inline.book.equations, text, "equation")
    return inline.to(target, f"({target.number})")


def _doc(inline: Inline, text: str) -> str:
    title, name = titled(text)
    return inline.to(inline.document(name), inline(title))


def _term(inline: Inline, text: str) -> str:
    title, term = titled(text)
    return inline.to(inline.find(inline.book.terms, term, "term"), title or term)


def _glue(inline: Inline, text: str) -> str:
    name, _, form = text.strip().partition(":")
    value = inline.values.setdefault(name, MISSING)
    inline.used.add(name)
    return format(float(value), form) if form and value != MISSING else value


def _math(inline: Inline, text: str) -> str:
    return f"${maths.expand(text, inline.book.macros)}$"


def _abbreviation(inline: Inline, text: str) -> str:
    short, long = re.fullmatch(r"(.+?)\s*(?:\((.+)\))?", text, re.S).groups()
    return f'<abbr title="{escape(long)}">{short}</abbr>' if long else short


def _download(inline: Inline, text: str) -> str:
    title, path = titled(text)
    return f"[{title or path}]({inline.file(path, address.blob)})"


def _fact(inline: Inline, text: str) -> str:
    return inline.facts[text] if text in inline.facts else inline.substitution(text)


def _html(tag: str) -> Callable[[Inline, str], str]:
    return lambda inline, text: f"<{tag}>{escape(text, quote=False)}</{tag}>"


def _bold(inline: Inline, text: str) -> str:
    return f"**{text}**"


CITATIONS = {
    "t": "{author} ({year})",
    "p": "{author}, {year}",
    "author": "{author}",
    "year": "{year}",
}
CODE_ROLES = {"code", "file", "samp", "command", "func", "class", "meth", "mod", "attr", "data"}
ROLES: dict[str, Callable[[Inline, str], str]] = {
    "ref": _ref,
    "numref": _numref,
    "prf:ref": _ref,
    "eq": _eq,
    "math:numref": _eq,
    "doc": _doc,
    "term": _term,
    "cite": _cite("p"),
    **{f"cite:{style}": _cite(style) for style in ("t", "ts", "p", "ps", "author", "year")},
    **dict.fromkeys(("glue", "glue:text", "glue:md", "glue:any"), _glue),
    "math": _math,
    "sub-ref": _fact,
    "abbr": _abbreviation,
    "download": _download,
    "index": lambda inline, text: titled(text)[0] or titled(text)[1].lstrip("!"),
    "sub": _html("sub"),
    "sup": _html("sup"),
    "subscript": _html("sub"),
    "superscript": _html("sup"),
    "kbd": _html("kbd"),
    "guilabel": _bold,
    "menuselection": _bold,
    "strong": _bold,
    "emphasis": lambda inline, text: f"*{text}*",
    "dfn": lambda inline, text: f"*{text}*",
}
