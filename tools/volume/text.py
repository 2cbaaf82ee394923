"""From pages that stand alone to the text of one volume: ids, links, solutions, no buttons."""

from __future__ import annotations

import re
from copy import deepcopy
from urllib.parse import unquote

from lxml import html
from lxml.html.builder import E

from tools.volume.site import Page, address, settings, target

# what needs a mouse or a kernel, and code that is folded away
UNWANTED = ["headerlink", "js-only", "live-controls", "live-inputs", "frames-control", "copy"]
UNWANTED += ["toctree-wrapper", "hide", "helpers", "needs-said"]
SOLUTIONS = "solutions"
POWERS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
UNSOLVED = re.compile(r"\bcheck_answer\b")


def classed(root: html.HtmlElement, name: str) -> list[html.HtmlElement]:
    """Return the elements of a class, in a list that may be changed while it is gone through."""
    return root.xpath(f".//*[contains(concat(' ', normalize-space(@class), ' '), ' {name} ')]")


def unfold(article: html.HtmlElement) -> None:
    """Leave out what needs a screen; open what is folded; keep two pictures of a slider."""
    for name in UNWANTED:
        for element in classed(article, name):
            element.drop_tree()
    for output in article.xpath(".//figure//output"):
        output.drop_tree()
    for frames in classed(article, "frames"):
        pictures = frames.findall("img")
        for picture in pictures[1:-1]:
            picture.drop_tree()
        pictures[-1].attrib.pop("hidden", None)
    for details in list(article.iter("details")):
        details.tag = "div"
        details.attrib.pop("open", None)
        for summary in details.findall("summary"):
            summary.tag = "p"
    for cell in classed(article, "cell"):
        inputs, outputs = classed(cell, "cell_input"), classed(cell, "cell_output")
        solved = any("solution" in (e.get("class") or "").split() for e in cell.iterancestors())
        if inputs and outputs and not solved and UNSOLVED.search(inputs[0].text_content()):
            outputs[0].drop_tree()  # "not yet: replace the dots"
    for picture in article.iter("img"):
        for name in ("loading", "decoding", "srcset", "sizes"):
            picture.attrib.pop(name, None)


def words(heading: html.HtmlElement) -> str:
    """Return a heading's text, its formulas once, with small digits for powers."""
    heading = deepcopy(heading)
    for drawn in classed(heading, "katex-html"):
        drawn.drop_tree()
    for annotation in heading.xpath(".//annotation"):
        annotation.drop_tree()
    for power in heading.xpath(".//msup/*[2]"):
        power.text = (power.text or "").translate(POWERS)
    return " ".join(heading.text_content().split())


def describe(page: Page) -> None:
    """Note a page's number, title and sections."""
    heading = page.article.find(".//h1")
    numbers = classed(heading, "section-number")
    page.number = words(numbers[0]) if numbers else ""
    page.title = words(heading).removeprefix(page.number).strip()
    for section in page.article.findall("./section/section"):
        h2 = section.find("h2")
        if h2 is not None and section.get("id"):
            page.sections.append((section.get("id"), words(h2)))


def qualified(page: Page | str, place: str = "") -> str:
    """Return the id, unique in the volume, of a place on a page, or of the page."""
    slug = page.slug if isinstance(page, Page) else page.replace("/", "-")
    return slug + ("--" + re.sub(r"[^\w.-]", "-", unquote(place)) if place else "")


def qualify(page: Page) -> None:
    """Make ids unique in the volume, and have links between its pages name them.

    A link to what the volume does not hold leads to the site.
    """
    for element in page.article.iter():
        if isinstance(element.tag, str) and element.get("id"):
            element.set("id", qualified(page, element.get("id")))
    page.article.set("id", page.slug)
    page.sections = [(qualified(page, place), title) for place, title in page.sections]


def relink(pages: list[Page]) -> None:
    """Turn links between pages into links within the volume; the rest lead to the site."""
    ids = {element.get("id") for page in pages for element in page.article.xpath(".//*[@id]")}
    slugs = {page.slug for page in pages}
    for page in pages:
        for link in page.article.xpath(".//a[@href]"):
            if re.match(r"[a-z]+:", link.get("href")):
                continue
            name, place = target(page.name, link.get("href"))
            if qualified(name) not in slugs:
                link.set("href", settings()["html"]["baseurl"] + address(name, place))
            elif place and qualified(name, place) in ids:
                link.set("href", f"#{qualified(name, place)}")
            else:  # the top of a page, or code that was folded away
                link.set("href", f"#{qualified(name)}")


def move_solutions(pages: list[Page]) -> Page:
    """Take the solutions out of the chapters; return the page that holds them."""
    article = E.article(E.section(E.h1("Solutions")), **{"class": "text solutions"})
    page = Page(SOLUTIONS, "", article, title="Solutions")
    for chapter in pages:
        solutions = classed(chapter.article, "solution")
        if not solutions:
            continue
        place = f"{SOLUTIONS}-{chapter.slug}"
        heading = f"{chapter.number}: {chapter.title}" if chapter.number else chapter.title
        section = E.section(E.h2(E.a(heading, href=f"#{chapter.slug}")), id=place)
        page.sections.append((place, heading))
        for solution in solutions:
            title = solution.find("./p[@class='admonition-title']")
            link = E.p(E.a("Solution", href=f"#{solution.get('id')}"), **{"class": "to-solution"})
            solution.addprevious(link)
            solution.drop_tree()
            solution.tail = None
            back = exercise_before(link)
            if back is not None and title is not None:
                title.append(E.a(" ↑", href=f"#{back}", title="Back to the exercise"))
            section.append(solution)
        article[0].append(section)
    article.set("id", SOLUTIONS)
    return page


def exercise_before(element: html.HtmlElement) -> str | None:
    """Return the id of the exercise that comes last before an element."""
    for sibling in element.itersiblings(preceding=True):
        if "exercise" in (sibling.get("class") or "").split():
            return sibling.get("id")
    return None


def prepare(pages: list[Page]) -> list[Page]:
    """Make one text of the pages; return them with the solutions before the reference part."""
    for page in pages:
        unfold(page.article)
        describe(page)
        qualify(page)
    relink(pages)
    solutions = move_solutions(pages)
    last = pages[-1].part
    solutions.part = last
    first = next(i for i, page in enumerate(pages) if page.part == last)
    return [*pages[:first], solutions, *pages[first:]]
