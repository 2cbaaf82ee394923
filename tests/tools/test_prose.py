"""One sentence per line: what is split, what is left alone, and that a page reads as before."""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
import pytest
import yaml
from docutils.parsers.rst.directives import misc
from markdown_it.renderer import RendererHTML
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.directives import parse_directive_text
from myst_parser.parsers.mdit import create_md_parser

from tools import prose, sentences
from tools.toc import ROOT

PAGES = {page.relative_to(ROOT).as_posix(): page for page in (ROOT / "book").rglob("*.md")}
EXTENSIONS = set(
    yaml.safe_load((ROOT / "_config.yml").read_text())["parse"]["myst_enable_extensions"]
)
MYST = create_md_parser(MdParserConfig(enable_extensions=EXTENSIONS), RendererHTML)
FIXTURE = Path(__file__).parents[1] / "fixtures" / "prose.txt"


def reading(text: str) -> str:
    """What a reader gets: the HTML of a source with the bodies of directives, white space apart."""
    env: dict = {}
    tokens = MYST.parse(text, env)
    for token in tokens:
        name = re.match(r"\{([^}]+)\}(.*)", token.info.strip())
        if token.type in {"fence", "colon_fence"} and name:
            token.type, token.content = "html_block", directive(token.content, *name.groups())
    return " ".join(MYST.renderer.render(tokens, MYST.options, env).split())


def directive(content: str, name: str, first_line: str) -> str:
    """A directive's name, options and body, told apart by MyST itself."""
    parsed = parse_directive_text(misc.TestDirective, first_line, content, validate_options=False)
    body = "\n".join(parsed.body)
    if name == "glossary":  # Sphinx takes the terms; what stands indented below them is MyST
        definitions = re.compile(r"(?:^  .*\n?|^\n)+", re.M)
        body = definitions.sub(lambda lines: reading(re.sub("(?m)^  ", "", lines[0])), body)
    elif name not in prose.LITERAL:
        body = reading(body)
    return f"<{name} {first_line} {parsed.options!r}>\n{body}\n</{name}>\n"


def cells(text: str) -> list[tuple[str, dict]]:
    """The code cells as jupytext reads them, which make the key of the cache."""
    notebook = jupytext.reads(text, fmt="md:myst")
    return [
        (cell.source, dict(cell.metadata)) for cell in notebook.cells if cell.cell_type == "code"
    ]


def assert_same_page(before: str, after: str) -> None:
    """Nothing but line breaks has changed, and none in what runs."""
    assert reading(after) == reading(before)
    assert cells(after) == cells(before)
    assert prose.edits(after) == [], "a second run finds nothing"


def examples() -> dict[str, tuple[str, str]]:
    """The sources of the fixture and what becomes of them; one that stays has no second half."""
    parts = re.split(r"^=== (.*)\n", FIXTURE.read_text("utf-8"), flags=re.M)[1:]
    halves = [(body.rstrip("\n") + "\n").split("\n--- becomes\n") for body in parts[1::2]]
    return dict(zip(parts[::2], [(half[0].rstrip("\n") + "\n", half[-1]) for half in halves]))


EXAMPLES = examples()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_source_becomes_one_sentence_per_line_and_reads_as_before(name):
    before, after = EXAMPLES[name]
    assert prose.rewritten(before) == after
    assert_same_page(before, after)


def test_the_fixture_has_both_what_changes_and_what_stays():
    changing = [name for name, (before, after) in EXAMPLES.items() if before != after]
    assert len(changing) > 10
    assert len(EXAMPLES) - len(changing) > 3


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_the_book_reads_as_before(name):
    """Once rewritten, a page stands as it is; on one that is not, this is the proof."""
    before = PAGES[name].read_text("utf-8")
    assert_same_page(before, prose.rewritten(before))


def test_the_comparison_sees_a_lost_word_a_lost_break_and_a_new_list():
    page = "a b\n\n:::{note}\nc  \nd - e\n:::\n"
    for other in (page.replace("b", ""), page.replace("  \n", "\n"), page.replace("- e", "\n- e")):
        assert reading(other) != reading(page)


WHOLE = [
    "By e.g. Adam, i.e. a rule of D. P. Kingma et al. (2014), cf. Fig. 3, p. 5 and No. 7.",
    "It costs 3.14 of 2,000 (vs. 1.5 for E. B. Wilson).",
    "Values 1, 2, ... 10 and $x_1$, … $x_n$ follow.",
    'The mark "." ends it, and (the data!) are dropped.',
    "See `a. B` and {ref}`the page. It <ch-x>` and $a. B$ and [a link](b.md. C).",
    "Kingma et al. found it, approx. half of it, etc. and more.",
    "In {cite:t}`x` p. {glue:text}`page` says so.",
]
SPLIT = [
    ["Why?", "Because it is so.", "No.", "The net is small!", "2 and 3 are prime."],
    ['He asked "Can it think?"', "Then he left.", "(It could.)", "**Why?**", "*So.*", "Yes."],
    ["The slope is $a$.", "$b$ is the start.", "`fit` finds both.", "{cite:t}`x` has more."],
    ["Read scikit-learn.", "nanoGPT is next.", "scikit-learn's rule differs…", "Note it."],
    ["We follow plan B.", "$x$ and A.", "10 more."],
    ["Arms A, B and C.", "The rest, of Adam et al.", "The end."],
    ["Is it so?", "(a) Show it.", "(b) Draw it.[^why]", "**1. Count them.**", "Compare."],
]


