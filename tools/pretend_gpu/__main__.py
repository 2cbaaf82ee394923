"""Run chapters as on a machine with a CUDA device: real arithmetic, and a GPU's rules on devices.

usage: python -m tools.pretend_gpu [--budget gpu] [--write] [NAME ...]

NAME (default: all) is a notebook's, such as `foundations/mlp`. Each runs in a process of its own,
as a plain script, with the CPU's budget. Where one breaks off is told, and what computes on the
CPU although it need not: training, and products of large tensors. `on_cpu.toml` lists the places
that may, each with its reason; what differs from it is an error. With --write it is rewritten for
the chapters that ran: reasons are kept, and what is new has none yet.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

from tools.records import chapters

ON_CPU = Path(__file__).with_name("on_cpu.toml")
NO_REASON = "to be moved"
HEAD = """# What computes on the CPU where there is a GPU, and why (a test compares).
# `python -m tools.pretend_gpu --write NAME ...` rewrites the places; the reasons are yours.
"""
Places = dict[str, dict[str, str]]  # chapter -> place -> reason


def main(arguments: list[str] | None = None, list_file: Path = ON_CPU) -> int:
    parser = argparse.ArgumentParser("python -m tools.pretend_gpu", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--budget", choices=("cpu", "gpu"), default="cpu", help="default: cpu")
    parser.add_argument("--write", action="store_true", help="rewrite the list of what stays")
    parser.add_argument(
        "--chapter-seconds", type=float, default=1200, help="stop a chapter after so long"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        Path(options.child).write_text(json.dumps(run(options.names[0])))
        return 0
    names = options.names or chapters.chapter_names()
    if unknown := sorted(set(names) - set(chapters.chapter_names())):
        print(f"no chapter {', '.join(unknown)}; there are {', '.join(chapters.chapter_names())}")
        return 2
    places, wrong = read(list_file), 0
    for name in names:
        outcome = in_a_process(name, options.budget, options.chapter_seconds)
        print(summary(name, outcome), flush=True)
        wrong += bool(outcome["error"])
        if options.write and not outcome["error"]:
            places = updated(places, name, outcome["stays"])
            write(list_file, places)
        elif options.budget == "cpu" and not outcome["error"]:
            differs = differences(places.get(name, {}), outcome["stays"])
            print("".join(f"  {line}\n" for line in differs), end="", flush=True)
            wrong += bool(differs)
    return int(wrong > 0)


def in_a_process(name: str, budget: str, limit: float) -> dict[str, Any]:
    """Run a chapter in a process of its own that sees a pretended GPU."""
    settings = {"DLBOOK_BUDGET": budget}
    outcome = chapters.in_a_process(name, "cpu", limit, "tools.pretend_gpu", settings)
    return {"stays": {}} | outcome


def run(name: str) -> dict[str, Any]:
    """Run a chapter in this process; see chapters.run. "stays" is what computed on the CPU."""
    from tools.pretend_gpu.watch import watched_gpu

    began = time.process_time()
    with watched_gpu() as stays:
        outcome = chapters.run(chapters.NOTEBOOKS / f"{name}.ipynb")
    outcome["memory"].pop("gpu")  # there is none
    return outcome | {"stays": stays, "cpu seconds": time.process_time() - began}


def summary(name: str, outcome: dict[str, Any]) -> str:
    """A chapter's time, where it broke off, what does not hold, and what stays on the CPU."""
    ran = (
        "" if outcome["error"] else f"; {outcome['cpu seconds']:.1f} s of one core, ran to its end"
    )
    first, *rest = chapters.summary(name, outcome, cells=False).split("\n")
    stays = sorted(outcome["stays"].items())
    rest += [f"  on the CPU: {place} ({size:,} numbers)" for place, size in stays]
    return "\n".join([first + ran, *rest])


def differences(listed: dict[str, str], stays: dict[str, int]) -> list[str]:
    """In words, what stays on the CPU and is not listed, and what is listed and stays no more."""
    new = [f"NOT LISTED in {ON_CPU.name}: {place}" for place in sorted(stays.keys() - listed)]
    return new + [f"LISTED, but does not stay: {place}" for place in sorted(listed.keys() - stays)]


def updated(places: Places, name: str, stays: dict[str, int]) -> Places:
    """The list with a chapter's places as they are, their reasons as they were."""
    old = places.get(name, {})
    now = {place: old.get(place, NO_REASON) for place in sorted(stays)}
    rest = {chapter: there for chapter, there in places.items() if chapter != name}
    return dict(sorted((rest | {name: now}).items())) if now else rest


def read(file: Path) -> Places:
    """The list of what stays on the CPU."""
    return tomllib.loads(file.read_text("utf8")) if file.exists() else {}


def write(file: Path, places: Places) -> None:
    """Write the list, a table for each chapter."""
    lines = [HEAD]
    for chapter, there in places.items():
        lines += [f"[{json.dumps(chapter)}]"]
        lines += [f"{_quoted(place)} = {_quoted(reason)}" for place, reason in there.items()] + [""]
    file.write_text("\n".join(lines), "utf8")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
