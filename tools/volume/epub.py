"""Pack the built site as an EPUB 3: a file a chapter, mathematics as MathML, pictures as they are.

usage: python -m tools.volume.epub      (make epub; writes _build/html/deep-learning-in-depth.epub)

If `epubcheck` is installed it has the last word: an error, or a warning, fails the command.
"""

from __future__ import annotations

import mimetypes
import posixpath
import re
import shutil
import subprocess
import sys
import time
import uuid
import zipfile
from html import escape
from pathlib import Path

from lxml import etree, html

from tools.volume import downloads
from tools.volume.site import SITE, Page, date, imprint, pages, settings
from tools.volume.text import classed, prepare

HERE = Path(__file__).parent
XHTML = "http://www.w3.org/1999/xhtml"
EPUB = "http://www.idpf.org/2007/ops"
MATHML = "http://www.w3.org/1998/Math/MathML"
SVG = "http://www.w3.org/2000/svg"
CONTAINER = """<?xml version="1.0" encoding="UTF-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
  <rootfile full-path="book/package.opf" media-type="application/oebps-package+xml"/>
</rootfiles></container>
"""
FEATURES = "alternativeText MathML tableOfContents structuralNavigation displayTransformability"
CAMEL = {  # what HTML's parser writes small
    "viewbox": "viewBox",
    "preserveaspectratio": "preserveAspectRatio",
    "clippath": "clipPath",
    "lineargradient": "linearGradient",
    "textpath": "textPath",
}
PARTS = {"msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}  # MathML's
APPLIED = "\u2061"  # the invisible operator "function application"
UNKNOWN = ("role", "tabindex", "aria-level")  # to EPUB, as all data-* here


def main() -> int:
    start = time.perf_counter()
    out = SITE / downloads.EPUB
    volume = prepare(pages(SITE))
    pack(SITE, volume, out)
    downloads.offer(SITE)
    size, seconds = out.stat().st_size / 1e6, time.perf_counter() - start
    print(f"{out}: {len(volume)} documents, {size:.1f} MB, {seconds:.0f} s")
    return valid(out)


def pack(site: Path, volume: list[Page], out: Path) -> None:
    """Write the EPUB; the same pages always give the same bytes."""
    pictures: dict[str, str] = {}
    for page in volume:
        pictures |= bring_pictures(page)
        for link in page.article.xpath(".//a[starts-with(@href, '#')]"):
            link.set("data-to", link.get("href")[1:])
    homes = {
        element.get("id"): f"{page.slug}.xhtml"
        for page in volume
        for element in [page.article, *page.article.xpath(".//*[@id]")]
    }
    documents = {}
    for page in volume:
        for link in page.article.xpath(".//a[@data-to]"):
            place = link.attrib.pop("data-to")
            link.set("href", f"{homes[place]}#{place}")
        documents[f"{page.slug}.xhtml"] = document(page.title, body(page))
    files: dict[str, bytes] = {name: text.encode() for name, text in documents.items()}
    files["title.xhtml"] = document(settings()["title"], title_page()).encode()
    files["contents.xhtml"] = document("Contents", navigation(volume)).encode()
    files["style.css"] = (HERE / "epub.css").read_bytes()
    for name, source in sorted(pictures.items()):
        files[name] = light(site / source)
    package = opf(volume, files, {name for name, text in documents.items() if "<math" in text})
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        put(archive, "mimetype", b"application/epub+zip", zipfile.ZIP_STORED)
        put(archive, "META-INF/container.xml", CONTAINER.encode())
        put(archive, "book/package.opf", package.encode())
        for name, content in files.items():
            put(archive, f"book/{name}", content)


def put(
    archive: zipfile.ZipFile, name: str, content: bytes, how: int = zipfile.ZIP_DEFLATED
) -> None:
    """Add a file, with no date of its own."""
    archive.writestr(zipfile.ZipInfo(name), content, compress_type=how)


def bring_pictures(page: Page) -> dict[str, str]:
    """Point the page's images into the EPUB; return which file of the site each of them is."""
    brought = {}
    for picture in page.article.iter("img"):
        source = page.picture(picture.get("src"))
        name = f"pictures/{posixpath.basename(source)}"
        picture.set("src", name)
        brought[name] = source
    return brought


def light(path: Path) -> bytes:
    """Return a picture's bytes; of a drawing without what matplotlib says about itself."""
    content = path.read_bytes()
    if path.suffix == ".svg":
        content = re.sub(rb"<metadata>.*?</metadata>", b"", content, flags=re.DOTALL)
        content = re.sub(rb"<!DOCTYPE[^>]*>", b"", content)
        # an image's id may stand there twice, and a space's outline has no path
        content = re.sub(rb"(<image\b[^>]*?) id=\"[^\"]*\"", rb"\1", content)
        content = re.sub(rb"<path\b(?![^>]* d=)", b'<path d="M0 0"', content)
    return content


def body(page: Page) -> str:
    """Return a page's article as XHTML: formulas as MathML, attributes that EPUB knows."""
    article = page.article
    for formula in classed(article, "katex"):
        drawn = formula.find("./span[@class='katex-html']")
        if drawn is not None:
            drawn.drop_tree()
    for element in article.iter():
        if not isinstance(element.tag, str):
            continue
        for name in [n for n in element.attrib if n in UNKNOWN or n.startswith("data-")]:
            del element.attrib[name]
        if element.tag in ("td", "th", "table", "col") and element.get("width"):
            del element.attrib["width"]
    article.tag = "section"
    namespaced(article)
    return etree.tostring(article, encoding="unicode", method="xml", with_tail=False)


def namespaced(article: html.HtmlElement) -> None:
    """Say of formulas and drawings which language they are in: HTML need not, XML must."""
    for tag, space in (("math", MATHML), ("svg", SVG)):
        for element in article.iter(tag):
            element.attrib.pop("xmlns", None)
            element.set("xmlns", space)
    for drawing in article.iter("svg"):
        for element in drawing.iter():
            element.tag = CAMEL.get(element.tag, element.tag)
            for name, proper in CAMEL.items():
                if name in element.attrib:
                    element.set(proper, element.attrib.pop(name))
    for operator in article.xpath(".//mo[*]"):  # KaTeX's mod holds a row of letters
        word = operator.text_content()
        for child in list(operator):
            operator.remove(child)
        operator.text = word
    for tag, parts in PARTS.items():
        for element in article.iter(tag):
            for operator in [e for e in element.findall("mo") if e.text == APPLIED]:
                if len(element) > parts:  # KaTeX puts it after the index max of lambda, say
                    element.remove(operator)


def document(title: str, content: str) -> str:
    """Return a whole XHTML document."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html>\n'
        f'<html xmlns="{XHTML}" xmlns:epub="{EPUB}" lang="en" xml:lang="en">\n'
        f'<head><title>{escape(title)}</title><link rel="stylesheet" href="style.css"/></head>\n'
        f"<body>{content}</body></html>\n"
    )


def title_page() -> str:
    title, author, site = settings()["title"], settings()["author"], settings()["html"]["baseurl"]
    return (
        f'<section class="title-page"><h1>{escape(title)}</h1><p>{escape(author)}</p>'
        f'<p class="imprint"><a href="{site}">{site}</a></p>'
        f'<p class="imprint">{escape(imprint())}</p></section>'
    )


def navigation(volume: list[Page]) -> str:
    """Return the table of contents that reading systems show: parts, chapters, sections."""
    parts: dict[str, list[str]] = {}
    for page in volume:
        inner = "".join(
            f'<li><a href="{page.slug}.xhtml#{place}">{escape(heading)}</a></li>'
            for place, heading in page.sections
        )
        inner = f"<ol>{inner}</ol>" if inner else ""
        item = f'<li><a href="{page.slug}.xhtml">{escape(page.label)}</a>{inner}</li>'
        parts.setdefault(page.part, []).append(item)
    rows = []
    for part, items in parts.items():
        listed = "".join(items)
        rows.append(f"<li><span>{escape(part)}</span><ol>{listed}</ol></li>" if part else listed)
    contents = "".join(rows)
    return f'<nav epub:type="toc" id="toc"><h1>Contents</h1><ol>{contents}</ol></nav>'


def opf(volume: list[Page], files: dict[str, bytes], mathematical: set[str]) -> str:
    """Return the package document: what the book is called, its files and their order."""
    base = settings()["html"]["baseurl"]
    identifier = uuid.uuid5(uuid.NAMESPACE_URL, base)
    meta = [
        f'<dc:identifier id="id">urn:uuid:{identifier}</dc:identifier>',
        f"<dc:title>{escape(settings()['title'])}</dc:title>",
        f"<dc:creator>{escape(settings()['author'])}</dc:creator>",
        "<dc:language>en</dc:language>",
        f"<dc:source>{base}</dc:source>",
        f'<meta property="dcterms:modified">{date()}T00:00:00Z</meta>',
        '<meta property="schema:accessMode">textual</meta>',
        '<meta property="schema:accessMode">visual</meta>',
        '<meta property="schema:accessModeSufficient">textual</meta>',
        '<meta property="schema:accessibilityHazard">none</meta>',
        *(f'<meta property="schema:accessibilityFeature">{f}</meta>' for f in FEATURES.split()),
    ]
    items = []
    for i, (name, content) in enumerate(files.items()):
        properties = {"contents.xhtml": ["nav"]}.get(name, [])
        if name.endswith(".xhtml"):
            properties += ["mathml"] * (name in mathematical) + ["svg"] * (b"<svg" in content)
        noted = f' properties="{" ".join(properties)}"' if properties else ""
        items.append(f'<item id="f{i}" href="{name}" media-type="{media_type(name)}"{noted}/>')
    ids = {name: f"f{i}" for i, name in enumerate(files)}
    order = ["title.xhtml", "contents.xhtml", *(f"{page.slug}.xhtml" for page in volume)]
    spine = "".join(f'<itemref idref="{ids[name]}"/>' for name in order)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" '
        'xml:lang="en">\n<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">\n'
        + "\n".join(meta)
        + "\n</metadata>\n<manifest>\n"
        + "\n".join(items)
        + f"\n</manifest>\n<spine>{spine}</spine>\n</package>\n"
    )


def media_type(name: str) -> str:
    """Return a file's media type.

    Raises
    ------
    ValueError
        If its ending is none that an EPUB may hold.
    """
    special = {".xhtml": "application/xhtml+xml", ".svg": "image/svg+xml", ".webp": "image/webp"}
    ending = posixpath.splitext(name)[1]
    found = special.get(ending) or mimetypes.guess_type(name)[0]
    if not found:
        raise ValueError(f"{name}: an EPUB holds no file that ends in {ending!r}")
    return found


def valid(path: Path) -> int:
    """Have epubcheck look at the file; return its status, or 0 where it is not installed."""
    program = shutil.which("epubcheck")
    if not program:
        print("epubcheck is not installed: the EPUB was not checked")
        return 0
    jar = Path(program).resolve()
    command = ["java", "-jar", str(jar)] if jar.suffix == ".jar" else [program]  # Debian's is a jar
    command += ["--failonwarnings", str(path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in (told.stdout + told.stderr).splitlines() if "(" in line]
    print("\n".join(lines[:40]) if told.returncode else "epubcheck: no errors, no warnings")
    return told.returncode


if __name__ == "__main__":
    sys.exit(main())
