"""Print the built site as one PDF: page numbers in contents and glossary, bookmarks, solutions.

usage: python -m tools.volume.pdf      (make pdf; writes _build/html/deep-learning-in-depth.pdf)

Chromium prints twice: the second time with the page numbers that the first gave.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from lxml import html
from lxml.html.builder import E

from tools.assets import ROOT, node
from tools.volume import downloads
from tools.volume.site import SITE, Page, imprint, pages, settings
from tools.volume.text import classed, prepare

FOLDER = ROOT / "_build" / "volume"
HERE = Path(__file__).parent
FONTS = {
    "Paper Serif": ("source-serif-4", ["400-normal", "400-italic", "600-normal", "600-italic"]),
    "Paper Sans": ("source-sans-3", ["400-normal", "400-italic", "600-normal"]),
    "Paper Mono": ("source-code-pro", ["400-normal", "400-italic", "600-normal"]),
}
SUBSETS = {
    "latin": "U+0000-00FF, U+0131, U+0152-0153, U+02BB-02BC, U+02C6, U+02DA, U+02DC, U+2000-206F, "
    "U+20AC, U+2122, U+2191, U+2193, U+2212, U+2215, U+FEFF, U+FFFD",
    "latin-ext": "U+0100-0130, U+0132-0151, U+0154-02BA, U+1E00-1EFF, U+20A0-20AB, U+20AD-20C0, "
    "U+2C60-2C7F",
    "greek": "U+0370-03FF",
}
TERM = re.compile(r"#book-glossary--term-")


def main() -> int:
    start = time.perf_counter()
    volume = prepare(pages(SITE))
    draft = print_numbered(SITE, volume, FOLDER)
    final = SITE / downloads.PDF
    count = bind(draft, final, volume)
    downloads.offer(SITE)
    size = final.stat().st_size / 1e6
    print(f"{final}: {count} pages, {size:.1f} MB, {time.perf_counter() - start:.0f} s")
    return 0


def print_numbered(site: Path, volume: list[Page], folder: Path) -> Path:
    """Print twice, the second time with page numbers; return the print.

    Raises
    ------
    RuntimeError
        If the second printing has things on other pages than the first.
    """
    document = paper(site, volume)
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / "draft.pdf"
    for _ in range(2):
        print_(document, site, draft)
        moved = number(document, places(draft))
    if moved:
        raise RuntimeError(f"{moved} page numbers moved between the two printings; none should")
    return draft


def paper(site: Path, volume: list[Page]) -> html.HtmlElement:
    """Return the volume as one HTML document, with 000 where page numbers will stand."""
    for page in volume:
        for hidden in classed(page.article, "katex-mathml"):
            hidden.drop_tree()
        for picture in page.article.iter("img"):
            picture.set("src", page.picture(picture.get("src")))
    cite_pages(volume)
    body = E.body(*title_pages(), contents_pages(volume))
    part = ""
    for page in volume:
        if page.part != part:
            part = page.part
            body.append(E.div(E.p(part), id=part_id(part), **{"class": "part-page"}))
        page.article.set("style", f"page: {page.slug}")
        body.append(page.article)
    head = E.head(E.meta(charset="utf-8"), E.title(settings()["title"]), *styles(site, volume))
    return E.html(head, body, lang="en", **{"data-theme": "light"})


def styles(site: Path, volume: list[Page]) -> list[html.HtmlElement]:
    """Return the styles of the site's own pages, then those of paper, with each page's heading."""
    chapter = next(page for page in volume if page.number)
    head = html.parse(str(site / f"{chapter.name}.html")).getroot().find("head")
    found = [head.find("style"), *head.xpath("link[@rel='stylesheet']")]
    for link in found[1:]:
        link.set("href", chapter.picture(link.get("href")))
    headings = []
    for page in volume:
        label = re.sub(r"(\d+)$", r"\1 · ", page.number.removeprefix("Chapter ")) + page.title
        label = label.replace("\\", "\\\\").replace('"', '\\"')
        headings.append(f'@page {page.slug} {{ @top-center {{ content: "{label}"; }} }}')
    paper = (HERE / "paper.css").read_text("utf-8")
    return [*found, E.style(fonts() + paper + "\n".join(headings))]


def fonts() -> str:
    """Return rules for the fonts of paper, in the weights that the styles ask for."""
    rules = []
    for family, (package, faces) in FONTS.items():
        for subset, characters in SUBSETS.items():
            for face in faces:
                weight, style = face.split("-")
                file = f"/fontsource/{package}/files/{package}-{subset}-{face}.woff2"
                rules.append(
                    f'@font-face {{ font-family: "{family}"; font-weight: {weight}; '
                    f"font-style: {style}; src: url({file}); unicode-range: {characters}; }}"
                )
    return "\n".join(rules)


def part_id(part: str) -> str:
    return "part-" + re.sub(r"\W+", "-", part.lower())


def title_pages() -> list[html.HtmlElement]:
    """Return the title page and, overleaf, what this print is and is not."""
    title, author = settings()["title"], settings()["author"]
    site = settings()["html"]["baseurl"]
    return [
        E.div(E.p(title, **{"class": "title"}), E.p(author), id="title", **{"class": "title-page"}),
        E.div(
            E.p(E.a(site, href=site)),
            E.p(imprint()),
            **{"class": "imprint"},
        ),
    ]


def page_number(place: str, css: str = "number") -> html.HtmlElement:
    """Return a link that shows the number of the page where `place` is, once it is known."""
    return E.a("000", href=f"#{place}", **{"class": css, "data-page-of": place})


def contents_pages(volume: list[Page]) -> html.HtmlElement:
    """Return the contents: parts, chapters, sections, each with its page."""
    nav = E.nav(E.h1("Contents"), **{"class": "paper-contents"})
    part = ""
    for page in volume:
        if page.part != part:
            part = page.part
            nav.append(E.p(E.a(part, href=f"#{part_id(part)}"), **{"class": "part-line"}))
        nav.append(row(page.number.removeprefix("Chapter "), page.title, page.slug, "chapter-line"))
        if page.number:
            for place, heading in page.sections:
                nav.append(row("", heading, place, "section-line"))
    return nav


def row(number: str, title: str, place: str, css: str) -> html.HtmlElement:
    label = E.a(f"{number}\u2002{title}" if number else title, href=f"#{place}")
    return E.p(label, E.span(**{"class": "leader"}), page_number(place), **{"class": css})


def cite_pages(volume: list[Page]) -> None:
    """Give each glossary entry the pages on which the text sends the reader to it."""
    uses: dict[str, list[str]] = defaultdict(list)
    for page in volume:
        if page.name == "book/glossary":
            continue
        for link in page.article.xpath(".//a[@href]"):
            if TERM.match(link.get("href")):
                term = link.get("href").removeprefix("#")
                link.set("id", f"use-{len(uses[term])}-{term}")
                uses[term].append(link.get("id"))
    glossary = next((page for page in volume if page.name == "book/glossary"), None)
    for term in [] if glossary is None else glossary.article.iter("dt"):
        if uses[term.get("id")]:
            places = [page_number(place, "used") for place in uses[term.get("id")]]
            term.append(E.span(*places, **{"class": "pages"}))


def print_(document: html.HtmlElement, site: Path, out: Path) -> None:
    """Have Chromium print the document, as if it stood at the root of the site."""
    source = out.with_suffix(".html")
    source.write_bytes(b"<!DOCTYPE html>\n" + html.tostring(document, encoding="utf-8"))
    command = [node(), str(HERE / "print.mjs"), str(site), str(source), str(out)]
    subprocess.run(command, cwd=ROOT, check=True)


def places(pdf: Path) -> dict[str, int]:
    """Return the page, from 1, of each id of the document that something links to."""
    from pypdf import PdfReader

    reader = PdfReader(pdf)
    references = (page.indirect_reference for page in reader.pages)
    number = {reference.idnum: i for i, reference in enumerate(references, 1) if reference}
    named = reader.named_destinations.items()
    return {name.removeprefix("/"): number[place.raw_get("/Page").idnum] for name, place in named}


def number(document: html.HtmlElement, where: dict[str, int]) -> int:
    """Write page numbers where they are asked for; return how many were not what they are now.

    Of an entry's pages each is shown once: a second link to the same page is hidden.

    Raises
    ------
    KeyError
        If the print has no place of such a name.
    """
    changed = 0
    for link in document.xpath("//a[@data-page-of]"):
        text = str(where[link.get("data-page-of")])
        changed += link.text != text
        link.text = text
    for entry in document.xpath("//span[@class='pages']"):
        shown = set()
        for link in entry:
            twice = link.text in shown
            link.set("class", "used twice" if twice else "used")
            shown.add(link.text)
    return changed


def bind(draft: Path, out: Path, volume: list[Page]) -> int:
    """Write the print with bookmarks, title and author; return its number of pages."""
    from pypdf import PdfWriter
    from pypdf.generic import NameObject, TextStringObject

    where = places(draft)
    writer = PdfWriter(clone_from=draft)

    def mark(title: str, place: str, parent: Any = None) -> Any:
        """Add a bookmark, closed."""
        number = where[place] - 1
        return writer.add_outline_item(
            title=title, page_number=number, parent=parent, is_open=False
        )

    part, parent = "", None
    for page in volume:
        if page.part != part:
            part = page.part
            parent = mark(part, part_id(part))
        item = mark(page.label, page.slug, parent)
        for place, heading in page.sections:
            if place in where:
                mark(heading, place, item)
    writer.add_metadata({"/Title": settings()["title"], "/Author": settings()["author"]})
    writer.root_object[NameObject("/Lang")] = TextStringObject("en")
    writer.page_mode = "/UseOutlines"
    writer.write(out)
    return len(writer.pages)


if __name__ == "__main__":
    sys.exit(main())
