"""From book/ to notebooks/: up to date, valid, and with no MyST left for a reader of Colab."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import nbformat
import pytest
from markdown_it import MarkdownIt
from nbformat.v4 import new_output

from tools import address, toc
from tools.notebooks.__main__ import made, main, orphans, stale, write
from tools.notebooks.book import FORMATS, Book
from tools.notebooks.inline import MISSING, Inline
from tools.notebooks.render import Renderer
from tools.notebooks.syntax import SourceError

ROOT = address.ROOT
SAMPLE = Path(__file__).parents[1] / "fixtures" / "sample_book"
IMPORT = "from IPython.display import SVG"
DRAW = """SVG('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"/>')"""
FIRST, SECOND = "notebooks/part/first.ipynb", "notebooks/part/second.ipynb"
CHAPTERS = toc.chapters(ROOT)
NAMES = [page.name for page in CHAPTERS]

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
    "link to a source": r"\]\([^()\s]*\.md(#[^()\s]*)?\)",
    "link to a label": r"\]\((?!https?:|mailto:|data:)[^()\s]*\)",
}


def sample(tmp_path: Path) -> Path:
    """Return a copy of the sample book that a test may change."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "book"))


def edit(path: Path, old: str, new: str) -> None:
    assert old in path.read_text("utf-8")
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")


def read(root: Path, path: str) -> nbformat.NotebookNode:
    return nbformat.reads(made(root)[path], as_version=4)


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


def constructs() -> dict[str, tuple[str, str]]:
    """Return the source and the expected Markdown of each construct by its name."""
    text = (SAMPLE.parent / "constructs.txt").read_text("utf-8")
    parts = (part.split("\n", 1) for part in re.split(r"^=== ", text, flags=re.M)[1:])
    return {name: tuple(body.strip("\n").split("\n--- becomes\n")) for name, body in parts}


CONSTRUCTS = constructs()


BOOK = Book.read(SAMPLE)


def render(text: str) -> str:
    values = {"acc": "97.2 %", "ratio": "3.14"}
    facts = {"wordcount-minutes": "7"}
    return Renderer(Inline(BOOK, BOOK.pages[1], values=values, facts=facts)).cell(text, 1)


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
    texts = [cell.source for cell in node.cells if cell.cell_type == "markdown"]
    assert {text: found for text in texts if (found := leftovers(text))} == {}


@pytest.mark.parametrize("page", CHAPTERS, ids=NAMES)
def test_no_value_and_no_compared_output_is_missing(page):
    node = nbformat.read(ROOT / page.notebook, as_version=4)
    values = node.metadata.dlbook.glue
    assert [name for name, value in values.items() if value == MISSING] == [], "run make book first"
    cells = [cell for cell in node.cells if "compare-output" in cell.metadata.get("tags", [])]
    assert [cell.source for cell in cells if not cell.outputs] == [], "run make book first"


@pytest.mark.parametrize("page", CHAPTERS, ids=NAMES)
def test_only_compared_cells_have_outputs_and_these_are_text(page):
    node = nbformat.read(ROOT / page.notebook, as_version=4)
    for cell in (cell for cell in node.cells if cell.cell_type == "code"):
        compared = "compare-output" in cell.metadata.get("tags", [])
        assert compared or (cell.outputs == [] and cell.execution_count is None)
        assert {kind for out in cell.outputs for kind in out.get("data", {})} <= {"text/plain"}


@pytest.mark.parametrize("page", CHAPTERS, ids=NAMES)
def test_links_to_the_repository_point_at_files_that_exist(page):
    node = nbformat.read(ROOT / page.notebook, as_version=4)
    text = "\n".join(cell.source for cell in node.cells if cell.cell_type == "markdown")
    start = "|".join(re.escape(place("", ROOT)) for place in PLACES)
    paths = re.findall(rf"(?:{start})([^\s()]+)", text)
    assert page.notebook in paths
    assert [path for path in paths if not (ROOT / path).is_file()] == []


PLACES = (address.colab, address.binder, address.raw, address.blob)


def test_the_site_words_numbers_as_the_notebooks_do():
    words = address.config()["sphinx"]["config"].get("numfig_format", {})
    assert words.get("figure") == FORMATS["figure"], "_config.yml: numfig_format"


# --- the constructs of MyST ---


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_a_construct_becomes_plain_markdown(name):
    source, expected = CONSTRUCTS[name]
    assert render(source) == expected.strip("\n")


@pytest.mark.parametrize("name", CONSTRUCTS)
def test_no_construct_leaves_anything(name):
    assert leftovers(render(CONSTRUCTS[name][0])) == []


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


