"""What a study has found so far: its tables, and how much of it has been measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from dlbook_utils import records
from dlbook_utils.foundations.linear import mean_interval

from . import grids, models, verdicts
from .settings import Setting, from_dict
from .statistics import cell_of
from .store import Place
from .tables import MISSING, Table

FAMILY = {"cnn": "basic CNN", "resnet18": "ResNet-18", "vit": "ViT"}
SCORES = (
    *("training, augmented", "training, clean", "validation", "last epoch", "test"),
    *("precision", "recall", "F1", "s/epoch", "device"),
)
MANY = 256  # images at once, in the second of the inference times

Runs = Sequence[dict]


def family(model: str) -> str:
    """The source's name for a model: "basic CNN", "ResNet-18" or "ViT"; "" for any other."""
    return FAMILY.get(model.split("-")[0], "")


def status(place: Place, settings: Sequence[Setting]) -> str:
    """Return a table: for each arm and model how many runs are recorded, failed, under way."""
    by_key = {run["key"]: run for run in place.recorded()}
    cells: dict[tuple, list[Setting]] = defaultdict(list)
    for setting in settings:
        cells[setting.arm, setting.model, setting.examples, setting.split].append(setting)
    rows = []
    for cell, wanted in cells.items():
        had = [by_key[s.key] for s in wanted if s.key in by_key]
        failed = sum(run["status"] == "failed" for run in had)
        begun = sum(place.checkpoint(s.key).exists() for s in wanted)
        times = ", ".join(f"{run['seconds']:.0f}" for run in had) or MISSING
        counts = (f"{len(had)} of {len(wanted)}", str(failed), str(begun))
        rows.append([*map(str, cell), *counts, times])
    first, last = ("arm", "model", "examples", "split"), ("recorded", "failed", "under way")
    text = Table([*first, *last, "seconds a run"], rows).markdown()
    off = set(by_key) - {s.key for s in settings}
    more = f"\n\n{len(off)} recorded runs are not in this selection of the grid." if off else ""
    return text + more


def coverage(runs: Runs, study: str = "cifar10") -> dict[str, tuple[int, int]]:
    """Return for each arm how many of its runs are recorded, and of how many that can be named.

    A run in another precision counts as the run. An arm whose runs wait for others, as yet, has
    none that can be named.
    """

    def of_any_precision(setting: Setting) -> Setting:
        return replace(setting, amp="fp32")

    had = {of_any_precision(from_dict(run["setting"])) for run in runs}
    counts = dict.fromkeys(grids.ARMS, (0, 0)) if study == "cifar10" else {}
    for setting in dict.fromkeys(map(of_any_precision, grids.grid(study, runs))):
        done, named = counts.get(setting.arm, (0, 0))
        counts[setting.arm] = done + (setting in had), named + 1
    return counts


def groups(runs: Runs, arm: str) -> dict[tuple, list[dict]]:
    """An arm's finished runs, those together that differ in their seed alone."""
    same: dict[tuple, list[dict]] = defaultdict(list)
    for run in runs:
        if run["setting"]["arm"] == arm and run["status"] == "done":
            setting = from_dict(run["setting"])
            same[setting.model, setting.split, setting.amp, setting.recipe].append(run)
    return same


