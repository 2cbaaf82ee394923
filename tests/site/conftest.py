"""What the tests of the site share."""

from __future__ import annotations

import pytest

from tools import assets


@pytest.fixture(scope="session")
def browser_assets():
    """KaTeX and the fonts, as the build has them."""
    assets.main()
