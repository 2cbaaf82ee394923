"""Lay out a new chapter that runs as it is: page, module, test, and its line in the contents.

usage: python -m tools.chapter PART/NAME [TITLE]      such as: sequences/state-space

The page has the parts that every chapter has, under their names, filled with a small example.
What it defines is named after the chapter, since a name is defined once in the book.
"""

from __future__ import annotations

import argparse
import keyword
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from tools import toc
from tools.layers import CIRCLE_FREE as ROOMS
from tools.toc import ROOT

TEMPLATES = Path(__file__).parent / "template"
LONGEST = 24  # letters of a name: what is defined is named after it, and lines end at column 79
WORD = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
LAST = "  - caption: Reference\n"  # a new part stands before this one


@dataclass(frozen=True)
class Chapter:
    """A chapter to be: `vision/style-transfer` is book/vision/style-transfer.md, and so on."""

    part: str
    name: str
    title: str

    @property
    def files(self) -> dict[str, str]:
        """The path of each file by the template that it is made of."""
        module = f"{self.part}/{self.name}".replace("-", "_")
        folder, file = module.split("/")
        return {
            "page.md.txt": f"book/{self.part}/{self.name}.md",
            "module.py.txt": f"dlbook_utils/{module}.py",
            "test.py.txt": f"tests/{folder}/test_{file}.py",
        }

    def text(self, template: str) -> str:
        """Return a template with what is this chapter's own put in."""
        values = {
            "title": self.title,
            "name": self.name,
            "function": f"{self.name.replace('-', '_')}_softplus",
            "module": self.files["module.py.txt"].removesuffix(".py").replace("/", "."),
        }
        text = (TEMPLATES / template).read_text("utf-8")
        return re.sub("<<(.+?)>>", lambda place: values[place[1]], text)


def parse(name: str, title: str, root: Path) -> Chapter:
    """Return the chapter that a name asks for; ValueError, naming it, if there can be none."""
    part, _, stem = name.partition("/")
    if not re.fullmatch(f"{WORD}/{WORD}", name) or len(stem) > LONGEST:
        letters = f"small letters, digits and single hyphens, the name of at most {LONGEST}"
        raise ValueError(f"{name!r}: expected PART/NAME of {letters}")
    words = [word.replace("-", "_") for word in (part, stem)]
    if part in ROOMS or any(keyword.iskeyword(word) for word in words):
        raise ValueError(f"{name!r}: expected a part and a name that no room or keyword has")
    namesake = [page.name for page in toc.pages(root) if page.name.rsplit("/", 1)[-1] == stem]
    if namesake:
        raise ValueError(f"{name!r}: expected a name that is free, but there is {namesake[0]}.md")
    chapter = Chapter(part, stem, title or stem.replace("-", " ").capitalize())
    there = [path for path in chapter.files.values() if (root / path).exists()]
    if there:
        raise ValueError(f"{name!r}: expected no file of that chapter, but there is {there[0]}")
    return chapter


def lay_out(chapter: Chapter, root: Path) -> list[str]:
    """Write the files of a chapter and its entry in the contents; return their paths."""
    contents = root / "_toc.yml"
    entered = with_entry(contents.read_text("utf-8"), chapter)  # an error writes nothing
    files = {path: chapter.text(template) for template, path in chapter.files.items()}
    package = str(Path(chapter.files["module.py.txt"]).parent / "__init__.py")
    if not (root / package).exists():
        files[package] = f'"""{_caption(chapter)}."""\n'
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, "utf-8")
    contents.write_text(entered, "utf-8")
    return [*files, "_toc.yml"]


def with_entry(contents: str, chapter: Chapter) -> str:
    """Return the contents with the chapter after the last one of its part; nothing else changes."""
    entry = f"      - file: book/{chapter.part}/{chapter.name}\n"
    mates = list(re.finditer(rf"^ *- file: book/{chapter.part}/.*\n", contents, re.M))
    if mates:
        at = mates[-1].end()
        return contents[:at] + entry + contents[at:]
    if contents.count(LAST) != 1:
        raise ValueError(f"_toc.yml: expected one line {LAST.strip()!r}, before which parts stand")
    head = f"  - caption: {_caption(chapter)}\n    numbered: true\n    chapters:\n"
    return contents.replace(LAST, head + entry + LAST)


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="tools.chapter", description=__doc__.split("\n")[0])
    parser.add_argument("name", help="PART/NAME, such as vision/style-transfer")
    parser.add_argument("title", nargs="?", default="", help="its heading, if not the name")
    options = parser.parse_args(arguments)
    try:
        paths = lay_out(parse(options.name, options.title, root), root)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(paths))
    print("The page runs as it is. CONTRIBUTING.md, 'Adding a chapter', says what comes next;")
    print("tests/test_bad_input.py wants a call of each public function of the module (CALLS).")
    return 0


def _caption(chapter: Chapter) -> str:
    return chapter.part.replace("-", " ").capitalize()


if __name__ == "__main__":
    sys.exit(main())
