"""Fetch data sets ahead: `python -m dlbook_utils.data [NAME ...]` (all by default).

Prints one line per set: where it lies and how large it is, or why it can't be had. Exits 1 if one
can't, 2 if the command makes no sense. Waits longer than a page would, and asks hosts again that
did not answer before.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import fetch, registry


def prefetch(source: registry.Source) -> tuple[bool, str]:
    """Bring the files of `source` to this machine; whether that worked, and a line about it."""
    if not source.files:
        origin = (
            "generated when asked for" if source.generated else "bundled with Python's packages"
        )
        return True, f"{source.name}: always there, {origin}"
    try:
        root = _where(source)
        if root is None:
            root = fetch.cache_folder()
            fetch.download(source, root, patient=True, progress=True)
    except registry.DataError as error:
        return False, f"{source.name}: not there, a stand-in will be used: {error}"
    variants = [fetch.present(root, file) or file for file in source.files]
    size = sum(variant.size for variant in variants)
    return True, f"{source.name}: real, {size / 1e6:,.1f} MB in {root}"


def _where(source: registry.Source) -> Path | None:
    """The folder that already holds every file of `source`, undamaged."""
    for root in (fetch.given_folder(), fetch.cache_folder()):
        if root is not None and all(fetch.is_whole(root, file) for file in source.files):
            return root
    return None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m dlbook_utils.data", description=__doc__.split("\n")[0]
    )
    parser.add_argument("name", nargs="*", help=f"one of {', '.join(registry.SETS)}")
    names = parser.parse_args(arguments).name or list(registry.SETS)
    try:
        sources = [registry.find(name) for name in names]
        fetch.given_folder()
    except (ValueError, registry.DataError) as error:
        parser.error(str(error))
    complete = True
    for source in sources:
        there, line = prefetch(source)
        complete &= there
        print(line, flush=True)
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
