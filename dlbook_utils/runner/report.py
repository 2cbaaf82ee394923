"""What a study has found so far: tables in Markdown, the test set's one reading, the costs."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch

from dlbook_utils.records import ledger, provenance

from . import checkpoint, costs, feed, grids, models, probe, scores, steps, verdicts
from .settings import Setting, from_dict
from .workers import recorded

MISSING = "not measured yet"
# Tables 1 and 2 of the source: training and validation accuracy in %, s/epoch on an A100,
# ms/image, macro precision, recall, F1.
REPORTED = {
    "basic CNN": (85.3, 82.1, 35.0, 3.2, 0.81, 0.80, 0.805),
    "ResNet-18": (91.8, 89.5, 50.0, 5.0, 0.89, 0.87, 0.880),
    "ViT": (94.5, 90.7, 75.0, 8.1, 0.91, 0.88, 0.895),
}
FAMILY = {"cnn": "basic CNN", "resnet18": "ResNet-18", "vit": "ViT"}


def status(runs: Sequence[dict], settings: Sequence[Setting], folder: Path) -> str:
    """Return a table: for each arm and model how many runs are recorded, failed, under way."""
    by_key = {run["key"]: run for run in runs}
    cells: dict[tuple, list[Setting]] = defaultdict(list)
    for setting in settings:
        cells[setting.arm, setting.model, setting.examples, setting.split].append(setting)
    lines = ["| arm | model | examples | split | recorded | failed | under way | seconds a run |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for (arm, model, examples, split), wanted in cells.items():
        had = [by_key[s.key] for s in wanted if s.key in by_key]
        failed = sum(run["status"] == "failed" for run in had)
        begun = [s for s in wanted if (folder / "checkpoints" / f"{s.key}.pt").exists()]
        times = [f"{run['seconds']:.0f}" for run in had] or [MISSING]
        lines.append(
            f"| {arm} | {model} | {examples} | {split} | {len(had)} of {len(wanted)} | {failed} "
            f"| {len(begun)} | {', '.join(times)} |"
        )
    off = set(by_key) - {s.key for s in settings}
    if off:
        lines.append(f"\n{len(off)} recorded runs are not in this selection of the grid.")
    return "\n".join(lines)


def read_test(
    study: str, record: Path, rest: Path, device: torch.device, say: Callable[[str], None]
) -> int:
    """Score every finished run's selected weights on the test set, if it has not been done before.

    Each reading is a line of `<study>-test.jsonl`, and what stands there is never read again: the
    file is the log of all looks at the test set. Runs whose weights are on another machine are
    left to that one. Returns how many were read.
    """
    path = record / f"{study}-test.jsonl"
    seen = {line["key"] for line in recorded(f"{study}-test", record)}
    count = 0
    for run in recorded(study, record):
        setting = from_dict(run["setting"])
        weights = checkpoint.load(rest / "weights" / f"{run['key']}.pt", device)
        chooses = setting.arm in grids.CHOOSING
        if run["key"] in seen or run["status"] != "done" or weights is None or chooses:
            continue
        began = time.monotonic()
        model = models.build(setting.model)
        model.load_state_dict(weights["model"])
        images = feed.load(setting.data)
        normalise = steps.Normalise(images.mean, images.std, True).to(device)
        part = feed.held_back(setting.data).to(device)
        model = model.to(device, memory_format=torch.channels_last)
        found = scores.describe(scores.predict(model, normalise, part, setting), part.y)
        line = {"key": run["key"], "setting": run["setting"], "test": found}
        data, seconds = feed.digest(setting.data, "test"), round(time.monotonic() - began, 3)
        ledger.append(path, line | provenance.origin(device, setting.seed, data, seconds))
        say(f"{run['key']}: test accuracy {found['accuracy']:.2%}")
        count += 1
    return count


def measure_costs(
    study: str, record: Path, device: torch.device, say: Callable, names: Sequence[str] = ()
) -> None:
    """Record operations, parameters and inference times on this device, of the models named.

    None named: of those that have not been timed on it, the study's main models on a CPU, where a
    pass of the largest takes minutes, and every model elsewhere.
    """
    path = record / f"{study}-costs.jsonl"
    every = [name for name in models.MODELS if not name.startswith("tiny")]
    if study == "trial":
        every = ["tiny-cnn", "tiny-resnet"]
    elif device.type == "cpu":
        every = [*grids.MAIN]
    here = provenance.device_name(device)
    lines = recorded(f"{study}-costs", record)
    timed = {(r["model"], r["amp"]) for r in lines if r["device"] == here and not names}
    for name in names or every:
        for amp in ("fp32", "bf16") if device.type == "cuda" else ("fp32",):
            if (name, amp) in timed:
                continue
            began = provenance.now()
            times = [
                costs.inference_time(models.build(name), device, batch, amp) for batch in (1, 256)
            ]
            line = {"key": f"{name} {amp} {here} {began}", "model": name}
            line |= {"amp": amp, "inference": times, **costs.count(name)}
            ledger.append(path, line | provenance.origin(device, 0, "random bytes"))
            single, many = times
            say(
                f"{name} {amp}: {costs.count(name)['flops'] / 1e6:.1f} MFLOP an image, "
                f"{single['ms']:.3f} ms for one, {many['ms'] / 256:.4f} ms each of 256"
            )


def family(model: str) -> str:
    """The source's name for a model: "basic CNN", "ResNet-18" or "ViT"; "" for any other."""
    return FAMILY.get(model.split("-")[0], "")


