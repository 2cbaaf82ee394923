"""Change one thing at a time in what chapters build, and see whether a test notices.

usage: python -m tools.mutants [--number N] [--seed S] [MODULE ...]

MODULE (default: all that chapters build) is a path such as `dlbook_utils/foundations/linear.py`. Of
all changes that could be made (another comparison, sign, operation or constant, a condition turned
round, nothing returned) N are drawn by lot. Each is made in a copy of the repository, where the
tests of the module's chapter run, and if they pass, those that ask all functions bad questions.
What passes all of them survives, and is listed: either it changes nothing that matters, or a test
is missing.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.layers import CIRCLE_FREE as ROOMS
from tools.toc import ROOT

FOLDERS = ("book", "dlbook_utils", "records", "tests", "tools")
FILES = ("_config.yml", "_toc.yml", "conftest.py", "pyproject.toml")
ASKING = ("tests/test_calls.py", "tests/test_bad_input.py")
LIMIT = 900  # seconds for the tests of one change; who needs more has noticed it
OPERATORS = {  # what is written, and what takes its place
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Pow: ("**", "*"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
}


@dataclass(frozen=True)
class Change:
    """A piece of a module's source, as offsets in bytes, and what takes its place."""

    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        """Return the source with the change made."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def shown(self, source: bytes) -> str:
        """Return the changed line, before and after."""
        number = source[: self.start].count(b"\n")
        lines = [text.decode().split("\n")[number] for text in (source, self.apply(source))]
        return f"line {number + 1}: {lines[0].strip()}  ->  {lines[1].strip()}"


def changes(source: bytes) -> list[Change]:
    """Return every change of a module that would be one: none in types, errors and docstrings."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def at(node: ast.AST) -> tuple[int, int]:
        first, last = starts[node.lineno - 1], starts[node.end_lineno - 1]  # type: ignore
        return first + node.col_offset, last + node.end_col_offset  # type: ignore

    return sorted(
        {change for node in _code(ast.parse(source)) for change in _of(node, at, source)},
        key=lambda change: (change.start, change.end, change.text),
    )


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what computes: no annotation, no error that is raised, no text that stands alone."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            alone = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if isinstance(child, ast.AST) and not isinstance(child, ast.Raise) and not alone:
                yield child
                yield from _code(child)


def _of(node: ast.AST, at, source: bytes) -> Iterator[Change]:
    """Yield the changes at one node."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in OPERATORS:
        yield _between(node.left, node.comparators[0], node.ops[0], at, source)
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        yield _between(node.left, node.right, node.op, at, source)
    elif isinstance(node, ast.BoolOp):
        for left, right in zip(node.values, node.values[1:]):
            yield _between(left, right, node.op, at, source)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
        start = at(node)[0]
        yield Change(start, start + (1 if isinstance(node.op, ast.USub) else 3), "")
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):  # bools, too
        start, end = at(node)
        more = node.value + 1 if node.value + 1 != node.value else -node.value  # 1e30 + 1 is 1e30
        yield Change(start, end, repr(not node.value if isinstance(node.value, bool) else more))
    elif isinstance(node, ast.Return) and node.value is not None:
        start, end = at(node)
        yield Change(start, end, "return None")


def _between(left: ast.expr, right: ast.expr, operator: ast.AST, at, source: bytes) -> Change:
    """Return the change of an operator: it stands between two values, maybe among brackets."""
    written, other = OPERATORS[type(operator)]
    start = source.index(written.encode(), at(left)[1], at(right)[0])
    return Change(start, start + len(written), other)


def built() -> list[Path]:
    """Return the modules that chapters build."""
    paths = sorted((ROOT / "dlbook_utils").glob("*/*.py"))
    return [p for p in paths if p.parent.name not in ROOMS and p.stem != "__init__"]


def survives(copy: Path, module: Path, change: Change) -> bool:
    """Make a change in the copy, run the tests, and take it back."""
    file = copy / module
    source = file.read_bytes()
    file.write_bytes(change.apply(source))
    try:
        return passes(copy, tests_of(module)) and passes(copy, ASKING)
    finally:
        file.write_bytes(source)


def tests_of(module: Path) -> tuple[str]:
    """Return the path of the tests of a module's chapter."""
    return (f"tests/{module.parent.name}/test_{module.stem}.py",)


def passes(copy: Path, tests: Sequence[str]) -> bool:
    """Run tests in the copy, as far as they are there; False as soon as one fails."""
    there = [test for test in tests if (copy / test).exists()]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *there]
    settings = os.environ | {"PYTHONPATH": str(copy)}
    try:
        run = subprocess.run(command, cwd=copy, env=settings, capture_output=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return False
    return run.returncode == 0 or not there


def main() -> int:
    parser = argparse.ArgumentParser("python -m tools.mutants", description=__doc__)
    parser.add_argument("modules", nargs="*", type=Path, metavar="MODULE")
    parser.add_argument("--number", type=int, default=200, help="changes to draw (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the lot (default: 0)")
    options = parser.parse_args()
    modules = [path.resolve().relative_to(ROOT) for path in options.modules or built()]
    all_of_them = [(m, change) for m in modules for change in changes((ROOT / m).read_bytes())]
    number = min(options.number, len(all_of_them))
    drawn = random.Random(options.seed).sample(all_of_them, number)
    print(f"{number} of {len(all_of_them)} changes of {len(modules)} modules", flush=True)
    alive = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in FOLDERS:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        for name in FILES:
            shutil.copy(ROOT / name, copy / name)
        for module in sorted({module for module, _ in drawn}):
            if not passes(copy, tests_of(module)):
                print(f"{tests_of(module)[0]} fails without any change")
                return 2
        for module, change in drawn:
            if survives(copy, module, change):
                alive += 1
                print(f"{module}, {change.shown((ROOT / module).read_bytes())}", flush=True)
    print(f"{alive} of {number} survived; {1 - alive / max(1, number):.1%} were noticed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
