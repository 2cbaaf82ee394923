"""One palette: a changed colour shows everywhere, and no colour stands anywhere else."""

import re

import pytest
from matplotlib.colors import to_rgb

from dlbook_utils.page import claims, palette, plotting
from dlbook_utils.page.palette import Color
from tools.toc import ROOT

HEX = re.compile(r"(?<![\w&])#(?:[0-9a-fA-F]{3,4}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})\b")
SOURCES = ("dlbook_utils", "book", "tools")
SUFFIXES = {".py", ".md", ".css", ".js", ".mjs", ".html", ".svg", ".cjs"}
PROBE = Color("#010203", "#040506", "#070809", "#0a0b0c")
# What may name a colour besides the palette, and why.
ALLOWED = {
    "dlbook_utils/page/palette.py": "it is the palette",
    "book/generative/gan.md": "numbers on a picture, black or white by the brightness below them",
    "book/transformers/after-pretraining.md": "two lines of its language begin like a colour",
}


def contrast(a, b):
    """WCAG contrast ratio of two colours."""
    lights = []
    for color in (a, b):
        linear = [
            v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(color)
        ]
        lights.append(sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear)) + 0.05)
    return max(lights) / min(lights)


def box(supported):
    return claims._box(claims.Claim("claim", "a", "b", supported=supported))


def test_a_changed_colour_of_figures_changes_their_scheme(monkeypatch):
    monkeypatch.setitem(palette.FIGURES, "blue", PROBE)
    svg = plotting.adapt(f'<svg><path stroke="{PROBE.light}"/></svg>')
    assert 'stroke="var(--blue)"' in svg
    assert f"--blue:{PROBE.light};" in svg
    assert f"--blue:{PROBE.dark};" in svg


@pytest.mark.parametrize(("name", "supported"), [("good", True), ("warn", False), ("muted", None)])
def test_a_changed_colour_of_the_site_changes_its_style_and_the_boxes(monkeypatch, name, supported):
    assert PROBE.either not in box(supported)
    monkeypatch.setitem(palette.SITE, name, PROBE)
    assert PROBE.either in box(supported)
    light, dark, printed = re.split(r"html\[|@media", palette.properties(), maxsplit=2)
    assert f"--{name}:{PROBE.light}" in light
    assert f"--{name}:{PROBE.dark}" in dark
    assert f"--{name}:{PROBE.printed}" in printed


def test_on_paper_a_colour_is_the_light_one_unless_something_else_is_said():
    printed = palette.properties().split("@media print")[1]
    assert f"--verdict:{palette.SITE['verdict'].light}" in printed
    assert "--paper:#fff;" in printed


@pytest.mark.parametrize("mode", ["light", "dark", "printed"])
def test_the_words_of_the_site_stand_out_from_their_ground(mode):
    for ground in ("paper", "raised", "accent-wash"):
        for word in ("ink", "muted", "accent", "good", "warn", "verdict"):
            colors = [palette.SITE[name] for name in (word, ground)]
            pair = [getattr(color, mode) or color.light for color in colors]
            assert contrast(*pair) >= 4.5, (word, ground, mode, contrast(*pair))


@pytest.mark.parametrize("ground", ["#ffffff", "#111111"])
def test_the_edge_of_a_box_stands_out_from_any_ground(ground):
    for name in claims.EDGES.values():
        assert contrast(palette.SITE[name].either, ground) >= 3


def stray():
    """The colours outside of the palette, by file."""
    files = [path for name in SOURCES for path in sorted((ROOT / name).rglob("*"))]
    named = {path.relative_to(ROOT).as_posix(): path for path in files if path.suffix in SUFFIXES}
    found = {name: HEX.findall(path.read_text("utf-8")) for name, path in named.items()}
    return {name: colors for name, colors in found.items() if colors}


def test_no_colour_stands_outside_of_the_palette():
    colors = stray()
    assert set(colors) - set(ALLOWED) == set(), "use dlbook_utils.page.palette"
    assert set(ALLOWED) - set(colors) == set(), "allowed, but not there any more"


@pytest.mark.parametrize(
    ("text", "colors"),
    [("#fff", 1), ("a:#12aB9f;", 1), ("#1234567", 0), ("&#8217;", 0), ("# abc", 0), ("x#abc", 0)],
)
def test_the_search_knows_a_colour(text, colors):
    assert len(HEX.findall(text)) == colors
