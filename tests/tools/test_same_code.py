"""One idea, one code: the real book keeps it, and each way of breaking it is found."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tools.same_code import CHECKS, Library, free_names, normal, problems

ROOT = Path(__file__).resolve().parents[2]
HEAD = "---\nkernelspec: {display_name: Python 3, language: python, name: python3}\n---\n# Title\n"

TRAINING = '''
"""A built module."""
from collections.abc import Callable

import torch
import torch.nn.functional as F
from dlbook_utils.page.guards import check_loss

EPS = 1e-8


def batches(n: int, size: int = 2) -> list[int]:
    """Return where batches start."""
    return list(range(0, n, size))


def fit(x: torch.Tensor, loss: Callable = F.mse_loss) -> float:
    """Fit."""
    total: float = EPS
    for i in batches(len(x)):
        total = total + check_loss(loss(x[i], x[i]))
    return total
'''
GUARDS = "def check_loss(loss):\n    return loss\n"
LAYERS = (
    "class Norm:\n    size: int\n\n    def __init__(self, size: int):\n        self.size = size\n"
)
FIRST = """
import torch.nn.functional as F
from dlbook_utils.page import check_loss

EPS = 1e-8

def batches(n, size=2):
    return list(range(0, n, size))  # starts

def fit(x, loss=F.mse_loss):
    total = EPS
    for i in batches(len(x)):
        total = total + check_loss(loss(x[i], x[i]))
    return total
"""
SECOND = """
%matplotlib inline
from dlbook_utils import data
from dlbook_utils.page import use_style
from dlbook_utils.part import zero
from dlbook_utils.part.zero import fit

class Norm:
    def __init__(self, size):
        "Remember the size."
        self.size = size

