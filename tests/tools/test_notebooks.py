"""From book/ to notebooks/: up to date, valid, and with no MyST left for a reader of Colab."""

from __future__ import annotations

import base64
import io
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from html import unescape
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml
from dlbook_site import minutes, reporting
from markdown_it import MarkdownIt
from nbformat.v4 import new_output
from PIL import Image

from tools import toc
from tools.notebooks import SourceError, made, main, orphans, stale, write
from tools.toc import ROOT

FIXTURES = ROOT / "tests" / "fixtures"
SITE = "https://sample.github.io/book/"
REPOSITORY = {"url": "https://github.com/sample/book", "branch": "main"}
FIRST, SECOND = "notebooks/part/first.ipynb", "notebooks/part/second.ipynb"
CONSTRUCT = "notebooks/part/constructs.ipynb"
CHAPTERS = toc.chapters(ROOT)
NAMES = [page.name for page in CHAPTERS]
HEAD = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

"""
LEFTOVERS = {
    "directive": r"^[ >]*(`{3,}|:{3,}|~{3,})\s*\{",
    "colon fence": r"^[ >]*:{3,}",
    "role": r"\{[A-Za-z][\w:.+-]*\}`",
    "target": r"^\([^()\n]+\)=\s*$",
    "comment": r"^% ",
    "block break": r"^\+\+\+",
    "substitution": r"\{\{.*?\}\}",
    "equation label": r"\$\$\s*\([\w:-]+\)",
    "option": r"^[ >]*:(label|name|class|alt|width|align):",
    "attributes": r"\{[.#][\w-]+[^{}\n]*\}",
    "footnote": r"\[\^[^\]]+\]",
    "link to a source": r"\]\((?!https?:)[^()\s]*\.md(#[^()\s]*)?\)",
    "link to a label": r"\]\((?!https?:|mailto:|data:)[^()\s]*\)",
}


def constructs() -> dict[str, tuple[str, str]]:
    """Return the source and the expected Markdown of each construct by its name."""
    text = (FIXTURES / "constructs.txt").read_text("utf-8")
    parts = (part.split("\n", 1) for part in re.split(r"^=== ", text, flags=re.M)[1:])
    return {name: tuple(body.strip("\n").split("\n--- becomes\n")) for name, body in parts}


CONSTRUCTS = constructs()


def copy(folder: Path) -> Path:
    """Make the sample book in a folder, with the project's settings; return the folder."""
    shutil.copytree(FIXTURES / "sample_book", folder, dirs_exist_ok=True)
    (folder / "book" / "_ext").symlink_to(ROOT / "book" / "_ext")
    settings = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    settings |= {"repository": REPOSITORY, "html": {"baseurl": SITE}}
    (folder / "_config.yml").write_text(yaml.safe_dump(settings), "utf-8")
    sections = [f"## {name}\n\n{source}" for name, (source, _) in CONSTRUCTS.items()]
    page = HEAD + "\n\n".join(["# All constructs", *sections]) + "\n"
    (folder / "book" / "part" / "constructs.md").write_text(page, "utf-8")
    return folder


@pytest.fixture
def root(tmp_path) -> Path:
    """A sample book that a test may change."""
    return copy(tmp_path)


@pytest.fixture(scope="session")
def untouched(tmp_path_factory) -> Path:
    """The sample book as it is."""
    return copy(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="session")
def sample(untouched) -> dict[str, nbformat.NotebookNode]:
    """The notebooks of the sample book as it is."""
    return parsed(made(untouched))


def parsed(notebooks: dict[str, str]) -> dict[str, nbformat.NotebookNode]:
    return {path: nbformat.reads(text, as_version=4) for path, text in notebooks.items()}


def edit(path: Path, old: str, new: str) -> None:
    assert old in path.read_text("utf-8")
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")


def texts(node: nbformat.NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in node.cells if cell.cell_type == "markdown")


def leftovers(markdown: str) -> list[str]:
    """Return what of MyST is left in a text, outside code and mathematics."""
    lines = markdown.split("\n")
    for token in MarkdownIt("commonmark").parse(markdown):
        if token.type == "code_block" or (token.type == "fence" and token.info[:1] != "{"):
            start, end = token.map
            lines[start:end] = [""] * (end - start)
    text = re.sub(r"(?<![`}])(`{1,2})(?!`).+?(?<!`)\1(?!`)", "", "\n".join(lines), flags=re.S)
    bare = re.sub(r"\$\$.+?\$\$(?!\s*\()|(?<![$\\])\$[^$\n]+\$(?!\$)", "", text, flags=re.S)
    return [kind for kind, sign in LEFTOVERS.items() if re.search(sign, bare, re.M)]


