"""Where the code runs: whether the book is being built, and how to show something rich."""

from __future__ import annotations

import os
import sys
from typing import Any


def building() -> bool:
    """Whether the book's site is being built (``DLBOOK_BUILD=1``)."""
    return os.environ.get("DLBOOK_BUILD") == "1"


def strict() -> bool:
    """Whether failing claims raise: ``DLBOOK_STRICT=1``, as in the book's build and tests."""
    return os.environ.get("DLBOOK_STRICT") == "1"


SUBSTITUTES = str.maketrans({"✓": "[ok]", "✗": "[fails]", "–": "-", "…": "..."})


def say(text: str) -> None:
    """Print a line with what the stream can show: on Windows, or into a file, often not Unicode."""
    try:
        print(text, flush=True)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "ascii"
        plain = text.translate(SUBSTITUTES).encode(encoding, "backslashreplace")
        print(plain.decode(encoding), flush=True)


def display_bundle(bundle: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
    """Show a MIME bundle in a notebook; elsewhere print its plain text, if it has one."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        shell = None
    else:
        shell = get_ipython()
    if shell is not None:
        display(bundle, raw=True, metadata=metadata)
    elif "text/plain" in bundle:
        say(bundle["text/plain"])
