"""The first code cell of a notebook: installs the package where it is missing, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

from dlbook_notebooks.cells import install_code
from sphinx.config import Config

SAMPLE = Config()
SAMPLE.html_theme_options = {"repository_url": "https://github.com/sample/book"}


def run_install(monkeypatch, found: object) -> list[tuple[list[str], str]]:
    """Run the cell where the package is found or not; return the commands and constraints."""
    commands = []

    def record(command, check):
        at = command.index("--constraint") + 1
        commands.append((command, Path(command[at]).read_text()))

    monkeypatch.setattr(subprocess, "run", record)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: found)
    exec(install_code(SAMPLE), {})
    return commands


def test_nothing_is_installed_where_the_package_is(monkeypatch):
    assert run_install(monkeypatch, found=object()) == []


def test_a_missing_package_is_installed_beside_the_readers_torch(monkeypatch):
    ((command, constraints),) = run_install(monkeypatch, found=None)
    assert command[:5] == [sys.executable, "-m", "pip", "install", "--quiet"]
    assert command[-1] == "git+https://github.com/sample/book@main"
    kept = ("torch", "torchvision", "numpy")
    assert constraints.split() == [f"{name}=={metadata.version(name)}" for name in kept]


def test_a_failing_installation_is_not_silent():
    assert "check=True" in install_code(SAMPLE)