# --- the real notebooks ---


def test_the_notebooks_are_what_the_sources_say():
    assert stale(ROOT) == [], "run make notebooks"


def test_every_chapter_has_a_notebook_and_no_other_is_there():
    assert CHAPTERS, "no chapter of _toc.yml has a kernelspec"
    assert [page.name for page in CHAPTERS if not (ROOT / page.notebook).is_file()] == []
    assert orphans(ROOT) == []


@pytest.mark.parametrize("page", CHAPTERS, ids=NAMES)
def test_a_notebook_is_valid_and_plain(page):
    node = nbformat.read(ROOT / page.notebook, as_version=4)
    nbformat.validate(node)
    assert len({cell.id for cell in node.cells}) == len(node.cells)
    markdown = [cell.source for cell in node.cells if cell.cell_type == "markdown"]
    assert {text: found for text in markdown if (found := leftovers(text))} == {}


@pytest.mark.parametrize("page", CHAPTERS, ids=NAMES)
def test_no_value_and_no_compared_output_is_missing(page):
    node = nbformat.read(ROOT / page.notebook, as_version=4)
    values = node.metadata.dlbook.glue
    assert [name for name, value in values.items() if value == "…"] == [], "run make book first"
    cells = [cell for cell in node.cells if "compare-output" in cell.metadata.get("tags", [])]
    assert [cell.source for cell in cells if not cell.outputs] == [], "run make book first"


@pytest.mark.parametrize("page", CHAPTERS, ids=NAMES)
def test_outputs_are_compared_text_or_small_pictures_that_are_not(page):
    node = nbformat.read(ROOT / page.notebook, as_version=4)
    for cell in (cell for cell in node.cells if cell.cell_type == "code"):
        tags = cell.metadata.get("tags", [])
        kinds = {kind for out in cell.outputs for kind in out.get("data", {"text/plain": ""})}
        assert cell.outputs or cell.execution_count is None
        assert kinds <= {"text/plain"} if "compare-output" in tags else kinds <= {"image/png"}
        assert "image/png" not in kinds or "nbval-ignore-output" in tags


def test_pictures_are_small_alone_and_together():
    sizes = []
    for page in CHAPTERS:
        node = nbformat.read(ROOT / page.notebook, as_version=4)
        outputs = [out for cell in node.cells for out in cell.get("outputs", [])]
        pictures = [
            out["data"]["image/png"] for out in outputs if "image/png" in out.get("data", {})
        ]
        sizes += [len(base64.b64decode(picture)) for picture in pictures]
    assert max(sizes, default=0) <= 12_000
    assert sum(sizes) <= 3_000_000


@pytest.mark.parametrize("page", CHAPTERS, ids=NAMES)
def test_links_to_the_repository_point_at_files_that_exist(page):
    node = nbformat.read(ROOT / page.notebook, as_version=4)
    slug = "deep-learning-in-depth/deep-learning-in-depth"
    ours = rf"{slug}(?:/blob)?/main/|/lab/tree/"
    paths = re.findall(rf"(?:{ours})([^\s()#]+)", texts(node))
    assert page.notebook in paths
    assert [path for path in paths if not (ROOT / path).is_file()] == []


# --- the constructs of MyST ---


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_a_construct_becomes_plain_markdown(sample, name):
    text = texts(sample[CONSTRUCT])
    section = text.split(f"## {name}\n\n")[1].split("\n\n## ")[0]
    assert section == CONSTRUCTS[name][1].strip("\n")


def test_no_construct_leaves_anything(sample):
    assert [leftovers(cell.source) for cell in sample[CONSTRUCT].cells] == [[], [], []][:2]


MYST = {
    "directive": "```{note}\nx\n```",
    "colon fence": ":::",
    "role": "see {ref}`x`",
    "target": "(label)=",
    "comment": "% no",
    "block break": "+++",
    "substitution": "{{ x }}",
    "equation label": "$$\na\n$$ (eq-a)",
    "option": ":label: x",
    "attributes": "![a](https://b.c){.wide}",
    "footnote": "a[^1]",
    "link to a source": "[a](b.md#c)",
    "link to a label": "[a](fig-b)",
}


@pytest.mark.parametrize("kind", LEFTOVERS)
def test_the_search_for_leftovers_finds_each_kind(kind):
    assert kind in leftovers(f"Some text.\n\n{MYST[kind]}\n\nMore.")