ERRORS = {
    "```{unheard-of}\n```": "first.md:3: {unheard-of} is unknown",
    ":::{note}\nfine\n\n{nonsense}`x`\n:::": "first.md:6: unknown role {nonsense}",
    "```{note} a `tick` in it\n```": "first.md:3: '```{note} a `tick` in it' opens no directive",
    "{ref}`nowhere`": "first.md:3: no label is called 'nowhere'",
    "{eq}`nowhere`": "no equation is called 'nowhere'",
    "{term}`nowhere`": "no term is called 'nowhere'",
    "{cite:t}`nobody1900`": "no work is called 'nobody1900'",
    "{doc}`nowhere`": "no page is called 'nowhere'",
    "{{ nothing }}": "unknown substitution 'nothing'",
    "[text](nowhere.png)": "there is no file book/part/nowhere.png",
    "```{figure} circle.svg\nNo alt.\n```": "{figure} has no :alt:",
    "```{solution} nowhere\n```": "solves 'nowhere'",
    "```{exercise}\nNo label.\n```": "{exercise} has no label",
    "```{solution-end}\n```": "closes a gate that is not open",
}


@pytest.mark.parametrize("text", ERRORS)
def test_what_cannot_be_rendered_is_an_error_with_its_place(text):
    with pytest.raises(SourceError, match=re.escape(ERRORS[text])):
        render(f"A\n\n{text}")


def test_the_command_reports_an_unknown_directive(tmp_path, capsys):
    root = sample(tmp_path)
    edit(root / "book/part/first.md", "The end.", "```{unheard-of}\n```")
    assert main([], root) == 1
    line = root.joinpath("book/part/first.md").read_text().split("\n").index("```{unheard-of}") + 1
    assert f"book/part/first.md:{line}: {{unheard-of}} is unknown" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["gate", "number", "label", "title"])
def test_a_chapter_that_is_wrong_as_a_whole_is_an_error(tmp_path, change):
    root, end = sample(tmp_path), "```{solution-end}\n```"
    first, second = root / "book/part/first.md", root / "book/part/second.md"
    if change == "gate":
        edit(first, end, "")
    elif change == "number":
        edit(first, "The end.", "\\begin{align}\na\n\\end{align}")
    elif change == "label":
        edit(second, "fig-circle", "fig-line")
    else:
        edit(second, "# The second", "The second")
    messages = {"gate": "never closed", "number": "align\\*", "label": "is also in", "title": "# T"}
    with pytest.raises(SourceError, match=messages[change]):
        made(root)


# --- the cells of a notebook ---


def test_the_cells_of_the_sample():
    cells = read(SAMPLE, FIRST).cells
    shown = [(cell.cell_type, cell.source.split("\n")[0], dict(cell.metadata)) for cell in cells]
    folded = {"cellView": "form", "jupyter": {"source_hidden": True}}
    title, install = shown[0], shown[1]
    assert title == ("markdown", "# The first chapter", {})
    assert install[1].startswith("#@title Install")
    assert install[2] == folded | {"tags": ["nbval-skip"]}
    assert shown[2:] == [
        ("code", IMPORT, {}),
        ("markdown", "## Mathematics", {}),
        (
            "code",
            DRAW,
            {
                "alt": "A line that rises",
                "jupyter": {"source_hidden": True},
                "tags": ["hide-input"],
            },
        ),
        ("markdown", f"**Figure 1.** It *rises*, see [(1)]({LINE}).", {}),
        ("markdown", "**Exercise 1 (Try it).**", {"tags": ["aside"]}),
        ("code", 'print("answer", 42)', {"tags": ["compare-output"]}),
        ("markdown", "<details>", {}),
        ("code", "#@title Solution", folded),
        ("markdown", "<details>", {}),
        ("code", "#@title Solution", folded | {"tags": ["raises-exception"]}),
        ("markdown", "The end.", {}),
        ("markdown", "## References", {}),
    ]


LINE = "https://sample.github.io/book/book/part/first.html#equation-eq-line"


def test_the_title_is_followed_by_links():
    links = read(SAMPLE, SECOND).cells[0].source.split("\n")[2]
    assert "(https://sample.github.io/book/book/part/second.html)" in links
    colab = "https://colab.research.google.com/github/sample/book/blob/main/"
    assert f"({colab}{SECOND})" in links
    assert f"(https://mybinder.org/v2/gh/sample/book/main?urlpath=lab/tree/{SECOND})" in links


