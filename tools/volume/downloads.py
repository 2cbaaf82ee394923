"""The files that the site offers of the whole book, and where its front page says so."""

from __future__ import annotations

import re
from pathlib import Path

from tools.volume.site import FRONT

LECTURERS = "book/lecturers"

PDF = "deep-learning-in-depth.pdf"
EPUB = "deep-learning-in-depth.epub"
NAMES = {PDF: "PDF", EPUB: "EPUB"}
HOLDER = re.compile(r'(<p class="volumes">).*?(</p>)', re.DOTALL)  # book/index.md leaves it empty

DECKS = re.compile(r'(<p class="decks">).*?(</p>)', re.DOTALL)  # book/lecturers.md leaves it empty
TOOLS = re.compile(r'(<div class="page-tools">.*?)(\s*</div>)', re.DOTALL)  # book/_templates
DECK = re.compile(r'\s*<a class="deck".*?</a>', re.DOTALL)


def offer(site: Path) -> None:
    """Have the front page link to the files that are there, each with its size.

    Raises
    ------
    ValueError
        If the front page has no place for it.
    """
    page = site / f"{FRONT}.html"
    text = page.read_text("utf-8")
    if not HOLDER.search(text):
        raise ValueError(f'{page} has no <p class="volumes"></p> to hold the links')
    links = [
        f'<a download href="../{name}">{kind} ({(site / name).stat().st_size / 1e6:.0f} MB)</a>'
        for name, kind in NAMES.items()
        if (site / name).exists()
    ]
    said = "The whole book to take along: " + ", ".join(links) + "." if links else ""
    page.write_text(HOLDER.sub(rf"\g<1>{said}\g<2>", text), "utf-8")


def offer_slides(site: Path, decks: dict[str, str]) -> None:
    """Have each chapter link to its slides; `decks` says where they are below ``slides/``.

    Raises
    ------
    ValueError
        If a chapter has no row of tools to put the link in.
    """
    for name, deck in decks.items():
        page = site / f"{name}.html"
        text = DECK.sub("", page.read_text("utf-8"))
        found = TOOLS.search(text)
        if not found:
            raise ValueError(f'{page} has no <div class="page-tools"> for the link to its slides')
        address = "../" * name.count("/") + f"slides/{deck}.html"
        link = f'<a class="deck" href="{address}" title="This chapter as slides">Slides</a>'
        end = found.end(1)
        page.write_text(f"{text[:end]}\n        {link}{text[end:]}", "utf-8")
    page = site / f"{LECTURERS}.html"
    text = page.read_text("utf-8")
    if not DECKS.search(text):
        raise ValueError(f'{page} has no <p class="decks"></p> to hold the link to the slides')
    said = (
        '<a href="../slides/index.html">The slides, exercise sheets and answers of all chapters</a>'
    )
    page.write_text(DECKS.sub(rf"\g<1>{said}\g<2>", text), "utf-8")
