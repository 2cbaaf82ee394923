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
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from dlbook_utils import records
from dlbook_utils.data import DataError
from dlbook_utils.page import devices
from dlbook_utils.records import ledger

from . import engine, grids, loading, models, probe, report, steps, together, workers
from .feed import NoData
from .settings import AMPS, Setting

REFUSALS = (ledger.Damaged, engine.Mismatch, together.Impossible, NoData, DataError)
ENDS = ("", "-test", "-costs", "-loading", "-probe")  # a study's records


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    options = parser.parse_args(arguments)
    options.out = Path(options.out).expanduser() if options.out else None
    try:
        return options.do(options, arguments)
    except REFUSALS as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        library = (error.name or "").split(".")[0]
        if library in ("", "dlbook_utils"):
            raise
        print(f"this needs the library {library}, which is not installed here", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "stopped; at most the current epoch is lost, the same command goes on", file=sys.stderr
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m dlbook_utils.runner",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, do in (
        ("run", _run),
        ("status", _status),
        ("test", _test),
        ("costs", _costs),
        ("loading", _loading),
        ("probe", _probe),
        ("report", _report),
        ("merge", _merge),
    ):
        verb = verbs.add_parser(name)
        verb.set_defaults(do=do)
        verb.add_argument("study", choices=sorted(grids.STUDIES), metavar="NAME")
        verb.add_argument(
            "--out",
            help="folder of records and weights (default: records/ of a checkout of the book for "
            "records, the cache folder for the rest)",
        )
        if name in ("run", "test", "costs", "loading", "probe"):
            verb.add_argument("--device", help='"cpu", "cuda" ... (default: a GPU if there is one)')
            verb.add_argument("--threads", type=int, help="of the CPU")
        if name in ("run", "status", "costs"):
            verb.add_argument(
                "--model", nargs="*", choices=models.MODELS, metavar="M", help="only these models"
            )
        if name in ("run", "status"):
            verb.add_argument(
                "--arm", nargs="*", choices=grids.ARMS, metavar="ARM", help="only these arms"
            )
            verb.add_argument("--seeds", nargs="*", type=int, help="only these seeds")
            verb.add_argument("--split", type=int, help="only this split")
            verb.add_argument("--examples", nargs="*", type=int, help="only these sizes")
            verb.add_argument("--amp", choices=AMPS, help="in this precision")
            verb.add_argument(
                "--epochs",
                type=int,
                help="for so many epochs, to try things out: recorded as such (arm "
                f'"{grids.TRY_OUT}"), and counted by no table and no verdict',
            )
        if name == "run":
            verb.add_argument("--step", choices=("auto", *steps.KINDS), default="auto")
            verb.add_argument("--compile", action="store_true", help="the same as --step compile")
            verb.add_argument(
                "--limit-seconds",
                type=float,
                help="stop after an epoch, to be resumed, if the next would end later than that; "
                "the first epoch is always done",
            )
            verb.add_argument("--parallel", type=int, default=1, help="so many runs at once")
            verb.add_argument("--list", action="store_true", help="only name the runs")
    verbs.choices["merge"].add_argument("file", type=Path)
    return parser


def _choice(options: argparse.Namespace):
    """Which settings of the grid the options want, and the runs that these wait for."""

    def named(setting: Setting) -> bool:
        if options.arm is None and setting.arm in grids.BY_NAME_ONLY:
            return False
        values = (
            (options.arm, setting.arm),
            (options.model, setting.model),
            (options.seeds, setting.seed),
            (options.examples, setting.examples),
            (None if options.split is None else [options.split], setting.split),
        )
        return all(some is None or value in some for some, value in values)

    awaited = set()
    if options.epochs is None:
        for setting in filter(named, grids.foreseen(options.study)):
            awaited |= {(arm, setting.model) for arm in grids.WAITS_FOR.get(setting.arm, ())}

    def wants(setting: Setting) -> bool:
        if setting.arm == "timing" and _parallel(options) > 1:
            return False  # a time is measured alone
        return named(setting) or (setting.arm, setting.model) in awaited

    return wants


def _changes(options: argparse.Namespace) -> dict:
    """What the options change in every setting."""
    changes = {"amp": options.amp, "epochs": options.epochs}
    if options.epochs is not None:
        changes["arm"] = grids.TRY_OUT
    return {name: value for name, value in changes.items() if value is not None}


def _parallel(options: argparse.Namespace) -> int:
    return max(getattr(options, "parallel", 1), int(os.environ.get("DLBOOK_PARALLEL", "1")))


