"""The book's own Sphinx extension: claims, formulas, pictures, folding, times, the page around.

Used by ``_config.yml`` (sphinx: local_extensions). Each module registers its own part.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

PARTS = (
    "again",
    "api",
    "claims",
    "folding",
    "front",
    "helpers",
    "live",
    "maths",
    "minutes",
    "page",
    "pictures",
    "references",
)


def setup(app: Any) -> dict[str, Any]:
    """Set up every part; ``dlbook_root`` is the repository, where it is not the book's folder."""
    app.add_config_value("dlbook_root", "", "env", types=[str])
    for part in PARTS:
        import_module(f"{__name__}.{part}").setup(app)
    return {
        "version": "1",
        "env_version": 3,
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
