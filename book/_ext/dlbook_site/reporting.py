"""Which code cells fold: those that only report or only draw, told by what is in them.

A cell is read as a syntax tree. Each of its statements reports (`claim`, `check` ...), draws, or
feeds these with what a glance understands; one statement that does more keeps the cell in sight,
and so does a name that a cell in sight reads. Page and notebook both ask here.
"""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from myst_nb.core.read import read_myst_markdown_notebook
from nbformat import NotebookNode

HIDDEN = {"hide-input", "remove-input", "hide-cell", "remove-cell"}
REPORTS = {  # and what stands in place of the code, the weightiest first
    "verdict": "Verdict",
    "claim": "Claim",
    "check": "Check",
    "check_answer": "Check of your answer",
    "glue": "Numbers for the text",
}
DRAWS = {
    *("plt", "fig", "ax", "axes", "explore", "learning_curves", "label_line", "image_grid"),
    *("decision_regions", "heat_map", "intervals"),
}
# what a statement may call and still only feed a report or a drawing
BUILTINS = {
    *("abs", "all", "any", "bool", "dict", "divmod", "enumerate", "float", "format", "int", "len"),
    *("list", "max", "min", "range", "reversed", "round", "set", "sorted", "str", "sum", "tuple"),
    *("zip", "pow", "map", "log", "log10", "sqrt", "exp", "hypot", "mean_interval"),
}
METHODS = {
    *("abs", "all", "any", "append", "argmax", "argmin", "clamp", "cpu", "cumsum", "detach"),
    *("diff", "double", "exp", "extend", "flatten", "flip", "float", "format", "get", "int"),
    *("item", "items", "join", "keys", "log", "log10", "long", "max", "mean", "median", "min"),
    *("norm", "numel", "numpy", "permute", "prod", "quantile", "ravel", "reshape", "round"),
    *("size", "sqrt", "square", "squeeze", "std", "sum", "tolist", "transpose", "unsqueeze"),
    *("update", "values", "var", "view"),
}
MODULES = {"torch", "np", "math"}
FUNCTIONS = METHODS | {
    *("allclose", "arange", "array", "asarray", "as_tensor", "bincount", "cat", "ceil", "cos"),
    *("equal", "eye", "floor", "full", "geomspace", "hypot", "isclose", "isfinite", "linspace"),
    *("log2", "logspace", "maximum", "minimum", "ones", "percentile", "sin", "stack", "tensor"),
    *("where", "zeros"),
}
GATE = re.compile(r"\{solution-(start|end)\}")
MAGIC = re.compile(r"^\s*[%!].*$", re.M)


def cells(path: Path) -> list[NotebookNode]:
    """Return the cells of a chapter as its author wrote them, in the order that Sphinx counts."""
    text = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        return nbformat.reads(text, as_version=4).cells
    return read_myst_markdown_notebook(text).cells


def titles(cells: Sequence[NotebookNode]) -> dict[int, str]:
    """Return the places of a chapter's cells whose code folds, each with a title for it."""
    code = {
        place: Cell(cell.source) for place, cell in enumerate(cells) if cell.cell_type == "code"
    }
    hidden = {place for place in code if HIDDEN & set(cells[place].metadata.get("tags", []))}
    drawing = DRAWS.union(*(cell.drawing for cell in code.values()))
    apart = hidden | set(solutions(cells))
    plain = {place for place in code if place not in apart and code[place].folds(drawing)}
    folded = hidden | unread(code, plain, hidden)
    return {place: code[place].title(drawing) for place in sorted(folded)}


def solutions(cells: Sequence[NotebookNode]) -> Iterator[int]:
    """Yield the places of the cells of solutions, which fold as a whole."""
    inside = False
    for place, cell in enumerate(cells):
        gates = GATE.findall(cell.source) if cell.cell_type == "markdown" else []
        inside = gates[-1] == "start" if gates else inside
        if inside:
            yield place


def unread(code: dict[int, Cell], plain: set[int], hidden: set[int]) -> set[int]:
    """Return those of `plain` that define nothing which a cell in sight reads."""
    source: dict[str, int] = {}
    missed: set[int] = set()
    for place, cell in code.items():
        if place not in plain | hidden:
            missed |= {source[name] for name in cell.reads if source.get(name) in plain}
        source |= dict.fromkeys(cell.defines, place)
    return unread(code, plain - missed, hidden) if missed else plain


def parsed(code: str) -> ast.Module:
    """Return the syntax tree of a cell, whose magics are no Python; empty, if nothing is."""
    try:
        return ast.parse(MAGIC.sub("", code))
    except SyntaxError:  # a cell of %%bash, say
        return ast.Module([], [])


