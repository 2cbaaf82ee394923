"""Claims: the sentences of the book that are tested whenever its chapters run.

``check`` is for identities (ours equals PyTorch's), ``claim`` for what was measured, ``verdict``
for what people repeat. One whose numbers come from a record says which (``recorded``), and one
whose test was written down before its data were seen says where (``fixed``); without these, what is
stated was measured in this run, and was found by trying. Each shows a quiet box under its cell.
Under ``DLBOOK_STRICT=1``, which the book's build and its tests set, one that fails raises
:class:`ClaimFailed` with its evidence. For a
reader who plays with the settings nothing is raised: the box says so and shows the numbers.
"""

from __future__ import annotations

import difflib
import html
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from dlbook_utils.page import palette
from dlbook_utils.page.notebook import display_bundle, say, strict
from dlbook_utils.page.sayings import SAYINGS

MIME = "application/vnd.dlbook.claim+json"
OUTCOMES = ("holds", "depends", "does not hold")
EDGES = {True: "good", False: "warn", None: "muted"}  # colours of a box, by `supported`
GLUE = "application/papermill.record/"


class ClaimFailed(AssertionError):
    """A check, claim or verdict of the book that is not supported by what was just measured."""


@dataclass(frozen=True)
class Claim:
    """What a box shows and the claims page collects."""

    kind: str  # check, claim or verdict
    statement: str
    evidence: str = ""
    outcome: str = "holds"  # one of OUTCOMES, "fails" or "not tested"
    supported: bool | None = True  # None: not tested in this run
    on: str = ""  # what a verdict "depends" on
    headline: bool = False
    breaks_if: str = ""  # the sabotage under which a headline claim fails
    saying: str = ""  # id in sayings.SAYINGS
    margin: float | None = None  # standard errors between what was measured and the bound
    recorded: str = ""  # the record that the numbers come from; "": measured in this run
    fixed: str = ""  # where the test was fixed before its data were seen; "": exploratory


def check(statement: str, holds: Any) -> None:
    """State an identity, such as "our gradient equals autograd's"; one grey line in the page.

    ``holds`` is one bool (Python, NumPy, or a 0-d tensor of dtype bool). Raises TypeError for
    anything else and, under ``DLBOOK_STRICT=1``, ClaimFailed if it is False.
    """
    supported = _one_bool(holds)
    _show(Claim("check", statement, supported=supported, outcome=_word(supported)))


def claim(
    statement: str,
    holds: Any,
    *,
    evidence: str,
    headline: bool = False,
    breaks_if: str = "",
    needs: Any = (),
    margin: float | None = None,
    recorded: str = "",
    fixed: str = "",
) -> None:
    """State something measured, with its evidence: effect, n, interval.

    Arguments:
        statement: the sentence as the prose says it.
        holds: one bool (Python, NumPy, or a 0-d tensor of dtype bool).
        evidence: the computed numbers behind it.
        headline: whether this is the page's main claim. It then names what would break it.
        breaks_if: the sabotage that ``make test-claims`` applies, in words.
        needs: data sets (one or several) without whose real version nothing is tested.
        margin: distance between the measured value and the bound, in standard errors.
        recorded: name of the record (``records/<name>.jsonl``) that the numbers come from, if
            they were not measured in this run.
        fixed: the file that fixed the test before its data were seen, if one did.

    Raises ValueError without evidence, or when ``headline`` and ``breaks_if`` do not come together;
    ClaimFailed under ``DLBOOK_STRICT=1`` if the claim fails.
    """
    _demand_evidence(statement, evidence)
    if headline != bool(breaks_if):
        raise ValueError("a headline claim says what breaks it (breaks_if=...), and only it does")
    supported: bool | None = _one_bool(holds)
    if not all(dataset.real for dataset in _several(needs)):
        supported, evidence = None, "needs the real data, which are not at hand here"
    _show(
        Claim(
            "claim",
            statement,
            evidence,
            _word(supported),
            supported,
            headline=headline,
            breaks_if=breaks_if,
            margin=None if margin is None or supported is None else float(margin),
            recorded=recorded,
            fixed=fixed,
        )
    )


def verdict(
    saying: str,
    outcome: str,
    holds: Any,
    *,
    evidence: str,
    on: str = "",
    needs: Any = (),
    recorded: str = "",
    fixed: str = "",
) -> None:
    """Judge a sentence that people repeat: it holds, depends (on what), or does not hold.

    Arguments:
        saying: its id in :data:`dlbook_utils.page.sayings.SAYINGS`.
        outcome: "holds", "depends" or "does not hold".
        holds: one bool, whether what was measured supports that outcome.
        evidence: the computed numbers behind it.
        on: what it depends on; given when, and only when, the outcome is "depends".
        needs: data sets without whose real version nothing is tested.
        recorded, fixed: as for a claim.
    """
    if saying not in SAYINGS:
        near = difflib.get_close_matches(saying, SAYINGS, n=1, cutoff=0)
        raise ValueError(f"no saying has the id {saying!r}; did you mean {near[0]!r}?")
    if outcome not in OUTCOMES:
        raise ValueError(f"a verdict is one of {', '.join(OUTCOMES)}, not {outcome!r}")
    if (outcome == "depends") != bool(on):
        raise ValueError("say what it depends on (on=...) when, and only when, it depends")
    _demand_evidence(SAYINGS[saying], evidence)
    supported: bool | None = _one_bool(holds)
    if not all(dataset.real for dataset in _several(needs)):
        supported, evidence = None, "needs the real data, which are not at hand here"
    shown = "not tested" if supported is None else outcome if supported else "fails"
    _show(
        Claim(
            "verdict",
            SAYINGS[saying],
            evidence,
            shown,
            supported,
            on=on,
            saying=saying,
            recorded=recorded,
            fixed=fixed,
        )
    )