@pytest.mark.parametrize("text", WHOLE)
def test_a_sentence_stays_whole(text):
    assert sentences.split(text) == [text]


@pytest.mark.parametrize("pieces", SPLIT)
def test_sentences_are_told_apart(pieces):
    assert sentences.split(" ".join(pieces)) == pieces


@pytest.mark.parametrize(
    "start", ["1. A", "12) A", "- A", "+ A", "* A", "# A", "> A", "| A", "$$A$$", ":::A", "% A"]
)
def test_no_line_begins_with_what_opens_a_block(start):
    text = f"It is so. {start} is next."
    assert sentences.split(text)[0].startswith("It is so. ")
    assert_same_page(text, prose.rewritten(text))


# --- the heads of cells ---

HEAD = (
    "mystnb:\n"
    f'  image: {{alt: "A curve: \\"low\\". {"It falls and falls, # 3 of it. " * 9}"}}\n'
    f"  figure: {{name: fig-x, caption: 'Forward, $\\bar v$ {'goes on ' * 40}home.'}}\n"
    'sabotage: {replace: "a: 1", by: "a: 2"}  # a comment\n'
    "tags: [hide-input]\n"
)


def test_a_long_head_is_folded_and_loads_as_the_same():
    head = HEAD.replace('it. "', 'it."')
    new = prose.folded(head)
    assert yaml.safe_load(new) == yaml.safe_load(head)
    assert max(map(len, new.split("\n"))) <= prose.WIDTH
    assert '    alt: >-\n      A curve: "low".\n      It falls and falls, # 3 of it.\n' in new
    assert new.endswith(
        'sabotage: {replace: "a: 1", by: "a: 2"}  # a comment\ntags: [hide-input]\n'
    )
    assert prose.folded(new) == new


@pytest.mark.parametrize("text", [" x" * 70, "a  b " * 30 + "c", "a\\n" * 50, "A. B. " * 30])
def test_a_text_that_cannot_be_folded_stays(text):
    head = f'image: {{alt: "{text}"}}\n'
    assert yaml.safe_load(prose.folded(head)) == yaml.safe_load(head)


def test_a_short_head_and_one_without_texts_stay():
    for head in ("image: {alt: A line.}\n", "tags: [a]\n", f'sabotage: {{by: "{"x " * 99}"}}\n'):
        assert prose.folded(head) == head


def test_a_folded_text_is_folded_anew_when_a_sentence_comes_in():
    head = "image:\n  alt: >-\n    One line. Two lines.\n    Three.\ntags: [a]\n"
    wanted = "image:\n  alt: >-\n    One line.\n    Two lines.\n    Three.\ntags: [a]\n"
    assert prose.folded(head) == wanted


# --- the command ---


@pytest.fixture
def book(tmp_path):
    page = tmp_path / "book" / "part" / "page.md"
    page.parent.mkdir(parents=True)
    page.write_text("# A title. With a stop.\n\nOne. Two.\n\nThree\nwords.\n", "utf-8")
    return tmp_path


def test_the_check_names_file_and_line_and_changes_nothing(book, capsys):
    page = book / "book/part/page.md"
    before = page.read_text("utf-8")
    assert prose.main(["--check"], book) == 1
    said = capsys.readouterr().err.split("\n")
    assert said[:2] == [
        "book/part/page.md:3: two sentences share a line",
        "book/part/page.md:5: a sentence goes on on the next line",
    ]
    assert page.read_text("utf-8") == before


def test_the_command_rewrites_what_the_check_names(book, capsys):
    assert prose.main([], book) == 0
    assert capsys.readouterr().out == "book/part/page.md\n"
    text = (book / "book/part/page.md").read_text("utf-8")
    assert text == "# A title. With a stop.\n\nOne.\nTwo.\n\nThree words.\n"
    assert prose.main(["--check"], book) == 0


def test_a_directive_that_nobody_has_sorted_is_an_error_with_its_page(book, capsys):
    page = book / "book/part/page.md"
    page.write_text("a\n\n```{brandnew}\nOne. Two.\n```\n", "utf-8")
    assert prose.main([], book) == 1
    said = capsys.readouterr().err
    assert said.startswith("book/part/page.md: is the body of {brandnew} prose?")
