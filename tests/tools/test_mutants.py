"""Changes that are made one at a time: which there are, and whether tests notice them."""

import ast
from pathlib import Path

import pytest

from tools import mutants

SOURCE = b'''"""Text with 1 number."""
def f(x: int = 3) -> float:
    """Return 2."""
    if (x < 3) and not x:
        raise ValueError(f"{x + 1}")
    return -(x * 2.0)
'''


def test_the_changes_of_a_module_are_those_of_what_it_computes():
    shown = [change.shown(SOURCE) for change in mutants.changes(SOURCE)]
    after = [text.split("  ->  ")[1] for text in shown]
    assert after == [
        "def f(x: int = 4) -> float:",
        "if (x <= 3) and not x:",
        "if (x < 4) and not x:",
        "if (x < 3) or not x:",
        "if (x < 3) and  x:",
        "return None",
        "return (x * 2.0)",
        "return -(x / 2.0)",
        "return -(x * 3.0)",
    ]


@pytest.mark.parametrize("module", mutants.built(), ids=lambda path: path.stem)
def test_every_change_of_the_package_is_python(module):
    source = module.read_bytes()
    before = ast.dump(ast.parse(source))
    found = mutants.changes(source)
    assert found
    assert all(ast.dump(ast.parse(change.apply(source))) != before for change in found)


@pytest.fixture
def copy(tmp_path):
    """A small repository with a module whose test sees the sum but not the bound."""
    files = {
        "dlbook_utils/part/adding.py": "def add(x, y):\n    return 9 if x > 9 else x + y\n",
        "tests/part/test_adding.py": "from adding import add\n\n\n"
        "def test_a_sum():\n    assert add(1, 2) == 3\n",
        "conftest.py": "import sys\nsys.path.insert(0, 'dlbook_utils/part')\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_what_no_test_notices_survives_and_is_taken_back(copy):
    module = Path("dlbook_utils/part/adding.py")
    source = (copy / module).read_bytes()
    alive = [
        change.shown(source)
        for change in mutants.changes(source)
        if mutants.survives(copy, module, change)
    ]
    assert [text.split("  ->  ")[1] for text in alive] == [
        "return 10 if x > 9 else x + y",
        "return 9 if x >= 9 else x + y",
        "return 9 if x > 10 else x + y",
    ]
    assert (copy / module).read_bytes() == source


def test_tests_that_cannot_run_do_not_pass(copy):
    tests = mutants.tests_of(Path("dlbook_utils/part/adding.py"))
    assert mutants.passes(copy, tests)
    (copy / tests[0]).write_text("import nothing_like_it")
    assert not mutants.passes(copy, tests)
