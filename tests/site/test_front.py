"""The front page: parts with picture and chapters, and the map of what needs what."""

from __future__ import annotations

import pytest
from dlbook_site import front

from tests.site.small_book import SVG, Book, claim

FRONT = """# The book

It states {claims}`claim` claims, {claims}`check` checks.

```{parts}
Foundations: fig-dot
```

```{needs}
```
"""
FIGURE = "```{figure} dot.svg\n:name: fig-dot\n:alt: A dot.\n\nA dot.\n```\n"
EQUATION = "$$x = 1$$ (eq-one)\n"
FIRST = f"(ch-first)=\n# First\n\nText.\n\n{FIGURE}\n{EQUATION}"
SECOND = "# Second\n\n**You need** {ref}`the first <ch-first>` and {term}`tensor`.\n"
THIRD = "# Third\n\n**You need** {eq}`eq-one` and {doc}`second`.\n\nNot {ref}`ch-fourth`.\n"
FOURTH = "(ch-fourth)=\n# Fourth\n\nText.\n\n**You must** read {doc}`third`.\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory, browser_assets):
    book = Book(tmp_path_factory.mktemp("front"))
    (book.folder / "book" / "dot.svg").write_text(SVG)
    (book.folder / "book" / "index.md").write_text(FRONT)
    glossary = "```{glossary}\ntensor\n  Numbers.\n```\n"
    for name, text in (("first", FIRST), ("second", SECOND), ("third", THIRD), ("fourth", FOURTH)):
        book.page(name, text + glossary * (name == "first"))
    book.notebook("claimed", claim("Water is wet"), claim("1 = 1", kind="check"))
    assert book.build() == ""
    return book


def test_a_part_has_its_picture_its_name_and_its_chapters_with_times(site):
    page = site.html("book/index")
    [card] = page.select(".part-card")
    assert card.select_one(".rubric").text == "Foundations"
    assert card.img["alt"] == "A dot."
    assert card.select_one(".part-picture a")["href"] == "first.html#fig-dot"
    names = [link.text for link in card.select("li a")]
    assert names == ["First", "Second", "Third", "Fourth", "claimed"]
    assert [time.text for time in card.select(".part-time")] == ["5 min"] * 5


def test_the_page_counts_the_claims_of_the_book(site):
    assert "It states 1 claims, 1 checks." in site.html("book/index").select_one("main").text


def test_the_map_has_what_the_heads_name_and_nothing_else(site):
    places = site.html("book/index").select_one(".needs")
    assert [row["data-needs"] for row in places.select("li")] == ["", "0", "0 1", "", ""]
    arcs = {(arc["data-from"], arc["data-to"]) for arc in places.select("path")}
    assert arcs == {("0", "1"), ("0", "2"), ("1", "2")}
    assert [link["href"] for link in places.select("a")][:2] == ["first.html", "second.html"]
    assert "needs First, Second" in places.select("li")[2].text
    assert [part.text for part in places.select(".needs-part")] == ["Foundations"]


def test_arcs_reach_further_the_further_apart_their_ends_are():
    ends = [front.arc(0, number).split("C")[1].split()[0] for number in (1, 10, 60)]
    assert [float(left) for left in ends] == sorted(map(float, ends), reverse=True)
    assert float(ends[-1]) >= 0


def test_a_part_without_picture_and_a_picture_without_part_fail_the_build(tmp_path, browser_assets):
    book = Book(tmp_path)
    text = "# The book\n\n```{parts}\nFoundation: fig-dot\n```\n\n```{parts}\nFoundations\n```\n"
    (book.folder / "book" / "index.md").write_text(text)
    book.page("first", "# First\n\nText.\n")
    warned = book.build()
    assert "parts: 'Foundation' is no part" in warned
    assert "parts: 'Foundations' is without figure" in warned
    assert "parts: expected lines such as" in warned
    (book.folder / "book" / "index.md").write_text(text.replace("Foundation:", "Foundations:", 1))
    assert "parts: no figure with a picture is called 'fig-dot'" in book.build()
