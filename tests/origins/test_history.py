"""Every line of the history chapter's tables stands in the bibliography, and the page cites it."""

import re

import pytest

from tools.execute import ROOT, read

PAGE = read(ROOT / "book" / "origins" / "history.md")
CODE = "\n".join(cell.source for cell in PAGE.cells if cell.cell_type == "code")
PROSE = "\n".join(cell.source for cell in PAGE.cells if cell.cell_type == "markdown")
ROWS = re.findall(r"^(\d{4})\|(.+)\|(\w+)$", CODE, re.M)
BIBLIOGRAPHY = (ROOT / "book" / "references.bib").read_text("utf8")


def year_in_bibliography(key):
    entry = re.search(rf"^@\w+\{{{key},\n(.*?)^\}}", BIBLIOGRAPHY, re.M | re.S)
    assert entry, f"no entry {key!r} in references.bib"
    return int(re.search(r"^\s*year\s*=\s*\{(\d{4})\}", entry[1], re.M)[1])


def test_the_tables_are_found():
    assert len(ROWS) > 50


@pytest.mark.parametrize(("year", "what", "key"), ROWS, ids=lambda value: value[:24])
def test_the_source_is_of_that_year_or_printed_in_the_next(year, what, key):
    assert year_in_bibliography(key) - int(year) in (0, 1), what


def test_the_page_cites_every_event_of_the_timeline():
    cited = set(re.findall(r"\w+", " ".join(re.findall(r"\{cite:[tp]\}`([^`]+)`", PROSE))))
    timeline = re.search(r'rows_1 = """(.*?)landmarks =', CODE, re.S)[1]
    keys = set(re.findall(r"\|(\w+)$", timeline, re.M))
    assert len(keys) > 45
    assert keys <= cited, f"in the timeline, but not cited: {keys - cited}"
