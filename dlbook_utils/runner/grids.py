"""Which runs make up a study, in order of value: plain data, and what follows from earlier runs.

`cifar10` yields settings; the first are worth the most, so that whoever has ten minutes of a GPU
fills the most important cells of the tables. A setting that depends on results (a learning rate
chosen by validation, as many epochs as equal costs allow) appears once these are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from . import costs
from .settings import Setting, from_dict

SEEDS = (0, 1, 2, 3, 4)
TUNING_SEED = 100  # choices are made with a seed that no result is measured with
MAIN = ("cnn-32", "resnet18-3x3", "vit-s-p16", "vit-s-p4")
READINGS = ("cnn-64", "resnet18-7x7", "vit-b-p16", "vit-ti-p16", "vit-ti-p4", "vit-b-p4")
NARROW = ("resnet18-narrow", "vit-narrow-p4")
LARGE = ("vit-ti-p16-224", "vit-s-p16-224", "vit-b-p16-224")
RATES = (1e-4, 3e-4, 1e-3)
SIZES = (1_000, 5_000, 10_000, 25_000)
# Eight trials for each model, the same for all: every rate with every decay, under AdamW.
TRIALS = tuple((lr, decay) for lr in (1e-4, 3e-4, 1e-3, 3e-3) for decay in (0.01, 0.1))
COST_EPOCHS = 5  # of ResNet-18: the budget of the arms of equal cost
TRY_OUT = "try-out"  # the arm of a run that was cut short to try something: of no study's grid

Runs = Sequence[dict[str, Any]]


def published(model: str, rate: float | None = None, **changes: Any) -> Setting:
    """The source's recipe. It gives no rate for its ViT's AdamW: there it must be given."""
    if model.startswith("vit"):
        changes = {"rule": "adamw", "decay": 0.01, "lr": rate} | changes
    return Setting(**{"arm": "published", "model": model} | changes)


def rate_trials(model: str) -> list[Setting]:
    """Three short runs that choose a ViT's rate: 15 epochs, halved every 3."""
    short = {"arm": "rate", "seed": TUNING_SEED, "epochs": 15, "halve_every": 3, "patience": 0}
    return [published(model, rate, **short) for rate in RATES]


def best_of(trials: Sequence[Setting], runs: Runs) -> Setting | None:
    """The trial with the best validation accuracy (the earlier on a tie); None while one lacks.

    A trial in another precision counts; a failed one counts as accuracy 0.
    """
    found = []
    for trial in trials:
        same = [run for run in runs if _like(run, trial)]
        if not same:
            return None
        found.append((_accuracy(same[0]), trial))
    return max(found, key=lambda pair: pair[0])[1]  # max returns the first of equals


def _like(run: dict[str, Any], setting: Setting) -> bool:
    """Whether a record is of this setting, precision apart."""
    values = run["setting"]
    if values["model"] != setting.model:  # the usual case, and soon seen
        return False
    return replace(from_dict(values), amp=setting.amp) == setting


def _accuracy(run: dict[str, Any]) -> float:
    return run["selected"]["valid"]["accuracy"] if run["status"] == "done" else 0.0


def _rated(model: str, runs: Runs) -> list[float | None]:
    """The rate for a model as published: [None] where the source gives it, [] if not yet chosen."""
    if not model.startswith("vit"):
        return [None]
    best = best_of(rate_trials(model), runs)
    return [best.lr] if best else []


def _arm(models: Sequence[str], seeds: Sequence[int], runs: Runs, **changes) -> Iterator[Setting]:
    """The published recipe with changes, seed by seed, each ViT after the trials for its rate."""
    for seed in seeds:
        for model in models:
            if model.startswith("vit"):
                yield from rate_trials(model)
            for rate in _rated(model, runs):
                yield published(model, rate, seed=seed, **changes)


def modern(**changes: Any) -> Setting:
    """The modern recipe. On a GPU as published but for 45,000 examples, eight epochs."""
    values = {
        "arm": "modern",
        "model": "speedy",
        "epochs": 8,
        "batch": 2000,
        "rule": "muon",
        "lr": 0.24,
        "halve_every": 0,
        "patience": 0,
        "check_every": 100,
        "select": "last",
        "pad": 2,
        "degrees": 0.0,
        "flip": "alternating",
        "border": "reflect",
        "smoothing": 0.2,
        "views": 6,
        "amp": "bf16",
    }
    return Setting(**values | changes)


