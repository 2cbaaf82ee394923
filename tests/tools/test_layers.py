"""The order of imports: the real package keeps it, and each way of breaking it is found."""

import shutil
import subprocess
import sys

import pytest

from tools.toc import ROOT

HEAD = "---\nkernelspec: {name: python3}\n---\n# Title\n"
FILES = {
    "_toc.yml": "root: index\nchapters: [{file: book/part/first}, {file: book/part/next-one}]\n",
    "index.md": "# Title\n",
    "book/part/first.md": HEAD,
    "book/part/next-one.md": HEAD,
    "dlbook_utils/part/first.py": "from dlbook_utils.page import plot\n",
    "dlbook_utils/part/next_one.py": "from dlbook_utils.part import first\n",
    "dlbook_utils/page/plot.py": "",
    "dlbook_utils/data/load.py": "",
    "dlbook_utils/data/fetch.py": "from dlbook_utils.data import load\n",
    "dlbook_utils/records/ledger.py": "",
    "dlbook_utils/runner/engine.py": "from dlbook_utils.part import next_one\n",
}
BROKEN = {
    "an earlier chapter imports a later one": (
        "dlbook_utils/part/first.py",
        "from dlbook_utils.part import next_one",
        "dlbook_utils.part.first -> dlbook_utils.part.next_one",
    ),
    "plumbing imports a part": (
        "dlbook_utils/data/load.py",
        "from dlbook_utils.part import first",
        "dlbook_utils.data.load -> dlbook_utils.part.first",
    ),
    "the page's room imports another": (
        "dlbook_utils/page/plot.py",
        "from dlbook_utils.data import load",
        "dlbook_utils.page.plot -> dlbook_utils.data.load",
    ),
    "records import data": (
        "dlbook_utils/records/ledger.py",
        "from dlbook_utils.data import load",
        "dlbook_utils.records.ledger -> dlbook_utils.data.load",
    ),
    "a part imports the engine": (
        "dlbook_utils/part/next_one.py",
        "from dlbook_utils.runner import engine",
        "dlbook_utils.part.next_one -> dlbook_utils.runner.engine",
    ),
    "the package imports a tool": (
        "dlbook_utils/runner/engine.py",
        "from tools import toc",
        "dlbook_utils.runner.engine -> tools.toc",
    ),
    "an import circle": (
        "dlbook_utils/data/load.py",
        "from dlbook_utils.data import fetch",
        "No import circle in data BROKEN",
    ),
}


def lint(folder):
    command = [sys.executable, "-m", "tools.layers"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def project(tmp_path):
    """A tiny book and package that keep the order."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for folder in (tmp_path / "dlbook_utils", *(tmp_path / "dlbook_utils").iterdir()):
        folder.joinpath("__init__.py").touch()
    for maker in (tmp_path / "tools" / "records").glob("[!_]*.py"):
        maker.unlink()  # they import what the tiny package lacks
    return tmp_path


def test_the_package_keeps_the_order():
    assert lint(ROOT).returncode == 0


def test_a_package_that_keeps_it_passes(project):
    run = lint(project)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("kind", BROKEN)
def test_each_breach_is_found(project, kind):
    path, line, message = BROKEN[kind]
    with (project / path).open("a") as file:
        file.write(f"{line}\n")
    run = lint(project)
    assert run.returncode == 1, run.stdout + run.stderr
    assert message in run.stdout
