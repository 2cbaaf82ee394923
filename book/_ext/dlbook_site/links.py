"""Every address that the book links to, derived from the settings of _config.yml."""

from __future__ import annotations

from sphinx.config import Config

GITHUB = "https://github.com/"
RAW = "https://raw.githubusercontent.com"
COLAB = "https://colab.research.google.com/github"
BINDER = "https://mybinder.org/v2/gh"


def repository(config: Config) -> str:
    """Return the repository's address, without a slash at its end."""
    url = config.html_theme_options["repository_url"].rstrip("/").removesuffix(".git")
    if not url.startswith(GITHUB) or url.count("/") != 4:
        raise ValueError(f"_config.yml: repository url is {url!r}, expected {GITHUB}OWNER/NAME")
    return url


def slug(config: Config) -> str:
    """Return OWNER/NAME."""
    return repository(config).removeprefix(GITHUB)


def branch(config: Config) -> str:
    """Return the branch that readers see."""
    return config.html_theme_options.get("repository_branch") or "main"


def site(config: Config) -> str:
    """Return the address of the book's site, with a slash at its end."""
    owner, name = slug(config).split("/")
    return (config.html_baseurl or f"https://{owner}.github.io/{name}").rstrip("/") + "/"


def page(config: Config, docname: str) -> str:
    """Return the address of a page of the site, such as `book/foundations/mlp`."""
    return f"{site(config)}{docname}.html"


def notebook(docname: str) -> str:
    """Return the path of the notebook that is made of a chapter."""
    return f"notebooks/{docname.removeprefix('book/')}.ipynb"


def colab(config: Config, path: str) -> str:
    """Return the address that opens a notebook of the repository in Colab."""
    return f"{COLAB}/{slug(config)}/blob/{branch(config)}/{path}"


def binder(config: Config, path: str) -> str:
    """Return the address that opens a notebook of the repository in Binder."""
    return f"{BINDER}/{slug(config)}/{branch(config)}?urlpath=lab/tree/{path}"


def raw(config: Config, path: str) -> str:
    """Return the address of a file's bytes, as pictures need it."""
    return f"{RAW}/{slug(config)}/{branch(config)}/{path}"


def blob(config: Config, path: str) -> str:
    """Return the address of a file's page on GitHub."""
    return f"{repository(config)}/blob/{branch(config)}/{path}"
