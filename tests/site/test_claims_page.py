"""The page of claims tells how each fared under other seeds, threads and processors."""

import pytest
from dlbook_site import claims

from dlbook_utils.records import ledger

MADE = dict.fromkeys(ledger.PROVENANCE, "")


def tried(page, statement, held, least, runs=12):
    row = {"statement": statement, "held": held, "runs": runs, "least": least}
    return MADE | {"key": f"{page} {held}", "page": page, "claims": [row]}


@pytest.fixture
def record(tmp_path):
    path = tmp_path / "robust.jsonl"
    ledger.append(path, tried("book/a", "water is wet", 11, 3.25))
    ledger.append(path, tried("book/b", "water is wet", 10, None))
    ledger.append(path, tried("book/a", "water is wet", 12, 4.125))
    return path


def test_a_page_and_its_statement_lead_to_the_last_runs(record):
    words = claims.elsewhere(record)
    runs = "runs over seeds, threads and processors"
    assert words == {
        ("book/a", "water is wet"): f"held in 12 of 12 {runs}, least margin 4.1 standard errors",
        ("book/b", "water is wet"): f"held in 10 of 12 {runs}",
    }


def test_without_a_record_nothing_is_told(tmp_path):
    assert claims.elsewhere(tmp_path / "robust.jsonl") == {}


@pytest.mark.parametrize("kind", ["claim", "verdict"])
def test_the_row_of_a_claim_tells_it(kind):
    from types import SimpleNamespace

    title = SimpleNamespace(astext=lambda: "A")
    app = SimpleNamespace(
        builder=SimpleNamespace(get_relative_uri=lambda here, page: page),
        env=SimpleNamespace(titles={"book/a": title}),
    )
    item = dict.fromkeys((*claims.KEPT, *claims.MAY_LACK), "")
    item |= {"kind": kind, "id": "x", "headline": False, "elsewhere": "held in 12 of 12 runs"}
    row = (claims._claim_row if kind == "claim" else claims._verdict_row)(
        app, "book/claims", "book/a", item
    )
    text = row.astext() if kind == "claim" else " ".join(node.astext() for node in row)
    assert "held in 12 of 12 runs" in text
