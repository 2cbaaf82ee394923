"""The book in one piece: ids and links of one text, solutions at the end, page numbers, an EPUB."""

import re
import zipfile
from xml.etree import ElementTree

import pytest
from lxml import html

from tools.volume import downloads, epub, pdf, site, text

INDEX = """<!DOCTYPE html><html><body><nav id="contents"><ul><li><a href="index.html">About</a></li>
</ul><p class="caption"><span class="caption-text">First</span></p>
<ul><li><a href="first/one.html">1. One</a></li><li><a href="first/two.html">2. Two</a></li></ul>
<p class="caption"><span class="caption-text">Reference</span></p>
<ul><li><a href="reference/api.html">API</a></li><li><a href="glossary.html">Glossary</a></li></ul>
</nav><article><section id="about"><h1>A book<a class="headerlink" href="#about">#</a></h1>
<p class="volumes"></p></section></article></body></html>"""
FORMULA = (
    '<span class="katex"><span class="katex-mathml"><math><semantics><mrow><msup><mi>x</mi>'
    '<mn>2</mn></msup></mrow><annotation encoding="application/x-tex">x^2</annotation></semantics>'
    '</math></span><span class="katex-html" aria-hidden="true">x2</span></span>'
)
ONE = f"""<html><head><style>:root {{}}</style></head><body><article data-page="book/first/one">
<section id="one"><h1><span class="section-number">Chapter 1</span>One</h1>
<section id="a-b"><h2>The square {FORMULA}<a class="headerlink" href="#a-b">#</a></h2>
<p>See <a href="two.html#a-b">the other</a>, <a href="two.html">it</a>,
<a href="../glossary.html#term-net">net</a>,
<a href="../reference/api/x.html#f">f</a>, <a href="https://doi.org/1">a paper</a>.</p>
<details class="hide"><summary>Show the code</summary><pre id="gone">plot()</pre></details>
<figure class="frames"><img alt="0" src="../../_images/a.svg">
<img alt="1" hidden src="../../_images/a.svg">
<img alt="2" hidden src="../../_images/a.svg"></figure>
<div class="exercise admonition" id="ex-one"><p class="admonition-title">Exercise 1.1</p></div>
<div class="cell"><div class="cell_input"><pre>check_answer(1)</pre></div>
<div class="cell_output">not yet</div></div>
<details class="admonition solution dropdown" id="book/first/one-solution-0">
<summary class="admonition-title">Solution</summary><p>It is two.</p>
<div class="cell"><div class="cell_input"><pre>check_answer(2)</pre></div>
<div class="cell_output">right</div></div>
</details></section></section>
</article></body></html>"""
TWO = """<html><body><article data-page="book/first/two"><section id="two"><h1>
<span class="section-number">Chapter 2</span>Two</h1><section id="a-b"><h2>Again</h2>
<p>A <a href="../glossary.html#term-net">net</a>, and <a href="one.html#gone">hidden code</a>.
<svg viewBox="0 0 1 1"><path d="M0 0"/></svg></p></section></section></article></body></html>"""
GLOSSARY = """<html><body><article data-page="book/glossary"><section id="glossary">
<h1>Glossary</h1><dl><dt id="term-net">net</dt><dd>What catches.</dd></dl></section></article>
</body></html>"""
PICTURE = (
    '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "x" "y"><svg xmlns="http://www.w3.org/2000/svg">'
    '<metadata>who</metadata><path id="space" transform="scale(1)"/></svg>'
)


@pytest.fixture
def built(tmp_path):
    """A site of two chapters with a solution, a folded cell and a slider."""
    pages = {"index": INDEX, "first/one": ONE, "first/two": TWO, "glossary": GLOSSARY}
    for name, source in pages.items():
        file = tmp_path / "book" / f"{name}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, "utf-8")
    (tmp_path / "_images").mkdir()
    (tmp_path / "_images" / "a.svg").write_text(PICTURE)
    return tmp_path


@pytest.fixture
def volume(built):
    return text.prepare(site.pages(built))


def links(page):
    return {link.text: link.get("href") for link in page.article.xpath(".//a[@href]")}


def test_the_pages_come_in_the_order_of_the_contents_without_the_reference_of_code(volume):
    assert [page.name for page in volume] == [
        *("book/index", "book/first/one", "book/first/two", "solutions", "book/glossary")
    ]
    assert [page.part for page in volume] == ["", "First", "First", "Reference", "Reference"]
    assert (volume[1].number, volume[1].title) == ("Chapter 1", "One")


def test_a_formula_in_a_heading_is_read_once(volume):
    assert volume[1].sections == [("book-first-one--a-b", "The square x²")]


def test_links_lead_within_the_volume_and_else_to_the_site(volume):
    found = links(volume[1])
    assert found["the other"] == "#book-first-two--a-b"
    assert found["it"] == "#book-first-two"
    assert found["net"] == "#book-glossary--term-net"
    assert found["a paper"] == "https://doi.org/1"
    assert found["f"] == site.settings()["html"]["baseurl"] + "book/reference/api/x.html#f"
    assert links(volume[2])["hidden code"] == "#book-first-one"


