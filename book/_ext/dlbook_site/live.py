"""Figures that compute in the page: the directive ``live``, without a kernel and without a server.

``{live} perceptron`` puts the figure of ``book/_static/live-perceptron.js`` here, its content being
the caption. The build runs that file in Node for the still picture that stands there before, and
without, any script; the page that has the figure loads the file, and no other page does.
"""

from __future__ import annotations

import functools
import json
import subprocess
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from dlbook_site.node import node

STATIC = Path(__file__).resolve().parents[2] / "_static"
PREFIX = "live-"
STILL = "process.stdout.write(JSON.stringify(require(process.argv[1]).still()))"
# for each figure its buttons: the name of what they do, and what stands on them
BUTTONS = {
    "perceptron": {
        "step": "Next mistake",
        "run": "Run",
        "forget": "Forget",
        "sign": "Place: blue square",
        "groups": "Two groups",
        "xor": "XOR",
        "empty": "Empty",
    },
    "backprop": {
        "back": "Back",
        "next": "Next",
        "all": "To the end",
        "example": "Our example",
        "neuron": "A neuron",
        "fork": "A fork",
        "loss": "A loss",
    },
    "convolution": {
        "across": "Left to right",
        "down": "Top to bottom",
        "point": "Point",
        "blur": "Blur",
        "same": "Nothing",
        "empty": "Empty picture",
        "drawing": "Our picture",
    },
    "optimisers": {
        "step": "Step",
        "run": "Run",
        "again": "Again",
        "ravine": "Ravine",
        "slanted": "Slanted",
        "bend": "Bend",
        "saddle": "Saddle",
    },
}
POINTED = {"perceptron", "convolution", "optimisers"}  # whose picture itself takes pointer and keys


class live_node(nodes.General, nodes.Element):
    """The figure; its children are the caption."""


class Live(SphinxDirective):
    """``{live} NAME``: a figure that computes, its still picture's text (``alt``), its caption."""

    required_arguments = 1
    option_spec = {"alt": directives.unchanged_required}
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the figure, with the still picture that the build computes."""
        name, alt = self.arguments[0], self.options.get("alt", "")
        if name not in BUTTONS or not alt:
            raise self.error(
                f"live {name!r} with alt {alt!r}: expected one of {[*BUTTONS]}, a text"
            )
        self.env.note_dependency(str(script(name)))
        caption = self.parse_content_to_nodes()
        return [live_node("", *caption, name=name, alt=alt, **still(name))]


def script(name: str) -> Path:
    """Return the file that draws a figure."""
    return STATIC / f"{PREFIX}{name}.js"


@functools.cache
def still(name: str) -> dict[str, Any]:
    """Return width and height in pixels of a figure's picture, and what stands in the SVG."""
    command = [node(), "-e", STILL, str(script(name))]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(said.stdout)


def visit_live(writer: Any, node: live_node) -> None:
    """Write the picture, the buttons (with a script only), and what the script says below."""
    name, width, height = node["name"], node["width"], node["height"]
    buttons = "".join(
        f'<button type="button" data-do="{what}">{escape(text)}</button>'
        for what, text in BUTTONS[name].items()
    )
    role = 'role="application" tabindex="0"' if name in POINTED else 'role="img"'
    writer.body.append(
        f'<figure class="live" data-live="{name}">'
        f'<svg viewBox="0 0 {width} {height}" style="max-width: {width}px" {role} '
        f'aria-label="{escape(node["alt"])}">{node["svg"]}</svg>'
        f'<div class="live-controls js-only">{buttons}</div>'
        '<output class="js-only" aria-live="polite"></output><figcaption>'
    )


def depart_live(writer: Any, node: live_node) -> None:
    """Close the caption and the figure."""
    writer.body.append("</figcaption></figure>\n")


def visit_still(writer: Any, node: live_node) -> None:
    """Other builders show the caption alone."""


def setup(app: Sphinx) -> None:
    """Register node, directive and scripts; `page` links on each page those that it needs."""
    other = (visit_still, visit_still)
    app.add_node(live_node, html=(visit_live, depart_live), text=other, latex=other)
    app.add_directive("live", Live)
    for name in BUTTONS:
        app.add_js_file(script(name).name, loading_method="defer")
