"""Small pictures of what a cell drew, so that a notebook shows something where nothing runs.

The build draws SVG in colours that follow the reader's scheme. resvg paints it, on the light card
that a live notebook gives its figures: one wheel without system libraries, no fonts (matplotlib
draws its letters as paths), and the same pixels everywhere. The kernel need not draw anything
twice, and chapters that ran already are served from the cache.
"""

from __future__ import annotations

import io
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator

import resvg_py
from dlbook_site.pictures import svg_size
from nbformat import NotebookNode
from nbformat.v4 import new_output
from PIL import Image

from dlbook_utils.page import palette
from dlbook_utils.page.mime import FRAMES

LIMIT = 12_000  # bytes of one picture
WIDTHS = (480, 400, 320, 240, 160, 120, 80)  # pixels: the widest that keeps to the limit is taken
COLOURS = (32, 16)
VARIABLE = re.compile(r"--([\w-]+):(#[0-9a-fA-F]+)")


def previews(outputs: Iterable[NotebookNode], alt: str) -> list[NotebookNode]:
    """Return one output with a small PNG for each picture among the outputs of a cell.

    Arguments:
        outputs: of a run, or those that the notebook holds already, which come back as they are.
        alt: what the cell says that its picture shows.
    """
    return [_output(picture, text or alt) for out in outputs for picture, text in _pictures(out)]


def _output(picture: str | bytes, alt: str) -> NotebookNode:
    png = b64encode(_small(picture)).decode() + "\n"
    return new_output("display_data", {"image/png": png}, metadata={"image/png": {"alt": alt}})


def _pictures(output: NotebookNode) -> Iterator[tuple[str | bytes, str]]:
    """Yield the picture of an output, SVG or PNG, and its own alt text; of a slider the first."""
    data = output.get("data", {})
    if FRAMES in data:
        yield data[FRAMES]["frames"][0], data[FRAMES]["alts"][0]
    elif "image/svg+xml" in data:
        yield data["image/svg+xml"], ""
    elif "image/png" in data:
        alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
        yield b64decode(data["image/png"]), alt


def _small(picture: str | bytes) -> bytes:
    """Return a picture as a palette PNG, as wide as the limit allows; a small PNG stays."""
    if isinstance(picture, bytes) and len(picture) <= LIMIT:
        return picture
    for width in WIDTHS:
        image = _painted(picture, width) if isinstance(picture, str) else _shrunk(picture, width)
        for colours in COLOURS:
            png = io.BytesIO()
            image.quantize(colours, dither=Image.Dither.NONE).save(png, "PNG", optimize=True)
            if len(png.getvalue()) <= LIMIT:
                return png.getvalue()
    raise ValueError(f"a picture of {width} pixels has {len(png.getvalue())} bytes")


def _painted(svg: str, width: int) -> Image.Image:
    """Return an SVG document as an image, at most as wide as it is on a page."""
    colours: dict[str, str] = {}
    for name, colour in VARIABLE.findall(svg):
        colours.setdefault(name, colour)  # the first are those of the light scheme
    svg = re.sub(r"var\(--([\w-]+)\)", lambda match: colours[match[1]], svg)
    width = min(width, round(svg_size(svg)[0]))
    png = resvg_py.svg_to_bytes(
        svg_string=svg, width=width, background=palette.CARD, skip_system_fonts=True, dpi=96.0
    )
    return Image.open(io.BytesIO(bytes(png))).convert("RGB")


def _shrunk(png: bytes, width: int) -> Image.Image:
    """Return a PNG as an image on the card, at most so wide."""
    image = Image.open(io.BytesIO(png)).convert("RGBA")
    image.thumbnail((width, 10 * width))
    card = Image.new("RGBA", image.size, palette.CARD)
    return Image.alpha_composite(card, image).convert("RGB")
