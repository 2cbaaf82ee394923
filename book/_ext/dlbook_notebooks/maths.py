"""Mathematics that every Markdown viewer shows: own macros expanded, numbers as tags."""

from __future__ import annotations

import re


def expand(tex: str, known: dict[str, str], depth: int = 0) -> str:
    """Replace the book's own macros by what they stand for, with their arguments."""
    if depth > 9:
        raise ValueError(f"a macro calls itself in {tex!r}")
    match = re.search("|".join(rf"{re.escape(name)}(?![A-Za-z])" for name in known), tex)
    if not known or not match:
        return tex
    body = known[match[0]]
    count = max((int(n) for n in re.findall(r"#(\d)", body)), default=0)
    arguments, rest = _arguments(tex[match.end() :], count)
    for number, argument in enumerate(arguments, 1):
        body = body.replace(f"#{number}", argument)
    if re.search(r"[_^]\s*$", tex[: match.start()]):
        body = f"{{{body}}}"  # x_\R must not become x_\mathbb{R}
    # \norm x must not become \lVert followed by x as one command
    gap = " " if re.search(r"\\[A-Za-z]+$", body) and re.match(r"[A-Za-z]", rest) else ""
    return tex[: match.start()] + expand(body, known, depth + 1) + gap + expand(rest, known, depth)


def display(tex: str, number: str = "") -> str:
    """Return a displayed equation, numbered if it has a number."""
    lines = [line.rstrip() for line in tex.strip().split("\n") if line.strip()]
    if number:
        lines[-1] += rf" \tag{{{number}}}"
    return "\n".join(["$$", *lines, "$$"])


def _arguments(tex: str, count: int) -> tuple[list[str], str]:
    """Take `count` arguments, each {a group}, a command or one character, off the front of tex."""
    arguments: list[str] = []
    for _ in range(count):
        tex = tex.lstrip()
        token = re.match(r"\\[A-Za-z]+|\\?.", tex)
        if token is None:
            raise ValueError(f"a macro has {len(arguments)} arguments, and needs {count}")
        end = _group_end(tex) if tex.startswith("{") else token.end()
        arguments.append(tex[1 : end - 1] if tex.startswith("{") else tex[:end])
        tex = tex[end:]
    return arguments, tex


def _group_end(tex: str) -> int:
    """Return the index behind the brace that closes the one at the front."""
    depth = 0
    for match in re.finditer(r"\\.|[{}]", tex):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    raise ValueError(f"no closing brace in {tex!r}")
