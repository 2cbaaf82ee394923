"""One sentence per line in the book's sources, so that a change shows as the sentence it changes.

usage: python -m tools.prose            rewrite what breaks the rule
       python -m tools.prose --check    list it as file:line instead; exit with 1 if there is any

A paragraph is what MyST's own parser calls one, inside directives too. Alternative texts and
captions in the head of a code cell are folded at 100 columns where a line would be longer.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

from tools import sentences
from tools.toc import ROOT

DIRECTIVE = re.compile(r"\{([\w:.+-]+)\}")
FOOTNOTE = re.compile(r"\[\^[^\]]+\]:\s*")
WIDTH = 100
TEXTS = {"alt", "caption"}

# Directives by what stands in them. One that is new in the book belongs into one of the two.
PROSE = {
    *("admonition", "attention", "caution", "danger", "dropdown", "error", "figure", "hint"),
    *("important", "margin", "note", "seealso", "sidebar", "tip", "topic", "warning", "live"),
    *("exercise", "exercise-start", "exercise-end", "solution", "solution-start", "solution-end"),
    *(
        f"prf:{theorem}"
        for theorem in ("algorithm", "axiom", "conjecture", "corollary", "definition")
    ),
    *(
        f"prf:{theorem}"
        for theorem in ("example", "lemma", "proof", "property", "remark", "theorem")
    ),
}
LITERAL = {
    *("api", "bibliography", "claims", "code", "code-block", "code-cell", "csv-table", "eval-rst"),
    *("glue", "glue:figure", "iframe", "image", "include", "list-table", "literalinclude", "math"),
    *("needs", "parts"),
    *("mermaid", "only", "raw", "raw-cell", "sourcecode", "table", "tableofcontents", "toctree"),
}


class UnknownDirective(ValueError):
    """A directive of which nobody has said whether its body is prose."""


@dataclass(frozen=True)
class Edit:
    """What should stand in the lines from `start` up to `stop` (counted from 0), and why."""

    start: int
    stop: int
    lines: list[str]
    reason: str = ""


def rewritten(text: str) -> str:
    """Return the source of a page as the rule wants it."""
    lines = text.split("\n")
    for edit in reversed(edits(text)):
        lines[edit.start : edit.stop] = edit.lines
    return "\n".join(lines)


def edits(text: str) -> list[Edit]:
    """Return what has to change in the source of a page, from top to bottom."""
    lines = text.split("\n")
    changes = [edit for edit in _in_text(text) if edit.lines != lines[edit.start : edit.stop]]
    return sorted(changes, key=lambda edit: edit.start)


@lru_cache
def parser() -> MarkdownIt:
    """Return MyST's parser with the book's extensions, as far as it divides a text into blocks."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    extensions = set(config["parse"]["myst_enable_extensions"])
    markdown = create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML)
    markdown.core.ruler.enableOnly(["normalize", "block"])
    return markdown


def _in_text(text: str) -> Iterator[Edit]:
    """Yield an edit for each paragraph and each head of a cell, even where nothing changes."""
    lines, tokens = text.split("\n"), parser().parse(text, {})
    for before, token in zip(tokens, tokens[1:]):
        if (before.type, token.type) == ("paragraph_open", "inline"):
            yield _paragraph(lines, token)
    for token in tokens:
        name = DIRECTIVE.match(token.info.strip())
        if token.type in {"fence", "colon_fence"} and name:
            yield from _in_directive(lines, token, name[1])


def _span(token: Token) -> tuple[int, int]:
    """Return the first line of a block and the one after its last."""
    assert token.map is not None  # only inline tokens below a block have no lines
    return token.map[0], token.map[1]


def _paragraph(lines: list[str], token: Token) -> Edit:
    start, stop = _span(token)
    stood, wanted = token.content.split("\n"), sentences.lines(token.content)
    shared = any(len(sentences.split(line)) > 1 for line in stood)
    reason = "two sentences share a line" if shared else "a sentence goes on on the next line"
    return Edit(start, stop, _placed(lines[start], stood[0], wanted), reason)


def _in_directive(lines: list[str], token: Token, name: str) -> Iterator[Edit]:
    """Yield the edits of a directive's body, in lines of the text that the directive stands in."""
    body, first = token.content.split("\n"), _span(token)[0] + 1
    if name == "code-cell":
        inner = _in_head(body)
    elif name == "glossary":
        inner = _in_glossary(body)
    elif name in PROSE:
        inner = _moved(_in_text("\n".join(body[_options(body) :])), _options(body))
    elif name in LITERAL:
        return
    else:
        expected = "add it to PROSE or to LITERAL in tools/prose.py"
        raise UnknownDirective(f"is the body of {{{name}}} prose? {expected}")
    for edit in inner:
        start, stop = first + edit.start, first + edit.stop
        placed = _placed(lines[start], body[edit.start], edit.lines)
        yield Edit(start, stop, placed, edit.reason)


