r"""Mathematics by KaTeX at build time: no script in the page, and a mistake fails the build.

Formulas go to one Node.js process (katex.cjs), a line of JSON each way. Number displayed formulas
with ``$$ ... $$ (eq-name)`` and align them with ``aligned`` inside: the environments that LaTeX
numbers by itself would get a second number, and are refused.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

from dlbook_site.node import node as find_node

# One set of macros for the whole book; notation.md lists what they mean.
MACROS = {
    r"\R": r"\mathbb{R}",
    r"\N": r"\mathbb{N}",
    r"\E": r"\mathbb{E}",
    r"\P": r"\mathbb{P}",
    r"\Var": r"\operatorname{Var}",
    r"\Cov": r"\operatorname{Cov}",
    r"\KL": r"D_{\mathrm{KL}}\left(#1\,\middle\|\,#2\right)",
    r"\T": r"\top",
    r"\vec": r"\mathbf{#1}",
    r"\mat": r"\mathbf{#1}",
    r"\norm": r"\left\lVert #1\right\rVert",
    r"\abs": r"\left\lvert #1\right\rvert",
    r"\inner": r"\left\langle #1, #2\right\rangle",
    r"\ind": r"\mathbb{1}",
    r"\argmax": r"\operatorname*{arg\,max}",
    r"\argmin": r"\operatorname*{arg\,min}",
    r"\softmax": r"\operatorname{softmax}",
    r"\sign": r"\operatorname{sign}",
    r"\ReLU": r"\operatorname{ReLU}",
    r"\diag": r"\operatorname{diag}",
    r"\tr": r"\operatorname{tr}",
    r"\rank": r"\operatorname{rank}",
}
NUMBERED = re.compile(r"\\begin\{(align|equation|gather|multline|alignat|eqnarray)\}")
LOGGER = logging.getLogger(__name__)


class KatexError(ValueError):
    """KaTeX refused a formula; the message is KaTeX's."""


class Katex:
    """The process that renders formulas, started when the first one is asked for."""

    def __init__(self, script: Path) -> None:
        self.script = script
        self.process: subprocess.Popen[str] | None = None
        self.owner = 0

    def render(self, tex: str, display: bool) -> str:
        """Return the HTML (with MathML for screen readers) of a formula, or raise KatexError."""
        options = {
            "displayMode": display,
            "macros": MACROS,
            "throwOnError": True,
            "strict": "error",
        }
        answer = self._ask({"tex": tex, "options": options})
        if "error" in answer:
            raise KatexError(answer["error"])
        return answer["html"]

    def _ask(self, request: dict[str, Any]) -> dict[str, str]:
        if self.process is None or self.owner != os.getpid():  # a forked writer has its own
            self._start()
        process = self.process
        assert process is not None
        assert process.stdin is not None  # both are pipes
        assert process.stdout is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise ExtensionError(f"Node.js ended ({process.wait()}) while rendering {request}")
        return json.loads(line)

    def _start(self) -> None:
        if not self.script.exists():
            raise ExtensionError(f"no {self.script}: run `python tools/assets.py` first")
        command = [find_node(), str(Path(__file__).with_name("katex.cjs")), str(self.script)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf8"
        )
        self.owner = os.getpid()

    def stop(self) -> None:
        """End the process, if this one started it."""
        if self.process is not None and self.owner == os.getpid():
            self.process.communicate()  # closes both pipes and waits
            self.process = None


def visit_inline(writer: Any, node: nodes.math) -> None:
    """Write an inline formula."""
    writer.body.append(writer.starttag(node, "span", "", CLASS="math"))
    writer.body.append(_html(writer, node, display=False) + "</span>")
    raise nodes.SkipNode


def visit_block(writer: Any, node: nodes.math_block) -> None:
    """Write a displayed formula in a box of its own, which scrolls if it must, and its number."""
    writer.body.append(writer.starttag(node, "div", CLASS="math math-block"))
    writer.body.append(f'<div class="math-scroll">{_html(writer, node, display=True)}</div>')
    if node["number"]:
        writer.body.append(f'<span class="eqno">({get_node_equation_number(writer, node)})')
        writer.add_permalink_ref(node, "Link to this equation")
        writer.body.append("</span>")
    writer.body.append("</div>\n")
    raise nodes.SkipNode


def _html(writer: Any, node: nodes.Element, display: bool) -> str:
    tex = node.astext().strip()
    try:
        numbered = NUMBERED.search(tex)
        if numbered:
            name = numbered.group(1)
            raise KatexError(f"{name} numbers by itself: use aligned inside $$ $$ (eq-name)")
        return writer.builder.app.dlbook_katex.render(tex, display)
    except KatexError as error:
        LOGGER.warning(
            "%s, in the formula %r", error, tex, location=node, type="dlbook", subtype="math"
        )
        return f"<code>{writer.encode(tex)}</code>"


def start(app: Sphinx) -> None:
    """Say where KaTeX is: in the node_modules of the book's folder."""
    folder = Path(app.config.dlbook_root or app.confdir)
    app.dlbook_katex = Katex(  # type: ignore[attr-defined]
        folder / "node_modules" / "katex" / "dist" / "katex.min.js"
    )


def stop(app: Sphinx, exception: Exception | None) -> None:
    """End the process with the build."""
    app.dlbook_katex.stop()  # type: ignore[attr-defined]


def setup(app: Sphinx) -> None:
    """Register the renderer `katex`."""
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_block, None))
    app.connect("builder-inited", start)
    app.connect("build-finished", stop)
