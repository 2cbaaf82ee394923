"""A chapter laid out by `make chapter`: it runs, it keeps the rules, and nothing else changes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tools import assets, chapter, prose, sabotage, same_code, toc
from tools.toc import ROOT

NAME = "vision/a-name-of-24-letters-now"
FOLDERS = ("book", "dlbook_utils", "records", "tests", "tools")
FILES = ("_config.yml", "_toc.yml", "conftest.py", "pyproject.toml", "requirements.txt")
FILES += ("constraints.txt", "package.json", "package-lock.json")
PARTS = [
    *("A question with a number", "The idea", "In symbols", "In code", "Against PyTorch"),
    *("An experiment", "What breaks", "People often write", "In short", "Exercises"),
    *("Check yourself", "Further reading"),
]


@pytest.fixture
def root(tmp_path):
    """The contents of the real book, and its pages as far as they count."""
    (tmp_path / "_toc.yml").write_bytes((ROOT / "_toc.yml").read_bytes())
    for page in toc.pages(ROOT):
        (tmp_path / f"{page.name}.md").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{page.name}.md").write_text("# A title\n")
    return tmp_path


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A copy of the book with one chapter more."""
    root = tmp_path_factory.mktemp("copy")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, root / name)
    assert chapter.main([NAME], root) == 0
    return root


def run(book: Path, *command: str) -> str:
    """Run a module in the copy, whose own package and tools it imports; return what it says."""
    settings = {"PYTHONPATH": str(book), "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=book, env=os.environ | settings,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def headings(page: Path) -> list[str]:
    lines = page.read_text("utf-8").split("\n")
    return [line.removeprefix("## ") for line in lines if line.startswith("## ")]


def test_a_chapter_has_its_files_and_its_parts(root, capsys):
    assert chapter.main([NAME, "A title: of two"], root) == 0
    said = capsys.readouterr().out.split("\n")
    paths = [f"book/{NAME}.md", f"dlbook_utils/{NAME.replace('-', '_')}.py"]
    paths += ["tests/vision/test_a_name_of_24_letters_now.py", "dlbook_utils/vision/__init__.py"]
    assert said[:5] == [*paths, "_toc.yml"]
    page = (root / paths[0]).read_text("utf-8")
    assert "(ch-a-name-of-24-letters-now)=\n# A title: of two\n" in page
    assert headings(root / paths[0]) == PARTS
    assert all("<<" not in (root / path).read_text("utf-8") for path in paths)


def test_its_entry_comes_after_its_part_and_nothing_else_changes(root):
    contents = root / "_toc.yml"
    commented = contents.read_text().replace(
        "  - caption: Vision", "  # seeing\n  - caption: Vision"
    )
    contents.write_text(commented)
    chapter.main([NAME], root)
    assert contents.read_text().replace(f"      - file: book/{NAME}\n", "") == commented
    names = [page.name for page in toc.pages(root)]
    seeing = [name for name in names if name.startswith("book/vision/")]
    assert seeing[-1] == f"book/{NAME}"
    assert names.index(seeing[-1]) - names.index(seeing[0]) == len(seeing) - 1


def test_a_new_part_stands_before_the_reference(root):
    assert chapter.main(["speech/vowels"], root) == 0
    parts = yaml.safe_load((root / "_toc.yml").read_text())["parts"]
    assert [part["caption"] for part in parts][-2:] == ["Speech", "Reference"]
    assert parts[-2]["chapters"] == [{"file": "book/speech/vowels"}]
    assert (root / "dlbook_utils/speech/__init__.py").read_text() == '"""Speech."""\n'


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vowels", "expected PART/NAME"),
        ("Speech/vowels", "expected PART/NAME"),
        ("speech/new_vowels", "expected PART/NAME"),
        ("speech/vowels/open", "expected PART/NAME"),
        ("speech/-vowels", "expected PART/NAME"),
        ("speech/../vowels", "expected PART/NAME"),
        ("speech/vowels-", "expected PART/NAME"),
        ("speech/a-name-of-25-letters-here", "of at most 24"),
        ("data/vowels", "no room or keyword"),
        ("speech/lambda", "no room or keyword"),
        ("vision/cnn", "there is book/vision/cnn.md"),
        ("speech/cnn", "there is book/vision/cnn.md"),
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_written(root, capsys, name, expected):
    before = sorted(root.rglob("*"))
    assert chapter.main([name], root) == 1
    said = capsys.readouterr().err
    assert repr(name) in said
    assert expected in said
    assert sorted(root.rglob("*")) == before


def test_no_file_is_written_over(root, capsys):
    module = root / "dlbook_utils/speech/vowels.py"
    module.parent.mkdir(parents=True)
    module.write_text("mine\n")
    assert chapter.main(["speech/vowels"], root) == 1
    assert "there is dlbook_utils/speech/vowels.py" in capsys.readouterr().err
    assert module.read_text() == "mine\n"


def test_contents_without_a_place_for_a_part_are_an_error(root, capsys):
    contents = root / "_toc.yml"
    contents.write_text(contents.read_text().replace("caption: Reference", "caption: Back"))
    assert chapter.main(["speech/vowels"], root) == 1
    assert "expected one line '- caption: Reference'" in capsys.readouterr().err
    assert not (root / "book/speech").exists()


def test_the_chapter_keeps_the_rules(book):
    assert same_code.problems(book) == []
    assert prose.edits((book / f"book/{NAME}.md").read_text("utf-8")) == []
    module = NAME.replace("-", "_")
    test = f"tests/vision/test_{module.split('/')[1]}.py"
    run(book, "ruff", "check", f"dlbook_utils/{module}.py", test)
    run(book, "ruff", "format", "--check", f"dlbook_utils/{module}.py", test)
    stem = NAME.split("/")[1]
    rules = f"{stem} or {module.split('/')[1]}"
    said = run(book, "pytest", "-q", "-k", rules, test, "tests/site/test_sources.py")
    assert " passed" in said


def test_the_chapter_runs_and_its_page_is_built(book, tmp_path):
    assets.main()
    for name in ("node_modules", "_build/assets"):
        (book / name).parent.mkdir(exist_ok=True)
        (book / name).symlink_to(ROOT / name)
    said = run(book, "tools.book", "--page", f"book/{NAME}.md", "--out", str(tmp_path))
    warnings = [line for line in said.split("\n") if "WARNING" in line and NAME in line]
    assert len(warnings) == 1, warnings  # a page is built before its notebook is made
    assert "run `make notebooks`" in warnings[0]
    html = (tmp_path / f"_build/html/book/{NAME}.html").read_text("utf-8")
    assert [part for part in PARTS if f"<h2>{part}" not in html] == []
    assert "Reading time: 5 minutes" in html
    assert re.search(r"The code ran in \d+ (seconds|minutes) on one CPU core", html)
    assert html.count('class="claim ') == 4


@pytest.mark.slow
def test_its_headline_claim_fails_when_it_is_sabotaged(book, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(book))
    assert sabotage.survives(book / f"book/{NAME}.md") == ""