def test_every_id_is_there_once_and_every_link_leads_to_one(volume):
    ids = [e.get("id") for page in volume for e in page.article.xpath("descendant-or-self::*[@id]")]
    assert len(ids) == len(set(ids))
    within = {href[1:] for page in volume for href in links(page).values() if href[0] == "#"}
    assert within <= set(ids)


def test_solutions_stand_at_the_end_with_a_way_there_and_back(volume):
    chapter, solutions = volume[1], volume[3]
    assert "It is two." not in chapter.article.text_content()
    assert "It is two." in solutions.article.text_content()
    assert links(chapter)["Solution"] == "#book-first-one--book-first-one-solution-0"
    assert links(solutions)[" ↑"] == "#book-first-one--ex-one"


def test_what_needs_a_screen_is_left_out(volume):
    words = volume[1].article.text_content()
    for unwanted in ("plot()", "not yet", "#"):
        assert unwanted not in words
    assert "right" in volume[3].article.text_content()
    pictures = volume[1].article.xpath(".//img")
    assert [picture.get("alt") for picture in pictures] == ["0", "2"]
    assert not any(picture.get("hidden") for picture in pictures)
    assert not volume[1].article.xpath(".//details | .//summary")


def test_a_page_that_was_not_built_is_named(built):
    (built / "book" / "first" / "two.html").unlink()
    with pytest.raises(FileNotFoundError, match="contents name book/first/two"):
        site.pages(built)
    with pytest.raises(FileNotFoundError, match="make book first"):
        site.pages(built / "nowhere")


def test_contents_and_glossary_get_page_numbers_each_page_once(built, volume):
    document = pdf.paper(built, volume)
    where = {link.get("data-page-of"): 7 for link in document.xpath("//a[@data-page-of]")}
    assert pdf.number(document, where) == len(document.xpath("//a[@data-page-of]")) > 5
    assert pdf.number(document, where) == 0
    uses = document.xpath("//span[@class='pages']/a")
    assert [use.get("class") for use in uses] == ["used", "used twice"]
    assert [use.get("href") for use in uses] == [
        *("#use-0-book-glossary--term-net", "#use-1-book-glossary--term-net")
    ]
    with pytest.raises(KeyError):
        pdf.number(document, {})


def test_pictures_are_looked_for_from_the_root_of_the_site(built, volume):
    document = pdf.paper(built, volume)
    assert {image.get("src") for image in document.xpath("//img")} == {"_images/a.svg"}


def test_the_epub_is_xml_with_mathml_and_the_same_every_time(built, tmp_path):
    first, second = tmp_path / "1.epub", tmp_path / "2.epub"
    for path in (first, second):
        epub.pack(built, text.prepare(site.pages(built)), path)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert archive.namelist()[0] == "mimetype"
        assert archive.getinfo("mimetype").compress_type == zipfile.ZIP_STORED
        documents = {n: archive.read(n).decode() for n in archive.namelist() if n.endswith("xhtml")}
        package = archive.read("book/package.opf").decode()
        drawing = archive.read("book/pictures/a.svg").decode()
        style = archive.read("book/style.css").decode()
    for source in [*documents.values(), package, drawing]:
        ElementTree.fromstring(source)
    one = documents["book/book-first-one.xhtml"]
    assert "http://www.w3.org/1998/Math/MathML" in one
    assert "katex-html" not in one
    assert 'href="book-first-two.xhtml#book-first-two--a-b"' in one
    assert 'href="solutions.xhtml#' in one
    assert 'viewBox="0 0 1 1"' in documents["book/book-first-two.xhtml"]
    assert "metadata" not in drawing
    assert 'd="M0 0"' in drawing
    assert re.search(r'href="book-first-one.xhtml"[^>]* properties="mathml"', package)
    assert "pre" in style


def test_the_epubs_links_all_lead_to_a_file_and_an_id_in_it(built, tmp_path):
    path = tmp_path / "book.epub"
    epub.pack(built, text.prepare(site.pages(built)), path)
    with zipfile.ZipFile(path) as archive:
        pages = {
            name.removeprefix("book/"): html.fromstring(archive.read(name))
            for name in archive.namelist()
            if name.endswith(".xhtml")
        }
    for page in pages.values():
        for href in page.xpath("//a/@href"):
            if "://" not in href:
                name, _, place = href.partition("#")
                assert name in pages
                assert not place or pages[name].xpath(f"//*[@id='{place}']")


def test_a_file_that_an_epub_cannot_hold_is_named():
    assert epub.media_type("a.svg") == "image/svg+xml"
    with pytest.raises(ValueError, match=r"a\.strange.*'\.strange'"):
        epub.media_type("a.strange")


def test_the_front_page_offers_what_is_there_with_its_size(built):
    downloads.offer(built)
    front = built / "book" / "index.html"
    assert '<p class="volumes"></p>' in front.read_text()
    (built / downloads.PDF).write_bytes(bytes(2_400_000))
    downloads.offer(built)
    downloads.offer(built)
    assert front.read_text().count("PDF (2 MB)") == 1
    assert f'href="../{downloads.PDF}"' in front.read_text()
    front.write_text("<p></p>")
    with pytest.raises(ValueError, match="no <p class"):
        downloads.offer(built)
