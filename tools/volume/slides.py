"""Turn chapters into slides for a lecture, from what they hold: no second source.

usage: python -m tools.volume.slides      (make slides; writes _build/html/slides/)

A deck has the chapter's goals, what to predict first, its figures with captions, numbered
equations, theorems and claims section by section, what it says in short, and its questions, each
with the answer a step later. A figure with a slider is stepped through. The sentences around a
thing are its speaker's notes (press S). reveal.js, from npm, shows the decks, also offline.
"""

from __future__ import annotations

import re
import shutil
import sys
from copy import deepcopy
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from lxml import html
from lxml.html.builder import E

from dlbook_utils.page import palette
from tools.assets import PACKAGES
from tools.volume import downloads, sheets
from tools.volume.site import SITE, Page, address, pages, settings, target
from tools.volume.text import classed, describe, unfold, words

HERE = Path(__file__).parent
FOLDER = "slides"
REVEAL = ("dist/reveal.css", "dist/reveal.js", "dist/plugin/notes.js", "LICENSE")
WANTED = ("math-block", "proof", "claim", "pst-scrollable-table-container")
UNSHOWN = ("exercise", "solution", "claim-check", "at-a-glance")
LEFT_OUT = ("exercises", "further-reading", "in-short", "check-yourself")
TIMES = re.compile(r"Reading time:|The code ran")
SENTENCES = 5  # as many fit on a slide
ROWS = 3  # of formulas, where two share a slide
LONG = 75  # words of a slide that is set smaller


@dataclass
class Slide:
    """A slide: its title, what it shows, and what the speaker may say."""

    title: str
    content: list[html.HtmlElement] = field(default_factory=list)
    notes: list[html.HtmlElement] = field(default_factory=list)


def main() -> int:
    total = make(SITE)
    print(f"{SITE / FOLDER / 'index.html'}: {total} slides")
    return 0


def make(site: Path) -> int:
    """Write a deck for each chapter of a built site, and link to it; return how many slides."""
    chapters = [page for page in pages(site) if is_chapter(page)]
    folder = site / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    bring_reveal(folder / "reveal")
    counts = []
    for page in chapters:
        shown = deck(page)
        sheets.write(page, folder, below(page), up(page))
        path = folder / f"{below(page)}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document(page, shown), "utf-8")
        counts.append(len(shown))
    rows = list(zip(chapters, counts, strict=True))
    (folder / "index.html").write_text(overview(rows), "utf-8")
    downloads.offer_slides(site, {page.name: below(page) for page in chapters})
    return sum(counts)


def is_chapter(page: Page) -> bool:
    """Say whether a page is a numbered chapter."""
    numbers = classed(page.article.find(".//h1"), "section-number")
    return bool(numbers) and words(numbers[0]).startswith("Chapter")


def below(page: Page) -> str:
    """Return where a chapter stands below the folder of chapters: ``foundations/linear``."""
    return page.name.removeprefix("book/")


def up(page: Page) -> str:
    """Return the way from a chapter's deck to the root of the site."""
    return "../" * (below(page).count("/") + 1)


def bring_reveal(folder: Path) -> None:
    """Copy reveal.js, its licence with it, from node_modules."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in REVEAL:
        shutil.copy(PACKAGES / "reveal.js" / name, folder / Path(name).name)


def deck(page: Page) -> list[Slide]:
    """Return a chapter's slides."""
    stack_frames(page.article)
    unfold(page.article)
    describe(page)
    relocate(page)
    slides = [opening(page)]
    for heading, name in (("You will be able to", "goals"), ("Predict first", "tip")):
        for box in classed(page.article, name)[:1]:
            slides.append(Slide(heading, [part for child in box for part in spoken(child)]))
    sections = {section.get("id"): section for section in page.article.iter("section")}
    for place, title in page.sections:
        if not place.startswith(LEFT_OUT):
            slides += of_section(sections[place], re.sub(r"^[\d.]+ ", "", title))
    for place, _ in page.sections:
        if place.startswith("in-short"):
            slides += in_short(sections[place])
        if place.startswith("check-yourself"):
            slides += questions(sections[place])
    return slides


