"""Pages that show what stands on other pages: they are written again in every build.

A directive or role marks its page; Sphinx hears of the marked pages whenever it has read the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment


def mark(env: BuildEnvironment) -> None:
    """Have the page that is being read written in every build."""
    _pages(env).add(env.docname)


def purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """Forget a page that is read again or gone."""
    _pages(env).discard(docname)


def merge(app: Sphinx, env: BuildEnvironment, docnames: Iterable[str], other: Any) -> None:
    """Take over what another process of a parallel build has read."""
    _pages(env).update(_pages(other))


def write(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Return the pages to write in every build."""
    return sorted(_pages(env))


def _pages(env: Any) -> set[str]:
    if not hasattr(env, "dlbook_again"):
        env.dlbook_again = set()
    return env.dlbook_again


def setup(app: Sphinx) -> None:
    """Register the events."""
    app.connect("env-purge-doc", purge)
    app.connect("env-merge-info", merge)
    app.connect("env-updated", write)