SMALL = {
    "arm": "modern-cpu",
    "model": "speedy-small",
    "epochs": 5,
    "small_epochs": 2,
    "small_side": 24,
    "batch": 500,
    "lr": 0.12,
    "pad": 1,
}


def cifar10(runs: Runs = ()) -> list[Setting]:
    """Every run of the study that can be named, given those recorded; no setting twice."""
    found: list[Setting] = []
    add = found.extend
    add(_arm(MAIN[:3], SEEDS[:1], runs))
    add(_arm(MAIN[3:], SEEDS[:1], runs))
    add(modern(seed=seed) for seed in SEEDS)
    add(modern(arm="modern-50k", examples=50_000, seed=seed) for seed in SEEDS)
    add(timings(MAIN))
    add(_arm(MAIN, SEEDS[1:], runs))
    add(s for n in SIZES for s in _arm(MAIN, SEEDS[:1], runs, arm="scaling", examples=n))
    add(s for n in SIZES for s in _arm(MAIN, SEEDS[1:], runs, arm="scaling", examples=n))
    add(_arm(READINGS, SEEDS[:1], runs))
    add(timings((*READINGS, *LARGE)))
    add(_arm(LARGE[:2], SEEDS[:1], runs))
    plain = {"pad": 0, "degrees": 0.0, "flip": "none"}
    add(_arm(MAIN, SEEDS, runs, arm="no-augmentation", **plain))
    add(_arm(MAIN, SEEDS, runs, arm="constant-rate", halve_every=0))
    add(_arm(MAIN, SEEDS, runs, split=1))
    add(_arm(READINGS, SEEDS[1:], runs))
    equal = {"arm": "scaling-steps", "per_epoch": 45_000}
    add(s for n in SIZES[:3] for s in _arm(MAIN, SEEDS, runs, examples=n, **equal))
    add(equal_flops(SEEDS, runs))
    add(equal_time(SEEDS, runs))
    add(tuned(SEEDS, runs))
    add(_arm(LARGE, SEEDS, runs))
    # For a CPU: asked for by name (--arm), for a GPU fills better cells.
    short = {"arm": "short", "epochs": 5, "halve_every": 1, "patience": 0}
    add(published(m, 3e-4, seed=s, **short) for s in SEEDS for m in MAIN)
    add(small_data(SEEDS, runs))
    add(modern(**SMALL, seed=seed) for seed in SEEDS)
    return list(dict.fromkeys(found))


ARMS = (
    *("published", "rate", "modern", "modern-50k", "timing", "scaling", "no-augmentation"),
    *("constant-rate", "scaling-steps", "equal-flops", "equal-time", "trial", "tuned"),
    *("short", "small-rate", "small", "modern-cpu"),
)
BY_NAME_ONLY = ("short", "small-rate", "small", "modern-cpu")  # `run` leaves them out unless asked
# Arms whose runs are no results: others are chosen by them, or something was tried out.
CHOOSING = ("rate", "trial", "small-rate", "timing", TRY_OUT)
# Each arm whose settings follow from earlier runs, and the arms of these.
WAITS_FOR = {
    **dict.fromkeys(("published", "scaling", "no-augmentation", "constant-rate"), ("rate",)),
    **dict.fromkeys(("scaling-steps", "equal-flops"), ("rate",)),
    "equal-time": ("rate", "timing"),
    "tuned": ("trial",),
    "small": ("small-rate",),
}


def foreseen(study: str) -> list[Setting]:
    """Every run of a study as if all that others wait for had been run, with equal results.

    What follows from results (rates, epochs) is invented here; arms, models, seeds, splits and
    numbers of examples are not.
    """
    grid = STUDIES[study]
    result = {"status": "done", "selected": {"valid": {"accuracy": 0.0}}}
    result |= {"device": "", "step": "", "epochs": [{"seconds": 1.0}]}
    return grid([result | {"setting": asdict(s)} for s in grid(()) if s.arm in CHOOSING])


