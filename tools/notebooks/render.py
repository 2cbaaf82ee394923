"""Markdown cells of a chapter as plain Markdown: each MyST block has a handler in a table."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tools import address
from tools.notebooks import maths
from tools.notebooks.book import PROOFS, Target, caption_of, glossary, normal
from tools.notebooks.inline import Inline
from tools.notebooks.syntax import Directive, SourceError, blocks, directive

BLOCK_ATTRIBUTES = re.compile(r"[ >]*\{[#.][^{}]*\}\s*")
FENCE = re.compile(r"[ >]*(`{3,}|:{3,})\s*\{")
GATES = {f"{kind}-{end}" for kind in ("exercise", "solution") for end in ("start", "end")}


@dataclass
class Renderer:
    """Renders the Markdown cells of one chapter in order."""

    inline: Inline
    gate: str = ""  # "exercise" or "solution" between its -start and -end
    gate_title: str = ""
    listed: bool = False  # whether the chapter has placed its bibliography itself

    def cell(self, text: str, line: int) -> str:
        """Return one cell as plain Markdown; line is where it starts in the source."""
        lines, done, pieces = text.split("\n"), 0, []
        for token in blocks(text):
            found = directive(token, line + token.map[0]) if token.map else None
            if found and found.name in GATES and token.level == 0:
                start, end = token.map
                pieces.append(self.gated(lines[done:start], line + done))
                pieces.append(self.pass_gate(found))
                done = end
        pieces.append(self.gated(lines[done:], line + done))
        return _tidy("\n\n".join(piece for piece in pieces if piece.strip()))

    def gated(self, lines: list[str], line: int) -> str:
        """Render a piece between gates; in a solution it is folded."""
        text = self.markdown("\n".join(lines), line).strip("\n")
        if self.gate != "solution" or not text:
            return text
        title, self.gate_title = self.gate_title, self.gate_title.split(",")[0] + ", continued"
        return folded(title, text)

    def pass_gate(self, found: Directive) -> str:
        """Open or close a gated exercise or solution; return its heading."""
        kind, end = found.name.rsplit("-", 1)
        if end == "end":
            if self.gate != kind:
                raise self.error(found, f"closes a gate that is not open ({self.gate or 'none'})")
            self.gate = ""
            return ""
        if self.gate:
            raise self.error(found, f"opens inside the {self.gate} that is still open")
        self.gate = kind
        self.gate_title = solution_title(self, found) if kind == "solution" else ""
        return numbered_title(self, found) if kind == "exercise" else ""

    def markdown(self, text: str, line: int) -> str:
        """Return Markdown with every MyST block and role rendered."""
        lines, done, pieces = text.split("\n"), 0, []
        tokens = blocks(text)
        for at, token in enumerate(tokens):
            handler = handler_of(token)
            if handler is None or not token.map or token.map[0] < done:
                continue
            start, end = token.map
            end += token.type == "amsmath"  # its map leaves out the line with \\end
            while end > start + 1 and not lines[end - 1].strip():
                end -= 1  # some blocks count the empty lines behind them
            source = Block(token, tokens[at + 1 :], lines[start:end], line + start)
            apart = [""] if token.level == 0 and handler is not verbatim else []
            pieces += [self.text(lines[done:start], line + done), *apart]
            pieces += [handler(self, source), *apart]
            done = end
        pieces.append(self.text(lines[done:], line + done))
        return _tidy("\n".join(piece for piece in pieces if piece is not None))

    def text(self, lines: list[str], line: int) -> str | None:
        """Render the lines between special blocks; None if there are none."""
        for at, row in enumerate(lines):
            if FENCE.match(row):  # a ```{name} whose title has a backtick, say
                place = f"{self.inline.page.name}.md:{line + at}"
                raise SourceError(f"{place}: {row.strip()!r} opens no directive; use :::")
        lines = ["" if BLOCK_ATTRIBUTES.fullmatch(row) else row for row in lines]
        return self.inline("\n".join(lines), line) if lines else None

    def body(self, found: Directive) -> str:
        """Return the body of a directive as plain Markdown."""
        return self.markdown(found.body, found.body_line).strip("\n")

    def target(self, found: Directive) -> Target:
        """Return what the index knows of a labelled directive."""
        target = self.inline.book.labels.get(normal(found.label))
        if target is None:
            raise self.error(found, "has no label")
        return target

    def error(self, found: Directive, message: str) -> SourceError:
        """Return an error that names file, line and directive."""
        return SourceError(f"{self.inline.page.name}.md:{found.line}: {{{found.name}}} {message}")


@dataclass
class Block:
    """A block of the source: its token, the tokens that follow, its lines, where it starts."""

    token: Token
    after: list[Token]
    lines: list[str]
    line: int

    def inside(self) -> Iterator[Token]:
        """Yield the tokens up to the one that closes the block."""
        for token in self.after:
            if token.level == self.token.level and token.nesting == -1:
                return
            yield token

    def indented(self, text: str) -> str:
        """Return text with the list or quote marks that stand before the block."""
        first = re.match(r"(?:[ >]|[-*+] |\d+[.)] )*", self.lines[0])[0]
        rest = re.sub(r"[^ >]", " ", first)
        rows = text.split("\n")
        return "\n".join([first + rows[0], *((rest + row).rstrip() for row in rows[1:])])


def render_fence(render: Renderer, block: Block) -> str:
    """Render a directive."""
    found = directive(block.token, block.line)
    handler = DIRECTIVES.get(found.name)
    if handler is None:
        raise render.error(found, "is unknown; teach it to tools/notebooks/render.py")
    return block.indented(handler(render, found))


def verbatim(render: Renderer, block: Block) -> str:
    """Leave a block as it is: code, HTML."""
    return "\n".join(block.lines)


def nothing(render: Renderer, block: Block) -> str:
    """Drop a block that only the site needs: comments, targets, block breaks."""
    return ""


def equation(render: Renderer, block: Block) -> str:
    """Render $$ ... $$, numbered if it has a label, and bare environments."""
    tex, number, book = block.token.content, "", render.inline.book
    if block.token.type == "math_block_label":
        number = book.equations[normal(block.token.info)].number
    if block.token.type == "amsmath":
        name = block.token.meta["environment"]
        inner = {"align": "aligned", "gather": "gathered", "alignat": "alignedat"}.get(name)
        bare = re.sub(rf"\\(begin|end){{{name}\*}}", rf"\\\1{{{inner}}}", tex)
        tex = bare if inner else re.sub(rf"\\(begin|end){{{name}\*}}", "", tex)
    return block.indented(maths.display(maths.expand(tex, book.macros), number))


def definition_list(render: Renderer, block: Block) -> str:
    """Render terms and definitions as a list: **term**: definition."""
    items, offset = [], block.token.map[0]
    for token in block.inside():
        if token.type == "inline" and token.level == block.token.level + 2:
            items.append(f"- **{render.inline(token.content, block.line)}**:")
        elif token.type == "dd_open" and token.level == block.token.level + 1:
            start, end = (row - offset for row in token.map)
            while not re.match(r"\s*:", block.lines[start]):
                start += 1  # the first definition counts the line of its term
            lines = [re.sub(r"^(\s*):", r"\1 ", block.lines[start]), *block.lines[start + 1 : end]]
            text = textwrap.dedent("\n".join(lines))
            text = render.markdown(text, block.line + start).strip("\n")
            items[-1] += " " + textwrap.indent(text, "  ").lstrip()
    return "\n".join(items)


def footnote(render: Renderer, block: Block) -> str:
    """Render the text of a footnote where it stands, behind its number."""
    number = render.inline.note(block.token.meta["label"])
    text = re.sub(r"^\s*\[\^[^\]]+\]:\s*", "", block.lines[0])
    rest = textwrap.dedent("\n".join(block.lines[1:]))
    return f"<sup>{number}</sup> " + render.markdown(f"{text}\n{rest}".rstrip(), block.line)


BLOCKS: dict[str, Callable[[Renderer, Block], str]] = {
    "fence": render_fence,
    "colon_fence": render_fence,
    "code_block": verbatim,
    "html_block": verbatim,
    "math_block": equation,
    "math_block_label": equation,
    "amsmath": equation,
    "dl_open": definition_list,
    "footnote_reference_open": footnote,
    "myst_target": nothing,
    "myst_line_comment": nothing,
    "myst_block_break": nothing,
}


def handler_of(token: Token) -> Callable[[Renderer, Block], str] | None:
    """Return what renders a block; None if it is Markdown with nothing special but its inside."""
    is_code = token.type in {"fence", "colon_fence"} and directive(token) is None
    return verbatim if is_code else BLOCKS.get(token.type)


def quoted(text: str) -> str:
    """Return a quotation; equations go on one line, or the marks would get into them."""
    text = re.sub(r"^\$\$\n(.*?)\n\$\$$", _one_line, text, flags=re.S | re.M)
    return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))


def folded(title: str, text: str) -> str:
    """Return text that unfolds on a click on its title, in Jupyter and in Colab."""
    parts = re.split(r"(\$[^$]+\$)", title)  # viewers render no Markdown in a summary
    parts[::2] = [html_inline(part) for part in parts[::2]]
    return f"<details>\n<summary><b>{''.join(parts)}</b></summary>\n\n{text}\n\n</details>"


def html_inline(text: str) -> str:
    """Return emphasis, links and code as HTML, with the spaces around."""
    start, end = re.match(r"\s*", text)[0], re.search(r"\s*$", text)[0]
    return start + MarkdownIt().renderInline(text.strip()) + end if text.strip() else text


def admonition(render: Renderer, found: Directive) -> str:
    """Render a note, a tip and the like as a quotation, or folded if it is a dropdown."""
    own = found.name in {"admonition", "dropdown", "details", "topic"}
    title = render.inline(found.argument, found.line) if own else found.name.capitalize()
    text = render.body(found)
    if found.argument and not own:  # ```{note} text that begins on this line
        text = f"{render.inline(found.argument, found.line)}\n{text}".strip()
    if found.name in {"dropdown", "details"} or "dropdown" in found.classes:
        return folded(title, text)
    return quoted(f"**{title}**\n\n{text}".strip())


def aside(render: Renderer, found: Directive) -> str:
    """Render a margin note, a sidebar or a quotation."""
    title = f"**{render.inline(found.argument, found.line)}**\n\n" if found.argument else ""
    return quoted(title + render.body(found))


def container(render: Renderer, found: Directive) -> str:
    """Render what only arranges its content on the site."""
    return render.body(found)


def panel(render: Renderer, found: Directive) -> str:
    """Render a tab or a card: its title in bold, then its content."""
    title = render.inline(found.argument, found.line) if found.argument else ""
    link = str(found.options.get("link", ""))
    if title and link:
        title = render.inline.link({"bang": "", "shown": title, "href": link, "hint": None})
    return (f"**{title}**\n\n" if title else "") + render.body(found)


def rubric(render: Renderer, found: Directive) -> str:
    """Render a title that is no section."""
    return f"**{render.inline(found.argument, found.line)}**"


def picture(render: Renderer, found: Directive) -> str:
    """Render an image, or a figure with its number and caption."""
    if not found.options.get("alt"):
        raise render.error(found, "has no :alt:")
    href = render.inline.file(found.argument, address.raw)
    image = f"![{' '.join(str(found.options['alt']).split())}]({href})"
    return image if found.name == "image" else f"{image}\n\n{caption(render, found)}".strip()


def caption(render: Renderer, found: Directive) -> str:
    """Return the caption of a figure, table or listing behind its number."""
    words = caption_of(found)
    if not words:
        return ""
    number = f"**{render.target(found).words}.** " if found.label else ""
    return number + render.markdown(words, found.body_line).strip("\n")


def table(render: Renderer, found: Directive) -> str:
    """Render a Markdown table with its caption."""
    return f"{caption(render, found)}\n\n{render.body(found)}".strip()


def list_table(render: Renderer, found: Directive) -> str:
    """Render a list of lists as a table."""
    rows: list[list[str]] = []
    for token in blocks(found.body):
        if token.type == "list_item_open" and token.level == 1:
            rows.append([])
        elif token.type == "list_item_open" and token.level == 3:
            rows[-1].append("")
        elif token.type == "inline":
            text = render.inline(token.content, found.body_line + token.map[0])
            rows[-1][-1] = f"{rows[-1][-1]} {' '.join(text.split())}".strip()
    if int(found.options.get("header-rows", 0)) == 0:
        rows.insert(0, [""] * len(rows[0]))
    rows.insert(1, ["---"] * len(rows[0]))
    lines = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return f"{caption(render, found)}\n\n{lines}".strip()


def code(render: Renderer, found: Directive) -> str:
    """Render a listing."""
    title = caption(render, found)
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", found.body)), default=0))
    body = f"{fence}{found.argument}\n{found.body.rstrip()}\n{fence}"
    return f"{title}\n\n{body}".strip()


def math(render: Renderer, found: Directive) -> str:
    """Render an equation."""
    book, tex = render.inline.book, f"{found.argument}\n{found.body}"
    number = book.equations[normal(found.label)].number if found.label else ""
    return maths.display(maths.expand(tex, book.macros), number)


def numbered_title(render: Renderer, found: Directive) -> str:
    """Return the bold first line of an exercise or a theorem: number, then title."""
    title = render.inline(found.argument.strip().strip("()"), found.line)
    kind = found.name.removeprefix("prf:").removesuffix("-start").capitalize()
    words = kind if "nonumber" in found.options else render.target(found).words
    return f"**{words}" + (f" ({title}).**" if title else ".**")


def exercise(render: Renderer, found: Directive) -> str:
    """Render an exercise that stands in one cell."""
    return f"{numbered_title(render, found)}\n\n{render.body(found)}"


def solution_title(render: Renderer, found: Directive) -> str:
    """Return "Solution to Exercise 3"."""
    labels = render.inline.book.labels
    if normal(found.argument) not in labels:
        raise render.error(found, f"solves {found.argument!r}, which is no label of an exercise")
    words = labels[normal(found.argument)].words
    return f"Solution to {words}" if words else "Solution"


def solution(render: Renderer, found: Directive) -> str:
    """Render a solution that stands in one cell, folded."""
    return folded(solution_title(render, found), render.body(found))


def theorem(render: Renderer, found: Directive) -> str:
    """Render a theorem, a definition and the like."""
    return quoted(f"{numbered_title(render, found)}\n\n{render.body(found)}")


def proof(render: Renderer, found: Directive) -> str:
    """Render a proof, up to its end mark."""
    text = f"*Proof.* {found.argument} {render.body(found)}".replace("  ", " ")
    text += "\n\n∎" if text.endswith(("$$", "```", "|")) else " ∎"
    return folded("Proof", text) if "dropdown" in found.classes else text


def glossary_list(render: Renderer, found: Directive) -> str:
    """Render a glossary as a list."""
    rows = []
    for term, definition in glossary(found.body):
        text = render.markdown(textwrap.dedent(definition), found.body_line).strip("\n")
        rows.append(f"- **{term}**: {textwrap.indent(text, '  ').lstrip()}")
    return "\n".join(rows)


def glued(render: Renderer, found: Directive) -> str:
    """Render a glued value that stands alone."""
    return render.inline(f"{{glue}}`{found.argument}`", found.line)


def bibliography(render: Renderer, found: Directive) -> str:
    """Mark where the references go; they are known at the end of the chapter."""
    render.listed = True
    return REFERENCES


def dropped(render: Renderer, found: Directive) -> str:
    """Drop what only the site needs."""
    return ""


def _one_line(match: re.Match) -> str:
    return f"$$ {' '.join(match[1].split())} $$"


def _tidy(text: str) -> str:
    """Return text without the empty lines that dropped blocks leave, code apart."""
    parts = re.split(r"(^ *(`{3,}|~{3,}).*?^ *\2[ \t]*$)", text, flags=re.S | re.M)
    for at in range(0, len(parts), 3):
        parts[at] = re.sub(r"\n[ \t]*(\n[ \t]*)+\n", "\n\n", parts[at])
    return "".join(part for at, part in enumerate(parts) if at % 3 != 2).strip("\n")


REFERENCES = "<!-- references -->"
ADMONITIONS = (
    "note tip warning important hint caution attention danger error seealso admonition "
    "dropdown details topic"
)
ASIDES = "margin sidebar epigraph pull-quote highlights aside"
CONTAINERS = "div container tab-set grid grid-item card-carousel compound"
DROPPED = "index contents tableofcontents"


def _table(handler: Callable, names: str) -> dict[str, Callable[[Renderer, Directive], str]]:
    return dict.fromkeys(names.split(), handler)


DIRECTIVES: dict[str, Callable[[Renderer, Directive], str]] = {
    **_table(admonition, ADMONITIONS),
    **_table(aside, ASIDES),
    **_table(container, CONTAINERS),
    **_table(panel, "tab-item card grid-item-card"),
    **_table(rubric, "rubric centered"),
    **_table(picture, "figure image"),
    **_table(table, "table"),
    **_table(list_table, "list-table"),
    **_table(code, "code code-block sourcecode"),
    **_table(math, "math"),
    **_table(exercise, "exercise"),
    **_table(solution, "solution"),
    **_table(theorem, " ".join(f"prf:{name}" for name in PROOFS)),
    **_table(proof, "prf:proof"),
    **_table(glossary_list, "glossary"),
    **_table(glued, "glue"),
    **_table(bibliography, "bibliography"),
    **_table(dropped, DROPPED),
}