class Cell:
    """A code cell as far as folding goes."""

    def __init__(self, code: str) -> None:
        self.tree = parsed(code)
        self.defines: set[str] = set()
        self.reads: set[str] = set()  # of what earlier cells define
        for statement in self.tree.body:
            reads, defines = _names(statement)
            self.reads |= reads - self.defines
            self.defines |= defines

    @property
    def drawing(self) -> set[str]:
        """The names of the functions defined here that draw, and give nothing else back."""
        functions = [node for node in self.tree.body if isinstance(node, ast.FunctionDef)]
        return {node.name for node in functions if _draws(node)}

    def folds(self, drawing: set[str]) -> bool:
        """Whether the cell only reports or only draws, given the names of all that draws."""
        kinds = set(_Reader(drawing).kinds(self.tree.body))
        return "work" not in kinds and bool(kinds - {"feed"})

    def title(self, drawing: set[str]) -> str:
        """Return what can stand in place of the code."""
        names = {_root(call.func) for call in _calls(self.tree)}
        words = [REPORTS[name] for name in REPORTS if name in names]
        return (["Figure"] * bool(names & drawing) + words + ["Preparation"])[0]


class _Reader:
    """Tells statements apart, and learns from them the names of axes and figures."""

    def __init__(self, drawing: set[str]) -> None:
        self.drawing = set(drawing)

    def kinds(self, body: Sequence[ast.stmt]) -> Iterator[str]:
        """Yield what each statement does: "report", "draw", "feed" or "work"."""
        for statement in body:
            if isinstance(statement, (ast.For, ast.If, ast.With)):
                yield from self.compound(statement)
            elif isinstance(statement, ast.FunctionDef):
                yield "draw" if _draws(statement) else "work"
            elif isinstance(statement, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
                yield self.assignment(statement)
            else:
                yield self.call(statement)

    def compound(self, node: ast.For | ast.If | ast.With) -> Iterator[str]:
        """Yield what is done in a loop, a branch, a block."""
        heads = [node.iter] if isinstance(node, ast.For) else []
        heads += [node.test] if isinstance(node, ast.If) else []
        heads += [item.context_expr for item in getattr(node, "items", [])]
        if isinstance(node, ast.For) and self.drawing & _loads(node.iter):
            self.drawing |= _stores(node.target)
        yield "feed" if all(map(self.trivial, heads)) else "work"
        yield from self.kinds([*node.body, *getattr(node, "orelse", [])])

    def assignment(self, node: ast.Assign | ast.AugAssign | ast.AnnAssign) -> str:
        """Return whether something is drawn upon, or computed at a glance, or with more work."""
        value = node.value
        if isinstance(value, ast.Constant) and value.value is ...:
            return "work"  # an exercise: a reader writes here
        if value is not None and any(_root(call.func) in self.drawing for call in _calls(value)):
            self.drawing |= _stores(node)
            return "draw" if self.trivial(value) else "work"
        return "feed" if value is None or self.trivial(value) else "work"

    def call(self, node: ast.stmt) -> str:
        """Return what a call that stands alone does."""
        call = node.value if isinstance(node, ast.Expr) else None
        if not isinstance(call, ast.Call):
            return "work"
        root = _root(call.func)
        if root in REPORTS:
            return "report"  # whatever it compares stands in its sentence
        if not self.trivial(call):
            return "work"
        return "draw" if root in self.drawing else "feed"

    def trivial(self, node: ast.expr) -> bool:
        """Whether an expression calls nothing but what a glance understands."""
        return all(self.familiar(call.func) for call in _calls(node))

    def familiar(self, called: ast.expr) -> bool:
        """Whether a function is Python's own, a reduction, or draws."""
        if _root(called) in self.drawing:
            return True
        if isinstance(called, ast.Name):
            return called.id in BUILTINS
        names = FUNCTIONS if _root(called) in MODULES else METHODS
        return isinstance(called, ast.Attribute) and called.attr in names


def _names(node: ast.stmt) -> tuple[set[str], set[str]]:
    """Return the names of others that a statement reads, and those that it defines."""
    table = symtable.symtable(ast.unparse(node), "cell", "exec")
    symbols = table.get_symbols()
    defined = {item.get_name() for item in symbols if item.is_assigned() or item.is_imported()}
    read = {item.get_name() for item in symbols if item.is_referenced()}
    within = {name for child in table.get_children() for name in _outer(child)}
    if isinstance(node, (ast.For, ast.With, ast.If)):
        read, within = read - defined, within - defined
    if isinstance(node, ast.AugAssign):
        read |= defined
    return read | within, defined


def _outer(table: symtable.SymbolTable) -> Iterator[str]:
    """Yield the names that a function or a comprehension takes from the cell."""
    yield from (item.get_name() for item in table.get_symbols() if item.is_global())
    for child in table.get_children():
        yield from _outer(child)


def _draws(node: ast.FunctionDef) -> bool:
    """Whether a function draws, and returns nothing but what it has drawn on."""
    returned = [part.value for part in ast.walk(node) if isinstance(part, ast.Return)]
    only = all(value is None or _loads(value) & DRAWS for value in returned)
    return only and any(_root(call.func) in DRAWS for call in _calls(node))


def _calls(node: ast.AST) -> list[ast.Call]:
    return [part for part in ast.walk(node) if isinstance(part, ast.Call)]


def _root(node: ast.AST) -> str:
    """Return the name that an expression begins with: ax of ax[0].plot(x).set(...)."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _loads(node: ast.AST) -> set[str]:
    names = (part for part in ast.walk(node) if isinstance(part, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, ast.Load)}


def _stores(node: ast.AST) -> set[str]:
    names = (part for part in ast.walk(node) if isinstance(part, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, ast.Store)}
