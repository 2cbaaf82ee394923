"""README's opening says what the sources and the records say, and a wrong number is found."""

import re

import pytest

from dlbook_utils.runner import verdicts
from tools import facts, toc
from tools.toc import ROOT

LINE = {"key": "book 1", "device": "CPU of a kind", "driver": "", "versions": {}, "seed": 0}
LINE |= {
    "seconds": 599.4,
    "cores": 2,
    "data": "",
    "commit": "",
    "date": "2026-11-30T09:00:00+00:00",
}
PAGE = """\
---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
# A chapter

`check("in the prose", True)`

```{code-cell} ipython3
check("a", 1 == 1)
for _ in range(3):
    check("b", 1 == 1)
```

```{code-cell} ipython3
claim("c", f(check), evidence="")  # verdict("d")
```
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: page\n")
    (tmp_path / "page.md").write_text(PAGE)
    (tmp_path / "README.md").write_text(f"# A\n\n{facts.BEGIN}\nold\n{facts.END}\n\nB\n")
    return tmp_path


def test_the_readme_is_what_the_sources_say(capsys):
    assert facts.main(["--check"], ROOT) == 0, capsys.readouterr().err


@pytest.mark.parametrize("number", [r"\d+ chapters", r"\d+ checks", r"\d+ seeds", r"[\d.]+ ± "])
def test_another_number_in_the_readme_is_found(root, number, capsys):
    assert facts.main([], root) == 0
    path = root / "README.md"
    right = path.read_text()
    assert re.search(number, right)
    path.write_text(re.sub(number, lambda m: "9" + m[0], right))
    assert facts.main(["--check"], root) == 1
    assert "README.md: its opening is stale" in capsys.readouterr().err
    assert facts.main([], root) == 0
    assert path.read_text() == right


def test_only_calls_in_code_cells_count(root):
    assert facts.calls([root / "page.md"])["check"] == 2
    assert "1 chapters** with 2 checks" in facts.counts(root, [])
    assert "1 claims on what was measured and 0 verdicts" in facts.counts(root, [])


def test_pages_of_reference_are_no_chapters(root):
    (root / "book" / "reference").mkdir(parents=True)
    (root / "book" / "reference" / "page.md").write_text(PAGE)
    parts = "parts: [{chapters: [{file: book/reference/page}]}]\n"
    (root / "_toc.yml").write_text(f"format: jb-book\nroot: page\n{parts}")
    assert [page.name for page in toc.chapters(root)] == ["page", "book/reference/page"]
    assert "1 chapters** with 2 checks" in facts.counts(root, [])


def test_what_stands_around_the_opening_stays(root):
    facts.main([], root)
    text = (root / "README.md").read_text()
    assert text.startswith(f"# A\n\n{facts.BEGIN}\nA published comparison")
    assert text.endswith(f"{facts.END}\n\nB\n")


@pytest.mark.parametrize("readme", ["", facts.BEGIN, facts.END, 2 * (facts.BEGIN + facts.END)])
def test_a_readme_without_its_marks_is_an_error(readme):
    with pytest.raises(ValueError, match="expected one line"):
        facts.rewritten(readme, "new")


def test_the_time_is_that_of_the_last_recorded_build(root):
    assert "minutes" not in facts.counts(root, [])
    said = facts.counts(root, [LINE | {"seconds": 1.0}, LINE])
    assert said.endswith(
        "Its last whole build took 10 minutes on 2 cores (CPU of a kind, 2026-11-30)."
    )


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        ([verdicts.HOLDS, verdicts.MISSING], "holds"),
        ([verdicts.NOT], "does not hold"),
        ([verdicts.OPEN], "is inconclusive"),
        ([verdicts.MISSING], "is not measured"),
    ],
)
def test_an_outcome_ends_a_sentence(outcomes, words):
    findings = [verdicts.Finding("a", "", [], outcome) for outcome in outcomes]
    findings.append(verdicts.Finding("b", "", [], verdicts.NOT))
    assert facts.outcome(findings, "a") == words
