"""The repository's address stands in _config.yml; no other file names another one."""

from __future__ import annotations

import re

import pytest
from dlbook_site import links
from sphinx.config import Config

from tools.notebooks import settings
from tools.toc import ROOT

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


def configured(**options: str) -> Config:
    """Return settings as Jupyter Book makes them of _config.yml."""
    config = Config()
    config.html_theme_options = options
    config.html_baseurl = ""
    return config


@pytest.mark.parametrize("name", ["README.md", "CITATION.cff", "pyproject.toml", "CONTRIBUTING.md"])
def test_no_file_names_another_address_of_the_project(name):
    path = ROOT / name
    text = path.read_text("utf-8") if path.exists() else ""
    theme = settings(ROOT)["html_theme_options"]
    own = configured(repository_url=theme["repository_url"])
    assert named(text) <= {links.slug(own)}


def test_everything_is_derived_from_the_settings():
    config = configured(repository_url="https://github.com/a/b/", repository_branch="dev")
    assert links.repository(config) == "https://github.com/a/b"
    assert links.site(config) == "https://a.github.io/b/"
    assert links.page(config, "x/y") == "https://a.github.io/b/x/y.html"
    assert links.notebook("book/x/y") == "notebooks/x/y.ipynb"
    assert links.colab(config, "n.ipynb").endswith("/github/a/b/blob/dev/n.ipynb")
    assert links.binder(config, "n.ipynb").endswith("/gh/a/b/dev?urlpath=lab/tree/n.ipynb")
    assert links.raw(config, "p.svg") == "https://raw.githubusercontent.com/a/b/dev/p.svg"
    assert links.blob(config, "p.py") == "https://github.com/a/b/blob/dev/p.py"


@pytest.mark.parametrize("url", ["https://gitlab.com/a/b", "https://github.com/a", ""])
def test_an_address_that_is_no_repository_is_an_error(url):
    with pytest.raises(ValueError, match="expected https://github.com/OWNER/NAME"):
        links.repository(configured(repository_url=url))
