"""Notebooks of the chapters, written by Sphinx: the builder ``notebooks``.

``tools/notebooks.py`` loads this extension beside those of _config.yml. It changes how chapters
are read (`source`), so the site's build must not load it.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config


def read_without_running(app: Sphinx, config: Config) -> None:
    """Have myst-nb read pages through `source.load`, and execute nothing."""
    config.nb_custom_formats = {".md": ["dlbook_notebooks.source.load", {}, False]}
    config.nb_mime_priority_overrides = [("notebooks", "text/plain", 1)]  # its empty figures
    config.nb_execution_mode = "off"


def setup(app: Sphinx) -> dict[str, Any]:
    """Set up builder, reader and the role that leaves a place for a glued value."""
    from dlbook_notebooks import builder, source

    builder.setup(app)
    app.add_node(source.glued_node)
    for name in ("", "any", "text"):
        app.add_role_to_domain("glue", name, source.Glued(), override=True)
    app.connect("config-inited", read_without_running, priority=100)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": False}
