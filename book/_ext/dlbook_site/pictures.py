"""Pictures: no build without alt text, a known size (nothing jumps), and figures with a slider."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from html import escape
from pathlib import Path
from typing import Any

import imagesize
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from dlbook_utils.page.mime import frames_node

LOGGER = logging.getLogger(__name__)
RAW_IMAGE = re.compile(r"<img\b[^>]*>", re.IGNORECASE)
RAW_ALT = re.compile(r"\balt\s*=\s*(\"[^\"]+\"|'[^']+'|[^\s\"'>]+)", re.IGNORECASE)
SVG_SIZE = re.compile(r"<svg\b[^>]*?\bwidth=\"([\d.]+)(pt|px)?\"[^>]*?>", re.DOTALL)
SVG_HEIGHT = re.compile(r"\bheight=\"([\d.]+)(pt|px)?\"")
SVG_BOX = re.compile(r"\bviewBox=\"[\d.-]+ [\d.-]+ ([\d.]+) ([\d.]+)\"")
PIXELS = {"pt": 4 / 3, "px": 1, None: 1, "": 1}


def demand_alt(app: Sphinx, doctree: nodes.document) -> None:
    """Warn, which fails the build, of each picture that a blind reader would not learn about."""
    for image in doctree.findall(nodes.image):
        if not image.get("alt", "").strip():
            _warn(image, image["uri"])
    for raw in doctree.findall(nodes.raw):
        for tag in RAW_IMAGE.findall(raw.astext() if "html" in raw["format"] else ""):
            if not RAW_ALT.search(tag):
                _warn(raw, tag[:80])
    for frames in doctree.findall(frames_node):
        if len(frames["alts"]) != len(frames["frames"]) or not all(frames["alts"]):
            _warn(frames, f"the slider {frames['label']!r}")


def _warn(node: nodes.Element, picture: str) -> None:
    LOGGER.warning(
        "no alt text for %s (plots: `mystnb: image: {alt: ...}` in the cell's head)",
        picture,
        location=node if node.line else node.parent,
        type="dlbook",
        subtype="alt",
    )


def visit_image(writer: Any, node: nodes.image) -> None:
    """Write an image with its alt text and its size, loaded when it is nearly in sight."""
    uri, path = node["uri"], None
    if uri in writer.builder.images:
        path = Path(writer.builder.srcdir, uri)
        uri = posixpath.join(writer.builder.imgpath, writer.builder.images[uri])
    attributes = {"src": uri, "alt": node.get("alt", ""), "decoding": "async", "loading": "lazy"}
    size = _size(node, path)
    if size:
        attributes |= {"width": str(size[0]), "height": str(size[1])}
    elif "width" in node:
        attributes["style"] = f"width: {node['width']}"
    if "align" in node:
        attributes["class"] = f"align-{node['align']}"
    writer.body.append(writer.emptytag(node, "img", "", **attributes))


def depart_image(writer: Any, node: nodes.image) -> None:
    """Nothing is left to write."""


def _size(node: nodes.image, path: Path | None) -> tuple[int, int] | None:
    """Return width and height in CSS pixels: the file's, scaled to a width asked for."""
    if path is None or not path.is_file():
        return None
    svg = path.suffix == ".svg"
    width, height = svg_size(path.read_text("utf8")) if svg else imagesize.get(path)
    asked = re.fullmatch(r"([\d.]+)(px)?", str(node.get("width", "")))
    if width <= 0 or ("width" in node and not asked):
        return None
    scale = float(asked.group(1)) / width if asked else node.get("scale", 100) / 100
    return round(width * scale), round(height * scale)


def svg_size(text: str) -> tuple[float, float]:
    """Return width and height of an SVG document in CSS pixels; (-1, -1) if it has none."""
    head = text[text.find("<svg") :].split(">", 1)[0] + ">"
    width, height = SVG_SIZE.search(head), SVG_HEIGHT.search(head)
    if width and height:
        return (
            float(width.group(1)) * PIXELS[width.group(2)],
            float(height.group(1)) * PIXELS[height.group(2)],
        )
    box = SVG_BOX.search(head)
    return (float(box.group(1)), float(box.group(2))) if box else (-1, -1)


def visit_frames(writer: Any, node: frames_node) -> None:
    """Write all frames, the first one visible, and the slider that book.js connects to them."""
    for number, (svg, alt) in enumerate(zip(node["frames"], node["alts"])):
        width, height = (round(side) for side in svg_size(svg))
        hidden = {"hidden": "hidden"} if number else {}
        source = _write_frame(writer.builder, svg)
        size = {"width": str(width), "height": str(height)}
        texts = {"src": source, "alt": alt, "loading": "lazy", "decoding": "async"}
        writer.body.append(writer.emptytag(nodes.image(), "img", "", **texts, **size, **hidden))
    label, first = escape(node["label"]), escape(node["values"][0])
    writer.body.append(
        f'<div class="frames-control"><span aria-hidden="true">{label}</span>'
        f'<input type="range" min="0" max="{len(node["values"]) - 1}" value="0" step="1" '
        f'aria-label="{label}" aria-valuetext="{first}" '
        f'data-values="{escape(json.dumps(node["values"]))}"><output>{first}</output></div>\n'
    )
    raise nodes.SkipNode


def _write_frame(builder: Any, svg: str) -> str:
    """Write a frame into the site's folder of images, once, and return its address."""
    name = f"frame-{hashlib.sha256(svg.encode()).hexdigest()[:16]}.svg"
    path = Path(builder.outdir, builder.imagedir, name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(svg, "utf8")
    return posixpath.join(builder.imgpath, name)


def visit_nothing(writer: Any, node: nodes.Element) -> None:
    """Other builders show the caption alone."""
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register writers and the demand for alt text."""
    app.add_node(nodes.image, override=True, html=(visit_image, depart_image))
    nothing = (visit_nothing, None)
    app.add_node(frames_node, html=(visit_frames, None), text=nothing, latex=nothing)
    app.connect("doctree-read", demand_alt)