def timings(models: Sequence[str]) -> Iterator[Setting]:
    """Two epochs as published of each model, at the middle rate: on times it has no effect."""
    for model in models:
        yield published(model, RATES[1], arm="timing", epochs=2, patience=0)


def _as_many(model: str, arm: str, epochs: float, seed: int, rate: float | None) -> Setting:
    """A recipe of so many epochs, with the schedule of the published one drawn out or in."""
    whole = max(1, round(epochs))
    return published(
        model,
        rate,
        arm=arm,
        seed=seed,
        epochs=whole,
        halve_every=max(1, round(whole / 5)),
        patience=0,
        check_every=max(1, whole // 25),
    )


def equal_flops(seeds: Sequence[int], runs: Runs) -> Iterator[Setting]:
    """Arm C: each model gets the operations that ResNet-18 needs for COST_EPOCHS epochs."""
    budget = COST_EPOCHS * costs.count("resnet18-3x3")["flops"]
    for seed in seeds:
        for model in MAIN:
            for rate in _rated(model, runs):
                epochs = budget / costs.count(model)["flops"]
                yield _as_many(model, "equal-flops", epochs, seed, rate)


def equal_time(seeds: Sequence[int], runs: Runs) -> Iterator[Setting]:
    """Arm C: each model gets the time that ResNet-18 needs for COST_EPOCHS epochs.

    Epochs follow from the arm "timing", the newest run of each of these models; all of one device
    and precision, else nothing is yielded.
    """
    timed = {run["setting"]["model"]: run for run in runs if run["setting"]["arm"] == "timing"}
    timed = {model: timed[model] for model in MAIN if model in timed}
    if len(timed) < len(MAIN) or any(run["status"] != "done" for run in timed.values()):
        return
    if len({(run["device"], run["setting"]["amp"], run["step"]) for run in timed.values()}) > 1:
        return
    seconds = {model: timed[model]["epochs"][-1]["seconds"] for model in MAIN}
    for seed in seeds:
        for model in MAIN:
            for rate in _rated(model, runs):
                epochs = COST_EPOCHS * seconds["resnet18-3x3"] / seconds[model]
                yield _as_many(model, "equal-time", epochs, seed, rate)


def tuned(seeds: Sequence[int], runs: Runs) -> Iterator[Setting]:
    """Arm B: eight trials for each model by validation, then the best with every seed.

    Trials and final runs have 20 epochs, halved every 4.
    """
    for model in MAIN:
        recipe = {"arm": "trial", "model": model, "epochs": 20, "halve_every": 4, "patience": 0}
        trials = [
            Setting(**recipe, rule="adamw", lr=lr, decay=decay, seed=TUNING_SEED)
            for lr, decay in TRIALS
        ]
        yield from trials
        best = best_of(trials, runs)
        if best is not None:
            yield from (replace(best, arm="tuned", seed=seed) for seed in seeds)


def small_data(seeds: Sequence[int], runs: Runs) -> Iterator[Setting]:
    """ResNet against ViT with 1,000 examples, as networks that a CPU can train: NARROW.

    The published recipe without early stopping. The ViT's rate is chosen from three; ResNet's is
    the source's.
    """
    recipe = {"examples": SIZES[0], "patience": 0, "check_every": 5}
    resnet, vit = NARROW
    trials = [published(vit, r, arm="small-rate", seed=TUNING_SEED, **recipe) for r in RATES]
    yield from trials
    best = best_of(trials, runs)
    for seed in seeds:
        yield published(resnet, arm="small", seed=seed, **recipe)
        if best is not None:
            yield replace(best, arm="small", seed=seed)


def trial(runs: Runs = ()) -> list[Setting]:
    """A study of a minute on generated shapes, to try the command out."""
    small = {"arm": "published", "data": "shapes", "examples": 1000, "epochs": 2}
    return [Setting(model=m, seed=s, **small) for s in (0, 1) for m in ("tiny-cnn", "tiny-resnet")]


STUDIES: dict[str, Callable[[Runs], list[Setting]]] = {"cifar10": cifar10, "trial": trial}