def _folders(options: argparse.Namespace) -> tuple[Path, Path]:
    """Where records go, and where checkpoints and weights go."""
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        return options.out, options.out
    cache = os.environ.get("DLBOOK_CACHE") or Path.home() / ".cache" / "dlbook"
    rest = Path(cache) / "study" / options.study
    shipped = records.folder()
    checkout = (shipped.parent / "pyproject.toml").exists()  # else it belongs to a package
    return (shipped if checkout else rest), rest


def _device(options: argparse.Namespace) -> torch.device:
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        device = devices.device(options.device)
    except RuntimeError as error:
        raise together.Impossible(str(error).splitlines()[0]) from error
    return together.Group.device_of_rank(device)


def _unshifted_seeds() -> None:
    """Raise Impossible if seeds are shifted: a record names those that were asked for."""
    if devices.generator(0).initial_seed() != 0:
        raise together.Impossible("DLBOOK_SEED_OFFSET shifts the seeds of a study: unset it")


def _run(options: argparse.Namespace, arguments: list[str]) -> int:
    record, rest = _folders(options)
    if options.list:
        runs = workers.recorded(options.study, record)
        had = {run["key"] for run in runs}
        for setting in workers.wanted(options.study, runs, _choice(options), _changes(options)):
            print("recorded " if setting.key in had else "missing  ", setting.key)
        return 0
    _unshifted_seeds()
    if options.parallel > 1 and "DLBOOK_PARALLEL" not in os.environ:
        return workers.several(options.parallel, arguments)
    device = _device(options)
    step = "compile" if options.compile else options.step
    if step == "graph" and device.type != "cuda":
        raise together.Impossible(f"--step graph needs an Nvidia GPU, not {str(device)!r}")
    group = together.Group(device)
    way = engine.Way(
        device,
        rest,
        options.study,
        step,
        engine.Clock(options.limit_seconds),
        _parallel(options),
        group,
        (lambda line: print(line, flush=True)) if group.first else (lambda line: None),
    )
    try:
        done, complete = workers.work(
            options.study,
            way,
            _choice(options),
            _changes(options),
            record / f"{options.study}.jsonl",
        )
    except RuntimeError as error:
        if group.size == 1 or isinstance(error, REFUSALS):
            raise
        print(
            f"process {group.rank} of {group.size}: another process is gone or stuck "
            f"({str(error).splitlines()[0]}); the run ends here, the same command goes on after "
            "its last whole epoch",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)  # a tidy farewell would wait for the one that is gone
    way.say(f"{done} runs finished; " + ("nothing is left" if complete else "more are left"))
    group.leave()
    return 0


def _status(options: argparse.Namespace, arguments: list[str]) -> int:
    record, rest = _folders(options)
    runs = workers.recorded(options.study, record)
    settings = workers.wanted(options.study, runs, _choice(options), _changes(options))
    print(report.status(runs, settings, rest))
    return 0


def _test(options: argparse.Namespace, arguments: list[str]) -> int:
    record, rest = _folders(options)
    device = _device(options)
    done = report.read_test(options.study, record, rest, device, print)
    print(f"the test set was read for {done} runs")
    return 0


def _costs(options: argparse.Namespace, arguments: list[str]) -> int:
    record, _ = _folders(options)
    report.measure_costs(options.study, record, _device(options), print, options.model or ())
    return 0


def _loading(options: argparse.Namespace, arguments: list[str]) -> int:
    record, _ = _folders(options)
    loading.measure(options.study, record, _device(options), print)
    return 0


def _probe(options: argparse.Namespace, arguments: list[str]) -> int:
    _unshifted_seeds()
    record, rest = _folders(options)
    done = probe.measure(options.study, record, rest, _device(options), print)
    print(f"{done} runs were probed")
    return 0


def _report(options: argparse.Namespace, arguments: list[str]) -> int:
    record, _ = _folders(options)
    print(report.tables(options.study, record))
    return 0


def _merge(options: argparse.Namespace, arguments: list[str]) -> int:
    """Add the runs of a file to the record of the same name."""
    record, _ = _folders(options)
    target = record / options.file.name
    known = [f"{options.study}{end}.jsonl" for end in ENDS]
    if target.name not in known:
        print(f"{options.file.name}: expected one of {', '.join(known)}", file=sys.stderr)
        return 2
    added = sum(ledger.append(target, run) for run in ledger.read(options.file))
    print(f"{target}: {added} runs added")
    return 0


if __name__ == "__main__":
    sys.exit(main())
