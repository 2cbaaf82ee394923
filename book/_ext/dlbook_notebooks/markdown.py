"""A resolved doctree as plain Markdown, which Jupyter, Colab and GitHub show alike.

Sphinx has done the work: numbers, citations, terms and references stand in the tree. What is left
is spelling: each node has a method, named after it, that writes it.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from html import escape
from typing import Any

from dlbook_site import links
from dlbook_site.maths import MACROS
from docutils import nodes
from markdown_it import MarkdownIt
from sphinx.locale import admonitionlabels
from sphinx.util import logging

from dlbook_notebooks.maths import display, expand

LOGGER = logging.getLogger(__name__)
MISSING = "…"  # stands for a glued value that no build has computed yet
# what would mean something in Markdown: always, at the edge of a word, before a tag, as an entity
SPECIAL = re.compile(r"[\\`*$]|(?<![^\W_])_|_(?![^\W_])|<(?=[A-Za-z/!?])|&(?=#?\w+;)|\](?=\()")
MARKERS = re.compile(r"([-+>#=]+|\d+[.)])(?=\s|$)")  # at the start of a paragraph
LISTS = (nodes.bullet_list, nodes.enumerated_list)


class Markdown:
    """Writes the nodes of one chapter, and remembers what it cites and which footnotes it calls."""

    def __init__(self, builder: Any, docname: str, values: dict[str, str]) -> None:
        self.builder, self.docname = builder, docname
        self.values = values  # glued values
        self.used: set[str] = set()  # names of those that the text quotes
        self.cited: set[str] = set()  # ids of works in the site's bibliography
        self.notes: list[str] = []  # ids of footnotes since the last cell

    def blocks(self, children: Iterable[nodes.Node]) -> str:
        """Return blocks with empty lines between them; a list stays with the line before it."""
        text = ""
        for child in children:
            block = self.block(child)
            after_line = isinstance(child, LISTS) and isinstance(child.parent, nodes.list_item)
            text += ("\n" if after_line else "\n\n") * bool(text and block) + block
        return text

    def block(self, node: nodes.Node) -> str:
        """Return a block as Markdown; nothing for what only the site needs."""
        return self._method("block", node)(node)

    def inline(self, node: nodes.Element) -> str:
        """Return the inside of a paragraph."""
        return "".join(self._method("inline", child)(child) for child in node.children)

    def number(self, counter: str, node: nodes.Element) -> str:
        """Return the number that Sphinx has given to a figure, an equation, a theorem ..."""
        numbers = self.builder.env.toc_fignumbers.get(self.docname, {}).get(counter, {})
        return next((".".join(map(str, numbers[i])) for i in node["ids"] if i in numbers), "")

    def named(self, counter: str, node: nodes.Element) -> str:
        """Return "Figure 3.2", as references to the node call it."""
        number = self.number(counter, node)
        words = self.builder.config.numfig_format[counter] % number if number else ""
        return words[:1].upper() + words[1:]  # sphinx-proof's own are in lower case

    def called_notes(self) -> Iterator[str]:
        """Yield the footnotes called since the last cell, each behind its number."""
        while self.notes:
            name = self.notes.pop(0)
            for footnote in self.builder.doctree.findall(nodes.footnote):
                if name in footnote["ids"]:
                    number, *content = footnote.children
                    yield f"<sup>{number.astext()}</sup> {self.blocks(content)}"

    @staticmethod
    def joined(blocks: Iterable[str]) -> str:
        """Return blocks with an empty line between them."""
        return "\n\n".join(block for block in blocks if block)

    def _method(self, level: str, node: nodes.Node) -> Callable[[Any], str]:
        """Return what writes a node; for an unknown one, that is an error with its place."""
        for base in type(node).__mro__:
            method = getattr(self, f"{level}_{base.__name__}", None)
            if method:
                return method
        LOGGER.error("a notebook cannot show a %s here", type(node).__name__, location=node)
        return lambda node: ""

    # --- inside a paragraph ---

    def inline_Text(self, node: nodes.Text) -> str:
        """Escape what Markdown would take for markup."""
        return SPECIAL.sub(_escaped, node.astext())

    def inline_inline(self, node: nodes.Element) -> str:
        """Write what is only styled."""
        return self.inline(node)

    inline_target = inline_inline

    def inline_emphasis(self, node: nodes.Element) -> str:
        """Write emphasis."""
        return f"*{self.inline(node)}*"

    def inline_strong(self, node: nodes.Element) -> str:
        """Write strong emphasis."""
        return f"**{self.inline(node)}**"

    def inline_literal(self, node: nodes.literal) -> str:
        """Write code, between more backticks than it holds."""
        code = node.astext()
        ticks = "`" * (1 + max(map(len, re.findall("`+", code)), default=0))
        pad = " " * ("`" in (code[:1], code[-1:]))
        return f"{ticks}{pad}{code}{pad}{ticks}"

    def inline_math(self, node: nodes.math) -> str:
        """Write a formula."""
        return f"${self.expanded(node).strip()}$"

    def expanded(self, node: nodes.Element) -> str:
        """Return a formula without the book's own macros."""
        try:
            return expand(node.astext(), MACROS)
        except ValueError as error:
            LOGGER.error("%s, in the formula %r", error, node.astext(), location=node)
            return ""

    def inline_subscript(self, node: nodes.Element) -> str:
        """Write H₂O's 2."""
        return f"<sub>{self.inline(node)}</sub>"

    def inline_superscript(self, node: nodes.Element) -> str:
        """Write x²'s 2."""
        return f"<sup>{self.inline(node)}</sup>"

    def inline_abbreviation(self, node: nodes.Element) -> str:
        """Write an abbreviation that says what it is short for."""
        return f'<abbr title="{escape(node["explanation"])}">{self.inline(node)}</abbr>'

    def inline_reference(self, node: nodes.reference) -> str:
        """Write a link; inside the book it leads to the site."""
        uri = f"#{node['refid']}" if "refid" in node else node["refuri"]
        uri = f"{self.builder.get_target_uri(self.docname)}{uri}" if uri[:1] == "#" else uri
        text = self.inline(node)
        page, _, anchor = uri.partition("#")
        if page in self.builder.bibliographies:
            self.cited.add(anchor)
        return f"<{uri}>" if node.astext() == uri else f"[{text}]({uri})"

    def inline_download_reference(self, node: nodes.Element) -> str:
        """Write a link to a file of the repository."""
        path = self.builder.env.relfn2path(node["reftarget"], self.docname)[0]
        return f"[{node.astext()}]({links.blob(self.builder.config, path)})"

    def inline_footnote_reference(self, node: nodes.footnote_reference) -> str:
        """Write the number of a footnote, which then stands below the text of this cell."""
        self.notes.append(node["refid"])
        return f"<sup>{node.astext()}</sup>"

    def inline_image(self, node: nodes.image) -> str:
        """Write a picture, from the repository."""
        uri = node["uri"]
        inside = "://" not in uri and not uri.startswith("data:")
        uri = links.raw(self.builder.config, uri) if inside else uri
        return f"![{' '.join(node.get('alt', '').split())}]({uri})"

    def inline_glued_node(self, node: nodes.Element) -> str:
        """Write the last value that a build computed."""
        value = self.values.setdefault(node["name"], MISSING)
        self.used.add(node["name"])
        form = node["format"] if value != MISSING else ""
        return SPECIAL.sub(_escaped, format(float(value), form) if form else value)

    # --- blocks ---

    def block_comment(self, node: nodes.Node) -> str:
        """Drop what only the site needs."""
        return ""

    block_target = block_index = block_footnote = block_comment

    def block_paragraph(self, node: nodes.Element) -> str:
        """Write a paragraph."""
        return _unmarked(self.inline(node)) if _is_text(node[:1]) else self.inline(node)

    def block_helpers_node(self, node: nodes.Element) -> str:
        """Write the line that says where helpers are explained."""
        return self.inline(node)

    def block_live_node(self, node: nodes.Element) -> str:
        """Write where a figure computes that needs the site's own script, and its caption."""
        address = links.page(self.builder.config, self.docname)
        line = f"On the [book's page]({address}) stands a figure here that computes."
        return quoted(f"{line}\n\n{self.blocks(node.children)}")

    def block_container(self, node: nodes.Element) -> str:
        """Write what only arranges its content on the site."""
        return self.blocks(node.children)

    block_section = block_container

    def block_transition(self, node: nodes.Element) -> str:
        """Write a line across, but for the one that Sphinx puts above the footnotes."""
        return "" if "footnotes" in node["classes"] else "---"

    def block_bullet_list(self, node: nodes.Element) -> str:
        """Write a list."""
        return self._items(node, ["- "] * len(node))

    def block_enumerated_list(self, node: nodes.Element) -> str:
        """Write a numbered list."""
        first = node.get("start", 1)
        return self._items(node, [f"{first + place}. " for place in range(len(node))])

    def _items(self, node: nodes.Element, marks: list[str]) -> str:
        texts = [self.blocks(item.children) for item in node.children]
        loose = "\n\n" if any(len(item) > 2 for item in node.children) else "\n"
        return loose.join(_hung(mark, text) for mark, text in zip(marks, texts))

    def block_definition_list(self, node: nodes.Element) -> str:
        """Write terms and definitions as a list: **term**: definition."""
        items = []
        for term, *rest in node.children:
            items.append(_hung("- ", f"**{self.inline(term)}**: {self.blocks(rest)}"))
        return "\n".join(items)

    block_definition = block_glossary = block_container

    def block_block_quote(self, node: nodes.Element) -> str:
        """Write a quotation."""
        return quoted(self.blocks(node.children))

    def block_literal_block(self, node: nodes.literal_block) -> str:
        """Write a listing."""
        code = node.astext().rstrip()
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", code)), default=0))
        language = node.get("language", "")
        return f"{fence}{'' if language in ('none', 'default') else language}\n{code}\n{fence}"

    def block_math_block(self, node: nodes.math_block) -> str:
        """Write an equation, with its number if it has one."""
        if node["nowrap"]:
            LOGGER.error(r"write \begin{aligned} ... within $$ ... $$", location=node)
        return display(self.expanded(node), self.number("displaymath", node))

    def block_image(self, node: nodes.image) -> str:
        """Write a picture."""
        return self.inline_image(node)

    def block_figure(self, node: nodes.Element) -> str:
        """Write a picture with its number and caption."""
        return self.blocks(node.children)

    def block_caption(self, node: nodes.Element) -> str:
        """Write a caption behind the number of its figure or table."""
        counter = "table" if isinstance(node.parent, nodes.table) else "figure"
        name = self.named(counter, node.parent)
        return (f"**{name}.** " if name else "") + self.inline(node)

    def block_table(self, node: nodes.table) -> str:
        """Write a table, with its caption above it."""
        head = [self.block_caption(child) for child in node.children if child.tagname == "title"]
        rows = [[self._entry(entry) for entry in row] for row in node.findall(nodes.row)]
        if not any(node.findall(nodes.thead)):
            rows.insert(0, [""] * len(rows[0]))
        last = list(node.findall(nodes.row))[-1]
        rows.insert(1, [_rule(entry["classes"]) for entry in last])
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        return "\n\n".join([*head, "\n".join(lines)])

    def _entry(self, node: nodes.entry) -> str:
        texts = [self.block(child) for child in node.children]
        return " ".join(" ".join(texts).split()).replace("|", r"\|")

    # --- boxes ---

    def block_Admonition(self, node: nodes.Element) -> str:
        """Write a note, a tip and the like as a quotation, or folded if it folds on the site."""
        title, content = self.titled(node)
        if "realtype" in node:  # a theorem, a definition ...
            title = self.heading(node.get("countertype", ""), node)
        text = self.blocks(content)
        return folded(title, text) if "dropdown" in node["classes"] else boxed(title, text)

    block_sidebar = block_Admonition

    def titled(self, node: nodes.Element) -> tuple[str, list[nodes.Node]]:
        """Return the title of a box and what is in it."""
        if node.children and isinstance(node[0], nodes.title):
            return self.inline(node[0]).strip(), node.children[1:]
        return admonitionlabels.get(node.tagname, ""), node.children

    def heading(self, counter: str, node: nodes.Element) -> str:
        """Return the title of an exercise or a theorem: number, then title."""
        title = self.inline(node[0]).rstrip() if isinstance(node[0], nodes.title) else ""
        unnumbered = node.get("realtype", "").capitalize()
        return f"{self.named(counter, node) or unnumbered}{title}.".lstrip()

    def block_exercise_enumerable_node(self, node: nodes.Element) -> str:
        """Write an exercise."""
        return f"**{self.heading('exercise', node)}**\n\n{self.blocks(node.children[1:])}"

    block_exercise_node = block_exercise_enumerable_node

    def block_proof_node(self, node: nodes.Element) -> str:
        """Write a proof, up to its end mark."""
        box = node[0]
        text = re.sub(r"^Proof\.", "*Proof.*", self.blocks(box.children))
        text += "\n\n∎" if text.endswith(("$$", "```", "|")) else " ∎"
        return folded("Proof", text) if "dropdown" in box["classes"] else text


