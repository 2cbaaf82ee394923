"""Rules of the house that a machine can see in the chapters' sources."""

import ast
import re
from collections import Counter

import pytest

from dlbook_utils.page.sayings import SAYINGS
from tools import toc
from tools.execute import ROOT, chapters, read
from tools.fair import fair_changes
from tools.sabotage import apply, sabotages

WAITING = {"black-boxes", "biased-data"}
HEAD = re.compile(
    r"\{admonition\} You will be able to\n:class: goals\n(?:.*\n)*?"
    r"\*\*You need\*\* .*\n(?:.*\n)*?\{minutes\}`page`\n(?:```|:::)\n"
)
ENDS = ["In short", "Exercises", "Check yourself", "Further reading"]
CHAPTERS = {path.relative_to(ROOT).as_posix(): read(path) for path in chapters()}


def code(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def calls(notebook, name):
    """The calls of a function by its bare name in a chapter's code."""
    nodes = [node for source in code(notebook) for node in ast.walk(ast.parse(source))]
    found = [node for node in nodes if isinstance(node, ast.Call)]
    return [node for node in found if getattr(node.func, "id", "") == name]


def keyword(call, name):
    return next((k.value for k in call.keywords if k.arg == name), None)


@pytest.fixture(params=CHAPTERS, ids=lambda name: name.removeprefix("book/"))
def chapter(request):
    return CHAPTERS[request.param]


@pytest.fixture
def is_reference(request, chapter):
    """Whether the page is one of reference: it recalls, and owes no headline claim."""
    return request.node.callspec.params["chapter"].startswith(toc.REFERENCE)


def test_there_are_chapters():
    assert len(CHAPTERS) >= 4


def test_one_headline_with_a_sabotage_that_hits(chapter, is_reference):
    headlines = [call for call in calls(chapter, "claim") if keyword(call, "headline")]
    if is_reference:
        assert not headlines
        assert not sabotages(chapter)
        return
    assert len(headlines) == 1
    (entry,) = sabotages(chapter)
    assert set(entry) == {"replace", "by"}
    assert code(apply(chapter, **entry)) != code(chapter)


def test_fair_changes_hit(chapter):
    for fair in fair_changes(chapter):
        assert code(apply(chapter, fair.replace, fair.by)) != code(chapter)


def test_a_page_makes_at_most_five_claims(chapter, is_reference):
    assert len(calls(chapter, "claim")) <= 5
    assert calls(chapter, "check" if is_reference else "claim"), "nothing is asserted"


def test_evidence_and_outcomes_are_computed(chapter):
    for call in calls(chapter, "claim") + calls(chapter, "verdict"):
        assert not isinstance(keyword(call, "evidence"), ast.Constant), ast.unparse(call)
        assert not any(isinstance(a, ast.Constant) and a.value is True for a in call.args)


def test_claims_name_records_and_rules_that_are_there(chapter):
    for call in calls(chapter, "claim") + calls(chapter, "verdict"):
        recorded, fixed = (keyword(call, name) for name in ("recorded", "fixed"))
        assert recorded is None or (ROOT / "records" / f"{recorded.value}.jsonl").is_file()
        assert fixed is None or (ROOT / fixed.value).is_file()


# Models in float64 on `device()`, by page: CUDA's GPUs have it, Apple's (MPS) have not. All places,
# so that whoever brings the book to MPS knows where to go.
FLOAT64 = {
    "book/foundations/gradient-flow.md": 3,
    "book/foundations/mlp.md": 1,
    "book/foundations/regularisation.md": 1,
    "book/generative/vae.md": 1,
    "book/origins/machines.md": 1,
    "book/transformers/state-space.md": 5,
    "book/vision/cnn-architectures.md": 1,
    "book/vision/cnn.md": 1,
}
HERE = r"\.to\((device\(\)|here|where)\)"


def test_float64_on_the_device_is_listed():
    there = {
        name: len(re.findall(rf"{HERE}\.double\(\)|\.double\(\){HERE}", "\n".join(code(page))))
        for name, page in CHAPTERS.items()
    }
    assert {name: places for name, places in there.items() if places} == FLOAT64


def test_no_tensor_becomes_double_before_it_leaves_its_device():
    paths = [p for part in ("dlbook_utils", "book/generative") for p in (ROOT / part).rglob("*.*")]
    texts = {path: path.read_text("utf8") for path in paths if path.suffix in (".py", ".md")}
    late = [path for path, text in texts.items() if ".double().cpu()" in text]
    assert not late, "devices without float64 (MPS) refuse this: write .cpu().double()"


def test_code_fits_a_phone_and_a_mind(chapter):
    for source in code(chapter):
        lines = source.split("\n")
        assert len(lines) <= 30, f"{len(lines)} lines:\n{source}"
        assert max(map(len, lines)) <= 79, max(lines, key=len)


def test_random_numbers_come_from_seeds_that_can_be_shifted(chapter):
    banned = r"manual_seed|np\.random\.seed|default_rng\(\d|random_state=\d"
    hits = [hit for source in code(chapter) for hit in re.findall(banned, source)]
    assert not hits, f"{hits}: use devices.generator and seed_everything"


def test_every_glued_value_is_quoted(chapter):
    first = [call.args[0] for call in calls(chapter, "glue")]
    glued = {name.value for name in first if isinstance(name, ast.Constant)}
    captions = [str(cell.metadata.get("mystnb", "")) for cell in chapter.cells]
    prose = [cell.source for cell in chapter.cells if cell.cell_type == "markdown"]
    quoted = set(re.findall(r"\{glue:text\}`([^`:]+)", "\n".join(prose + captions)))
    assert glued <= quoted, f"computed, but never said: {glued - quoted}"


def test_every_saying_is_judged_once_but_those_that_wait_for_their_chapter():
    judged = Counter(
        call.args[0].value for book in CHAPTERS.values() for call in calls(book, "verdict")
    )
    assert set(judged) <= set(SAYINGS)
    assert all(count == 1 for count in judged.values()), judged
    assert set(SAYINGS) - set(judged) == WAITING, "strike those off that are judged now"


def test_every_reference_can_be_found():
    text = (ROOT / "book" / "references.bib").read_text("utf8")
    entries = re.findall(r"^@\w+\{(\w+),\n(.*?)^\}", text, re.M | re.S)
    assert len(entries) == text.count("\n@") + text.startswith("@")
    assert [key for key, count in Counter(key for key, _ in entries).items() if count > 1] == []
    for key, body in entries:
        assert re.search(r"^\s*(doi|eprint|url)\s*=", body, re.M | re.I), f"{key}: where is it?"


def test_no_source_holds_a_tab_or_another_control_character():
    """A backslash t that some script took for a tab: a formula then says `op` for a transpose."""
    pages = sorted((ROOT / "book").rglob("*.md"))
    odd = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
    assert not [path.name for path in pages if odd.search(path.read_text("utf8"))]


def test_the_glossary_is_sorted_and_says_each_term_once():
    text = (ROOT / "book" / "glossary.md").read_text("utf8")
    terms = [term.lower() for term in re.findall(r"^(\S[^\n]*)\n  \S", text, re.M)]
    assert terms == sorted(set(terms))
    assert len(terms) > 20


def test_every_term_of_the_glossary_is_linked_where_a_chapter_uses_it():
    text = (ROOT / "book" / "glossary.md").read_text("utf8")
    terms = {term.lower() for term in re.findall(r"^(\S[^\n]*)\n  \S", text, re.M)}
    pages = "\n".join((ROOT / name).read_text("utf8") for name in CHAPTERS)
    linked = re.findall(r"\{term\}`(?:[^`<]*<)?([^`<>]+)>?`", pages)
    assert terms - {term.lower() for term in linked} == set()


def imported(notebook):
    """The names that a chapter imports from the helpers of a page, guards apart."""
    nodes = [node for source in code(notebook) for node in ast.walk(ast.parse(source))]
    found = [n for n in nodes if isinstance(n, ast.ImportFrom) and n.module == "dlbook_utils.page"]
    names = {alias.name for node in found for alias in node.names}
    return {name for name in names if not name.startswith(("check_", "checked_", "widened"))}


def test_every_helper_is_explained_on_the_first_page(chapter):
    text = (ROOT / "book" / "index.md").read_text("utf8")
    table = text.split("(helpers)=")[1].split("\n## ")[0]
    explained = set(re.findall(r"`(\w+)[(`]", table))
    assert imported(chapter) <= explained


def test_parts_of_the_template_have_one_name(chapter, is_reference):
    if is_reference:
        return  # it has the template's parts no more than a glossary has
    prose = "\n".join(cell.source for cell in chapter.cells if cell.cell_type == "markdown")
    assert HEAD.search(prose.partition("\n## ")[0])
    headings = re.findall(r"^## (.+)$", prose, re.M)
    assert [name for name in headings if name in ENDS] == ENDS
    others = [name for name in headings if re.search("often write|[Ss]elf-check", name)]
    assert set(others) <= {"People often write"}
    assert re.search(r"\{admonition\} Predict first\n:class: tip\n", prose)
    assert "*Predict first" not in prose
