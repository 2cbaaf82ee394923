"""Importing the package stays cheap: what is heavy is imported where it is used."""

import subprocess
import sys

import pytest

from dlbook_utils import page

HEAVY = ("torchvision", "sklearn", "scipy", "matplotlib", "pooch", "ipywidgets", "babel", "IPython")
LIGHT = (
    *("dlbook_utils.data.augment", "dlbook_utils.foundations.linear", "dlbook_utils.records"),
    *("dlbook_utils.page.claims", "dlbook_utils.page.devices", "dlbook_utils.page.guards"),
)


def imported(code: str, names: tuple[str, ...]) -> str:
    """Which of these modules are there after a program has run."""
    code = f"import sys\n{code}\nprint([m for m in {names!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_nothing_heavy_is_imported_with_the_package():
    imports = "\n".join(f"import {name}" for name in LIGHT)
    assert imported(imports, HEAVY) == "[]"


def test_a_page_pays_for_what_it_asks_for():
    assert imported("from dlbook_utils.page import check, claim", ("torch", *HEAVY)) == "[]"
    light = "from dlbook_utils.page import device, generator, progress"
    assert imported(light, ("torch", *HEAVY)) == "['torch']"


def test_the_state_of_the_data_needs_no_torch():
    assert imported("import dlbook_utils.data as d; d.fingerprint()", ("torch",)) == "[]"


def test_a_room_offers_what_it_names_and_nothing_else():
    for name in page.__all__:
        assert name == "COLORS" or getattr(page, name).__module__.startswith("dlbook_utils.page.")
    assert dir(page) == sorted(page.__all__)
    with pytest.raises(AttributeError, match="no attribute 'chekc'"):
        page.chekc