def test_a_figure_with_a_slider_has_its_number_and_caption(tmp_path):
    root = sample(tmp_path)
    call = 'explore(draw, "w", name="fig-turn",\n        caption="It "\n        "*turns*.")'
    new = f"{{numref}}`fig-turn`\n\n```{{code-cell}} ipython3\n{call}\n```\n\nThe end."
    edit(root / "book/part/first.md", "The end.", new)
    texts = [cell.source for cell in read(root, FIRST).cells]
    assert texts[texts.index(call) + 1] == "**Figure 2.** It *turns*."
    assert "**Figure 3.** A *disc*" in "\n".join(cell.source for cell in read(root, SECOND).cells)


def test_solutions_are_folded_and_say_whose_they_are():
    text = [cell.source for cell in read(SAMPLE, FIRST).cells if "<details>" in cell.source]
    assert text[0] == (
        "<details>\n<summary><b>Solution to Exercise 1</b></summary>\n\nThink first.\n\n</details>"
    )
    assert "<b>Solution to Exercise 1, continued</b>" in text[1]


def test_a_chapter_that_places_its_references_gets_no_second_list(tmp_path):
    root = sample(tmp_path)
    edit(root / "book/part/first.md", "The end.", "## Reading\n\n```{bibliography}\n```")
    last = read(root, FIRST).cells[-1].source
    assert last.startswith("## Reading\n\n- Rosenblatt, F. (1958). *The perceptron: a")
    assert last.endswith(
        "Psychological Review 65(6), pp. 386–408. <https://doi.org/10.1037/h0042519>"
    )


def test_ids_survive_an_insertion_and_differ_between_like_cells(tmp_path):
    root = sample(tmp_path)
    same = "```{code-cell} ipython3\n1 + 1\n```\n"
    edit(root / "book/part/first.md", "The end.", f"{same}\n{same}\nThe end.")
    before, after = read(SAMPLE, FIRST).cells, read(root, FIRST).cells
    ids = [cell.id for cell in after]
    assert len(after) == len(before) + 2
    assert len(set(ids)) == len(ids)
    assert [id_ for id_ in ids if id_ in {cell.id for cell in before}] == [c.id for c in before]


def test_the_same_sources_give_the_same_bytes():
    assert made(SAMPLE) == made(SAMPLE)


# --- staleness ---


def test_a_change_of_the_source_makes_the_notebook_stale(tmp_path, capsys):
    root = sample(tmp_path)
    assert stale(root) == [f"{FIRST} is missing", f"{SECOND} is missing"]
    assert write(root, None) == [FIRST, SECOND]
    assert main(["--check"], root) == 0
    edit(root / "book/part/first.md", "The end.", "The very end.")
    assert main(["--check"], root) == 1
    said = capsys.readouterr().err
    assert f"{FIRST} is stale" in said
    assert SECOND not in said
    assert "run make notebooks" in said
    assert write(root, None) == [FIRST]
    assert stale(root) == []


def test_an_orphan_is_found_and_removed(tmp_path):
    root = sample(tmp_path)
    write(root, None)
    (root / "notebooks/old.ipynb").write_text("{}")
    assert stale(root) == ["notebooks/old.ipynb is an orphan: no chapter makes it"]
    write(root, None)
    assert stale(root) == []


def test_a_change_elsewhere_that_moves_a_number_makes_stale(tmp_path):
    root = sample(tmp_path)
    write(root, None)
    edit(root / "book/part/first.md", "The end.", "$$ c = d $$ (eq-new)")
    assert [problem.split()[0] for problem in stale(root)] == [FIRST, SECOND]


# --- values and outputs of the last run ---


def executed_sample(path: Path, steps: str = "17", printed: str = "answer 42\n"):
    """Return the chapter as an execution leaves it: a glued value, a printed line."""
    import jupytext

    node = jupytext.read(path)
    glued = {"application/papermill.record/text/plain": steps}
    about = {"scrapbook": {"name": "steps", "mime_prefix": "application/papermill.record/"}}
    for cell in node.cells:
        if cell.source == IMPORT:
            cell.outputs = [new_output("display_data", glued, metadata=about)]
        elif cell.source.startswith("print"):
            pieces = printed[:3], printed[3:]
            cell.outputs = [new_output("stream", name="stdout", text=piece) for piece in pieces]
        elif cell.source == DRAW:
            cell.outputs = [new_output("display_data", {"image/png": "AAAA"})]
    return node


def compared(root: Path) -> nbformat.NotebookNode:
    node = nbformat.read(root / FIRST, as_version=4)
    return next(cell for cell in node.cells if "compare-output" in cell.metadata.get("tags", []))