def spoken(part: html.HtmlElement) -> list[html.HtmlElement]:
    """Return a copy of what a box says, without its title and without reading and run times."""
    if "admonition-title" in (part.get("class") or ""):
        return []
    if part.tag != "p":
        return [deepcopy(part)]
    kept = [s for s in sentences(part) if not TIMES.match(s.text_content())]
    return [E.p(*(piece for s in kept for piece in [*sentence_parts(s), " "]))] if kept else []


def stack_frames(article: html.HtmlElement) -> None:
    """Lay the pictures of a slider over each other, to be stepped through."""
    for frames in classed(article, "frames"):
        pictures = frames.findall("img")
        stack = E.div(**{"class": "r-stack"})
        frames.insert(0, stack)
        for i, picture in enumerate(pictures):
            picture.attrib.pop("hidden", None)
            picture.tail = None
            if i:
                last = i == len(pictures) - 1
                picture.set("class", "fragment" if last else "fragment current-visible")
            stack.append(picture)
        if len(pictures) > 1:
            pictures[0].set("class", "fragment fade-out")
            pictures[0].set("data-fragment-index", "0")
            pictures[1].set("data-fragment-index", "0")
            for i, picture in enumerate(pictures[2:], 1):
                picture.set("data-fragment-index", str(i))
        frames.set("class", "stepped")


def relocate(page: Page) -> None:
    """Have pictures and links of a chapter work from its deck."""
    for picture in page.article.iter("img"):
        picture.set("src", up(page) + page.picture(picture.get("src")))
    for link in page.article.xpath(".//a[@href]"):
        if not re.match(r"[a-z]+:", link.get("href")):
            name, place = target(page.name, link.get("href"))
            link.set("href", up(page) + address(name, place))


def opening(page: Page) -> Slide:
    """Return the first slide: chapter and book."""
    book = E.p(settings()["title"], **{"class": "book"})
    number = E.p(page.number, **{"class": "number"})
    return Slide("", [number, E.h1(page.title), book])


def of_section(section: html.HtmlElement, title: str) -> list[Slide]:
    """Return the slides of a section: a thing a slide, two short equations on one."""
    slides: list[Slide] = []
    room = 0  # for further rows of formulas on the last slide
    for thing in things(section):
        before, after = neighbour(thing, -1), neighbour(thing, 1)
        rows = formula_rows(thing)
        content = [last_sentence(before)] if rows and before is not None else []
        content.append(deepcopy(thing))
        notes = [deepcopy(p) for p in (before, after) if p is not None]
        if 0 < rows <= room:
            slides[-1].content += content
            slides[-1].notes += notes
            room = 0
        else:
            slides.append(Slide(title, content, notes))
            room = ROWS - rows if rows else 0
    return slides


def formula_rows(thing: html.HtmlElement) -> int:
    """Return how many rows a displayed formula has; 0 for anything else."""
    if "math-block" not in (thing.get("class") or "").split():
        return 0
    return 1 + "".join(thing.xpath(".//annotation/text()")).count(r"\\")


def things(section: html.HtmlElement) -> list[html.HtmlElement]:
    """Return what a section shows, in its order: the outermost of what is wanted."""
    found: list[html.HtmlElement] = []
    for element in section.iter("div", "figure"):
        names = (element.get("class") or "").split()
        inside = {e for e in element.iterancestors() if e is not section}
        hidden = any(set(UNSHOWN) & set((e.get("class") or "").split()) for e in inside)
        wanted = element.tag == "figure" or bool(set(WANTED) & set(names))
        if "proof" in names and not element.xpath("./p[@class='admonition-title']"):
            wanted = False  # the proof of a theorem, not the theorem
        if wanted and not hidden and not set(UNSHOWN) & set(names) and not inside & set(found):
            found.append(element)
    return found


def neighbour(element: html.HtmlElement, step: int) -> html.HtmlElement | None:
    """Return the paragraph just before (-1) or after (1) a thing, or the cell that it stands in."""
    outer = element
    while outer.getparent() is not None and outer.getparent().tag != "section":
        outer = outer.getparent()
    other = outer.getprevious() if step < 0 else outer.getnext()
    return other if other is not None and other.tag == "p" else None


def sentences(paragraph: html.HtmlElement) -> list[html.HtmlElement]:
    """Return a paragraph's sentences: each stands on a line of its own in the source."""
    parts: list[html.HtmlElement] = [E.p()]

    def add(text: str | None) -> None:
        for i, line in enumerate((text or "").split("\n")):
            if i:
                parts.append(E.p())
            here = parts[-1]
            if len(here):
                here[-1].tail = (here[-1].tail or "") + line
            else:
                here.text = (here.text or "") + line

    add(paragraph.text)
    for child in paragraph:
        copy = deepcopy(child)
        copy.tail = None
        parts[-1].append(copy)
        add(child.tail)
    return [part for part in parts if part.text_content().strip()]


