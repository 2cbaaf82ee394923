"""What surrounds the text of a page: its buttons, its few styles and scripts, its description."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

from dlbook_site import links
from dlbook_utils.page import palette

CELL_LABEL = '<summary aria-label="Toggle hidden content">'  # hides "show the code" from some
# roles of a bibliography that is not marked up as a list: deprecated, or not allowed on a div
LIST_ROLE = ('<div role="list" class="citation-list">', '<div class="citation-list">')
ENTRY_ROLE = ' role="doc-biblioentry"'
VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1" />'  # a second one
CHAPTER = re.compile(r'(<h1><span class="section-number">)(\d+)\. ')
LIVE = re.compile(r'data-live="([\w-]+)"')
OURS = {"book.css", "book.js"}
DESIGN = {"sphinx-design.min.css", "design-tabs.js"}  # for pages that use sphinx-design
SEARCH = {"documentation_options.js", "doctools.js", "sphinx_highlight.js"}
RESULTS = {"searchtools.js", "language_data.js"}  # search.html loads these itself
LOGGER = logging.getLogger(__name__)


def dress(app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Give the template what it needs; runs after the theme's own handlers."""
    body = context.get("body", "").replace(CELL_LABEL, "<summary>")
    body = body.replace(*LIST_ROLE).replace(ENTRY_ROLE, "")
    body = context["body"] = CHAPTER.sub(r"\1Chapter \2 ", body)
    context["metatags"] = context.get("metatags", "").replace(VIEWPORT, "")
    context["palette"] = palette.properties()
    context["has_math"] = 'class="katex' in body
    context["has_design"] = 'class="sd-' in body
    context["is_chapter"] = _notebook(app, pagename) is not None
    context["page_tools"] = page_tools(app, pagename, context) if doctree else []
    context["repository"] = links.repository(app.config)
    context["part"] = _part(app, pagename)
    context["toc_entries"] = context.get("toc", "").count("<li>")
    _keep_files(pagename, context)


def page_tools(app: Sphinx, pagename: str, context: dict[str, Any]) -> list[dict[str, str]]:
    """Return the buttons of a page: run it, download it, improve it."""
    address, branch = links.repository(app.config), links.branch(app.config)
    source = _source(app, pagename)
    tools = []
    notebook = _notebook(app, pagename)
    if notebook is not None:
        target = quote(notebook)
        tools += [
            _tool("Colab", "play", links.colab(app.config, target)),
            _tool("Binder", "play", links.binder(app.config, target)),
            _tool("Notebook", "download", _offer(app, pagename, notebook, context), download=True),
        ]
    tools += [
        _tool("Source", "download", f"{context['content_root']}_sources/{source}", download=True),
        _tool("Edit", "pencil", f"{address}/edit/{branch}/{source}"),
        _tool("Issue", "message", f"{address}/issues/new?title={quote(f'In {source}: ')}"),
    ]
    return tools


NOTES = {
    "Colab": "Run this chapter on Google Colab",
    "Binder": "Run this chapter on Binder",
    "Notebook": "Download this chapter as a Jupyter notebook",
    "Source": "Download the Markdown source of this page",
    "Edit": "Suggest an edit of this page on GitHub",
    "Issue": "Report a mistake on this page on GitHub",
}


def _tool(text: str, icon: str, url: str, download: bool = False) -> dict[str, Any]:
    return {"text": text, "icon": icon, "url": url, "title": NOTES[text], "download": download}


def _root(app: Sphinx) -> Path:
    return Path(app.config.dlbook_root or app.confdir)


def _source(app: Sphinx, pagename: str) -> str:
    return Path(app.env.doc2path(pagename)).relative_to(app.srcdir).as_posix()


def _notebook(app: Sphinx, pagename: str) -> str | None:
    """Return the path of a chapter's notebook; None for a page without code."""
    if "kernelspec" not in app.env.metadata.get(pagename, {}):
        return None
    return links.notebook(pagename)


def _offer(app: Sphinx, pagename: str, notebook: str, context: dict[str, Any]) -> str:
    """Copy the generated notebook into the site, and return its address there."""
    source = _root(app) / notebook
    target = Path(app.outdir) / "_sources" / f"{pagename}.ipynb"
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    else:
        LOGGER.warning("no %s: run `make notebooks`", notebook, location=pagename)
    return f"{context['content_root']}_sources/{pagename}.ipynb"


def _part(app: Sphinx, pagename: str) -> str:
    """Return the caption of the part of the book that a page belongs to."""
    toc = app.env.tocs.get(app.config.root_doc)
    if toc is None:
        return ""
    root = app.env.get_doctree(app.config.root_doc)
    for tree in root.findall(lambda node: node.tagname == "toctree"):
        if pagename in tree.get("includefiles", []):
            return tree.get("caption") or ""
    return ""


def _keep_files(pagename: str, context: dict[str, Any]) -> None:
    """Drop the theme's styles and scripts: layout.html and book.css stand in for them.

    The theme would load 0.5 MB of icons, Bootstrap and three scripts that talk to the console.
    """
    wanted = OURS | (DESIGN if context["has_design"] else set())
    wanted |= SEARCH if pagename == "search" else set()
    wanted |= {f"live-{name}.js" for name in LIVE.findall(context.get("body", ""))}
    for files in ("css_files", "script_files"):
        kept = {_name(file): file for file in context[files] if _name(file) in wanted}
        context[files] = list(kept.values())


def _name(file: Any) -> str:
    """Return the name of a style or script that Sphinx would link, without folder and digest."""
    return str(getattr(file, "filename", file) or "").split("?")[0].rsplit("/", 1)[-1]


def drop_thebe(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Take out the live-code settings that sphinx-thebe puts at the end of every notebook."""
    for raw in list(doctree.findall(nodes.raw)):
        if "thebe-config" in raw.astext() or "kernelName =" in raw.astext():
            raw.parent.remove(raw)


def color_icon(app: Sphinx, exception: Exception | None) -> None:
    """Give the site's icon its colours: no style of a page reaches into an image."""
    icon = Path(app.outdir) / "_static" / "favicon.svg"
    if exception or not icon.exists():
        return
    svg = (Path(app.confdir) / "book" / "_static" / icon.name).read_text("utf8")
    start = svg.index(">") + 1
    style = palette.scheme({"accent": palette.SITE["accent"]})
    icon.write_text(svg[:start] + style + svg[start:], "utf8")


def prune(app: Sphinx, exception: Exception | None) -> None:
    """Remove from the site the 8 MB of theme files that no page loads."""
    static = Path(app.outdir) / "_static"
    if exception or app.builder.format != "html" or not static.is_dir():
        return
    folders = [Path(folder) for folder in app.config.html_static_path]
    ours = [app.confdir / folder for folder in folders if not folder.is_absolute()]
    for file in [path for path in static.rglob("*") if path.is_file()]:
        mine = any((folder / file.relative_to(static)).exists() for folder in ours)
        if not mine and file.name not in OURS | DESIGN | SEARCH | RESULTS:
            file.unlink()
    for folder in sorted((path for path in static.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def setup(app: Sphinx) -> None:
    """Register the handlers, after those of the theme (501)."""
    app.add_css_file("book.css")
    app.add_js_file("book.js", loading_method="defer")
    app.connect("build-finished", color_icon)
    app.connect("build-finished", prune, priority=900)
    app.connect("doctree-resolved", drop_thebe, priority=900)
    app.connect("html-page-context", dress, priority=600)