def glue(name: str, value: Any) -> None:
    """Keep a computed value under a name, for the prose to quote with ``{glue:text}`` (myst-nb).

    The value is shown as ``str(value)``: format it first, as in ``glue("acc", f"{acc:.1%}")``.
    """
    display_bundle(
        {GLUE + "text/plain": repr(str(value))},  # a literal: myst-nb evaluates it
        metadata={"scrapbook": {"name": name, "mime_prefix": GLUE}},
    )


def check_answer(name: str, answer: Any, test: Callable[[Any], Any]) -> None:
    """Tell a reader whether an own answer to an exercise is right; never raises.

    Arguments:
        name: the exercise, for the message.
        answer: the reader's value or function; ``...`` or None stands for "no answer yet". A
            function whose body is only ``...`` returns None and counts as unanswered, too, if
            the test fails on it.
        test: called with the answer; its truth says whether the answer is right.
    """
    if answer is ... or answer is None:
        say(f"{name}: not yet. Replace the dots, and run the cell again.")
        return
    try:
        right = bool(test(answer))
    except Exception as error:  # the reader's code may do anything
        say(f"{name}: not yet ({type(error).__name__}: {error})")
        return
    say(f"{name}: correct." if right else f"{name}: not yet. That is not the expected result.")


def _one_bool(holds: Any) -> bool:
    """Return a Python bool for a bool of Python, NumPy or torch, and refuse anything else."""
    dtype = str(getattr(holds, "dtype", type(holds).__name__))
    if dtype in ("bool", "torch.bool") and getattr(holds, "shape", ()) == ():
        return bool(holds)
    raise TypeError(f"holds must be one bool (Python, NumPy or 0-d tensor), not {holds!r}")


def _several(datasets: Any) -> Iterable[Any]:
    return datasets if isinstance(datasets, (tuple, list)) else (datasets,)


def _demand_evidence(statement: str, evidence: str) -> None:
    if not isinstance(evidence, str) or not evidence.strip():
        raise ValueError(f"no evidence for {statement!r}: give the measured numbers as a string")


def _word(supported: bool | None) -> str:
    return {True: "holds", False: "fails", None: "not tested"}[supported]


def _show(item: Claim) -> None:
    display_bundle({"text/plain": _plain(item), "text/html": _box(item), MIME: asdict(item)})
    if item.supported is False and strict():
        raise ClaimFailed(f"{item.statement} [{item.evidence or 'no evidence given'}]")


def _says(item: Claim) -> str:
    """Return the box's one word on how it went."""
    if item.supported is None:
        return "not tested in this run"
    if not item.supported:
        return "does not hold with your settings"
    return f"depends on {item.on}" if item.outcome == "depends" else item.outcome


def origin(recorded: str, fixed: str) -> str:
    """Say where a claim's numbers come from, if not from this run, and who fixed its test."""
    parts = [f"read from records/{recorded}.jsonl"] if recorded else []
    parts += [f"fixed beforehand in {fixed}"] if fixed else []
    return ", ".join(parts)


def _plain(item: Claim) -> str:
    mark = {True: "✓", False: "✗", None: "–"}[item.supported]
    if item.kind == "check" and item.supported:
        return f"{mark} {item.statement}"
    evidence = _join(item.evidence, origin(item.recorded, item.fixed))
    tail = f" ({evidence})" if evidence else ""
    return f"{mark} {item.statement}: {_says(item)}{tail}"


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def _box(item: Claim) -> str:
    """Return the box as HTML that is legible on a light and on a dark page alike."""
    statement = html.escape(item.statement)
    evidence = html.escape(_join(item.evidence, origin(item.recorded, item.fixed)))
    if item.kind == "check" and item.supported:
        return f'<div style="opacity:.7;font-size:90%">✓ {statement}</div>'
    edge = palette.SITE[EDGES[item.supported]].either
    line = f'<br><small style="opacity:.8">{evidence}</small>' if evidence else ""
    return (
        f'<div style="border-left:3px solid {edge};padding:.2em .8em;margin:.4em 0">'
        f"<b>{statement}</b> <i>({html.escape(_says(item))})</i>{line}</div>"
    )
