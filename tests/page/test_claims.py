"""Claims: what they accept, what they show, when they raise."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from dlbook_utils.page import claims
from dlbook_utils.page.claims import ClaimFailed, check, check_answer, claim, glue, verdict


@dataclass
class Data:
    real: bool


@pytest.fixture
def shown(monkeypatch):
    """Collect the MIME bundles that would be displayed."""
    bundles = []
    monkeypatch.setattr(
        claims, "display_bundle", lambda bundle, metadata=None: bundles.append(bundle)
    )
    monkeypatch.delenv("DLBOOK_STRICT", raising=False)
    return bundles


@pytest.mark.parametrize("true", [True, np.True_, np.array(True), torch.tensor(True)])
def test_one_bool_of_any_library_is_accepted(shown, true):
    check("fine", true)
    assert shown[0][claims.MIME]["supported"] is True


@pytest.mark.parametrize(
    "bad", [1, 0.5, None, "yes", [True], np.array([True]), torch.tensor([True]), torch.tensor(1)]
)
def test_anything_but_one_bool_is_a_type_error(shown, bad):
    with pytest.raises(TypeError, match="holds must be one bool"):
        check("not a bool", bad)
    assert shown == []


def test_a_failing_claim_raises_in_strict_mode_with_its_evidence(shown, monkeypatch):
    monkeypatch.setenv("DLBOOK_STRICT", "1")
    with pytest.raises(ClaimFailed, match=r"water is dry \[n = 7\]"):
        claim("water is dry", False, evidence="n = 7")
    assert shown[0][claims.MIME]["outcome"] == "fails"


def test_a_failing_claim_is_gentle_with_a_reader_who_plays(shown):
    claim("water is dry", False, evidence="n = 7")
    for text in (shown[0]["text/plain"], shown[0]["text/html"]):
        assert "does not hold with your settings" in text
        assert "n = 7" in text
    assert "red" not in shown[0]["text/html"]


@pytest.mark.parametrize("strict", ["0", "1"])
def test_without_the_real_data_nothing_is_tested(shown, monkeypatch, strict):
    monkeypatch.setenv("DLBOOK_STRICT", strict)
    claim("needs data", False, evidence="x", needs=(Data(True), Data(False)))
    assert shown[0][claims.MIME]["supported"] is None
    assert "not tested in this run" in shown[0]["text/plain"]
    claim("has data", True, evidence="x", needs=Data(True))
    assert shown[1][claims.MIME]["supported"] is True


def test_a_claim_needs_evidence_and_a_headline_its_sabotage(shown):
    with pytest.raises(ValueError, match="no evidence"):
        claim("trust me", True, evidence=" ")
    with pytest.raises(ValueError, match="breaks_if"):
        claim("big", True, evidence="n = 3", headline=True)
    with pytest.raises(ValueError, match="breaks_if"):
        claim("small", True, evidence="n = 3", breaks_if="the bias is dropped")


def test_a_verdict_names_a_known_saying_and_what_it_depends_on(shown):
    verdict("deeper-is-better", "depends", True, on="shortcuts", evidence="n = 5")
    item = shown[0][claims.MIME]
    assert item["statement"] == "Deeper is better"
    assert (item["outcome"], item["on"]) == ("depends", "shortcuts")
    with pytest.raises(ValueError, match="did you mean 'perceptron-xor'"):
        verdict("perceptrons-xor", "holds", True, evidence="x")
    with pytest.raises(ValueError, match="not 'maybe'"):
        verdict("perceptron-xor", "maybe", True, evidence="x")
    with pytest.raises(ValueError, match="say what it depends on"):
        verdict("perceptron-xor", "depends", True, evidence="x")
    with pytest.raises(ValueError, match="say what it depends on"):
        verdict("perceptron-xor", "holds", True, on="x", evidence="x")


def test_a_claim_says_which_record_it_reads_and_where_its_test_was_fixed(shown):
    claim("short", True, evidence="n = 5", recorded="generative")
    verdict("deeper-is-better", "holds", True, evidence="n = 9", fixed="records/rules.md")
    claim("now", True, evidence="n = 3")
    first, second, third = (bundle["text/plain"] for bundle in shown)
    assert "(n = 5; read from records/generative.jsonl)" in first
    assert "(n = 9; fixed beforehand in records/rules.md)" in second
    assert third.endswith("(n = 3)")
    assert "read from records/generative.jsonl" in shown[0]["text/html"]
    assert shown[0][claims.MIME]["recorded"] == "generative"
    assert shown[2][claims.MIME]["recorded"] == shown[2][claims.MIME]["fixed"] == ""


def test_a_verdict_that_the_numbers_do_not_support_fails(shown, monkeypatch):
    monkeypatch.setenv("DLBOOK_STRICT", "1")
    with pytest.raises(ClaimFailed):
        verdict("perceptron-xor", "does not hold", False, evidence="0 of 100")
    assert shown[0][claims.MIME]["outcome"] == "fails"


def test_statements_are_escaped_in_html(shown):
    claim("x < y & z", True, evidence="<b>1</b>")
    assert "x &lt; y &amp; z" in shown[0]["text/html"]
    assert "<b>1</b>" not in shown[0]["text/html"]


def test_without_a_notebook_the_plain_text_is_printed(capsys, monkeypatch):
    monkeypatch.setenv("DLBOOK_STRICT", "0")
    check("ours equals theirs", True)
    glue("unused", 3)
    assert capsys.readouterr().out == "✓ ours equals theirs\n"


def boom(answer):
    raise KeyError(answer)


@pytest.mark.parametrize(
    ("answer", "test", "says"),
    [
        (..., bool, "not yet. Replace the dots"),
        (None, bool, "not yet. Replace the dots"),
        (41, lambda a: a == 42, "not yet. That is not"),
        (42, lambda a: a == 42, "correct."),
        (1, boom, "not yet (KeyError"),
        (torch.ones(2), lambda a: a > 0, "not yet (RuntimeError"),
    ],
)
def test_check_answer_never_raises(capsys, answer, test, says):
    check_answer("Exercise 1", answer, test)
    assert f"Exercise 1: {says}" in capsys.readouterr().out


def test_glue_keeps_a_text_as_it_is(monkeypatch):
    import ast

    kept = []
    monkeypatch.setattr(
        claims, "display_bundle", lambda bundle, metadata: kept.append((bundle, metadata))
    )
    glue("count", "6,570")
    bundle, metadata = kept[0]
    (value,) = bundle.values()
    assert ast.literal_eval(value) == "6,570"  # myst-nb evaluates it: not a tuple
    assert metadata["scrapbook"]["name"] == "count"
