"""The built site in one piece, and as slides; of the print, two chapters: `make test-web`."""

import json
import os
import subprocess
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pypdf import PdfReader

from tools.assets import node
from tools.toc import ROOT
from tools.volume import epub, pdf, site, slides, text

SITE = Path(os.environ.get("DLBOOK_SITE", ROOT / "_build" / "html"))
XHTML = "{http://www.w3.org/1999/xhtml}"
pytestmark = pytest.mark.web


def read():
    if not (SITE / "search.html").exists():
        message = f"no site in {SITE}: build it with `make book` first"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return site.pages(SITE)


def test_every_link_of_the_whole_epub_leads_somewhere(tmp_path):
    path = tmp_path / "book.epub"
    epub.pack(SITE, text.prepare(read()), path)
    with zipfile.ZipFile(path) as archive:
        names = {name.removeprefix("book/") for name in archive.namelist()}
        roots = {
            name: ElementTree.fromstring(archive.read(f"book/{name}"))
            for name in names
            if name.endswith(".xhtml")
        }
    ids = {name: [e.get("id") for e in root.iter() if e.get("id")] for name, root in roots.items()}
    assert [name for name, those in ids.items() if len(those) != len(set(those))] == []
    lost = []
    for name, root in roots.items():
        for link in root.iter(f"{XHTML}a"):
            target, _, place = link.get("href", "").partition("#")
            if "://" not in target and (
                target not in roots or (place and place not in ids[target])
            ):
                lost.append((name, link.get("href")))
        lost += [
            (name, i.get("src")) for i in root.iter(f"{XHTML}img") if i.get("src") not in names
        ]
    assert lost == []


def test_two_chapters_print_with_page_numbers_bookmarks_and_fonts(tmp_path):
    every = read()
    numbered = [page for page in every if "Chapter" in page.article.find(".//h1").text_content()]
    chosen = numbered[:2]
    chosen += [page for page in every if page.name == "book/glossary"]
    volume = text.prepare(chosen)
    draft = pdf.print_numbered(SITE, volume, tmp_path)
    pdf.bind(draft, tmp_path / "book.pdf", volume)
    book = PdfReader(tmp_path / "book.pdf")
    words = [page.extract_text() for page in book.pages]
    where = pdf.places(tmp_path / "book.pdf")
    for page in volume:
        assert page.title.split(":")[0] in " ".join(words[where[page.slug] - 1].split())
    contents = next(i for i, page in enumerate(words) if "Contents" in page[:60])
    assert str(where[volume[0].slug]) in words[contents]
    assert "000" not in words[contents]
    titles = [item.title for part in book.outline if isinstance(part, list) for item in part[:1]]
    assert any(volume[0].title in title for title in titles)
    fonts = {
        str(font["/BaseFont"])
        for page in book.pages
        for font in (page["/Resources"].get("/Font") or {}).values()
        if "/BaseFont" in font
    }
    assert any("SourceSerif" in font for font in fonts), fonts


def test_no_slide_is_cut_off_and_no_deck_asks_for_anything_outside():
    chapters = [page for page in read() if slides.is_chapter(page)]
    assert slides.make(SITE) > 10 * len(chapters)
    decks = [f"slides/{slides.below(page)}.html" for page in chapters]
    command = [node(), "tests/site/decks.mjs", str(SITE), "slides/index.html", *decks]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["slides"] > 10 * len(chapters)
    assert report["errors"] == []
    assert report["outside"] == []
    assert report["cut"] == []
