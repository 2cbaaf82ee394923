"""Which runs make up a study, in order of value: plans, and what results make of them.

The first plans are worth the most, so that whoever has ten minutes of a GPU fills the most
important cells of the tables. What depends on results (a learning rate chosen by validation, as
many epochs as equal costs allow) has a stand-in in a plan, and is decided once these are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import product
from typing import Any

from . import models
from .settings import Setting, from_dict

SEEDS = (0, 1, 2, 3, 4)
TUNING_SEED = 100  # choices are made with a seed that no result is measured with
MAIN = ("cnn-32", "resnet18-3x3", "vit-s-p16", "vit-s-p4")
OTHERS = ("cnn-64", "resnet18-7x7", "vit-b-p16", "vit-ti-p16", "vit-ti-p4", "vit-b-p4")
LARGE = ("vit-ti-p16-224", "vit-s-p16-224", "vit-b-p16-224")
READINGS = (*MAIN, *OTHERS, *LARGE)  # the models that the text can be taken to mean
NARROW = ("resnet18-narrow", "vit-narrow-p4")
RATES = (1e-4, 3e-4, 1e-3)
BRACKET = (3e-4, 1e-3, 3e-3, 1e-2)  # the best of them shall be none of the ends
SIZES = (1_000, 5_000, 10_000, 25_000)
COST_EPOCHS = 5  # of ResNet-18: the budget of the arms of equal cost
STAGES, CHECKS = 5, 25  # of a schedule that is drawn out or in: rates, and validations
TRY_OUT = "try-out"  # the arm of a run that was cut short to try something: of no study's plans

Runs = Sequence[dict[str, Any]]


def published(model: str, rate: float = RATES[0], **changes: Any) -> Setting:
    """The source's recipe. It gives no rate for its ViT's AdamW: a ViT's is `rate`."""
    if model.startswith("vit"):
        changes = {"rule": "adamw", "decay": 0.01, "lr": rate} | changes
    return Setting(**{"arm": "published", "model": model} | changes)


def modern(**changes: Any) -> Setting:
    """The modern recipe. On a GPU as published but for 45,000 examples, eight epochs."""
    recipe: dict[str, Any] = {
        "epochs": 8,
        "batch": 2000,
        "rule": "muon",
        "lr": 0.24,
        "smoothing": 0.2,
    }
    recipe |= {"halve_every": 0, "patience": 0, "check_every": 100, "select": "last"}
    recipe |= {"pad": 2, "degrees": 0.0, "flip": "alternating", "border": "reflect", "views": 6}
    return Setting(**{"arm": "modern", "model": "speedy", "amp": "bf16"} | recipe | changes)


SMALL: dict[str, Any] = {
    **{"arm": "modern-cpu", "model": "speedy-small", "epochs": 5, "small_epochs": 2},
    **{"small_side": 24, "batch": 500, "lr": 0.12, "pad": 1},
}


def rate_trials(model: str) -> list[Setting]:
    """Three short runs that choose a ViT's rate: 15 epochs, halved every 3."""
    short = {"arm": "rate", "seed": TUNING_SEED, "epochs": 15, "halve_every": 3, "patience": 0}
    return [published(model, rate, **short) for rate in RATES]


def tuning_trials(model: str) -> list[Setting]:
    """Eight trials for each model, the same for all: every rate with every decay, under AdamW."""
    recipe: dict[str, Any] = {
        "arm": "trial",
        "model": model,
        "epochs": 20,
        "halve_every": 4,
        "patience": 0,
    }
    grid = product((*RATES, 3e-3), (0.01, 0.1))
    return [Setting(**recipe, rule="adamw", lr=r, decay=d, seed=TUNING_SEED) for r, d in grid]


def small(model: str, rate: float = RATES[0], **changes: Any) -> Setting:
    """The published recipe with 1,000 examples and without early stopping, for NARROW networks."""
    recipe = {"arm": "small", "examples": SIZES[0], "patience": 0, "check_every": 5}
    return published(model, rate, **recipe | changes)


def small_trials(model: str) -> list[Setting]:
    """Three runs that choose the narrow ViT's rate."""
    return [small(model, rate, arm="small-rate", seed=TUNING_SEED) for rate in RATES]


def bracket_trials(model: str) -> list[Setting]:
    """Four runs that choose the rate of either narrow network, the same for both."""
    return [small(model, arm="bracket", lr=rate, seed=TUNING_SEED) for rate in BRACKET]


