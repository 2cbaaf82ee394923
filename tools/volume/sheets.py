"""Exercise sheets to print: a chapter's exercises without their solutions, and their answers.

``tools.volume.slides`` writes them beside the decks, into ``_build/html/slides/``.
"""

from __future__ import annotations

from copy import deepcopy
from html import escape
from pathlib import Path

from lxml import html
from lxml.html.builder import E

from dlbook_utils.page import palette
from tools.volume.site import Page, settings
from tools.volume.text import UNSOLVED, classed

HERE = Path(__file__).parent
SHEET, KEY = "-exercises.html", "-answers.html"


def split(article: html.HtmlElement) -> tuple[list[html.HtmlElement], list[html.HtmlElement]]:
    """Return a chapter's exercises and its solutions.

    The cells that check an answer are left out: who reads them, reads the answer.
    """
    sections = article.xpath(".//section[@id='exercises']")
    exercises, solutions = [], []
    for part in sections[0] if sections else []:
        names = set((part.get("class") or "").split())
        if "solution" in names:
            solutions.append(deepcopy(part))
        elif part.tag != "h2" and not UNSOLVED.search(part.text_content()):
            exercises.append(deepcopy(part))
    return exercises, solutions


def write(page: Page, folder: Path, name: str, up: str) -> int:
    """Write a chapter's sheet and its key; return how many exercises they have."""
    exercises, solutions = split(page.article)
    count = sum("exercise" in (part.get("class") or "").split() for part in exercises)
    for ending, parts, heading in ((SHEET, exercises, "Exercises"), (KEY, solutions, "Answers")):
        path = folder / f"{name}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document(page, parts, heading, up), "utf-8")
    return count


def document(page: Page, parts: list[html.HtmlElement], heading: str, up: str) -> str:
    """Return a sheet as an HTML page in the style of the site."""
    title = f"{page.number}: {page.title}"
    article = E.article(
        E.h1(heading), E.p(E.a(title, href=f"{up}{page.name}.html")), *parts, **{"class": "text"}
    )
    for formula in classed(article, "katex-mathml"):
        formula.drop_tree()
    template = (HERE / "sheet.html").read_text("utf-8")
    values = {
        "TITLE": escape(f"{heading}: {page.title} – {settings()['title']}"),
        "UP": up,
        "PALETTE": palette.properties(),
        "ARTICLE": html.tostring(article, encoding="unicode"),
    }
    for key, value in values.items():
        template = template.replace(f"@{key}@", value)
    return template
