r"""Where sentences end in a paragraph of MyST-Markdown.

`lines` takes a paragraph as it stands and returns it with one sentence per line. It splits only at
white space, and only outside of code, mathematics, roles, link targets and tags, so the paragraph
reads the same to a parser; a line break that is meant (two spaces or a backslash) stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# What no line may be broken in, and in whose inside a full stop ends no sentence.
WHOLE = re.compile(
    r"""
    (?P<maths>\${1,2})(?!\$)(?:\\.|[^\\$])+?(?P=maths)       # $a$, $$a$$
  | (?:\{[\w:.+-]+\})?(?P<tick>`+)(?!`).+?(?<!`)(?P=tick)(?!`)  # `code`, {role}`text`
  | \\[^\n]                                                  # an escaped character
  | !?\[(?:[^\[\]]|\[[^\[\]]*\])*\]\((?:[^()]|\([^()]*\))*\)  # a [link](address), an image
  | \[\^[^\]\n]+\]                                           # a footnote's mark
  | <[A-Za-z/!][^<>]*>                                       # a tag, an address
  | \{\{.*?\}\}                                              # a substitution
    """,
    re.X | re.S,
)
HIDDEN = "\ue000"  # stands for every character of such a piece while sentences are looked for

OPENING, CLOSING = "\"'“‘(\\[*_", "\"'”’»)\\]*_"
# A full stop, what closes after it, white space; then the mark of a part, "(b) Show that", or what
# opens before the next sentence and its first character (HIDDEN for mathematics and code).
END = re.compile(
    rf"(?P<stop>[.!?…]+)(?P<closed>[{CLOSING}]*){HIDDEN}*(?P<space>\s+)"
    rf"(?=\((?P<part>[a-z])\)\s|[{OPENING}]*(?P<first>[\w{HIDDEN}]))"
)
WORD = re.compile(r"(?:[A-Za-z]\.)*[A-Za-z]+$")
NEXT = re.compile(r"\w+")
NUMBER = re.compile(r"(?:^[*_]*|[.!?]\s|\s[*_]+)\d+$")  # "**1. Count them.**" is no sentence "1."
INITIALS = re.compile(r"(?:[A-Z]\.)*[A-Z]")
# An initial stands before a name: "E. Wilson", but "of A and B. The rest".
NO_NAMES = {
    *("A", "An", "And", "As", "At", "Both", "But", "By", "Each", "For", "From", "Here", "How"),
    *("If", "In", "Is", "It", "Its", "No", "Not", "Now", "On", "One", "So", "That", "The", "Then"),
    *("There", "These", "They", "This", "To", "Two", "We", "What", "When", "Where", "Which"),
    *("Why", "You"),
}
NEVER = {
    *("e.g", "i.e", "cf", "vs", "viz", "resp", "approx", "ca", "incl", "excl", "w.r.t"),
    *("Dr", "Mr", "Mrs", "Ms", "Prof", "St"),
}
IN_A_SENTENCE = {"al", "avg", "etc", "max", "min", "std"}  # before a small letter
# "No. 5" and "et al. (1986)" go on; "No. The net" does not.
BEFORE_A_NUMBER = {
    *("al", "art", "ch", "chap", "def", "eq", "eqs", "ex", "fig", "figs", "no", "nos", "p", "pp"),
    *("sec", "secs", "tab", "thm", "v", "ver", "vol"),
}

# What Markdown and MyST would read as the start of a block if a line began with it.
BLOCK = re.compile(
    r"""(?:\d+[.)]|[-+*])(?:\s|$) | \#{1,6}(?:\s|$) | > | `{3} | ~{3} | :{3} | \${2} | \| | %
    | \+{3} | (?:=+|-+)\s*$ | (?:[-*_]\s*){3,}$ | :\s | :[\w-]+: | \([^()\s]+\)=\s*$
    | \[[^\]]+\]: | </?[A-Za-z!?] | \\begin\{ | \{[^}`]*\}\s*$""",
    re.X,
)


def lines(paragraph: str) -> list[str]:
    """Return a paragraph (its own lines stripped of what indents them) one sentence per line."""
    result = []
    for part in _between_breaks(paragraph):
        result += split(re.sub(r"[ \t]*\n[ \t]*", " ", part.lstrip()))
    return result


def split(text: str) -> list[str]:
    """Return the sentences of a text of one line."""
    hidden = _hidden(text)
    starts = [0, *(match.end("space") for match in END.finditer(hidden) if _ends(match))]
    starts = [at for at in starts if at == 0 or not BLOCK.match(text[at:])]
    pieces = [text[start:stop] for start, stop in zip(starts, [*starts[1:], None])]
    return [piece.rstrip() for piece in pieces[:-1]] + pieces[-1:]


def _hidden(text: str) -> str:
    return WHOLE.sub(lambda piece: HIDDEN * len(piece[0]), text)


def _between_breaks(paragraph: str) -> Iterator[str]:
    """Yield the parts of a paragraph between the line breaks that are meant."""
    hidden, start = _hidden(paragraph), 0
    for newline in re.finditer("\n", hidden):
        if hidden[start : newline.start()].endswith(("  ", "\\")):
            yield paragraph[start : newline.start()]
            start = newline.end()
    yield paragraph[start:]


def _ends(match: re.Match[str]) -> bool:
    """Return whether a full stop ends its sentence: not after an abbreviation or an initial."""
    if match["part"]:
        return True
    before = match.string[: match.start("stop")]
    if match["stop"].endswith(("..", "…")):
        return match["first"].isupper()  # "1, 2, ... 10" goes on
    word = WORD.search(before)
    if match["first"].islower() and not (word and match["stop"] + match["closed"] == "."):
        return False  # "(why?) and", "the mark '.' ends"
    if match["stop"] != "." or word is None:
        return NUMBER.search(before) is None
    return not _goes_on(word[0], match)


def _goes_on(word: str, match: re.Match[str]) -> bool:
    """Return whether a sentence goes on after a word with a full stop."""
    number = match["first"].isdigit() or match["first"] == HIDDEN
    if INITIALS.fullmatch(word) and match["first"].isalpha():
        following = NEXT.search(match.string, match.start("first"))
        return following is not None and following[0] not in NO_NAMES
    return (
        word in NEVER
        or (number and word.lower() in BEFORE_A_NUMBER)
        or (match["first"].islower() and word in IN_A_SENTENCE | BEFORE_A_NUMBER)
    )
