"""Every colour of the book: of its figures, of the boxes of claims, and of the site.

A colour is changed here and nowhere else: ``plotting`` and ``claims`` import it, and the site's
extension writes :func:`properties` into every page. Hues differ between figures and site where a
thin line needs another one than a word.
"""

from __future__ import annotations

from typing import NamedTuple


class Color(NamedTuple):
    """One meaning on the backgrounds that a reader may have."""

    light: str
    dark: str
    printed: str = ""  # like light, unless something else is said
    either: str = ""  # where nobody knows the background: the output of a live notebook


# Of figures. The hues keep apart for readers with any of the three colour-vision deficiencies,
# and against both backgrounds; a test measures it.
FIGURES = {
    "ink": Color("#20242a", "#e4e6ea"),
    "muted": Color("#6a7078", "#9aa1ab"),
    "faint": Color("#d6d9de", "#3d434c"),
    "blue": Color("#0a67ad", "#62b3f0"),
    "orange": Color("#c4560b", "#ff9a52"),
    "green": Color("#0f7f62", "#3fcfa6"),
    "purple": Color("#a13d84", "#e79fd0"),
    "gold": Color("#a08a3a", "#f2e08a"),
    "sky": Color("#3e9fd6", "#a8dcff"),
}

# Of the site, and of what claims say: good (it holds), warn (it does not), muted (not tested).
SITE = {
    "paper": Color("#fdfcfa", "#15181c", printed="#fff"),
    "raised": Color("#f6f4ef", "#1d2126", printed="#f6f6f4"),
    "line": Color("#e2ded6", "#30353c", printed="#ccc"),
    "strong-line": Color("#c9c4ba", "#4a505a"),
    "ink": Color("#20242a", "#dfe2e7", printed="#000"),
    "muted": Color("#5c6169", "#a0a7b1", printed="#444", either="#888"),
    "accent": Color("#0a5c9c", "#7cc0f5", printed="#000"),
    "accent-wash": Color("#eef4f9", "#1a2530"),
    "good": Color("#0b6b52", "#5fd3ac", either="#2a9d74"),
    "warn": Color("#9a4406", "#f7a668", either="#c8781e"),
    "verdict": Color("#8a3072", "#e79fd0"),
    "selection": Color("#cfe3f5", "#274a68"),
}

CARD = "#fdfdfc"  # behind a figure in a live notebook
ON_LIGHT, ON_DARK = "#111111", "#fafafa"  # numbers on the cells of a heat map


def properties() -> str:
    """Return the site's colours as CSS custom properties: light, dark and on paper."""
    light = _declared({name: color.light for name, color in SITE.items()})
    dark = _declared({name: color.dark for name, color in SITE.items()})
    printed = _declared({name: color.printed or color.light for name, color in SITE.items()})
    return (
        f':root{{{light}}}html[data-theme="dark"]{{{dark}}}'
        f'@media print{{:root,html[data-theme="dark"]{{{printed}}}}}'
    )


def scheme(colors: dict[str, Color]) -> str:
    """Return a style for an SVG image: custom properties that follow the reader's scheme."""
    light = _declared({name: color.light for name, color in colors.items()})
    dark = _declared({name: color.dark for name, color in colors.items()})
    return f"<style>:root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"


def _declared(values: dict[str, str]) -> str:
    return ";".join(f"--{name}:{value}" for name, value in values.items())
