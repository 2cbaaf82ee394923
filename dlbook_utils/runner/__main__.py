"""Run a study, see how far it is, print its tables: `python -m dlbook_utils.runner run cifar10`.

    run NAME      go on with the study's grid, in order of value
    status NAME   what is recorded, under way, and missing
    test NAME     read the test set, once for each finished run whose weights are here
    costs NAME    operations, parameters, and inference times on this machine
    loading NAME  seconds to load and augment an epoch, as most do it and as the study does
    probe NAME    linear probes on the stages of finished runs whose weights are here
    report NAME   the tables, and the verdicts of the protocol
    merge NAME F  add runs that another machine recorded in F

Exit status: 0: done, or stopped in good order; 1: a run cannot go on; 2: the command makes no
sense, something that it needs is not here, or a file is damaged; 130: Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch

from dlbook_utils import records
from dlbook_utils.data import DataError
from dlbook_utils.page import devices
from dlbook_utils.records import ledger

from . import engine, grids, measure, models, report
from .feed import NoData
from .learner import KINDS
from .settings import AMPS, Setting
from .store import Place
from .together import Group, Impossible, from_environment

REFUSALS = (ledger.Damaged, engine.Mismatch, engine.NoGraph, Impossible, NoData, DataError)
ENDS = ("", "-test", "-costs", "-loading", "-probe")  # a study's records


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(arguments)
    try:
        return options.do(options, arguments) or 0
    except REFUSALS as error:
        return _end(2, f"{type(error).__name__}: {error}")
    except ModuleNotFoundError as error:
        library = (error.name or "").split(".")[0]
        if library in ("", "dlbook_utils"):
            raise
        return _end(2, f"this needs the library {library}, which is not installed here")
    except KeyboardInterrupt:
        return _end(130, "stopped; at most the current epoch is lost, the same command goes on")


def _end(status: int, message: str) -> int:
    print(message, file=sys.stderr, flush=True)
    return status


class Parser(argparse.ArgumentParser):
    """One that refuses in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def positive(text: str) -> int:
    """The number that a text gives, at least 1."""
    if not (text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    form = argparse.RawDescriptionHelpFormatter
    parser = Parser("python -m dlbook_utils.runner", description=__doc__, formatter_class=form)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name in (*VERBS, *MEASURES):
        verb = verbs.add_parser(name)
        verb.set_defaults(do=VERBS.get(name, _measure), measure=MEASURES.get(name))
        add = verb.add_argument
        add("study", choices=sorted(grids.STUDIES), metavar="NAME")
        records_and_rest = "records/ of a checkout of the book for records, the cache for the rest"
        add("--out", help=f"folder of records and weights (default: {records_and_rest})")
        if name == "run" or name in MEASURES:
            add("--device", help='"cpu", "cuda" ... (default: a GPU if there is one)')
            add("--threads", type=positive, help="of the CPU")
        if name in ("run", "status", "costs"):
            only = "only these models"
            add("--model", nargs="*", choices=models.MODELS, metavar="M", help=only)
        if name in ("run", "status"):
            _add_choices(add)
        if name == "run":
            _add_manners(add)
        if name == "merge":
            add("file", type=Path)
    return parser


def _add_choices(add: Callable[..., Any]) -> None:
    """What is done."""
    add("--arm", nargs="*", choices=grids.ARMS, metavar="ARM", help="only these arms")
    add("--seeds", nargs="*", type=int, help="only these seeds")
    add("--split", type=int, help="only this split")
    add("--examples", nargs="*", type=int, help="only these sizes")
    add("--amp", choices=AMPS, help="in this precision")
    tried = f'recorded as such (arm "{grids.TRY_OUT}"), and counted by no table and no verdict'
    add("--epochs", type=positive, help=f"for so many epochs, to try things out: {tried}")


def _add_manners(add: Callable[..., Any]) -> None:
    """How it is done."""
    add("--step", choices=("auto", *KINDS), default="auto")
    add("--compile", action="store_true", help="the same as --step compile")
    limit = "stop after an epoch, to be resumed, if the next would end later than that"
    add("--limit-seconds", type=float, help=f"{limit}; the first epoch is always done")
    add("--parallel", type=positive, default=1, help="so many runs at once")
    add("--list", action="store_true", help="only name the runs")


def _choice(options: Namespace) -> Callable[[Setting], bool]:
    """Which settings of the grid the options want, and the runs that these wait for.

    Raises Impossible for options that no run of the study fits.
    """
    plans = grids.plans(options.study)
    split = None if options.split is None else [options.split]
    asked = {"arm": options.arm, "model": options.model, "seed": options.seeds}
    asked |= {"split": split, "examples": options.examples}
    asked = {name: values for name, values in asked.items() if values is not None}
    for name, values in asked.items():
        known = sorted({getattr(plan, name) for plan in plans})
        for value in (value for value in values if value not in known):
            there = f"there are {', '.join(map(str, known))}"
            raise Impossible(f"no run of {options.study} has {name} {value}; {there}")

    def named(setting: Setting) -> bool:
        if options.arm is None and grids.ARMS[setting.arm].by_name_only:
            return False
        return all(getattr(setting, name) in values for name, values in asked.items())

    if not any(map(named, plans)):
        both = ", ".join(f"{name} {' or '.join(map(str, v))}" for name, v in asked.items())
        raise Impossible(f"no run of {options.study} has all of {both}")
    awaited = {
        (arm, plan.model)
        for plan in plans
        if options.epochs is None and named(plan)
        for arm in grids.ARMS[plan.arm].waits_for
    }

    def wants(setting: Setting) -> bool:
        if setting.arm == "timing" and _parallel(options) > 1:
            return False  # a time is measured alone
        return named(setting) or (setting.arm, setting.model) in awaited

    return wants


def _changes(options: Namespace) -> dict[str, Any]:
    """What the options change in every setting."""
    changes = {"epochs": options.epochs, "arm": grids.TRY_OUT} if options.epochs else {}
    return changes | ({"amp": options.amp} if options.amp else {})


def _parallel(options: Namespace) -> int:
    """How many runs share the machine: asked for, or known to one of several workers."""
    return max(getattr(options, "parallel", 1), from_environment("DLBOOK_PARALLEL", 1))


def _place(options: Namespace) -> Place:
    """Where records go, and where checkpoints and weights go."""
    if options.out is not None:
        out = Path(options.out).expanduser()
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Impossible(f"--out {out}: expected a folder ({error.strerror})") from error
        return Place(options.study, out, out)
    cache = os.environ.get("DLBOOK_CACHE") or Path.home() / ".cache" / "dlbook"
    rest = Path(cache) / "study" / options.study
    shipped = records.folder()
    checkout = (shipped.parent / "pyproject.toml").exists()  # else it belongs to a package
    return Place(options.study, shipped if checkout else rest, rest)


def _device(options: Namespace) -> torch.device:
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        device = devices.device(options.device)
    except RuntimeError as error:
        raise Impossible(str(error).splitlines()[0]) from error
    return Group.device_of_rank(device)


def _unshifted_seeds() -> None:
    """Raise Impossible if seeds are shifted: a record names those that were asked for."""
    if devices.generator(0).initial_seed() != 0:
        raise Impossible("DLBOOK_SEED_OFFSET shifts the seeds of a study: unset it")


def _run(options: Namespace, arguments: list[str]) -> int | None:
    place, choice, changes = _place(options), _choice(options), _changes(options)
    if options.list:
        runs = place.recorded()
        had = {run["key"] for run in runs}
        for setting in grids.wanted(options.study, runs, choice, changes):
            print("recorded " if setting.key in had else "missing  ", setting.key)
        return 0
    _unshifted_seeds()
    if options.parallel > 1 and "DLBOOK_PARALLEL" not in os.environ:
        return several(options.parallel, arguments)
    worker = _worker(options, place)
    group = worker.group
    try:
        done, complete = engine.work(worker, choice, changes)
    except RuntimeError as error:
        if group.size == 1 or isinstance(error, REFUSALS):
            raise
        gone = f"another process is gone or stuck ({str(error).splitlines()[0]})"
        after = "the run ends here, the same command goes on after its last whole epoch"
        # Its own end, for a tidy farewell would wait for the one that is gone.
        os._exit(_end(1, f"process {group.rank} of {group.size}: {gone}; {after}"))
    worker.say(f"{done} runs finished; " + ("nothing is left" if complete else "more are left"))
    group.leave()
    return 0


def _worker(options: Namespace, place: Place) -> engine.Worker:
    device = _device(options)
    step = "compile" if options.compile else options.step
    if step == "graph" and device.type != "cuda":
        raise Impossible(f"--step graph needs an Nvidia GPU, not {str(device)!r}")
    parallel, group = _parallel(options), Group(device)
    say = partial(print, flush=True) if group.first else (lambda line: None)
    clock = engine.Clock(options.limit_seconds)
    return engine.Worker(device, place, step, clock, parallel, group, say)


def several(number: int, arguments: list[str]) -> int:
    """Run the command with these arguments in `number` processes; return the worst exit status.

    Ctrl-C reaches all of them, and they stop as one does.
    """
    environment = os.environ | {"DLBOOK_PARALLEL": str(number)}
    command = [sys.executable, "-m", "dlbook_utils.runner", *arguments]
    running = [subprocess.Popen(command, env=environment) for _ in range(number)]
    try:
        return max(process.wait() for process in running)
    except KeyboardInterrupt:
        for process in running:
            process.send_signal(signal.SIGINT)
        return max(abs(process.wait()) for process in running)


def _status(options: Namespace, arguments: list[str]) -> None:
    place, choice = _place(options), _choice(options)
    settings = grids.wanted(options.study, place.recorded(), choice, _changes(options))
    print(report.status(place, settings))


def _measure(options: Namespace, arguments: list[str]) -> None:
    if options.measure is measure.probes:
        _unshifted_seeds()
    more = {"names": options.model or ()} if options.measure is measure.costs else {}
    options.measure(_place(options), _device(options), print, **more)


def _report(options: Namespace, arguments: list[str]) -> None:
    print(report.Results(options.study, _place(options).records).markdown())


def _merge(options: Namespace, arguments: list[str]) -> None:
    """Add the runs of a file to the record of the same name."""
    target = _place(options).records / options.file.name
    known = [f"{options.study}{end}.jsonl" for end in ENDS]
    if target.name not in known:
        raise Impossible(f"{options.file.name}: expected one of {', '.join(known)}")
    if not options.file.is_file():
        raise Impossible(f"{options.file}: expected a record, but there is no such file")
    added = sum(ledger.append(target, run) for run in ledger.read(options.file))
    print(f"{target}: {added} runs added")


VERBS = {"run": _run, "status": _status, "report": _report, "merge": _merge}
MEASURES = {"test": measure.score_on_test, "costs": measure.costs}
MEASURES |= {"loading": measure.loading, "probe": measure.probes}

if __name__ == "__main__":
    sys.exit(main())