def tables(study: str, record: Path) -> str:
    """Return the study's tables in Markdown: Tables 1 and 2 of the source, the other arms, costs,
    verdicts. What has not been measured says so.
    """
    runs = recorded(study, record)
    tests = {line["key"]: line["test"] for line in recorded(f"{study}-test", record)}
    costs_, probes, loading = (
        recorded(f"{study}-{name}", record) for name in ("costs", "probe", "loading")
    )
    parts = [_published(runs, tests), _arms(runs, tests), _costs(costs_, runs)]
    parts += [_loading(loading), _probes(probes)]
    found = verdicts.judge(runs, costs_, probes)
    precision = f"By the runs in {verdicts.Evidence(runs).amp}."
    parts.append(f"## Verdicts\n\n{precision}\n\n{verdicts.table(found)}")
    return "\n\n".join(parts)


def groups(runs: Sequence[dict], arm: str) -> dict[tuple, list[dict]]:
    """An arm's finished runs, those together that differ in their seed alone."""
    found: dict[tuple, list[dict]] = defaultdict(list)
    for run in runs:
        if run["setting"]["arm"] == arm and run["status"] == "done":
            setting = from_dict(run["setting"])
            found[setting.model, setting.split, setting.amp, setting.reading].append(run)
    return found


def training_seconds(run: dict) -> float:
    """The seconds of a run without its validations: first layer, epochs, checkpoints."""
    return run["seconds"] - sum(row.get("valid_seconds", 0.0) for row in run["epochs"])


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean and 95 % interval of values over seeds (Student's t), or the value and "one seed"."""
    if not values:
        return MISSING
    if len(values) == 1:
        return f"{values[0]:.{digits}f} (one seed)"
    mean, half = verdicts.student(values)
    return f"{mean:.{digits}f} ± {half:.{digits}f} (n={len(values)})"


def _span(values: Sequence[float]) -> str:
    """From the smallest to the largest: times differ with what a machine does besides, not by lot,
    so that an interval would promise too much.
    """
    low, high = min(values), max(values)
    return f"{low:.2f}" if len(values) == 1 else f"{low:.2f} to {high:.2f}"


def _published(runs: Sequence[dict], tests: dict[str, dict]) -> str:
    lines = [
        "## As published\n",
        "| model | training, augmented | training, clean | validation | last epoch | test "
        "| precision | recall | F1 | s/epoch | device |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in REPORTED.items():
        lines.append(
            f"| {name}, reported | {row[0]} | | {row[1]} | | | {row[4]:.2f} | {row[5]:.2f} "
            f"| {row[6]:.3f} | {row[2]:.0f} | A100 |"
        )
    found = groups(runs, "published")
    for (model, split, amp, _), same in found.items():
        lines.append(_row(f"{model}, split {split}, {amp}", same, tests))
    for model in (*grids.MAIN, *grids.READINGS, *grids.LARGE):
        if model not in {key[0] for key in found}:
            lines.append(f"| {model} | {MISSING} |" + " |" * 9)
    return "\n".join(lines)


def _row(name: str, same: Sequence[dict], tests: dict[str, dict]) -> str:
    def mean(values) -> str:
        return spread([100 * v for v in values])

    chosen = [run["selected"] for run in same]
    valid = [s["valid"] for s in chosen if "valid" in s]
    seconds = [sorted(e["seconds"] for e in run["epochs"])[len(run["epochs"]) // 2] for run in same]
    together = max(run["parallel"] for run in same)
    device = {run["device"] for run in same}
    cells = [
        mean([s["train_augmented"] for s in chosen]),
        mean([s["train_clean"] for s in chosen]),
        mean([v["accuracy"] for v in valid]),
        mean([run["last"]["valid"]["accuracy"] for run in same if "valid" in run["last"]]),
        mean([tests[run["key"]]["accuracy"] for run in same if run["key"] in tests]),
        *(spread([v[name] for v in valid], 3) for name in ("precision", "recall", "f1")),
        _span(seconds) + (f", {together} runs at once" if together > 1 else ""),
        ", ".join(sorted(device)),
    ]
    return f"| {name} | " + " | ".join(cells) + " |"


def _arms(runs: Sequence[dict], tests: dict[str, dict]) -> str:
    lines = [
        "## Other arms\n",
        "| arm: model | training, augmented | training, clean | validation | last epoch | test "
        "| precision | recall | F1 | s/epoch | device |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    wanted = grids.cifar10(runs)
    for arm in grids.ARMS[1:]:
        found = groups(runs, arm)
        for (model, split, amp, reading), same in found.items():
            n = dict(reading)["examples"]
            lines.append(_row(f"{arm}: {model}, n={n}, split {split}, {amp}", same, tests))
        had = {(model, dict(reading)["examples"]) for model, _, _, reading in found}
        lacking = _lacking((s for s in wanted if s.arm == arm), had)
        if lacking or not found:
            name = f"{arm}: {lacking}" if found else arm
            lines.append(f"| {name} | {MISSING} |" + " |" * 9)
    settled = [run for run in runs if run["setting"]["arm"] in grids.ARMS]
    failed = [run for run in settled if run["status"] == "failed"]
    lines += [f"\nFailed: {run['key']}: {run['reason']}." for run in failed]
    return "\n".join(lines)


def _lacking(wanted: Iterable[Setting], had: set[tuple[str, int]]) -> str:
    """The models of an arm that have no run yet, each with the numbers of examples it lacks."""
    sizes: dict[str, list[str]] = defaultdict(list)
    for model, n in dict.fromkeys((s.model, s.examples) for s in wanted):
        if (model, n) not in had:
            sizes[model].append(f"{n:,}")
    return "; ".join(f"{model} ({', '.join(some)})" for model, some in sizes.items())


def _costs(timings: Sequence[dict], runs: Sequence[dict]) -> str:
    """Operations, parameters and times: an epoch's from the arm "timing", and inference."""
    lines = [
        "## Costs\n",
        "| model | MFLOP an image | parameters | s/epoch, alone on the device | ms, one image "
        "| ms an image, 256 at once | on |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in REPORTED.items():
        lines.append(f"| {name}, reported | | | {row[2]:.0f} | {row[3]} | | A100 |")
    times: dict[tuple, list[str]] = {}  # of an epoch, of one image, of each of 256
    for line in timings:
        one, many = (found["ms"] / found["batch"] for found in line["inference"])
        key = line["model"], line["device"], line["amp"]
        times[key] = [MISSING, f"{one:.3f}", f"{many:.4f}"]
    for run in runs:
        if run["setting"]["arm"] == "timing" and run["status"] == "done":
            key = run["setting"]["model"], run["device"], run["setting"]["amp"]
            inference = times.get(key, [MISSING] * 3)[1:]
            times[key] = [f"{verdicts.seconds(run):.1f}", *inference]
    for name in models.MODELS:
        if name.startswith("tiny"):
            continue
        counts = costs.count(name)
        head = f"| {name} | {counts['flops'] / 1e6:.1f} | {counts['parameters']:,} | "
        mine = {key: found for key, found in times.items() if key[0] == name}
        for (_, device, amp), found in mine.items():
            lines.append(head + " | ".join(found) + f" | {device}, {amp} |")
        if not mine:
            lines.append(head + f"{MISSING} | {MISSING} | {MISSING} | |")
    return "\n".join(lines)


def _loading(lines: Sequence[dict]) -> str:
    """Seconds to load and augment an epoch, the newest measurement on each device."""
    table = ["## Loading\n", "| 45,000 images augmented | seconds | on |", "|---|---|---|"]
    newest = {line["device"]: line for line in lines}
    for device, line in newest.items():
        for way, value in line["seconds_an_epoch"].items():
            table.append(f"| {way} | {value:.1f} | {device}, {line['cores']} cores |")
    if not newest:
        table.append(f"| {MISSING} | | |")
    return "\n".join(table)


def _probes(lines: Sequence[dict]) -> str:
    """Accuracy of linear probes, stage by stage."""
    table = [
        "## Linear probes\n",
        "| model | accuracy after each stage | with the weights of the start | seeds |",
        "|---|---|---|---|",
    ]
    for model in (*verdicts.CNNS, *verdicts.RESNETS):
        mine = list(probe.lines_of(model, lines).values())
        cells = [MISSING, ""]
        if mine:
            cells = [
                ", ".join(spread([100 * v for v in stage]) for stage in zip(*values))
                for values in ([line[name] for line in mine] for name in ("trained", "untrained"))
            ]
        table.append(f"| {model} | {cells[0]} | {cells[1]} | {len(mine)} |")
    return "\n".join(table)