def last_sentence(paragraph: html.HtmlElement) -> html.HtmlElement:
    return sentences(paragraph)[-1]


def in_short(section: html.HtmlElement) -> list[Slide]:
    """Return the summary, a few sentences a slide."""
    points = [deepcopy(item) for item in section.xpath("./ul/li")]
    for paragraph in section.findall("p"):
        points += [E.li(*sentence_parts(part)) for part in sentences(paragraph)]
    groups = [points[i : i + SENTENCES] for i in range(0, len(points), SENTENCES)]
    return [Slide("In short", [E.ul(*group)]) for group in groups]


def sentence_parts(paragraph: html.HtmlElement) -> list:
    """Return a paragraph's text and elements, to be put into another element."""
    return [paragraph.text or "", *paragraph]


def questions(section: html.HtmlElement) -> list[Slide]:
    """Return the questions to check oneself, each with its answer to come a step later."""
    slides = []
    for item in section.xpath("./ol/li"):
        item = deepcopy(item)
        for answer in classed(item, "dropdown"):
            answer.set("class", "answer fragment")
            for title in classed(answer, "admonition-title"):
                title.drop_tree()
        slides.append(Slide("Check yourself", [E.div(*sentence_parts(item))]))
    return slides


def document(page: Page, slides: list[Slide]) -> str:
    """Return a deck as an HTML page."""
    shown = "\n".join(rendered(slide) for slide in slides)
    template = (HERE / "deck.html").read_text("utf-8")
    values = {
        "TITLE": escape(page.title),
        "BOOK": escape(settings()["title"]),
        "UP": up(page),
        "REVEAL": "../" * below(page).count("/") + "reveal",
        "CHAPTER": f"{up(page)}{page.name}.html",
        "STYLE": style(up(page)),
        "SLIDES": shown,
    }
    return re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], template)


def style(root: str) -> str:
    """Return the slides' style: the book's colours, its fonts from where the site has them."""
    return palette.properties() + (HERE / "slides.css").read_text("utf-8").replace("@UP@", root)


def rendered(slide: Slide) -> str:
    """Return a slide as HTML; formulas are drawn only, notes are read only."""
    section = E.section(**{"class": "first" if not slide.title else "slide"})
    if slide.title:
        section.append(E.h2(slide.title))
    body = E.div(*(clean(part) for part in slide.content), **{"class": "body"})
    if len(body.text_content().split()) > LONG:
        body.set("class", "body long")
    section.append(body)
    if slide.notes:
        section.append(E.aside(*(clean(part) for part in slide.notes), **{"class": "notes"}))
    return html.tostring(section, encoding="unicode")


def clean(element: html.HtmlElement) -> html.HtmlElement:
    """Drop ids, which would stand there twice, and the hidden twin of each formula.

    A section within a slide would be a slide of its own to reveal.js.
    """
    for inner in element.iter():
        if isinstance(inner.tag, str):
            inner.attrib.pop("id", None)
            inner.tag = "div" if inner.tag == "section" else inner.tag
    for hidden in classed(element, "katex-mathml"):
        hidden.drop_tree()
    element.tail = None
    return element


def overview(rows: list[tuple[Page, int]]) -> str:
    """Return the page that lists the decks, part by part."""
    lines, part = [], ""
    for page, count in rows:
        if page.part != part:
            part = page.part
            lines.append(f"<h2>{escape(part)}</h2>")
        link = f'<a href="{below(page)}.html">{escape(page.label)}</a>'
        sheet, key = (f"{below(page)}{ending}" for ending in (sheets.SHEET, sheets.KEY))
        more = f'{count} slides, <a href="{sheet}">exercises</a>, <a href="{key}">answers</a>'
        lines.append(f"<p>{link} <small>{more}</small></p>")
    template = (HERE / "decks.html").read_text("utf-8")
    values = {"BOOK": escape(settings()["title"]), "DECKS": "\n".join(lines)}
    return re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], template)


if __name__ == "__main__":
    sys.exit(main())
