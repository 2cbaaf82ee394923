"""Where the project lives. Its address stands in `_config.yml` only; every link is derived here."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
GITHUB = "https://github.com/"


@lru_cache
def config(root: Path = ROOT) -> dict[str, Any]:
    """Return the settings of `_config.yml` (read once per folder)."""
    return yaml.safe_load((root / "_config.yml").read_text("utf-8"))


def repository(root: Path = ROOT) -> str:
    """Return the repository's address, without a slash at its end."""
    url = config(root)["repository"]["url"].rstrip("/").removesuffix(".git")
    if not url.startswith(GITHUB) or url.count("/") != 4:
        raise ValueError(f"_config.yml: repository url is {url!r}, expected {GITHUB}OWNER/NAME")
    return url


def slug(root: Path = ROOT) -> str:
    """Return OWNER/NAME."""
    return repository(root).removeprefix(GITHUB)


def branch(root: Path = ROOT) -> str:
    """Return the branch that readers see."""
    return config(root)["repository"].get("branch", "main")


def site(root: Path = ROOT) -> str:
    """Return the address of the book's site, with a slash at its end."""
    owner, name = slug(root).split("/")
    base = config(root).get("html", {}).get("baseurl") or f"https://{owner}.github.io/{name}"
    return base.rstrip("/") + "/"


def page(docname: str, anchor: str = "", root: Path = ROOT) -> str:
    """Return the address of a page of the site, such as `book/foundations/mlp`."""
    return f"{site(root)}{docname}.html" + (f"#{anchor}" if anchor else "")


def colab(path: str, root: Path = ROOT) -> str:
    """Return the address that opens a notebook of the repository in Colab."""
    return f"https://colab.research.google.com/github/{slug(root)}/blob/{branch(root)}/{path}"


def binder(path: str, root: Path = ROOT) -> str:
    """Return the address that opens a notebook of the repository in Binder."""
    return f"https://mybinder.org/v2/gh/{slug(root)}/{branch(root)}?urlpath=lab/tree/{path}"


def raw(path: str, root: Path = ROOT) -> str:
    """Return the address of a file's bytes, as pictures need it."""
    return f"https://raw.githubusercontent.com/{slug(root)}/{branch(root)}/{path}"


def blob(path: str, root: Path = ROOT) -> str:
    """Return the address of a file's page on GitHub."""
    return f"{repository(root)}/blob/{branch(root)}/{path}"
