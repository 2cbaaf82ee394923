"""How long a chapter takes: what is counted, how it is told, and who says it."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
from dlbook_site import reporting
from dlbook_site.minutes import Amount, amount, of_book, of_page

from tests.site.small_book import ROOT, SVG, Book
from tools.execute import chapters

PAGE = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# A title

{minutes}`page`
One formula $x^2 + y^2$ and `code` – here.

```{code-cell} ipython3
a = 1

b = a + 1
```

```{code-cell} ipython3
check("folded, since it only reports", a == 1)
```

```{code-cell} ipython3
:tags: [hide-input]
c = "folded, since its author says so"
```

```python
print("shown, not run")
```

$$ a = b $$ (eq-first)

$$
\\begin{aligned} c &= d \\\\ e &= f \\end{aligned}
$$

```{figure} dot.svg
:alt: words that only some readers hear
A caption.
```

| head | head |
|---|---|
| cell | $z$ |

```{exercise} Sums
:label: ex-first
Add them.
```

```{solution-start} ex-first
:class: dropdown
```
Folded, $y$ and

$$ g = h $$

as well.

```{code-cell} ipython3
folded = "with all of its solution"
```

```{solution-end}
```

```{tip}
:class: dropdown
A folded hint.
```
"""
TITLE, TEXT, CAPTION, TABLE, EXERCISE = 2, 6, 2, 4, 4  # words
SEEN = Amount(words=TITLE + TEXT + CAPTION + TABLE + EXERCISE, lines=3, equations=2, figures=1)
SUMS = "# Sums\n\n{minutes}`book`\n"


@pytest.fixture(scope="module")
def book(tmp_path_factory, browser_assets):
    """A book with a chapter whose words, lines, equations and figures are known."""
    book = Book(tmp_path_factory.mktemp("minutes"))
    (book.folder / "book" / "dot.svg").write_text(SVG)
    book.page("sums", SUMS)
    for name in ("one", "two"):
        book.page(name, PAGE.replace("first", name))
        (book.folder / "notebooks").mkdir(exist_ok=True)
        (book.folder / "notebooks" / f"{name}.ipynb").write_text("{}")
    assert book.build() == ""
    return book


def doctree(book: Book, name: str):
    return pickle.loads((book.folder / f"out/.doctrees/book/{name}.doctree").read_bytes())


def seen(book: Book, name: str) -> Amount:
    cells = reporting.cells(book.folder / "book" / f"{name}.md")
    return amount(doctree(book, name), {*reporting.titles(cells), *reporting.solutions(cells)})


def test_what_is_in_sight_is_counted_and_what_is_folded_is_not(book):
    assert seen(book, "one") == SEEN


def test_minutes_follow_the_formula():
    assert Amount(180, 15, 1, 1).minutes == 1 + 1 + 1 + 0.5
    assert SEEN.minutes == SEEN.words / 180 + 3 / 15 + 2 + 0.5


def test_a_chapter_says_its_reading_time_and_a_page_of_sums_that_of_all(book):
    text = "Reading time: 5 minutes, folded parts not counted."
    assert book.html("book/one").select_one("article p").text.startswith(text + "\nOne formula")
    text = "Reading all chapters takes about 0 hours, folded parts not counted."
    assert book.html("book/sums").select_one("article p").text == text


def test_the_sums_follow_the_chapters(book):
    long = PAGE.replace("first", "two") + "\nword" * 180 * 120
    book.page("two", long)
    book.build()  # the page with the sums has not changed: it is written again all the same
    assert "takes about 2 hours" in book.html("book/sums").select_one("article p").text


@pytest.mark.parametrize(
    ("minutes", "seconds", "text"),
    [
        (1, [], "Reading time: 5 minutes, folded parts not counted."),
        (92.4, [], "Reading time: 90 minutes, folded parts not counted."),
        (92.6, [0.0], "Reading time: 95 minutes, folded parts not counted."),
        (60, [0.3], "The code ran in 5 seconds on one CPU core when this page was made."),
        (60, [52.6], "The code ran in 55 seconds on one CPU core when this page was made."),
        (60, [117.0], "The code ran in 115 seconds on one CPU core when this page was made."),
        (60, [119.0], "The code ran in 2 minutes on one CPU core when this page was made."),
    ],
)
def test_a_page_tells_its_times_in_steps(minutes, seconds, text):
    assert of_page(Amount(equations=minutes), seconds).endswith(text)


def test_the_book_tells_its_sum_and_its_longest():
    text = of_book(Amount(equations=1656), [100.0, 110.0, 0.0, 810.0])
    assert text.startswith("Reading all chapters takes about 28 hours,")
    assert "ran in 17 minutes on one CPU core" in text
    assert text.endswith("the longest chapter took 14 minutes.")
    assert "ran" not in of_book(Amount(equations=1656), [0.0, 0.0])


def test_another_scope_is_a_warning(tmp_path, browser_assets):
    book = Book(tmp_path)
    book.page("wrong", "# Wrong\n\nA paragraph of {minutes}`chapter`.\n")
    assert "minutes of 'chapter', expected page or book" in book.build()


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_every_chapter_says_its_times_at_its_head_and_types_none(path: Path):
    head, _, rest = path.read_text("utf-8").partition("\n## ")
    assert head.count("\n{minutes}`page`\n") == 1
    assert "{minutes}" not in rest
    assert not re.search(r"[Rr]eading time|(?:page runs|cells .*run) in .*(?:minute|second)", head)


def test_a_new_chapter_says_them_too():
    template = (ROOT / "tools/template/page.md.txt").read_text("utf-8")
    assert template.count("{minutes}`page`") == 1
