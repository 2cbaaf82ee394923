"""The first code cell of a notebook: installs the package where it is missing, and nothing else.

Where another version is installed than the notebook was made with, it says so.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from dlbook_notebooks.cells import install_code
from sphinx.config import Config

import dlbook_utils
from tools.toc import ROOT

VERSION = dlbook_utils.__version__

SAMPLE = Config()
SAMPLE.html_theme_options = {"repository_url": "https://github.com/sample/book"}


def run_install(monkeypatch, missing: str = "") -> list[tuple[list[str], str]]:
    """Run the cell where a module is missing, or none; return the commands and constraints."""
    commands = []

    def record(command, check):
        at = command.index("--constraint") + 1
        commands.append((command, Path(command[at]).read_text()))

    monkeypatch.setattr(subprocess, "run", record)
    there = lambda name: None if name in missing.split() else object()  # noqa: E731
    monkeypatch.setattr("importlib.util.find_spec", there)
    exec(install_code(SAMPLE), {})
    return commands


def test_nothing_is_installed_or_said_where_the_package_is(monkeypatch, capsys):
    assert run_install(monkeypatch) == []
    assert capsys.readouterr().out == ""


def test_a_missing_package_is_installed_beside_the_readers_torch(monkeypatch):
    ((command, constraints),) = run_install(monkeypatch, missing="dlbook_utils")
    assert command[:5] == [sys.executable, "-m", "pip", "install", "--quiet"]
    assert command[-1] == "git+https://github.com/sample/book@main"
    kept = ("torch", "torchvision", "numpy")
    assert constraints.split() == [f"{name}=={metadata.version(name)}" for name in kept]


def test_another_version_is_told_with_the_way_to_this_one(monkeypatch, capsys):
    monkeypatch.setattr(dlbook_utils, "__version__", "0.0.1")
    assert run_install(monkeypatch) == [], "nothing is installed without being asked for"
    said = capsys.readouterr().out
    assert f"made with version {VERSION} of the book's package" in said
    assert "version 0.0.1 is installed here" in said
    assert "run install() in a new cell, and restart the kernel" in said


def test_of_two_copies_on_the_path_the_one_in_use_is_kept(monkeypatch, tmp_path):
    for folder, version in (("first", "9.1"), ("second", "9.2")):
        info = tmp_path / folder / f"numpy-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: numpy\nVersion: {version}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "first"), str(tmp_path / "second")])
    ((_, constraints),) = run_install(monkeypatch, missing="dlbook_utils")
    assert constraints.split() == ["numpy==9.1"]


def test_without_pip_the_cell_says_so(monkeypatch):
    with pytest.raises(RuntimeError, match=r"no pip: install git\+https://github.com/sample"):
        run_install(monkeypatch, missing="dlbook_utils pip")


def test_a_failing_installation_is_not_silent():
    assert "check=True" in install_code(SAMPLE)


def test_the_package_has_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    assert project["version"] == VERSION
    assert f"\nversion: {VERSION}\n" in citation
