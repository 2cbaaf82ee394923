"""Citations as a reader of plain Markdown wants them: names and year, linked to the work."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pybtex.database import Entry, Person, parse_file
from pybtex.richtext import Text

BIBLIOGRAPHY = "book/references.bib"


@dataclass(frozen=True)
class Work:
    """What a citation and a line of the reference list say about a work."""

    names: tuple[str, ...]  # last names
    people: tuple[str, ...]  # "Rosenblatt, F."
    year: str
    title: str
    venue: str
    url: str

    def author(self, full: bool = False) -> str:
        """Return "Minsky and Papert", or "Rumelhart et al." from three authors on."""
        if len(self.names) > 2 and not full:
            return f"{self.names[0]} et al."
        return _listed(self.names)

    def reference(self) -> str:
        """Return the entry of the reference list, in Markdown."""
        where = f" {self.venue}." if self.venue else ""
        link = f" <{self.url}>" if self.url else ""
        return f"{_listed(self.people)} ({self.year}). *{self.title}*.{where}{link}"


def works(root: Path) -> dict[str, Work]:
    """Return the works of the book's bibliography by key."""
    path = root / BIBLIOGRAPHY
    if not path.exists():
        return {}
    return {key: _work(entry) for key, entry in parse_file(str(path)).entries.items()}


def _work(entry: Entry) -> Work:
    people = entry.persons.get("author") or entry.persons.get("editor") or []
    return Work(
        names=tuple(
            _clean(" ".join(person.prelast_names + person.last_names)) for person in people
        ),
        people=tuple(_initials(person) for person in people),
        year=_clean(entry.fields.get("year", "n.d.")),
        title=_clean(entry.fields.get("title", "")),
        venue=_venue(entry),
        url=_url(entry),
    )


def _initials(person: Person) -> str:
    last = _clean(" ".join(person.prelast_names + person.last_names))
    first = [_clean(name) for name in person.first_names + person.middle_names]
    return ", ".join([last, " ".join(f"{name[0]}." for name in first)] if first else [last])


def _venue(entry: Entry) -> str:
    """Return where it appeared: journal, volume(number), pages; or book, publisher, school."""
    names = ("journal", "booktitle", "publisher", "school", "institution", "howpublished")
    place = next((_clean(entry.fields[name]) for name in names if name in entry.fields), "")
    volume = _clean(entry.fields.get("volume", ""))
    if volume and "number" in entry.fields:
        volume += f"({_clean(entry.fields['number'])})"
    pages = _clean(entry.fields.get("pages", "")).replace("--", "–")
    head = f"{place} {volume}".strip()
    return ", ".join(part for part in (head, f"pp. {pages}" if pages else "") if part)


def _url(entry: Entry) -> str:
    """Return the most lasting address: DOI, arXiv, URL."""
    if "doi" in entry.fields:
        return "https://doi.org/" + entry.fields["doi"].removeprefix("https://doi.org/")
    if entry.fields.get("eprint") and entry.fields.get("archiveprefix", "arXiv") == "arXiv":
        return "https://arxiv.org/abs/" + entry.fields["eprint"]
    url = entry.fields.get("url", "")
    return re.sub(r"^\\url\{(.*)\}$", r"\1", url).replace("\\_", "_").replace("\\%", "%")


def _clean(latex: str) -> str:
    """Return LaTeX of a bibliography as plain text, for example Sch{\\"o}lkopf as Schölkopf."""
    return " ".join(str(Text.from_latex(latex)).split())


def _listed(names: tuple[str, ...]) -> str:
    if len(names) < 3:
        return " and ".join(names)
    return ", ".join(names[:-1]) + " and " + names[-1]
