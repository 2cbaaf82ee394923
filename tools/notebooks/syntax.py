"""How MyST is written: its parser, directives with options, roles with titles."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

EXTENSIONS = {"amsmath", "attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"}
DIRECTIVE = re.compile(r"\{([^}\s]+)\}\s*(.*)", re.S)
OPTION = re.compile(r":([\w-]+):(?: (.*)|$)")
TITLED = re.compile(r"(.+?)\s*<([^<>]+)>", re.S)
ROLE = re.compile(r"\{(?P<role>[\w:.+-]+)\}(?P<tick>`+)(?P<text>[^`]+?)(?P=tick)(?!`)", re.S)
# their bodies are not Markdown
LITERAL = {"code", "code-block", "code-cell", "sourcecode", "math", "glossary", "raw"}


class SourceError(ValueError):
    """Something in a chapter that cannot become good Markdown; names file and line."""


@dataclass
class Directive:
    """A directive: ```{name} argument, then options, then the body."""

    name: str
    argument: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    body: str = ""
    line: int = 0  # where it starts in its file
    body_line: int = 0

    @property
    def label(self) -> str:
        """Its label, which sphinx takes from :label: or :name:."""
        return str(self.options.get("label") or self.options.get("name") or "")

    @property
    def classes(self) -> list[str]:
        """Its classes, such as dropdown."""
        return str(self.options.get("class") or "").split()


@lru_cache
def parser() -> MarkdownIt:
    """Return MyST's own parser, which knows where each block starts and ends."""
    config = MdParserConfig(enable_extensions=EXTENSIONS)
    return create_md_parser(config, RendererHTML)


def blocks(text: str) -> list[Token]:
    """Return the block tokens of a text."""
    return parser().parse(text, {})


def directive(token: Token, line: int = 0) -> Directive | None:
    """Return the directive that a fence is, or None if it is plain code."""
    if token.type not in {"fence", "colon_fence"}:
        return None
    match = DIRECTIVE.match(token.info.strip())
    if match is None:
        return None
    options, body = _options(token.content)
    skipped = token.content.count("\n") - body.count("\n")
    return Directive(match[1], match[2].strip(), options, body, line, line + 1 + skipped)


def walk(text: str, line: int = 1) -> Iterator[tuple[Token, Directive | None, int]]:
    """Yield every block of a text with its directive and line, those inside directives too."""
    for token in blocks(text):
        at = line + token.map[0] if token.map else line
        found = directive(token, at)
        yield token, found, at
        if found and found.name not in LITERAL:
            yield from walk(found.body, found.body_line)


def titled(text: str) -> tuple[str, str]:
    """Split `title <target>` of a role; the title is empty where there is none."""
    match = TITLED.fullmatch(text.strip())
    return (match[1], match[2].strip()) if match else ("", " ".join(text.split()))


def plain(text: str) -> str:
    """Return a title without roles, code marks and attributes, for use as a link's text."""
    text = ROLE.sub(lambda m: titled(m["text"])[0] or titled(m["text"])[1], text)
    return re.sub(r"\s*\{[#.][^}]*\}$", "", text).strip()


def _options(content: str) -> tuple[dict[str, Any], str]:
    """Split the content of a directive into options (YAML block or :key: lines) and body."""
    yaml_block = re.match(r"\A---\n(.*?)^---[ \t]*\n?", content, re.S | re.M)
    if yaml_block:
        return yaml.safe_load(yaml_block[1]) or {}, content[yaml_block.end() :]
    options, lines = {}, content.split("\n")
    key = ""
    while lines:
        match = OPTION.match(lines[0])
        if match:
            key = match[1]
            options[key] = (match[2] or "").strip()
        elif key and lines[0].startswith(" ") and lines[0].strip():
            options[key] += " " + lines[0].strip()  # an option goes on on an indented line
        else:
            break
        lines.pop(0)
    return options, textwrap.dedent("\n".join(lines)).strip("\n") + ("\n" if lines else "")
