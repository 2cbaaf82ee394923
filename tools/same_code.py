"""One idea, one code: the chapters and the package say the same, and nothing is used unbuilt.

What the page book/PART/CHAPTER.md builds for others stands in dlbook_utils/PART/CHAPTER.py with the
same code; docstrings, comments and annotations apart. Every other module is plumbing, which any
page may import. `problems(root)` lists what breaks this.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import re
import symtable
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jupytext

from tools import toc

PACKAGE = "dlbook_utils"
PAGE = f"{PACKAGE}.page"  # the room whose names pages import from the room itself
GATE = re.compile(r"^[`:]{3,}\s*\{solution-(start|end)\}", re.M)
MAGIC = re.compile(r"^\s*[%!].*$", re.M)
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
IMPORTS = (ast.Import, ast.ImportFrom)
Scope = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclass(frozen=True)
class Source:
    """A chapter's code or a module of the package."""

    name: str
    text: str
    solutions: str = ""  # code of solutions; it may use, but what it defines does not count

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed code, solutions apart."""
        return _parse(self.text, self.name)

    @cached_property
    def everything(self) -> list[ast.AST]:
        """Every node, solutions included."""
        return [*ast.walk(self.tree), *ast.walk(_parse(self.solutions, self.name))]

    @cached_property
    def definitions(self) -> dict[str, Definition]:
        """The top-level functions and classes by name."""
        return {node.name: node for node in self.defined}

    @cached_property
    def defined(self) -> list[Definition]:
        """The top-level functions and classes, but not the stubs that a reader shall fill."""
        nodes = (node for node in self.tree.body if isinstance(node, Definition))
        return [node for node in nodes if not _is_stub(node)]

    @cached_property
    def assigned(self) -> set[str]:
        """The names that get a value at the top level."""
        nodes = (node for node in _outside_scopes(self.tree) if not isinstance(node, IMPORTS))
        return {name for node in nodes for name, _ in _bound(node)}

    @cached_property
    def bindings(self) -> dict[str, set[str]]:
        """What each top-level name stands for: "torch.nn" for an import, code for a constant."""
        meanings = defaultdict(set)
        for node in _outside_scopes(self.tree):
            for name, meaning in _bound(node):
                meanings[name].add(meaning)
        return meanings


class Library:
    """The chapters in reading order and the modules of the package."""

    def __init__(self, root: Path):
        pages = toc.chapters(root)
        self.chapters = [_chapter(page) for page in pages]
        self.page_of = {toc.module(page): page.name for page in pages}
        self.modules = dict(_modules(root))
        self.order = {chapter.name: at for at, chapter in enumerate(self.chapters)}
        self.parts = {module.split(".")[0] for module in self.page_of}

    def is_built(self, module: str) -> bool:
        """Return whether a chapter builds a module: it lies in a part of the book."""
        part, _, rest = module.partition(".")
        return module in self.modules and part in self.parts and bool(rest)

    @cached_property
    def built(self) -> dict[str, tuple[str, Definition]]:
        """Module and code of everything in built modules, by name."""
        return {
            name: (module, node)
            for module, source in self.modules.items()
            if self.is_built(module)
            for name, node in source.definitions.items()
        }

    def home(self, name: str) -> str | None:
        """Return the first chapter that defines a name, or assigns it if it is no function."""
        for chapter in self.chapters:
            if name in chapter.definitions:
                return chapter.name
            if name in chapter.assigned and name not in self.built:
                return chapter.name
        return None

    def meanings(self, source: Source, name: str) -> set[str]:
        """Return what a name stands for in a source; what chapters build is the same in all."""
        if name in source.definitions:
            return {f"the book's {name}"}
        return {self.canonical(meaning) for meaning in source.bindings.get(name, ())}

    def canonical(self, meaning: str) -> str:
        """Return "the book's fit" for an import of fit from a built module.

        What a module of the page's room holds is the same as what the room itself offers.
        """
        head, _, name = meaning.rpartition(".")
        module = head.removeprefix(f"{PACKAGE}.")
        if head != module and self.is_built(module):
            return f"the book's {name}"
        return f"{PAGE}.{name}" if head.startswith(f"{PAGE}.") else meaning


def same_code(library: Library) -> Iterator[str]:
    """Yield the functions whose code differs between the chapter that builds it and the package."""
    for chapter in library.chapters:
        for name, node in chapter.definitions.items():
            if name in library.built and library.home(name) == chapter.name:
                module, packaged = library.built[name]
                ours, theirs = normal(node).split("\n"), normal(packaged).split("\n")
                if ours != theirs:
                    where = f"{PACKAGE}.{module}", chapter.name
                    diff = "\n".join(difflib.unified_diff(theirs, ours, *where, lineterm=""))
                    yield f"{chapter.name}: {name} differs from {PACKAGE}.{module}\n{diff}"


def defined_once(library: Library) -> Iterator[str]:
    """Yield names that a second chapter, or a chapter twice, defines."""
    for chapter in library.chapters:
        names = [node.name for node in chapter.defined]
        for name in dict.fromkeys(names):
            home = library.home(name)
            if names.count(name) > 1:
                yield f"{chapter.name}: {name} is defined twice; a first version needs its own name"
            if home != chapter.name and name in library.built:
                module = f"{PACKAGE}.{library.built[name][0]}"
                yield f"{chapter.name}: {name} is built in {home}; import it from {module}"
            elif home != chapter.name:
                yield f"{chapter.name}: {name} is also defined in {home}; give it another name"


def built_before_used(library: Library) -> Iterator[str]:
    """Yield imports, in chapters, of what no earlier chapter has built."""
    for chapter in library.chapters:
        for module, name in sorted(set(_used(chapter, library))):
            used = f"{chapter.name}: {name} of {PACKAGE}.{module}"
            source = library.modules[module]
            home = library.home(name)
            if name == "*":
                yield f"{used}: import names, not everything"
            elif name not in source.definitions and name not in source.bindings:
                yield f"{used} does not exist"
            elif home is None:
                yield f"{used} is used, but no chapter builds it"
            elif library.order[home] >= library.order[chapter.name]:
                yield f"{used} is used, but only built in {home}"


def known_modules(library: Library) -> Iterator[str]:
    """Yield imports of modules that the package does not have."""
    for chapter in library.chapters:
        for module in sorted(set(_imported_modules(chapter)) - {PACKAGE}):
            if module.removeprefix(f"{PACKAGE}.") not in library.modules:
                yield f"{chapter.name}: {module} does not exist"


def same_context(library: Library) -> Iterator[str]:
    """Yield constants and imports behind a shared function that chapter and package disagree on."""
    for chapter in library.chapters:
        for name in chapter.definitions:
            if name not in library.built or library.home(name) != chapter.name:
                continue
            module, node = library.built[name]
            for free in sorted(free_names(node)):
                wanted = library.meanings(library.modules[module], free)
                meanings = library.meanings(chapter, free)
                if wanted and meanings != wanted:
                    here = " or ".join(sorted(meanings)) or "nothing"
                    there = " or ".join(sorted(wanted))
                    yield (
                        f"{chapter.name}: {name} uses {free}, which is {here} here "
                        f"but {there} in {PACKAGE}.{module}"
                    )


def every_idea_has_a_home(library: Library) -> Iterator[str]:
    """Yield public functions and classes of a built module that the page of its path has not."""
    shared = [
        (module, name)
        for module, source in library.modules.items()
        if library.is_built(module)
        for name in source.definitions
    ]
    for module, name in shared:
        page, home = library.page_of.get(module), library.home(name)
        if page is None:
            yield f"{PACKAGE}.{module}: {name} belongs to no page; none has this path"
        elif not name.startswith("_") and home is None:
            yield f"{PACKAGE}.{module}: {page} does not build {name}"
        elif not name.startswith("_") and home != page:
            yield f"{PACKAGE}.{module}: {name} is built in {home}, not in {page}"


CHECKS: tuple[Callable[[Library], Iterator[str]], ...] = (
    same_code,
    defined_once,
    built_before_used,
    known_modules,
    same_context,
    every_idea_has_a_home,
)


def problems(root: Path) -> list[str]:
    """Return everything that breaks "one idea, one code" in the book at root."""
    library = Library(root)
    return [problem for check in CHECKS for problem in check(library)]


def normal(node: Definition) -> str:
    """Return the code of a definition without docstrings, comments and annotations."""
    fresh = ast.parse(ast.unparse(node)).body[0]
    return ast.unparse(ast.fix_missing_locations(_Normal().visit(fresh)))


def free_names(node: Definition) -> set[str]:
    """Return the global names that a definition uses, built-in ones and its own apart."""

    def names(table: symtable.SymbolTable) -> Iterator[str]:
        is_module = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (symbol.is_global() or is_module):
                yield symbol.get_name()
        for child in table.get_children():
            yield from names(child)

    return set(names(symtable.symtable(normal(node), node.name, "exec"))) - BUILTINS - {node.name}


BUILTINS = set(dir(builtins))


class _Normal(ast.NodeTransformer):
    """Drops docstrings and annotations; fields of a dataclass keep theirs, as a mere sign."""

    def visit_FunctionDef(self, node):
        node.returns = None
        return self.scope(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node):
        if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
            for field in node.body:
                if isinstance(field, ast.AnnAssign):
                    field.annotation = ast.Constant(...)
        return self.scope(node)

    def scope(self, node):
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:]
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_arg(self, node):
        node.annotation = None
        return node

    def visit_AnnAssign(self, node):
        if isinstance(node.annotation, ast.Constant) and node.annotation.value is ...:
            return node
        if node.value is None:
            return None
        return ast.Assign([node.target], node.value)


def _is_stub(node: Definition) -> bool:
    """Return whether a definition has nothing but `...` below its docstring."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    return [ast.unparse(line) for line in body] == ["..."]


