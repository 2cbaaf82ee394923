"""Fair changes: a claim that one of them flips is found out."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tools import fair

CLAIM = """\
from dlbook_utils.page import claim, check
claim("steps stay below ten", STEPS < 10, evidence=f"{STEPS} steps")
"""
MORE = {"replace": "STEPS = 1", "by": "STEPS = 5"}
LATER = "raise SystemError('a cell after the claim is not run')"


@pytest.fixture
def chapter(monkeypatch, tmp_path):
    """A way to make a chapter of some cells, the second of which names fair changes."""
    monkeypatch.setenv("DLBOOK_STRICT", "0")

    def make(*sources, changes=(MORE,)):
        cells = [new_code_cell(source) for source in (*sources, LATER)]
        cells[1].metadata["dlbook"] = {"fair": list(changes)}
        monkeypatch.setattr(fair, "read", lambda path: new_notebook(cells=list(cells)))
        return tmp_path / "a.md"

    return make


def outcomes(path):
    return [fair.flipped(path, change) for change in fair.fair_changes(fair.read(path))]


def test_a_claim_that_holds_under_a_fair_change_passes(chapter, capsys):
    assert outcomes(chapter("STEPS = 1", CLAIM)) == [""]
    assert "holds: steps stay below ten (5 steps)" in capsys.readouterr().out


def test_a_claim_that_a_fair_change_flips_is_found_out(chapter):
    more = MORE | {"by": "STEPS = 50"}
    path = chapter("STEPS = 1", CLAIM, changes=[MORE, more])
    assert outcomes(path) == ["", "no longer holds: steps stay below ten (50 steps)"]


def test_a_claim_that_needs_data_which_are_not_there_is_not_tested(chapter):
    stand_in = "class Set: real, name = False, 'names'\n"
    path = chapter("STEPS = 1", stand_in + CLAIM.replace("evidence", "needs=Set, evidence"))
    assert outcomes(path)[0].startswith("not tested: ")


def test_a_change_that_hits_nothing_or_breaks_the_page_is_found_out(chapter):
    path = chapter("STEPS = 1", CLAIM, changes=[MORE | {"replace": "STEPS = 3"}])
    assert "no code cell holds the text" in outcomes(path)[0]
    path = chapter("STEPS = 1", CLAIM, changes=[MORE | {"by": "STEPS = 1 / 0"}])
    assert "ZeroDivisionError" in outcomes(path)[0]


def test_a_change_at_a_cell_that_claims_nothing_is_found_out(chapter):
    path = chapter("STEPS = 1", "from dlbook_utils.page import check\ncheck('one', STEPS > 0)")
    assert outcomes(path) == ["the cell makes no claim and gives no verdict"]


def test_an_entry_with_other_words_is_refused(chapter):
    path = chapter("STEPS = 1", CLAIM, changes=[{"replace": "STEPS = 1", "with": "STEPS = 5"}])
    with pytest.raises(TypeError, match="'with'"):
        fair.fair_changes(fair.read(path))
