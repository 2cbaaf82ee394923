"""The files that the site offers of the whole book, and where its front page says so."""

from __future__ import annotations

import re
from pathlib import Path

from tools.volume.site import FRONT

PDF = "deep-learning-in-depth.pdf"
EPUB = "deep-learning-in-depth.epub"
NAMES = {PDF: "PDF", EPUB: "EPUB"}
HOLDER = re.compile(r'(<p class="volumes">).*?(</p>)', re.DOTALL)  # book/index.md leaves it empty


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
