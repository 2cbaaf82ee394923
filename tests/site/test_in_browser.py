"""The built site as a reader's browser sees it: `make test-web`, after `make book`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))

from dlbook_site.node import node  # noqa: E402  (the path comes first)

SITE = Path(os.environ.get("DLBOOK_SITE", ROOT / "_build" / "html"))
VIEWS = ("light", "dark", "phone")
WORD = "claim"  # every book that has a claims page has this word
pytestmark = pytest.mark.web


@pytest.fixture(scope="session")
def report():
    """What visit.mjs saw; one run of the browser serves every test."""
    if not (SITE / "search.html").exists():
        message = f"no site in {SITE}: build it with `make book` first"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    command = [node(), "tests/site/visit.mjs", str(SITE), WORD]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def gather(report, key, views=VIEWS):
    """Return {"view page": value} for what is there (non-empty, non-zero)."""
    return {
        f"{view} {page}": record[key]
        for view in views
        for page, record in report["views"][view].items()
        if record[key]
    }


def chapters():
    """Return the pages that were made from chapters with code."""
    sources = sorted((SITE / "_sources").rglob("*.md"))
    return [
        source.relative_to(SITE / "_sources").with_suffix(".html").as_posix()
        for source in sources
        if "kernelspec:" in source.read_text("utf8")[:600]
    ]


def test_the_chapters_were_visited(report):
    assert chapters(), f"no chapter in {SITE}"
    assert set(chapters()) <= set(report["pages"])
    assert any(page.endswith("index.html") for page in report["pages"])


@pytest.mark.parametrize("key", ["external", "missing", "console", "errors", "fonts"])
def test_nothing_is_asked_of_others_and_nothing_complains(report, key):
    assert gather(report, key) == {}


def test_accessible_in_light_in_dark_and_on_a_phone(report):
    found = gather(report, "axe")
    assert not found, json.dumps(found, indent=1)


def test_nothing_is_wider_than_a_phone(report):
    assert gather(report, "overflow") == {}, gather(report, "wide", ["phone"])
    assert gather(report, "wide", ["phone"]) == {}


@pytest.mark.parametrize("virtue", ["scrolls", "reachable", "edge"])
def test_what_is_too_wide_can_be_scrolled_to_and_shows_it(report, virtue):
    """Formulas, tables and code at 1350 and 400 px: by mouse, by keyboard, and with a shadow."""
    wide = gather(report, "tooWide")
    assert any(name.startswith("phone") for name in wide), "nothing was measured"
    found = {
        name: [f"{item['type']} hides {item['hidden']} px: {item['text']}" for item in items]
        for name, page in wide.items()
        if (items := [item for item in page if not item[virtue]])
    }
    assert not found, json.dumps(found, indent=1)


def test_every_displayed_equation_fits_on_a_wide_screen(report):
    found = {
        name: equations
        for name, items in gather(report, "tooWide", ["light"]).items()
        if (equations := [item["text"] for item in items if item["type"] == "equation"])
    }
    assert not found, f"break them with aligned: {json.dumps(found, indent=1)}"


@pytest.mark.parametrize("key", ["noAlt", "noSize", "broken"])
def test_every_picture_is_there_with_words_and_a_size(report, key):
    assert gather(report, key) == {}


def test_mathematics_is_rendered_without_a_script(report):
    assert gather(report, "katexErrors") == {}
    formulas = gather(report, "formulas", ["light"])
    assert all(f"light {page}" in formulas for page in chapters() if has_formulas(page))
    scripts = gather(report, "scripts", ["light"]).values()
    assert not any("katex" in script or "mathjax" in script for page in scripts for script in page)


def has_formulas(page):
    """Whether the source of a page has a formula outside code."""
    source = (SITE / "_sources" / page).with_suffix(".md").read_text("utf8")
    return any(line.startswith("$$") for line in source.splitlines())


def test_pages_say_what_they_are(report):
    for page, record in report["views"]["light"].items():
        assert record["lang"] == "en", page
        assert record["title"].strip(), page
    for page in chapters():
        assert len(report["views"]["light"][page]["description"]) > 40, page
    titles = [record["title"] for record in report["views"]["light"].values()]
    assert len(titles) == len(set(titles)), "two pages have the same title"


def test_links_within_the_site_lead_somewhere(report):
    assert report["brokenLinks"] == []


def test_dark_is_dark(report):
    for page in report["pages"]:
        light, dark = (report["views"][view][page] for view in ("light", "dark"))
        assert (light["theme"], dark["theme"]) == ("light", "dark"), page
        assert light["background"] != dark["background"], page


def test_search_finds(report):
    assert report["acts"]["dialog"], "Ctrl K did not put the reader into the search field"
    assert any("claims.html" in address for address in report["acts"]["found"])
    quotes = report["acts"]["quotes"]
    assert quotes, "no result quotes its page"
    assert all("Colab" not in quote for quote in quotes), "the page's buttons are not its text"


def test_nothing_complains_while_a_reader_acts(report):
    assert report["acts"]["console"] == []


def test_the_readers_theme_is_kept(report):
    assert (report["acts"]["switched"], report["acts"]["remembered"]) == ("dark", "dark")


def test_the_theme_switches_where_storage_is_blocked(report):
    assert report["acts"]["withoutStorage"] == {"theme": "dark", "errors": []}


def test_sliders_slide(report):
    slider = report["acts"]["slider"]
    assert slider, "no page of the book has a slider"
    assert slider["before"] == [True] + [False] * (len(slider["before"]) - 1)
    assert slider["after"] == slider["before"][::-1]
    assert slider["says"].strip()


def test_the_perceptron_of_the_front_page_learns_what_the_reader_places(report):
    said = report["acts"]["live"]["perceptron"]
    assert said["start"] == "14 points, and weights of zero: nothing is learned yet."
    assert said["xor"] == "4 points, and weights of zero: nothing is learned yet."
    assert said["last"].startswith("210 mistakes; ")
    assert "where no line separates the points, it never does" in said["last"]
    assert (said["one"], said["two"]) == (1, 2)
    assert said["end"] == "2 points, and weights of zero: nothing is learned yet."


def test_an_expression_is_differentiated_step_by_step_and_a_broken_one_refused(report):
    said = report["acts"]["live"]["backprop"]
    assert said["start"] == "Values only. Next: the result's gradient is 1."
    assert said["next"] == "The result's gradient is 1."
    assert said["end"].endswith("Done: ∂/∂a = 9, ∂/∂b = 12, ∂/∂c = 6.")
    assert said["cube"].endswith("Done: ∂/∂x = 27.")
    assert said["refused"] == "The expression ends too early."


def test_a_kernel_answers_at_the_place_that_is_pointed_at(report):
    said = report["acts"]["live"]["convolution"]
    assert said["start"] == "The feature map goes from −2.85 to 2.85."
    assert said["blur"] == "The feature map goes from 0.05 to 1."
    assert said["place"].startswith("Row 13, column 12: 0.11 × ")


def test_optimisers_race_from_where_the_reader_puts_them(report):
    said = report["acts"]["live"]["optimisers"]
    assert said["start"].startswith("On the same ravine, slanted, 60 steps: height left SGD 0.0")
    assert said["bend"].startswith("On a bend, 0 steps")
    assert said["step"].startswith("On a bend, 1 steps")
    assert said["moved"].startswith("On a bend, 0 steps")
    assert said["end"].startswith("On a bend, 60 steps")


def test_the_map_lights_all_that_comes_before_a_chapter(report):
    said = report["acts"]["live"]["needs"]
    assert " needs " in said["text"]
    assert said["lit"] > 2


def test_a_link_opens_a_folded_solution(report):
    folded = report["acts"]["folded"]
    assert folded, "no page of the book has a folded solution"
    assert (folded["before"], folded["after"]) == (False, True)


def test_the_menu_opens_and_closes_on_a_phone(report):
    assert report["acts"]["menu"] == {"before": False, "open": True, "after": False}


def test_a_slider_shows_its_first_frame_without_scripts(report):
    assert all(
        seen["frames"] == 1 and not seen["controls"] for seen in report["acts"]["withoutScript"]
    )


def test_buttons_lead_to_files_that_exist(report):
    slug = "github.com/deep-learning-in-depth/deep-learning-in-depth"
    for page in report["pages"]:
        links = report["views"]["light"][page]["links"]
        launch = [link for link in links if "colab." in link or "mybinder." in link]
        assert len(launch) == (2 if page in chapters() else 0), page
        for link in launch:
            notebook = ROOT / "notebooks" / link.split("/notebooks/")[1]
            assert notebook.exists() or DIFFERENT_BOOK, f"{page}: {link}"
        for link in [link for link in links if f"{slug}/edit/main/" in link]:
            assert (ROOT / link.split("/edit/main/")[1]).exists() or DIFFERENT_BOOK, link


DIFFERENT_BOOK = "DLBOOK_SITE" in os.environ  # the site under test is not of this checkout
