"""The repository's address stands in _config.yml; no other file names another one."""

from __future__ import annotations

import re

import pytest

from tools import address

ROOT = address.ROOT
OTHERS = {"pytorch/vision"}  # other projects that these files may name
ADDRESSES = (
    r"github\.com/([\w.-]+/[\w.-]+)",
    r"githubusercontent\.com/([\w.-]+/[\w.-]+)",
    r"research\.google\.com/github/([\w.-]+/[\w.-]+)",
    r"mybinder\.org/(?:v2|badge)/gh/([\w.-]+/[\w.-]+)",
)


def named(text: str) -> set[str]:
    """Return OWNER/NAME of every repository and site that a text names."""
    found = {name for pattern in ADDRESSES for name in re.findall(pattern, text)}
    found |= {"/".join(site) for site in re.findall(r"([\w-]+)\.github\.io/([\w.-]+)", text)}
    return {re.sub(r"(\.git|\.)$", "", name) for name in found} - OTHERS


def test_every_form_of_an_address_is_recognised():
    text = "(https://github.com/a/b.git) https://c.github.io/d/ mybinder.org/v2/gh/e/f/main"
    assert named(text) == {"a/b", "c/d", "e/f"}


@pytest.mark.parametrize("name", ["README.md", "CITATION.cff", "pyproject.toml", "CONTRIBUTING.md"])
def test_no_file_names_another_address_of_the_project(name):
    path = ROOT / name
    text = path.read_text("utf-8") if path.exists() else ""
    assert named(text) <= {address.slug()}


def test_everything_is_derived_from_the_settings(tmp_path):
    settings = "repository: {url: https://github.com/a/b/, branch: dev}\n"
    (tmp_path / "_config.yml").write_text(settings)
    assert address.repository(tmp_path) == "https://github.com/a/b"
    assert address.site(tmp_path) == "https://a.github.io/b/"
    assert address.page("x/y", "z", tmp_path) == "https://a.github.io/b/x/y.html#z"
    assert address.colab("n.ipynb", tmp_path).endswith("/github/a/b/blob/dev/n.ipynb")
    assert address.binder("n.ipynb", tmp_path).endswith("/gh/a/b/dev?urlpath=lab/tree/n.ipynb")
    assert address.raw("p.svg", tmp_path) == "https://raw.githubusercontent.com/a/b/dev/p.svg"
    assert address.blob("p.py", tmp_path) == "https://github.com/a/b/blob/dev/p.py"


@pytest.mark.parametrize("url", ["https://gitlab.com/a/b", "https://github.com/a", ""])
def test_an_address_that_is_no_repository_is_an_error(tmp_path, url):
    (tmp_path / "_config.yml").write_text(f"repository: {{url: '{url}'}}\n")
    with pytest.raises(ValueError, match="expected https://github.com/OWNER/NAME"):
        address.repository(tmp_path)