# --- mistakes ---

MISTAKES = {  # in the source: what is said of it
    "```{unheard-of}\n```": "Unknown directive type: 'unheard-of'",
    "{nonsense}`x`": "Unknown interpreted text role",
    "{ref}`nowhere`": "undefined label: 'nowhere'",
    "{eq}`nowhere`": "equation not found: nowhere",
    "{numref}`nowhere`": "undefined label: 'nowhere'",
    "{term}`nowhere`": "term not in glossary: 'nowhere'",
    "{cite:t}`nobody1900`": "could not find bibtex key",
    "{doc}`nowhere`": "unknown document: 'nowhere'",
    "[text](nowhere.md)": "cross-reference target not found: 'nowhere.md'",
    "![](circle.svg)": "no alt text for",
    "```{solution} nowhere\n:label: sol-nowhere\n```": "solves 'nowhere', which is no exercise",
    "\\begin{align}\na\n\\end{align}": r"write \begin{aligned} ... within $$ ... $$",
    r"$\norm$": "a macro has 0 arguments, and needs 1",
    "```{code-cell} ipython3\nexplore(f, name=f())\n```": "name must be a plain string",
    "```{hlist}\n- a\n- b\n```": "cannot show a hlist here",
    "```{code-cell} ipython3\n---\nmystnb: {figure: {caption: Nameless}}\n---\n1\n```": "needs a",
}


@pytest.fixture(scope="session")
def complaints(tmp_path_factory) -> dict[int, str]:
    """What is said, by line, of a chapter in which everything is wrong."""
    folder = copy(tmp_path_factory.mktemp("mistakes"))
    page = folder / "book/part/first.md"
    page.write_text(HEAD + "# Mistakes\n\n" + "\n\n".join(MISTAKES) + "\n", "utf-8")
    for other in ("second", "constructs"):
        (folder / f"book/part/{other}.md").write_text("# Nothing\n", "utf-8")
    with pytest.raises(SourceError) as error:
        made(folder)
    lines: dict[int, str] = {}
    for line in str(error.value).split("\n"):
        place = re.match(r"book/part/first(?:\.md)?:(\d+)?", line)
        if place:
            lines[int(place[1] or 0)] = lines.get(int(place[1] or 0), "") + line
    return lines


@pytest.mark.parametrize("source", MISTAKES)
def test_a_mistake_is_an_error_that_names_file_and_line(complaints, source):
    text = HEAD + "# Mistakes\n\n" + "\n\n".join(MISTAKES)
    line = 1 + text[: text.index(source)].count("\n")
    near = "".join(complaints.get(line + more, "") for more in range(5))
    assert MISTAKES[source] in near, complaints


def test_the_command_reports_a_mistake_and_writes_nothing(root, capsys):
    edit(root / "book/part/first.md", "The end.", "{ref}`nowhere`")
    assert main([], root) == 1
    assert re.search(r"book/part/first\.md:\d+: .*undefined label", capsys.readouterr().err)
    assert not (root / "notebooks").exists()


# --- the cells of a notebook ---


def test_the_cells_of_the_sample(sample):
    cells = sample[FIRST].cells
    shown = [(cell.source.split("\n")[0], dict(cell.metadata)) for cell in cells]
    folded = {"cellView": "form", "jupyter": {"source_hidden": True}}
    drawn = {"tags": ["hide-input", "nbval-ignore-output"], "alt": "A line that rises"}
    assert shown[1][0].startswith("#@title Install")
    assert shown[1][1] == folded | {"tags": ["nbval-skip"]}
    assert [shown[0], *shown[2:]] == [
        ("# The first chapter", {}),
        ("import matplotlib.pyplot as plt", {}),
        (HELPERS, {}),
        ("#@title Figure", folded | drawn),
        (f"**Figure 1.** It *rises*, see [(1)]({LINE}).", {}),
        (f"[Figure 2]({SITE}book/part/first.html#fig-turn) turns it.", {}),
        ("#@title Figure", folded | {"tags": ["nbval-ignore-output"]}),
        ("**Figure 2.** It *turns*.", {}),
        ("#@title Check", folded),
        ("**Exercise 1 (Try it).**", {}),
        ('print("answer", 42)', {"tags": ["compare-output"]}),
        ("<details>", {}),
        ("#@title Solution", folded),
        ("<details>", {}),
        ("#@title Solution", folded | {"tags": ["raises-exception"]}),
        ("The end.", {}),
        ("## References", {}),
    ]


