"""The ten questions accept the right answer, and refuse the one that a slip would give."""

import re

import pytest
import torch

from tools.execute import ROOT, read

STUB = re.compile(r"(own_\w+) = \.\.\.")
ANSWERS = {  # the right one, and a slip
    "own_cosine": ("4 / (3 * sqrt(5))", "4 / 9"),
    "own_shape": ("(32, 5)", "(32, 10)"),
    "own_eigenvalues": ("[1, 3]", "[2, 2]"),
    "own_stretch": ("3", "sqrt(3)"),
    "own_gradient": ("[-16, -8]", "[-8, -16]"),
    "own_step": ("0.2", "0.1"),
    "own_error": ("0.2", "0.02"),
    "own_sum": ("[3, 5]", "[3, 7]"),
    "own_logarithm": ("-4605.17", "0.0"),
    "own_divergence": ("log(4 / 3) / 2", "log(4 / 3)"),
}
CODE = [
    cell.source
    for cell in read(ROOT / "book" / "reference" / "mathematics.md").cells
    if cell.cell_type == "code"
]
QUESTIONS = {match[1]: source for source in CODE if (match := STUB.search(source))}


@pytest.fixture(scope="module")
def names():
    """What the settings cell defines; the page's numbers are float64, those of other tests not."""
    dtype, space = torch.get_default_dtype(), {}
    exec(CODE[0], space)
    yield space
    torch.set_default_dtype(dtype)


def test_every_question_is_asked_here():
    assert QUESTIONS.keys() == ANSWERS.keys()


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize(("which", "said"), [(0, "correct."), (1, "not yet. That is not")])
def test_an_answer_is_judged(names, name, which, said, capsys):
    exec(STUB.sub(f"{name} = {ANSWERS[name][which]}", QUESTIONS[name]), dict(names))
    assert f": {said}" in capsys.readouterr().out