def best_of(trials: Sequence[Setting], runs: Runs) -> Setting | None:
    """The trial with the best validation accuracy (the earlier on a tie); None while one lacks.

    A trial in another precision counts; a failed one counts as accuracy 0.
    """
    scores = []
    for trial in trials:
        same = [run for run in runs if run["setting"]["model"] == trial.model]  # soon seen
        same = [run for run in same if replace(from_dict(run["setting"]), amp=trial.amp) == trial]
        if not same:
            return None
        done = same[0]["status"] == "done"
        scores.append(same[0]["selected"]["valid"]["accuracy"] if done else 0.0)
    return trials[scores.index(max(scores))]


# How results decide: each returns the setting that a plan becomes, None while results are missing.


Trials = Callable[[str], list[Setting]]


def as_tuned(trials: Trials, plan: Setting, runs: Runs) -> Setting | None:
    """Every model takes rate and decay of its best trial."""
    best = best_of(trials(plan.model), runs)
    return best and replace(plan, lr=best.lr, decay=best.decay)


def at_best(trials: Trials, plan: Setting, runs: Runs) -> Setting | None:
    """A ViT takes the rate of its best trial; the source gives the others'."""
    return as_tuned(trials, plan, runs) if plan.model.startswith("vit") else plan


def for_equal_time(plan: Setting, runs: Runs) -> Setting | None:
    """Arm C: each model gets the time that ResNet-18 needs for COST_EPOCHS epochs.

    Epochs follow from the arm "timing", the newest run of each of the main models; all of one
    device and precision.
    """
    timed = {run["setting"]["model"]: run for run in runs if run["setting"]["arm"] == "timing"}
    newest = [timed[model] for model in MAIN if model in timed]
    if len(newest) < len(MAIN) or any(run["status"] != "done" for run in newest):
        return None
    if len({(run["device"], run["setting"]["amp"], run["step"]) for run in newest}) > 1:
        return None
    seconds, resnets = (timed[m]["epochs"][-1]["seconds"] for m in (plan.model, MAIN[1]))
    plan = replace(plan, **_schedule(COST_EPOCHS * resnets / seconds))
    return by_rate(plan, runs)