def _parse(text: str, name: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise SyntaxError(f"{name}: {error.msg}: {error.text!r}") from error


def _chapter(page: toc.Page) -> Source:
    """Return the code of a chapter, that of its solutions apart, without magics."""
    code: list[str] = []
    solutions: list[str] = []
    is_solution = False
    for cell in jupytext.reads(page.text, fmt="md:myst").cells:
        if cell.cell_type == "markdown":
            for gate in GATE.findall(cell.source):
                is_solution = gate == "start"
        else:
            apart = is_solution or "solution" in cell.metadata.get("tags", [])
            (solutions if apart else code).append(MAGIC.sub("", cell.source))
    return Source(page.name, "\n".join(code), "\n".join(solutions))


def _modules(root: Path) -> Iterator[tuple[str, Source]]:
    """Yield the modules of the package by name, such as "vision.cnn", a folder by its own."""
    folder = root / PACKAGE
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        yield name, Source(name, path.read_text("utf-8"))


def _outside_scopes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements at the top, those under `if`, `with` and the like included."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, Scope):
            yield child
            yield from _outside_scopes(child)


def _bound(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the names that a statement binds, with what they stand for."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.split(".")[0]
            yield alias.asname or top, alias.name if alias.asname else top
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield alias.asname or alias.name, f"{node.module}.{alias.name}"
    elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            for name in ast.walk(target):
                if isinstance(name, ast.Name):
                    is_whole = isinstance(target, ast.Name)
                    alone = ast.unparse(node.value)
                    yield name.id, alone if is_whole else f"{ast.unparse(target)} = {alone}"


def _imported_modules(source: Source) -> Iterator[str]:
    """Yield the paths of what a source imports of the package, where that must be a module."""
    for node in source.everything:
        if isinstance(node, ast.Import):
            paths = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == PACKAGE:
            paths = [f"{PACKAGE}.{alias.name}" for alias in node.names]
        else:
            paths = [getattr(node, "module", None) or ""]
        yield from (path for path in paths if path.split(".")[0] == PACKAGE)


def _used(source: Source, library: Library) -> Iterator[tuple[str, str]]:
    """Yield module and name of everything that a source takes from built modules."""
    aliases = _aliases(source)
    for node in source.everything:
        if isinstance(node, ast.ImportFrom) and node.module:
            paths = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute):
            paths = [_dotted(node, aliases)]
        else:
            continue
        for path in paths:
            module, _, name = path.removeprefix(f"{PACKAGE}.").rpartition(".")
            if path.startswith(f"{PACKAGE}.") and library.is_built(module):
                yield module, name


def _aliases(source: Source) -> dict[str, str]:
    """Return which module of the package each name stands for."""
    nodes = [node for node in source.everything if isinstance(node, IMPORTS)]
    bound = {name: meaning for node in nodes for name, meaning in _bound(node)}
    return {name: path for name, path in bound.items() if path.split(".")[0] == PACKAGE}


def _dotted(node: ast.Attribute, aliases: dict[str, str]) -> str:
    """Return the path of an attribute: mlp.MLP as dlbook_utils.foundations.mlp.MLP, or ""."""
    parts: list[str] = []
    owner: ast.expr = node
    while isinstance(owner, ast.Attribute):
        parts.append(owner.attr)
        owner = owner.value
    if not isinstance(owner, ast.Name) or owner.id not in aliases:
        return ""
    return ".".join([aliases[owner.id], *reversed(parts)])