def _placed(line: str, stood: str, wanted: list[str]) -> list[str]:
    """Return lines with what stands before a text in its first line: indents, `>`, list marks."""
    before = line.rstrip().removesuffix(stood.rstrip())
    below = re.sub(r"[^\s>]", " ", FOOTNOTE.sub("    ", before))
    return [before + wanted[0], *(below + text if text else text for text in wanted[1:])]


def _moved(edits: Iterator[Edit], by: int) -> Iterator[Edit]:
    for edit in edits:
        yield Edit(edit.start + by, edit.stop + by, edit.lines, edit.reason)


def _options(body: list[str]) -> int:
    """Return how many lines of a directive's body are options, by MyST's rule."""
    if body[0].startswith("---"):
        return next((n for n, line in enumerate(body[1:], 2) if line.startswith("---")), len(body))
    return next((n for n, line in enumerate(body) if line.lstrip()[:1] != ":"), len(body))


def _in_glossary(body: list[str]) -> Iterator[Edit]:
    """Yield the edits of the definitions, the indented lines below each term."""
    start = 0
    while start < len(body):
        stop = start + 1
        if body[start].startswith(" "):
            while stop < len(body) and (body[stop].startswith(" ") or not body[stop]):
                stop += 1
            text = textwrap.dedent("\n".join(body[start:stop]))
            shown = text.split("\n")
            for edit in _in_text(text):
                placed = _placed(body[start + edit.start], shown[edit.start], edit.lines)
                yield Edit(start + edit.start, start + edit.stop, placed, edit.reason)
        start = stop


# --- the heads of code cells ---


def _in_head(body: list[str]) -> Iterator[Edit]:
    stop = _options(body) - 1
    if body[0].startswith("---") and stop > 1:
        head = "\n".join(body[1:stop]) + "\n"
        reason = f"an alternative text or a caption is not folded at {WIDTH} columns"
        yield Edit(1, stop, folded(head).rstrip("\n").split("\n"), reason)


def folded(head: str) -> str:
    """Return the YAML head of a cell with its long texts folded; it loads as the same value."""
    new = head
    for value, indent in reversed(_long_values(_compose(head), head.split("\n"))):
        if isinstance(value, yaml.MappingNode):
            text = _block(value, head, indent + 2)
        else:
            text = _fold(value.value, indent)
        if text:
            start, stop = value.start_mark.index, value.end_mark.index
            ending = "\n" if head[:stop].endswith("\n") else ""
            new = new[:start].rstrip(" ") + text + ending + new[stop:]
    assert yaml.safe_load(new) == yaml.safe_load(head)
    return new


def _compose(head: str) -> yaml.Node:
    return yaml.compose(head, Loader=yaml.SafeLoader)


def _long_values(node: yaml.Node, lines: list[str]) -> list[tuple[yaml.Node, int]]:
    """Return the values to be folded, or folded already, with the columns of their keys."""
    values = []
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        long = len(lines[value.start_mark.line]) > WIDTH
        if isinstance(value, yaml.MappingNode):
            if not value.flow_style:
                values += _long_values(value, lines)
            elif long and TEXTS & {inner.value for inner, _ in value.value}:
                values.append((value, key.start_mark.column))
        elif key.value in TEXTS and (long or value.style == ">"):
            values.append((value, key.start_mark.column))
    return values


def _block(mapping: yaml.MappingNode, head: str, indent: int) -> str:
    """Return a mapping of flow style in block style, its texts folded."""
    entries = []
    for key, value in mapping.value:
        text = _fold(value.value, indent) if key.value in TEXTS else ""
        stood = " " + head[value.start_mark.index : value.end_mark.index]
        entries.append(f"\n{' ' * indent}{key.value}:{text or stood}")
    return "".join(entries)


def _fold(text: str, indent: int) -> str:
    """Return a text as a folded scalar, or nothing if YAML's folding would change it.

    Each of its sentences begins a line, and lines end at WIDTH.
    """
    width = WIDTH - indent - 2
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    pieces = [textwrap.wrap(sentence, width, **options) for sentence in sentences.split(text)]
    lines = [line for piece in pieces for line in piece]
    if not text.isprintable() or text != text.strip() or " ".join(lines) != text:
        return ""
    return " >-" + "".join(f"\n{' ' * (indent + 2)}{line}" for line in lines)


# --- the command ---


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command; return its exit status."""
    options = argparse.ArgumentParser(prog="tools.prose", description=__doc__.split("\n")[0])
    options.add_argument("--check", action="store_true", help="change nothing; 1 if there is more")
    check = options.parse_args(arguments).check
    problems = []
    for page in sorted((root / "book").rglob("*.md")):
        name, text = page.relative_to(root).as_posix(), page.read_text("utf-8")
        try:
            problems += [f"{name}:{edit.start + 1}: {edit.reason}" for edit in edits(text)]
            new = rewritten(text)
        except UnknownDirective as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        if not check and new != text:
            page.write_text(new, "utf-8")
            print(name)
    if check and problems:
        print("\n".join([*problems, "run python -m tools.prose"]), file=sys.stderr)
    return int(check and bool(problems))


if __name__ == "__main__":
    sys.exit(main())