LINE = f"{SITE}book/part/first.html#equation-eq-line"
HELPERS = (
    "What comes from `dlbook_utils.page` is explained under "
    f"[A few names that no chapter derives]({SITE}book/index.html#helpers)."
)


@pytest.mark.parametrize("path", [FIRST, SECOND])
def test_code_is_what_the_author_wrote(sample, untouched, path):
    page = untouched / path.replace("notebooks", "book").replace(".ipynb", ".md")
    written = jupytext.read(page).cells
    cells = [cell for cell in sample[path].cells if cell.cell_type == "code"][1:]
    code = [re.sub(r"\A#@title .*\n", "", cell.source) for cell in cells]
    assert code == [cell.source for cell in written if cell.cell_type == "code"]


def test_the_title_is_followed_by_links(sample):
    links = sample[SECOND].cells[0].source.split("\n")[2]
    assert f"({SITE}book/part/second.html)" in links
    colab = "https://colab.research.google.com/github/sample/book/blob/main/"
    assert f"({colab}{SECOND})" in links
    assert f"(https://mybinder.org/v2/gh/sample/book/main?urlpath=lab/tree/{SECOND})" in links


def test_solutions_are_folded_and_say_whose_they_are(sample):
    text = [cell.source for cell in sample[FIRST].cells if "<details>" in cell.source]
    title = "<summary><b>Solution to Exercise 1 (Try it)</b></summary>"
    assert text[0] == f"<details>\n{title}\n\nThink first.\n\n</details>"
    assert "<b>Solution to Exercise 1 (Try it), continued</b>" in text[1]


def test_works_are_listed_that_are_cited_and_no_others(sample):
    last = sample[FIRST].cells[-1].source
    assert last.startswith("## References\n\n- Frank Rosenblatt. The perceptron: a")
    assert last.endswith("1958. [doi:10.1037/h0042519](https://doi.org/10.1037/h0042519).")
    assert "References" not in texts(sample[SECOND])


def test_ids_survive_an_insertion_and_differ_between_like_cells(root, sample):
    same = "```{code-cell} ipython3\n1 + 1\n```\n"
    edit(root / "book/part/first.md", "The end.", f"{same}\n{same}\nThe end.")
    before, after = sample[FIRST].cells, parsed(made(root))[FIRST].cells
    ids = [cell.id for cell in after]
    assert len(after) == len(before) + 2
    assert len(set(ids)) == len(ids)
    assert [id_ for id_ in ids if id_ in {cell.id for cell in before}] == [c.id for c in before]


# --- staleness ---


def test_a_change_of_the_source_makes_the_notebook_stale(root, capsys):
    assert stale(root) == [f"{path} is missing" for path in (CONSTRUCT, FIRST, SECOND)]
    assert write(root, None) == [CONSTRUCT, FIRST, SECOND]
    assert main(["--check"], root) == 0
    edit(root / "book/part/first.md", "The end.", "The very end.")
    assert main(["--check"], root) == 1
    said = capsys.readouterr().err
    assert f"{FIRST} is stale" in said
    assert SECOND not in said
    assert "run make notebooks" in said
    assert write(root, None) == [FIRST]


def test_an_orphan_is_found_and_removed(root):
    write(root, None)
    (root / "notebooks/old.ipynb").write_text("{}")
    assert stale(root) == ["notebooks/old.ipynb is an orphan: no chapter makes it"]
    write(root, None)
    assert not (root / "notebooks/old.ipynb").exists()


def test_a_change_elsewhere_that_moves_a_number_makes_stale(root):
    write(root, None)
    edit(root / "book/part/first.md", "The end.", "$$ c = d $$ (eq-new)")
    assert [problem.split()[0] for problem in stale(root)] == [CONSTRUCT, FIRST, SECOND]


# --- values, outputs and pictures of the last run ---

SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="30pt" height="15pt" viewBox="0 0 30 15">
<style>:root{--ink:#0000ff}@media(prefers-color-scheme:dark){:root{--ink:#ff0000}}</style>
<rect width="15" height="15" style="fill: var(--ink)"/></svg>"""
FRAMES = {"label": "w", "values": ["1"], "alts": ["One"], "name": "", "caption": ""}


def executed_sample(path: Path, steps: str = "17", printed: str = "answer 42\n"):
    """Return the chapter as an execution leaves it: a glued value, a printed line, pictures."""
    node = jupytext.read(path)
    glued = {"application/papermill.record/text/plain": steps}
    about = {"scrapbook": {"name": "steps", "mime_prefix": "application/papermill.record/"}}
    for cell in node.cells:
        if cell.source.startswith("import"):
            cell.outputs = [new_output("display_data", glued, metadata=about)]
        elif cell.source.startswith("print"):
            pieces = printed[:3], printed[3:]
            cell.outputs = [new_output("stream", name="stdout", text=piece) for piece in pieces]
        elif cell.source.startswith("plt"):
            data = {"image/svg+xml": SVG, "text/plain": "<Figure size 1x1>"}
            cell.outputs = [new_output("display_data", data)]
        elif cell.source.startswith("explore"):
            frames = {"application/vnd.dlbook.frames+json": FRAMES | {"frames": [SVG]}}
            cell.outputs = [new_output("display_data", frames)]
    return node


def read(root: Path) -> nbformat.NotebookNode:
    return nbformat.read(root / FIRST, as_version=4)


def compared(root: Path) -> nbformat.NotebookNode:
    cells = read(root).cells
    return next(cell for cell in cells if "compare-output" in cell.metadata.get("tags", []))


def pictures(root: Path) -> list[nbformat.NotebookNode]:
    outputs = [out for cell in read(root).cells for out in cell.get("outputs", [])]
    return [out for out in outputs if "image/png" in out.get("data", {})]


def test_values_and_outputs_come_from_the_last_run(root):
    write(root, executed_sample)
    node = read(root)
    assert "It took 17 steps" in node.cells[0].source
    cells = [cell for cell in node.cells if cell.get("outputs")]
    assert [cell.execution_count for cell in cells] == [1, 2, 3]
    stream = {"output_type": "stream", "name": "stdout", "text": "answer 42\n"}
    assert [dict(out) for out in compared(root).outputs] == [stream]
    assert stale(root) == [], "the check needs no run"


def test_what_is_there_stays_where_there_is_no_newer_run(root):
    write(root, executed_sample)
    before = (root / FIRST).read_bytes()
    assert len(pictures(root)) == 2
    write(root, lambda path: None)
    assert (root / FIRST).read_bytes() == before


def test_a_new_run_replaces_them(root):
    write(root, executed_sample)
    write(root, lambda path: executed_sample(path, "18", "answer 43\n"))
    assert "It took 18 steps" in read(root).cells[0].source
    assert compared(root).outputs[0].text == "answer 43\n"


def test_an_output_goes_when_the_code_before_it_changes(root):
    write(root, executed_sample)
    edit(root / "book/part/first.md", "use_style()", "use_style()  # once")
    write(root, None)
    assert pictures(root) == compared(root).outputs == []
    assert compared(root).execution_count is None


def test_a_rich_output_cannot_be_compared(root):
    edit(root / "book/part/first.md", "tags: [hide-input]", "tags: [compare-output]")
    with pytest.raises(SourceError, match="first.md: ERROR: tagged compare-output.*image/svg"):
        write(root, executed_sample)


def test_a_preview_is_a_palette_png_in_light_colours_with_its_alt_text(root):
    write(root, executed_sample)
    first, slider = pictures(root)
    assert first.metadata["image/png"]["alt"] == "A line that rises"
    assert slider.metadata["image/png"]["alt"] == "One"
    image = Image.open(io.BytesIO(base64.b64decode(first.data["image/png"])))
    assert (image.mode, image.size) == ("P", (40, 20))
    colours = image.convert("RGB")
    assert colours.getpixel((5, 10)) == (0, 0, 255)
    assert colours.getpixel((35, 10)) == (253, 253, 252)


def test_a_preview_keeps_to_its_limit_and_is_the_same_each_time():
    from dlbook_notebooks.previews import LIMIT, previews

    noise = Image.frombytes("RGB", (600, 400), random.Random(0).randbytes(720_000))
    large = io.BytesIO()
    noise.save(large, "PNG")
    output = new_output("display_data", {"image/png": base64.b64encode(large.getvalue()).decode()})
    (once,), (again,) = previews([output], "Noise"), previews([output], "Noise")
    assert once == again
    assert len(base64.b64decode(once.data["image/png"])) <= LIMIT
    assert previews([once], "Noise") == [once]


def test_a_picture_of_data_that_may_not_be_copied_leaves_no_preview():
    from dlbook_notebooks import outputs
    from nbformat.v4 import new_code_cell, new_notebook

    png = io.BytesIO()
    Image.new("RGB", (4, 4)).save(png, "PNG")
    drawn = new_output("display_data", {"image/png": base64.b64encode(png.getvalue()).decode()})
    tags = ([outputs.DRAWN], [outputs.DRAWN, outputs.UNSHOWN])
    ran = new_notebook(cells=[new_code_cell(f"draw({k})", outputs=[drawn]) for k in range(2)])
    old = deepcopy(ran)  # as an earlier build may have left it
    new = new_notebook(
        cells=[new_code_cell(f"draw({k})", metadata={"tags": tags[k]}) for k in range(2)]
    )
    outputs.fill(new, outputs.known(old), outputs.known(ran))
    assert [len(cell.outputs) for cell in new.cells] == [1, 0]


# --- the site that the links lead to ---


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """Run the sample's cells, build its site with Sphinx, and return its folder."""
    folder = copy(tmp_path_factory.mktemp("site"))
    settings = os.environ | {"DLBOOK_BUILD": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", BUILD]
    subprocess.run(command, cwd=folder, env=settings, check=True, timeout=300)
    return folder / "out"


BUILD = """
from pathlib import Path
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace
from tools.notebooks import settings

values = settings(Path.cwd())
values["extensions"].remove("dlbook_notebooks")
values |= {"nb_execution_mode": "force", "html_math_renderer": "mathjax"}
with docutils_namespace():
    Sphinx(".", None, "out", "out/.doctrees", "html", confoverrides=values, status=None).build()
"""


def page(site: Path, name: str) -> str:
    """Return the words of a page."""
    html = (site / f"book/part/{name}.html").read_text("utf-8")
    return " ".join(re.sub("<[^>]+>", "", unescape(html)).split())


def test_links_to_the_site_lead_somewhere(site, sample):
    pattern = rf"\]\({re.escape(SITE)}([^)#]+)#([^)]+)\)"
    links = {link for node in sample.values() for link in re.findall(pattern, texts(node))}
    assert len(links) >= 10
    for path, anchor in links:
        assert f'id="{anchor}"' in (site / path).read_text("utf-8")


def test_reading_takes_as_long_as_on_the_site_and_running_is_not_told(site, sample):
    reading = "Reading time: 5 minutes, folded parts not counted."
    assert f"{reading}\n" in sample[FIRST].cells[0].source + "\n"
    assert "The code ran" not in texts(sample[FIRST])
    words = page(site, "first")
    assert re.search(rf"{reading} The code ran in \d+ seconds on one CPU core when", words)


def test_words_and_lines_are_counted_as_on_the_site(site, untouched, monkeypatch):
    """What a run adds, such as values and pictures, adds nothing."""
    told = []
    monkeypatch.setattr(minutes, "of_page", lambda seen, seconds: told.append(seen) or "")
    made(untouched)
    cells = reporting.cells(untouched / "book/part/first.md")
    folded = {*reporting.titles(cells), *reporting.solutions(cells)}
    ran = pickle.loads((site / ".doctrees/book/part/first.doctree").read_bytes())
    assert told == [minutes.amount(ran, folded)]
    assert (told[0].figures, told[0].equations) == (2, 1)


def test_helpers_are_explained_below_the_first_cell_that_imports_them(site, sample):
    assert texts(sample[FIRST]).count(HELPERS) == 1
    assert HELPERS not in texts(sample[SECOND]), "it imports none"
    html = (site / "book/part/first.html").read_text("utf-8")
    line = html.index('<p class="helpers">')
    assert html.index("use_style") < line < html.index("<h2>Mathematics")
    assert 'href="../index.html#helpers"' in html[line : line + 400]


def test_numbers_are_those_of_the_site(site):
    first, second = page(site, "first"), page(site, "second")
    assert re.search(r"Figure 1 It rises", first)
    assert re.search(r"Figure 2 It turns", first)
    assert re.search(r"Figure 3 A disc", second)
    assert re.search(r"Exercise 1 \(Try it\)", first)
    assert re.search(r"Theorem 1 \(Bound\)", first)
    assert "Theorem 1 bounds it; Figure 1 draws it." in second


def test_numbers_carry_the_chapter_where_the_contents_are_numbered(root):
    edit(root / "_toc.yml", "caption: Part\n", "caption: Part\n    numbered: true\n")
    second = texts(parsed(made(root))[SECOND])
    assert "**Figure 2.1.** A *disc*" in second
    assert r"a = b \tag{2.1}" in second
    assert "[Theorem 1.1](" in second
