"""Which figures a code cell draws: it says so in its options or in its call of `explore`."""

from __future__ import annotations

import ast
import re
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """A figure that a cell draws, as the book numbers it."""

    name: str
    caption: str


def drawn(code: str, options: dict[str, Any]) -> list[Figure]:
    """Return the figures of a cell; raises ValueError if a caption is not a plain string."""
    own = options.get("mystnb", {}).get("figure", {})
    figures = [Figure(str(own.get("name", "")), str(own.get("caption", "")))] if own else []
    if re.search(r"\bexplore\(", code):
        tree = ast.parse(re.sub(r"^\s*[%!].*$", "", code, flags=re.M))
        figures += [_explored(node) for node in ast.walk(tree) if _is_explore(node)]
    return [figure for figure in figures if figure.name or figure.caption]


def _is_explore(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "explore"


def _explored(call: ast.Call) -> Figure:
    words = {word.arg: word.value for word in call.keywords if word.arg in Figure._fields}
    return Figure(
        **{"name": "", "caption": ""} | {k: ast.literal_eval(v) for k, v in words.items()}
    )