def training_seconds(run: dict) -> float:
    """The seconds of a run without its validations: first layer, epochs, checkpoints."""
    return run["seconds"] - sum(row.get("valid_seconds", 0.0) for row in run["epochs"])


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean and 95 % interval of values over seeds (Student's t), or the value and "one seed"."""
    if not values:
        return MISSING
    if len(values) == 1:
        return f"{values[0]:.{digits}f} (one seed)"
    mean, half = mean_interval(values)
    return f"{mean:.{digits}f} ± {half:.{digits}f} (n={len(values)})"


def _percent(values: Iterable[float]) -> str:
    return spread([100 * value for value in values])


def _span(values: Sequence[float]) -> str:
    """From the smallest to the largest: times differ with what a machine does besides, not by lot,
    so that an interval would promise too much.
    """
    low, high = min(values), max(values)
    return f"{low:.2f}" if len(values) == 1 else f"{low:.2f} to {high:.2f}"


class Results:
    """The records of a study, and the tables that are drawn from them.

    What has not been measured says so.
    """

    def __init__(self, study: str = "cifar10", folder: Path | None = None):
        folder = folder or records.folder()
        place = Place(study, folder, folder)
        self.runs = place.recorded()
        self.tests = {line["key"]: line["test"] for line in place.recorded("test")}
        self.timings, self.probed, self.loaded = map(place.recorded, ("costs", "probe", "loading"))

    def markdown(self) -> str:
        """All tables, each below its heading."""
        amp = verdicts.Evidence(self.runs).amp
        failed = [
            f"\n\nFailed: {run['key']}: {run['reason']}."
            for run in self.runs
            if run["status"] == "failed" and run["setting"]["arm"] in grids.ARMS
        ]
        sections = {
            "As published": self.published().markdown(),
            "Other arms": self.other_arms().markdown() + "".join(failed),
            "Costs": self.costs().markdown(),
            "Loading": self.loading().markdown(),
            "Linear probes": self.probes().markdown(),
            "Verdicts": f"By the runs in {amp}.\n\n{self.verdicts().markdown()}",
        }
        return "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections.items())

    def published(self) -> Table:
        """Tables 1 and 2 of the source, and beside them the runs as published."""
        rows = []
        for name, row in verdicts.REPORTED.items():
            macro = (f"{row.precision:.2f}", f"{row.recall:.2f}", f"{row.f1:.3f}")
            accuracies = (f"{row.training}", "", f"{row.validation}", "", "")
            rows.append(
                [f"{name}, reported", *accuracies, *macro, f"{row.epoch_seconds:.0f}", "A100"]
            )
        same = groups(self.runs, "published")
        for (model, split, amp, _), runs in same.items():
            rows.append([f"{model}, split {split}, {amp}", *self._scores(runs)])
        had = {model for model, *_ in same}
        rows += [_unmeasured(model) for model in grids.READINGS if model not in had]
        return Table(["model", *SCORES], rows)

    def _scores(self, runs: Runs) -> list[str]:
        """The cells of runs that differ in their seed."""
        chosen = [run["selected"] for run in runs]
        valid = [s["valid"] for s in chosen if "valid" in s]
        last = [run["last"]["valid"] for run in runs if "valid" in run["last"]]
        tests = [self.tests[run["key"]] for run in runs if run["key"] in self.tests]
        middle = [sorted(e["seconds"] for e in r["epochs"])[len(r["epochs"]) // 2] for r in runs]
        at_once = max(run["parallel"] for run in runs)
        return [
            _percent(s["train_augmented"] for s in chosen),
            _percent(s["train_clean"] for s in chosen),
            *(_percent(v["accuracy"] for v in some) for some in (valid, last, tests)),
            *(spread([v[name] for v in valid], 3) for name in ("precision", "recall", "f1")),
            _span(middle) + (f", {at_once} runs at once" if at_once > 1 else ""),
            ", ".join(sorted({run["device"] for run in runs})),
        ]

    def other_arms(self) -> Table:
        """Every arm but the main one: its runs, and what it lacks."""
        wanted = grids.grid("cifar10", self.runs)
        rows = []
        for arm in (arm for arm in grids.ARMS if arm != "published"):
            same = groups(self.runs, arm)
            for (model, split, amp, _), runs in same.items():
                n = runs[0]["setting"]["examples"]
                name = f"{arm}: {model}, n={n}, split {split}, {amp}"
                rows.append([name, *self._scores(runs)])
            had = {
                (runs[0]["setting"]["model"], runs[0]["setting"]["examples"])
                for runs in same.values()
            }
            lacking = _lacking((s for s in wanted if s.arm == arm), had)
            if lacking or not same:
                rows.append(_unmeasured(f"{arm}: {lacking}" if same else arm))
        return Table(["arm: model", *SCORES], rows)

    def costs(self) -> Table:
        """Operations, parameters and times: an epoch's from the arm "timing", and inference."""
        rows = [
            [f"{name}, reported", "", "", f"{row.epoch_seconds:.0f}", f"{row.image_ms}", "", "A100"]
            for name, row in verdicts.REPORTED.items()
        ]
        times = self._times()
        for name in models.REAL:
            counts = models.count(name)
            head = [name, f"{counts['flops'] / 1e6:.1f}", f"{counts['parameters']:,}"]
            mine = {place: cells for place, cells in times.items() if place[0] == name}
            for (_, device, amp), cells in mine.items():
                rows.append([*head, *cells, f"{device}, {amp}"])
            if not mine:
                rows.append([*head, *[MISSING] * 3, ""])
        headings = ["model", "MFLOP an image", "parameters", "s/epoch, alone on the device"]
        return Table([*headings, "ms, one image", f"ms an image, {MANY} at once", "on"], rows)

    def _times(self) -> dict[tuple, list[str]]:
        """By model, device and precision: of an epoch, of one image, of each of 256."""
        times: dict[tuple, list[str]] = {}
        for line in self.timings:
            one, many = (timing["ms"] / timing["batch"] for timing in line["inference"])
            place = line["model"], line["device"], line["amp"]
            times[place] = [MISSING, f"{one:.3f}", f"{many:.4f}"]
        for run in self.runs:
            if run["setting"]["arm"] == "timing" and run["status"] == "done":
                place = run["setting"]["model"], run["device"], run["setting"]["amp"]
                inference = times.get(place, [MISSING] * 3)[1:]
                times[place] = [f"{verdicts.seconds(run):.1f}", *inference]
        return times

    def loading(self) -> Table:
        """Seconds to load and augment an epoch, the newest measurement on each device."""
        newest = {line["device"]: line for line in self.loaded}
        rows = [
            [loader, f"{seconds:.1f}", f"{device}, {line['cores']} cores"]
            for device, line in newest.items()
            for loader, seconds in line["seconds_an_epoch"].items()
        ]
        return Table(["45,000 images augmented", "seconds", "on"], rows or [[MISSING, "", ""]])

    def probes(self) -> Table:
        """Accuracy of linear probes, stage by stage."""
        rows = []
        for model in (*verdicts.CNNS, *verdicts.RESNETS):
            mine = cell_of(self.probed, model=model, split=0, arm="published").values()
            cells = [
                ", ".join(_percent(stage) for stage in zip(*(line[name] for line in mine)))
                for name in ("trained", "untrained")
            ]
            rows.append([model, *(cells if mine else [MISSING, ""]), str(len(mine))])
        last = "with the weights of the start"
        return Table(["model", "accuracy after each stage", last, "seeds"], rows)

    def verdicts(self) -> Table:
        """What the protocol's rules say of the statements of the source."""
        return verdicts.table(verdicts.judge(self.runs, self.timings, self.probed))


def _unmeasured(name: str) -> list[str]:
    return [name, MISSING, *[""] * (len(SCORES) - 1)]


def _lacking(wanted: Iterable[Setting], had: set[tuple[str, int]]) -> str:
    """The models of an arm that have no run yet, each with the numbers of examples it lacks."""
    sizes: dict[str, list[str]] = defaultdict(list)
    for model, n in dict.fromkeys((s.model, s.examples) for s in wanted):
        if (model, n) not in had:
            sizes[model].append(f"{n:,}")
    return "; ".join(f"{model} ({', '.join(some)})" for model, some in sizes.items())
