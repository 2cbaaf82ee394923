"""The pages of the built site, in the order of its contents."""

from __future__ import annotations

import posixpath
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml
from lxml import html

from tools.execute import ROOT

SITE = ROOT / "_build" / "html"
FRONT = "book/index"
ON_THE_SITE_ONLY = ("book/reference/api", "genindex")  # links to these lead to the site


@dataclass
class Page:
    """A page: its name, as ``book/foundations/linear``, the part it stands in, and its article."""

    name: str
    part: str
    article: html.HtmlElement
    number: str = ""
    title: str = ""
    sections: list[tuple[str, str]] = field(default_factory=list)  # id and heading of each h2

    @property
    def slug(self) -> str:
        """The name as an id and as a file's name: ``book-foundations-linear``."""
        return self.name.replace("/", "-")

    @property
    def label(self) -> str:
        """Number and title, as a contents lists them: ``4 Linear models``."""
        return f"{self.number.removeprefix('Chapter ')} {self.title}".strip()

    def picture(self, source: str) -> str:
        """Return where a picture of the page is, from the root of the site."""
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.name), source))


@cache
def settings() -> dict:
    """Return ``_config.yml``: title, author, addresses."""
    return yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))


def imprint() -> str:
    """Return what a reader of the book in one piece is told of it."""
    return (
        f"This is the book of {date()}. Every number, figure and claim in it comes from code that "
        "ran when it was built. Code that its pages fold away, for figures, tables and counts, is "
        "left out; the notebooks on the site have it. Solutions are at the end. "
        f"© {settings()['copyright']} {settings()['author']}."
    )


def date() -> str:
    """Return the day of the last commit, or of the built front page where there is no git."""
    command = ["git", "log", "-1", "--format=%cs"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if told.returncode == 0 and told.stdout.strip():
        return told.stdout.strip()
    from datetime import UTC, datetime

    return datetime.fromtimestamp((SITE / f"{FRONT}.html").stat().st_mtime, UTC).date().isoformat()


def contents(site: Path) -> list[tuple[str, str]]:
    """Return (name, part) of each page that the volume holds, as the site's contents list them."""
    front = site / f"{FRONT}.html"
    if not front.exists():
        raise FileNotFoundError(f"no built site in {site}: {front} is missing; make book first")
    nav = html.parse(str(front), parser()).getroot().get_element_by_id("contents")
    rows, part = [], ""
    for element in nav.iter("span", "a"):
        if element.get("class") == "caption-text":
            part = element.text_content()
        elif element.tag == "a" and element.get("href"):
            name = target(FRONT, element.get("href"))[0]
            if name not in ON_THE_SITE_ONLY:
                rows.append((name, part))
    return rows


def parser() -> html.HTMLParser:
    """Return a parser for our own pages, which are all UTF-8, and some of them long."""
    return html.HTMLParser(encoding="utf-8", huge_tree=True)


def address(name: str, place: str) -> str:
    """Return where a page, and a place on it, are from the root of the site."""
    return f"{name}.html" + (f"#{place}" if place else "")


def target(page: str, link: str) -> tuple[str, str]:
    """Return the page, without its ending, and the id within it that a link on `page` leads to."""
    path, _, place = link.partition("#")
    if not path:
        return page, place
    name = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
    return name.removesuffix(".html"), place


def pages(site: Path = SITE) -> list[Page]:
    """Read the pages.

    Raises
    ------
    FileNotFoundError
        If the site, or a page that its contents name, was not built.
    """
    read = []
    for name, part in contents(site):
        file = site / f"{name}.html"
        if not file.exists():
            raise FileNotFoundError(f"the contents name {name}, but {file} was not built")
        article = html.parse(str(file), parser()).getroot().find(".//article")
        read.append(Page(name, part, article))
    return read