def _schedule(epochs: float) -> dict[str, Any]:
    """So many epochs, with the schedule of the published recipe drawn out or in."""
    whole = max(1, round(epochs))
    halve_every, check_every = max(1, round(whole / STAGES)), max(1, whole // CHECKS)
    return {"epochs": whole, "halve_every": halve_every, "check_every": check_every}


by_rate = partial(at_best, rate_trials)


@dataclass(frozen=True)
class Arm:
    """A question, and how results decide what its plans leave open.

    Arguments:
        decide: from a plan and the runs recorded to a setting, None while results are missing.
        waits_for: the arms whose results these are.
        by_name_only: whether the command leaves it out unless asked.
        chooses: whether its runs are no results: others are chosen by them.
    """

    decide: Callable[[Setting, Runs], Setting | None] = lambda plan, runs: plan
    waits_for: tuple[str, ...] = ()
    by_name_only: bool = False
    chooses: bool = False


ARMS = {
    "published": Arm(by_rate, ("rate",)),
    "rate": Arm(chooses=True),
    "modern": Arm(),
    "modern-50k": Arm(),
    "timing": Arm(chooses=True),
    "scaling": Arm(by_rate, ("rate",)),
    "no-augmentation": Arm(by_rate, ("rate",)),
    "constant-rate": Arm(by_rate, ("rate",)),
    "scaling-steps": Arm(by_rate, ("rate",)),
    "equal-flops": Arm(by_rate, ("rate",)),
    "equal-time": Arm(for_equal_time, ("rate", "timing")),
    "trial": Arm(chooses=True),
    "tuned": Arm(partial(as_tuned, tuning_trials), ("trial",)),
    "short": Arm(by_name_only=True),
    "small-rate": Arm(by_name_only=True, chooses=True),
    "small": Arm(partial(at_best, small_trials), ("small-rate",), by_name_only=True),
    "bracket": Arm(by_name_only=True, chooses=True),
    "small-long": Arm(partial(as_tuned, bracket_trials), ("bracket",), by_name_only=True),
    "modern-cpu": Arm(by_name_only=True),
}
# Arms whose runs are no results: others are chosen by them, or something was tried out.
CHOOSING = (*(name for name, arm in ARMS.items() if arm.chooses), TRY_OUT)


def _each(names: Sequence[str], seeds: Sequence[int], **changes: Any) -> Iterator[Setting]:
    """The published recipe with changes, seed by seed, each ViT after the trials for its rate."""
    for seed in seeds:
        for model in names:
            if model.startswith("vit"):
                yield from rate_trials(model)
            yield published(model, seed=seed, **changes)


def _equal_costs() -> Iterator[Setting]:
    """Arm C: each model gets the operations, or the time, of COST_EPOCHS epochs of ResNet-18."""
    flops = {model: models.count(model)["flops"] for model in MAIN}
    for arm, seed, model in product(("equal-flops", "equal-time"), SEEDS, MAIN):
        times = flops[MAIN[1]] / flops[model] if arm == "equal-flops" else 1
        yield published(model, arm=arm, seed=seed, patience=0, **_schedule(COST_EPOCHS * times))


def _cifar10() -> Iterator[Setting]:
    """Every run of the study, in order of value."""
    first, others = SEEDS[:1], SEEDS[1:]
    timing = {"arm": "timing", "epochs": 2, "patience": 0}  # on times the rate has no effect
    yield from _each(MAIN, first)
    yield from (modern(seed=seed) for seed in SEEDS)
    yield from (modern(arm="modern-50k", examples=50_000, seed=seed) for seed in SEEDS)
    yield from (published(model, RATES[1], **timing) for model in MAIN)
    yield from _each(MAIN, others)
    for seeds, n in product((first, others), SIZES):
        yield from _each(MAIN, seeds, arm="scaling", examples=n)
    yield from _each(OTHERS, first)
    yield from (published(model, RATES[1], **timing) for model in (*OTHERS, *LARGE))
    yield from _each(LARGE[:2], first)
    yield from _each(MAIN, SEEDS, arm="no-augmentation", pad=0, degrees=0.0, flip="none")
    yield from _each(MAIN, SEEDS, arm="constant-rate", halve_every=0)
    yield from _each(MAIN, SEEDS, split=1)
    yield from _each(OTHERS, others)
    for n in SIZES[:3]:
        yield from _each(MAIN, SEEDS, arm="scaling-steps", per_epoch=45_000, examples=n)
    yield from _equal_costs()
    for trials in map(tuning_trials, MAIN):
        yield from trials
        yield from (replace(trials[0], arm="tuned", seed=seed) for seed in SEEDS)
    yield from _each(LARGE, SEEDS)
    # For a CPU: asked for by name (--arm), since a GPU fills better cells.
    short = {"arm": "short", "epochs": 5, "halve_every": 1, "patience": 0}
    yield from (published(m, RATES[1], seed=seed, **short) for seed in SEEDS for m in MAIN)
    yield from small_trials(NARROW[1])
    yield from (small(model, seed=seed) for seed in SEEDS for model in NARROW)
    for trials in map(bracket_trials, NARROW):
        yield from trials
    long: dict[str, Any] = {"epochs": 250, "halve_every": 50, "check_every": 25}
    yield from (
        small(model, arm="small-long", seed=seed, **long) for seed in SEEDS for model in NARROW
    )
    yield from (modern(**SMALL, seed=seed) for seed in SEEDS)


def _trial() -> Iterator[Setting]:
    """A study of a minute on generated shapes, to try the command out."""
    recipe: dict[str, Any] = {"arm": "published", "data": "shapes", "examples": 1000, "epochs": 2}
    for seed, model in product((0, 1), ("tiny-cnn", "tiny-resnet")):
        yield Setting(model=model, seed=seed, **recipe)


STUDIES = {"cifar10": _cifar10, "trial": _trial}


@lru_cache
def plans(study: str) -> tuple[Setting, ...]:
    """Every run of a study, each once; what results will decide has a stand-in."""
    return tuple(dict.fromkeys(STUDIES[study]()))


def grid(study: str, runs: Runs = ()) -> list[Setting]:
    """Every run of a study that can be named, given those recorded; no setting twice."""
    return _once(ARMS[plan.arm].decide(plan, runs) for plan in plans(study))


def wanted(
    study: str, runs: Runs, choice: Callable[[Setting], bool], changes: dict[str, Any]
) -> list[Setting]:
    """The settings of a grid that `choice` wants, changed, each once.

    A try-out waits for no other run: stand-ins do.
    """
    tried_out = changes.get("arm") == TRY_OUT
    settings = plans(study) if tried_out else grid(study, runs)
    return _once(replace(s, **changes) for s in settings if choice(s))


def _once(settings: Iterable[Setting | None]) -> list[Setting]:
    return list(dict.fromkeys(setting for setting in settings if setting is not None))
