"""What `make book` remembers of earlier builds: nothing stale, and no build that failed."""

import sys

import pytest

from tools import book


@pytest.fixture
def building(tmp_path, monkeypatch):
    """Build in `tmp_path`; returns the function, which says whether old pages were there."""
    state = {"is": "a", "status": 0}
    pages = tmp_path / "_build" / "html" / "page.html"
    monkeypatch.setattr(book, "state", lambda: state["is"])
    monkeypatch.setattr(book, "execute", lambda paths: [])
    monkeypatch.setattr(book.subprocess, "run", lambda *a, **k: None)
    monkeypatch.setattr(sys, "argv", ["book", "--out", str(tmp_path)])

    def build(**changes):
        state.update(changes)
        kept = []

        def sphinx(*arguments):
            kept.append(pages.exists())
            pages.parent.mkdir(parents=True, exist_ok=True)
            pages.touch()
            return state["status"]

        monkeypatch.setattr(book, "build", sphinx)
        assert book.main() == state["status"]
        return kept == [True]

    return build


def test_pages_are_kept_while_nothing_has_changed(building):
    assert not building()
    assert building()


def test_pages_are_made_anew_when_package_records_or_data_have_changed(building):
    building()
    assert not building(**{"is": "b"})


def test_pages_of_a_build_that_failed_are_made_anew(building):
    building(status=1)
    assert not building(status=1)  # it would warn of nothing if it read nothing
    assert not building(status=0)
    assert building()
