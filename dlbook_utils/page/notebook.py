"""Where the code runs: whether the book is being built, and how to show something rich."""

from __future__ import annotations

import os
from typing import Any


def building() -> bool:
    """Whether the book's site is being built (``DLBOOK_BUILD=1``)."""
    return os.environ.get("DLBOOK_BUILD") == "1"


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
        print(bundle["text/plain"])