def boxed(title: str, text: str) -> str:
    """Return a quotation with a title in bold."""
    return quoted(f"**{title}**\n\n{text}".strip() if title else text)


def quoted(text: str) -> str:
    """Return a quotation; equations go on one line, or the marks would get into them."""
    text = re.sub(r"^\$\$\n(.*?)\n\$\$$", _one_line, text, flags=re.S | re.M)
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def folded(title: str, text: str) -> str:
    """Return text that unfolds on a click on its title, in Jupyter and in Colab."""
    title = re.sub(r"(?<!!)\[([^\]]*)\]\([^)]*\)", r"\1", title)  # a summary is a button
    parts = re.split(r"(\$[^$]+\$)", title)  # viewers render no Markdown in a summary
    parts[::2] = [_html(part) for part in parts[::2]]
    return f"<details>\n<summary><b>{''.join(parts)}</b></summary>\n\n{text}\n\n</details>"


def _html(text: str) -> str:
    """Return emphasis and code as HTML, with the spaces around."""
    words = text.strip()
    start, _, end = text.partition(words)
    return start + MarkdownIt().renderInline(words) + end if words else text


def _escaped(match: re.Match) -> str:
    return {"<": "&lt;", "&": "&amp;"}.get(match[0], f"\\{match[0]}")


def _unmarked(text: str) -> str:
    """Return a paragraph whose first word would otherwise begin a list, a heading, a quotation."""
    match = MARKERS.match(text)
    return f"{text[: match.end() - 1]}\\{text[match.end() - 1 :]}" if match else text


def _is_text(children: list[nodes.Node]) -> bool:
    return any(isinstance(child, nodes.Text) for child in children)


def _hung(mark: str, text: str) -> str:
    return mark + textwrap.indent(text, " " * len(mark)).lstrip()


def _rule(classes: list[str]) -> str:
    right, centre = "text-right" in classes, "text-center" in classes
    return "---:" if right else ":---:" if centre else "---"


def _one_line(match: re.Match) -> str:
    return f"$$ {' '.join(match[1].split())} $$"
