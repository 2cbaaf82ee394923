"""The package's reference has every room, what is documented there, and the cells that build it."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import shutil
import sys
from collections import Counter

import pytest

import dlbook_utils
from tests.site.small_book import Book
from tools import toc
from tools.toc import ROOT

sys.path.append(str(ROOT / "book" / "_ext"))
from dlbook_site import api

PAGES = [page for page in toc.pages(ROOT) if page.name.startswith("book/reference/api/")]
LINEAR = """---
file_format: mystnb
kernelspec: {name: python3, display_name: P, language: python}
---
# Regression

```{code-cell} ipython3
def batches(n):
    return n


def of_the_page():
    return 1
```
"""


def rooms():
    return {m.name for m in pkgutil.iter_modules(dlbook_utils.__path__) if m.ispkg}


def documented(room):
    package = importlib.import_module(f"dlbook_utils.{room}")
    below = pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    modules = [package, *(importlib.import_module(m.name) for m in below)]
    return [f"{m.__name__}.{name}" for m in modules for name in api.public(m)]


def test_every_room_that_documents_something_has_one_page():
    listed = Counter(
        room for page in PAGES for room in re.findall(r"^```\{api\} (\w+)$", page.text, re.M)
    )
    assert set(listed.values()) == {1}, listed
    assert set(listed) == {room for room in rooms() if documented(room)}


def test_what_a_page_builds_twice_in_one_spelling_has_one_anchor():
    app = type("App", (), {"srcdir": ROOT})
    for page in toc.chapters(ROOT):
        labels = Counter(api.anchor(page.name, name) for name in api.built(app, page.name))
        assert not [label for label, count in labels.items() if count > 1]


def test_a_chapters_functions_are_those_that_its_module_has_too():
    app = type("App", (), {"srcdir": ROOT})
    module = ast.parse((ROOT / "dlbook_utils/foundations/linear.py").read_text("utf-8"))
    names = {n.name for n in module.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    assert {"fit", "batches"} <= api.built(app, "book/foundations/linear") <= names
    assert api.built(app, "book/index") == set()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a `b` c", "a ``b`` c"),
        ("``b``, :class:`Node`", "``b``, ``Node``"),
        ("x * y, |z|, *args", r"x \* y, \|z\|, \*args"),
        ("a_ b_c", r"a\_ b_c"),
        ("`a * b_`", "``a * b_``"),
    ],
)
def test_markdown_in_docstrings_means_itself(line, said):
    assert api._literals(line) == said


def test_a_reference_page_lists_a_room_and_leads_to_the_cell(tmp_path, browser_assets):
    book = Book(tmp_path)
    (tmp_path / "dlbook_utils").mkdir()
    shutil.copytree(ROOT / "dlbook_utils/foundations", tmp_path / "dlbook_utils/foundations")
    (tmp_path / "book/foundations").mkdir()
    book.page("foundations/linear", LINEAR)
    book.page("api", "# The package\n\n```{api} foundations\n```\n")
    warned = book.build()
    missing = "undefined label|unknown document|no notebooks/"  # of the room's other chapters
    assert [w for w in warned.splitlines() if not re.search(missing, w)] == []
    page = book.html("book/api")
    shown = {tag["id"] for tag in page.select("dt.sig[id]")}
    assert shown.issuperset(documented("foundations"))
    assert "foundations.linear" in [title.text.strip("#") for title in page.select("h2")]
    for entry in page.select("dl.py"):
        link = entry.select_one("a[href*='built-foundations-linear']")
        name = entry.dt["id"]
        assert bool(link) == (name == "dlbook_utils.foundations.linear.batches"), name
    chapter = book.html("book/foundations/linear")
    anchors = [tag["id"] for tag in chapter.select("[id^=built-]")]
    assert anchors == ["built-foundations-linear-batches"]