zero.batches(3)
"""


def cell(code: str) -> str:
    return f"```{{code-cell}} ipython3\n{code.strip()}\n```\n\n"


def write(root: Path, *, after_first="", after_second="", swap=("", ""), **modules: str) -> Path:
    """Write a tiny book and package; `swap` replaces text in all of it."""
    package = {"part/zero": TRAINING, "part/one": LAYERS, "page/guards": GUARDS}
    package |= {f"{room}/__init__": "" for room in ("part", "page")} | {"__init__": "", "data": ""}
    package |= {name.replace("__", "/", 1): text for name, text in modules.items()}
    files = {f"dlbook_utils/{name}.py": text for name, text in package.items()}
    files["_toc.yml"] = (
        "format: jb-book\nroot: index\nchapters:\n- file: book/part/zero\n- file: book/part/one\n"
    )
    files["index.md"] = "# Not a chapter\n"
    files["book/part/zero.md"] = HEAD + cell(FIRST) + after_first
    files["book/part/one.md"] = HEAD + cell(SECOND) + after_second
    old, new = swap
    assert not old or any(old in text for text in files.values())
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace(old, new) if old and name.endswith(".md") else text)
    return root


SOLUTION = "```{{solution-start}} ex\n```\n\n{}```{{solution-end}}\n```\n\n"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_book_keeps_it(check):
    assert list(check(Library(ROOT))) == []


def test_a_book_that_keeps_it_passes(tmp_path):
    assert problems(write(tmp_path)) == []


def test_solutions_may_define_anything_anew(tmp_path):
    code = SOLUTION.format(cell("def fit():\n    return 0\nEPS = 1"))
    tagged = "```{code-cell} ipython3\n:tags: [solution]\ndef fit(): ...\n```\n\n"
    assert problems(write(tmp_path, after_first=code, after_second=code + tagged)) == []


def test_a_stub_for_the_readers_answer_is_no_definition(tmp_path):
    stub = cell('def answer(x):\n    """Return more."""\n    ...')
    assert problems(write(tmp_path, after_first=stub + stub, after_second=stub)) == []


def test_what_follows_a_solution_counts_again(tmp_path):
    code = SOLUTION.format(cell("pass")) + cell("def fit():\n    return 0")
    expected = [
        "book/part/one: fit is built in book/part/zero; import it from dlbook_utils.part.zero"
    ]
    assert problems(write(tmp_path, after_second=code)) == expected


VIOLATIONS = {
    "other code": (
        {"swap": ("total = EPS", "total = EPS + 0")},
        "book/part/zero: fit differs from dlbook_utils.part.zero\n"
        "--- dlbook_utils.part.zero\n+++ book/part/zero\n",
    ),
    "other default": (
        {"swap": ("size=2", "size=3")},
        "book/part/zero: batches differs from dlbook_utils.part.zero\n",
    ),
    "a class's method": (
        {"swap": ("self.size = size", "self.size = 2 * size")},
        "book/part/one: Norm differs from dlbook_utils.part.one\n",
    ),
    "defined again, with the same code": (
        {"after_second": cell("def batches(n, size=2):\n    return list(range(0, n, size))")},
        "book/part/one: batches is built in book/part/zero; import it from dlbook_utils.part.zero",
    ),
    "one name in two chapters": (
        {"after_first": cell("def show(): 1"), "after_second": cell("def show(): 1")},
        "book/part/one: show is also defined in book/part/zero; give it another name",
    ),
    "twice in one chapter": (
        {"after_first": cell("def show(): 1") + cell("def show(): 1")},
        "book/part/zero: show is defined twice; a first version needs its own name",
    ),
    "imported before it is built": (
        {"after_first": cell("from dlbook_utils.part.one import Norm as N")},
        "book/part/zero: Norm of dlbook_utils.part.one is used, but only built in book/part/one",
    ),
    "imported in the chapter that builds it": (
        {"after_first": cell("from dlbook_utils.part.zero import fit as packaged")},
        "book/part/zero: fit of dlbook_utils.part.zero is used, but only built in book/part/zero",
    ),
    "used as an attribute before it is built": (
        {"after_first": cell("from dlbook_utils.part import one\none.Norm(3)")},
        "book/part/zero: Norm of dlbook_utils.part.one is used, but only built in book/part/one",
    ),
    "used by its whole path": (
        {"after_first": cell("import dlbook_utils.part.one\ndlbook_utils.part.one.Norm(3)")},
        "book/part/zero: Norm of dlbook_utils.part.one is used, but only built in book/part/one",
    ),
    "used by an alias": (
        {"after_first": cell("import dlbook_utils.part.one as l\nl.Norm(3)")},
        "book/part/zero: Norm of dlbook_utils.part.one is used, but only built in book/part/one",
    ),
    "used in a solution before it is built": (
        {"after_first": SOLUTION.format(cell("from dlbook_utils.part.one import Norm"))},
        "book/part/zero: Norm of dlbook_utils.part.one is used, but only built in book/part/one",
    ),
    "everything imported": (
        {"after_second": cell("from dlbook_utils.part.zero import *")},
        "book/part/one: * of dlbook_utils.part.zero: import names, not everything",
    ),
    "a name that does not exist": (
        {"after_second": cell("from dlbook_utils.part.zero import train")},
        "book/part/one: train of dlbook_utils.part.zero does not exist",
    ),
    "a module that does not exist": (
        {"after_second": cell("from dlbook_utils.metric import f1")},
        "book/part/one: dlbook_utils.metric does not exist",
    ),
    "a constant nobody builds": (
        {
            "part__one": LAYERS + "GAIN = 2\n",
            "after_second": cell("from dlbook_utils.part.one import GAIN"),
        },
        "book/part/one: GAIN of dlbook_utils.part.one is used, but no chapter builds it",
    ),
    "another constant": (
        {"swap": ("EPS = 1e-8", "EPS = 1e-6")},
        "book/part/zero: fit uses EPS, which is 1e-06 here but 1e-08 in dlbook_utils.part.zero",
    ),
    "a constant that changes its value": (
        {"after_first": cell("EPS = 0.1")},
        "book/part/zero: fit uses EPS, which is 0.1 or 1e-08 here "
        "but 1e-08 in dlbook_utils.part.zero",
    ),
    "no constant": (
        {"swap": ("EPS = 1e-8", "")},
        "book/part/zero: fit uses EPS, which is nothing here but 1e-08 in dlbook_utils.part.zero",
    ),
    "another import": (
        {"swap": ("import torch.nn.functional as F", "import numpy as F")},
        "book/part/zero: fit uses F, which is numpy here "
        "but torch.nn.functional in dlbook_utils.part.zero",
    ),
    "a guard of another module": (
        {
            "swap": (
                "from dlbook_utils.page import check_loss",
                "from dlbook_utils.data import check_loss",
            )
        },
        "book/part/zero: fit uses check_loss, which is dlbook_utils.data.check_loss here "
        "but dlbook_utils.page.check_loss in dlbook_utils.part.zero",
    ),
    "an orphan": (
        {"part__one": LAYERS + "\n\ndef scale(x):\n    return x\n"},
        "dlbook_utils.part.one: book/part/one does not build scale",
    ),
    "an orphan module": (
        {"part__two_more": "class Score:\n    pass\n"},
        "dlbook_utils.part.two_more: Score belongs to no page; none has this path",
    ),
    "a function in another chapter's module": (
        {
            "part__zero": TRAINING + "\n\ndef scale(x):\n    return x\n",
            "after_second": cell("def scale(x):\n    return x"),
        },
        "dlbook_utils.part.zero: scale is built in book/part/one, not in book/part/zero",
    ),
    "two modules with one name": (
        {"part__zero": TRAINING + "\n\n" + LAYERS},
        "dlbook_utils.part.zero: Norm is built in book/part/one, not in book/part/zero",
    ),
}


@pytest.mark.parametrize("kind", VIOLATIONS)
def test_each_violation_is_found_and_nothing_else(tmp_path, kind):
    change, message = VIOLATIONS[kind]
    found = problems(write(tmp_path, **change))
    assert len(found) == 1, found
    assert found[0].startswith(message)


def test_the_difference_is_shown(tmp_path):
    (problem,) = problems(write(tmp_path, swap=("total = EPS", "total = EPS + 0")))
    assert "\n-    total = EPS\n+    total = EPS + 0\n" in problem


def test_private_names_of_a_built_module_are_no_orphans(tmp_path):
    assert problems(write(tmp_path, part__one=LAYERS + "\n\ndef _half(x):\n    return x\n")) == []


def test_a_private_helper_behind_a_shared_function_must_be_shown(tmp_path):
    hidden = TRAINING.replace("total: float = EPS", "total: float = _start()")
    hidden += "\n\ndef _start():\n    return EPS\n"
    root = write(tmp_path, part__zero=hidden, swap=("total = EPS", "total = _start()"))
    expected = "book/part/zero: fit uses _start, which is nothing here but the book's _start in"
    assert [problem.startswith(expected) for problem in problems(root)] == [True]


def definition(code: str) -> ast.stmt:
    return ast.parse(code).body[0]


@pytest.mark.parametrize(
    ("typed", "bare"),
    [
        (
            "def f(a: int, *b: int, **c: int) -> int:\n  'Doc.'\n  return a",
            "def f(a, *b, **c): return a",
        ),
        ("def f():\n  'Doc.'", "def f():\n  pass"),
        ("def f():\n  x: int\n  y: int = 2  # why\n  return y", "def f():\n  y = 2\n  return y"),
        (
            "class A:\n  size: int\n  def f(self) -> int: return 1",
            "class A:\n  def f(self): return 1",
        ),
        ("@dataclass\nclass A:\n  x: int = 1", "@dataclass\nclass A:\n  x: 'number' = 1"),
    ],
)
def test_docstrings_comments_and_annotations_do_not_count(typed, bare):
    assert normal(definition(typed)) == normal(definition(bare))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(a): return a", "def f(b): return b"),
        ("def f(a): return a", "def f(a=1): return a"),
        ("@torch.no_grad()\ndef f(): pass", "def f(): pass"),
        ("@dataclass\nclass A:\n  x: int", "@dataclass\nclass A:\n  y: int"),
        ("@dataclass\nclass A:\n  x: int = 1", "@dataclass\nclass A:\n  x = 1"),
        ("async def f(): pass", "def f(): pass"),
    ],
)
def test_everything_else_counts(one, other):
    assert normal(definition(one)) != normal(definition(other))


def test_free_names_are_those_from_outside():
    code = """
@decorate(A)
def f(x: Note, y=DEFAULT):
    z = [G(i) for i in range(x)]
    def inner():
        return z, H, len(y)
    return f(inner)
"""
    assert free_names(definition(code)) == {"decorate", "A", "DEFAULT", "G", "H"}