def test_values_and_compared_outputs_come_from_the_last_run(tmp_path):
    root = sample(tmp_path)
    write(root, executed_sample)
    node = nbformat.read(root / FIRST, as_version=4)
    assert "It took 17 steps" in node.cells[0].source
    stream = {"output_type": "stream", "name": "stdout", "text": "answer 42\n"}
    with_outputs = [cell for cell in node.cells if cell.get("outputs")]
    assert [dict(out) for cell in with_outputs for out in cell.outputs] == [stream]
    assert [cell.execution_count for cell in with_outputs] == [1]
    assert stale(root) == [], "the check needs no run"


def test_values_and_outputs_stay_where_there_is_no_newer_run(tmp_path):
    root = sample(tmp_path)
    write(root, executed_sample)
    before = (root / FIRST).read_bytes()
    write(root, lambda path: None)
    assert (root / FIRST).read_bytes() == before


def test_a_new_run_replaces_them(tmp_path):
    root = sample(tmp_path)
    write(root, executed_sample)
    write(root, lambda path: executed_sample(path, "18", "answer 43\n"))
    assert "It took 18 steps" in nbformat.read(root / FIRST, as_version=4).cells[0].source
    assert compared(root).outputs[0].text == "answer 43\n"


def test_an_output_goes_when_the_code_before_it_changes(tmp_path):
    root = sample(tmp_path)
    write(root, executed_sample)
    edit(root / "book/part/first.md", IMPORT, f"{IMPORT}, Image")
    write(root, None)
    assert compared(root).outputs == []
    assert compared(root).execution_count is None


def test_a_rich_output_cannot_be_compared(tmp_path):
    root = sample(tmp_path)
    edit(root / "book/part/first.md", "tags: [hide-input]", "tags: [compare-output]")
    with pytest.raises(ValueError, match="tagged compare-output, but its output has image/png"):
        write(root, executed_sample)


# --- the site that the links lead to ---


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Build the sample's site with Sphinx and return its folder."""
    root = Path(shutil.copytree(SAMPLE, tmp_path_factory.mktemp("site") / "book"))
    (root / "conf.py").write_text(SPHINX)
    (root / "index.md").write_text(f"# Top\n\n```{{toctree}}\n{TOC}\n```\n")
    edit(root / "book/part/first.md", "It took {glue:text}`steps` steps", "It took steps")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", str(root), str(root / "html")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return root / "html"


SPHINX = """
extensions = ["myst_nb", "sphinx_exercise", "sphinx_proof", "sphinxcontrib.bibtex"]
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath", "substitution"]
nb_execution_mode = "force"
nb_execution_raise_on_error = True
bibtex_bibfiles = ["book/references.bib"]
exclude_patterns = ["_toc.yml", "book/_ext"]
numfig = True
numfig_format = {"figure": "Figure %s"}
"""
TOC = "\n".join(page.name for page in toc.pages(SAMPLE))


def links_to_the_site() -> set[tuple[str, str, str]]:
    """Return text, page and anchor of the links in the sample's notebooks."""
    cells = [cell for path in made(SAMPLE) for cell in read(SAMPLE, path).cells]
    pattern = rf"\[([^\]]*)\]\({re.escape(address.site(SAMPLE))}([^)#]+)#([^)]+)\)"
    return {link for cell in cells for link in re.findall(pattern, cell.source)}


def test_links_to_the_site_lead_somewhere(site):
    links = links_to_the_site()
    assert len(links) >= 4
    for _, page, anchor in links:
        assert f'id="{anchor}"' in (site / page).read_text("utf-8")


def test_numbers_are_those_of_the_site(site):
    first = re.sub("<[^>]+>", "", unescape((site / "book/part/first.html").read_text("utf-8")))
    second = re.sub("<[^>]+>", "", unescape((site / "book/part/second.html").read_text("utf-8")))
    assert re.search(r"Figure 1\s+It rises", first)
    assert re.search(r"Figure 2\s+A disc", second)
    assert re.search(r"Exercise 1\s+\(Try it\)", first)
    assert re.search(r"Theorem 1\s+\(Bound\)", first)
    assert re.search(r"\(1\).*y = ", first)
    assert re.search(r"\(2\).*a = b", second)
    assert "Theorem 1 bounds it; Figure 1 draws it." in second


def test_numbers_carry_the_chapter_where_the_contents_are_numbered(tmp_path):
    root = sample(tmp_path)
    edit(root / "_toc.yml", "caption: Part\n", "caption: Part\n    numbered: true\n")
    second = "\n".join(cell.source for cell in read(root, SECOND).cells)
    assert "**Figure 2.1.** A *disc*" in second
    assert r"a = b \tag{2.1}" in second
    assert "[Theorem 1.1](" in second
