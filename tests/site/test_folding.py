"""Which cells fold: those that only report or only draw, and that no visible cell needs."""

from __future__ import annotations

import pytest
from dlbook_site.reporting import Cell, titles
from nbformat.v4 import new_code_cell, new_markdown_cell

FOLDED = {
    "check('sums agree', torch.allclose(ours(x), theirs(x)))": "Check",
    "claim('a is larger', a > b, evidence=f'{a:.1f}')\nglue('a', a)": "Claim",
    "gap = (a - b).mean().item()\nverdict('saying', 'holds', gap > 0)": "Verdict",
    "for name, x in runs.items():\n    glue(name, round(x, 2))": "Numbers for the text",
    "low, half = mean_interval(runs)\nclaim('s', low > 0)": "Claim",
    "fig, ax = plt.subplots()\nax.plot(x, np.log(y))\nplt.show()": "Figure",
    "for ax, x in zip(axes.flat, xs):\n    ax.plot(x)\nplt.show()": "Figure",
    "explore(draw, 'w', [1, 2], alt='a')": "Figure",
    "left, right = plt.subplots(1, 2)[1]\nright.plot(x)\nlearning_curves(h, ax=left)": "Figure",
    "%matplotlib inline\nplt.plot(x)": "Figure",
    "check_answer('the sum', answer, lambda a: a == 3)": "Check of your answer",
}
VISIBLE = [
    "net = fit(model, data)\nclaim('it learns', net.loss < 1)",
    "a = F.conv2d(x, w)\ncheck('same', torch.equal(a, ours))",
    "answer = ...\ncheck_answer('the sum', answer, lambda a: a == 3)",
    "def double(x):\n    return 2 * x\n\n\ncheck('twice', double(1) == 2)",
    "plt.plot(run(3))\nplt.show()",
    "for seed in range(3):\n    runs.append(train(seed))\nclaim('s', all(runs))",
    "print(x)\ncheck('same', x == y)",
    "import torch\n\ncheck('same', x == y)",
    "model.train()\nplt.plot(x)",
    "x = 1",
    "assert x",
    "%%bash\nls -l\necho check(",
]


def places(*codes: str, tags: dict[int, str] | None = None) -> list[int]:
    """Return which of these cells fold, some of them tagged."""
    cells = [new_code_cell(code) for code in codes]
    for place, tag in (tags or {}).items():
        cells[place].metadata.tags = [tag]
    return list(titles(cells))


@pytest.mark.parametrize("code", FOLDED)
def test_a_cell_that_only_reports_or_only_draws_folds_with_a_title(code):
    assert titles([new_code_cell(code)]) == {0: FOLDED[code]}


@pytest.mark.parametrize("code", VISIBLE)
def test_a_cell_that_does_more_stays_in_sight(code):
    assert places(code) == []


@pytest.mark.parametrize("tag", ["hide-input", "remove-input", "hide-cell", "remove-cell"])
def test_a_tag_folds_whatever_is_in_a_cell(tag):
    assert titles([new_code_cell("x = 1", metadata={"tags": [tag]})]) == {0: "Preparation"}


REPORT = "gap = a - b\ncheck('larger', gap > 0)"


def test_what_a_visible_cell_reads_is_not_defined_out_of_sight():
    assert places(REPORT, "print(gap)") == []
    assert places(REPORT, "def double():\n    return 2 * gap") == []
    assert places(REPORT, "gap += 1\nprint(gap)") == []


def test_what_is_defined_anew_or_read_out_of_sight_may_fold():
    assert places(REPORT, "gap = 1\nprint(gap)") == [0]
    assert places(REPORT, "check('small', gap < 9)") == [0, 1]
    assert places(REPORT, "print(gap)", tags={1: "hide-input"}) == [0, 1]
    assert places(REPORT, "for gap in gaps:\n    print(gap)") == [0]
    assert places(REPORT, "def double(gap):\n    return 2 * gap") == [0]


def test_a_cell_that_comes_into_sight_takes_along_what_it_reads():
    needed = "low = min(a)\ncheck('low', low > 0)"
    middle = "high = low + 1\ncheck('high', high > 0)"
    assert places(needed, middle) == [0, 1]
    assert places(needed, middle, "print(high)") == []


def test_a_function_that_draws_folds_unless_a_visible_cell_calls_it():
    draw = "def draw(x):\n    ax = plt.subplots()[1]\n    ax.plot(x)"
    assert places(draw, "draw(x)\nplt.show()") == [0, 1]
    assert places(draw, "draw(train(x))") == []
    assert Cell("def area(x):\n    plt.plot(x)\n    return sum(x)").drawing == set()


def test_the_code_of_a_solution_is_left_to_its_box():
    cells = [
        new_markdown_cell("```{solution-start} ex\n```"),
        new_code_cell(REPORT),
        new_markdown_cell("```{solution-end}\n```"),
        new_code_cell(REPORT),
    ]
    assert list(titles(cells)) == [3]
