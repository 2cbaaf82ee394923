"""From records to verdicts: the rules of records/cifar10-protocol.md as functions.

A rule is a list of conditions that must all be true. A condition compares an estimate with a bound;
it is true or false when its p-value is small enough, else open. A rule holds when all conditions
are true, does not hold when one is false, and is inconclusive otherwise. Over the readings of the
text, a statement that holds in some and does not in others depends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import product
from math import inf, sqrt
from typing import Any

import numpy as np

from dlbook_utils.foundations.linear import mean_interval

from . import probe

HOLDS, NOT, DEPENDS = "holds", "does not hold", "depends"
OPEN, MISSING = "inconclusive", "not measured"
ALPHA = 0.025  # one-sided: an interval of 95 % lies on one side of the bound
ROUNDS = 500  # of the bootstrap over images
CNNS = ("cnn-32", "cnn-64")
RESNETS = ("resnet18-3x3", "resnet18-7x7")
VITS = tuple(f"vit-{size}-{cut}" for cut in ("p16", "p4", "p16-224") for size in ("ti", "s", "b"))

student = mean_interval  # mean and half-width of Student's 95 % interval


@dataclass(frozen=True)
class Estimate:
    """A mean over n seeds, its standard error and the degrees of freedom of that error.

    n = 0: a number that has no error, such as a count of operations.
    """

    mean: float
    error: float = 0.0
    n: int = 0
    freedom: float = 1.0

    def p_above(self, bound: float) -> float:
        """The one-sided p-value against "not above the bound", by Student's t."""
        if self.error == 0:
            return 0.0 if self.mean > bound else 1.0
        from scipy import stats

        return float(stats.t.sf((self.mean - bound) / self.error, self.freedom))

    def interval(self) -> tuple[float, float]:
        """The ends of the 95 % interval."""
        if self.error == 0:
            return self.mean, self.mean
        from scipy import stats

        half = float(stats.t.ppf(1 - ALPHA, self.freedom)) * self.error
        return self.mean - half, self.mean + half

    def __neg__(self) -> Estimate:
        return replace(self, mean=-self.mean)

    def __str__(self) -> str:
        if self.n == 0:
            return f"{self.mean:.3g}"
        low, high = self.interval()
        return f"{self.mean:.2f} ({low:.2f} to {high:.2f}, n={self.n})"


def estimate(per_seed: Sequence[float], images: float = 0.0) -> Estimate:
    """An estimate from one value per seed, and the variance that the choice of images gives it.

    The seeds' share of its variance is theirs over their number. Five seeds are too few to be
    resampled: a bootstrap's interval over them holds the truth far less often than it says, so
    that Student's t takes them. The images' share, known from thousands, has no such trouble:
    the degrees of freedom lie in between (Welch and Satterthwaite).
    Raises ValueError for fewer than two seeds.
    """
    values = np.asarray(per_seed, dtype=float)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"expected values of at least two seeds, got {values.shape}")
    seeds = float(values.var(ddof=1)) / len(values)
    freedom = (len(values) - 1) * ((seeds + images) / seeds) ** 2 if seeds else 1e9
    return Estimate(float(values.mean()), sqrt(seeds + images), len(values), freedom)


@lru_cache(4)
def _weights(n: int, rounds: int) -> np.ndarray:
    """How often each of n images counts (rounds + 1, n): once, then as a bootstrap draws it."""
    draws = np.random.default_rng(0)
    found = [np.bincount(draws.integers(0, n, n), minlength=n) for _ in range(rounds)]
    return np.array([np.ones(n, int), *found], np.int32)


def resampled(guesses: np.ndarray, labels: np.ndarray, rounds: int) -> np.ndarray:
    """The confusion matrix of a run, and those of bootstrap samples of its images.

    The samples are the same for all runs of equally many images: they pair them.

    Arguments:
        guesses, labels: int (images,), the predicted and the true classes.

    Returns: int (rounds + 1, classes, classes). Raises ValueError if the shapes differ.
    """
    if guesses.shape != labels.shape:
        raise ValueError(f"{guesses.shape} predictions for {labels.shape} labels")
    classes = int(labels.max()) + 1
    cells = labels * classes + guesses
    order = cells.argsort(kind="stable")
    filled, begins = np.unique(cells[order], return_index=True)
    found = np.zeros((rounds + 1, classes**2), int)
    found[:, filled] = np.add.reduceat(_weights(len(labels), rounds)[:, order], begins, axis=1)
    return found.reshape(-1, classes, classes)


def paired(one: np.ndarray, two: np.ndarray, measure: Callable) -> Estimate:
    """The difference of a measure, in points, between two models on the same images and seeds.

    Arguments:
        one, two: what `resampled` returned, for each seed: (seeds, rounds + 1, classes, classes).
        measure: maps confusion matrices (..., classes, classes) to numbers in 0..1.

    Raises ValueError if the shapes differ.
    """
    if one.shape != two.shape:
        raise ValueError(f"shapes {one.shape} and {two.shape} do not form pairs")
    differences = 100 * (measure(one) - measure(two))  # (seeds, rounds + 1)
    over_images = differences[:, 1:].mean(0)
    return estimate(differences[:, 0], float(np.var(over_images, ddof=1)))


def accuracy(confusion: np.ndarray) -> np.ndarray:
    """Accuracy of confusion matrices (..., k, k)."""
    return np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum((-2, -1))


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """The mean of the classes' F1."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return (2 * hits / np.maximum(confusion.sum(-2) + confusion.sum(-1), 1)).mean(-1)


def macro_precision(confusion: np.ndarray) -> np.ndarray:
    """The mean of the classes' precision."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return (hits / np.maximum(confusion.sum(-2), 1)).mean(-1)


def macro_recall(confusion: np.ndarray) -> np.ndarray:
    """The mean of the classes' recall."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    return (hits / np.maximum(confusion.sum(-1), 1)).mean(-1)


@dataclass(frozen=True)
class Condition:
    """ "`what` is above `bound`": true, false or open, by two one-sided p-values.

    Tables leave out a condition without a name.
    """

    what: str
    value: Estimate
    bound: float = 0.0

    @property
    def p_true(self) -> float:
        return self.value.p_above(self.bound)

    @property
    def p_false(self) -> float:
        return (-self.value).p_above(-self.bound)

    def __str__(self) -> str:
        return f"{self.what} {self.value}"


@dataclass
class Finding:
    """What a rule says about one reading of the text, before and after Holm's correction."""

    statement: str
    reading: str
    conditions: list[Condition]
    outcome: str = field(default=OPEN)
    family: str = ""  # of findings that are corrected together; "": this one stands alone

    @property
    def p(self) -> tuple[float, str]:
        """The smaller p-value, and what would follow from it.

        All conditions must be true, so that the largest of their p-values counts; one that is
        false is enough, so that the smallest counts, times their number (Bonferroni).
        """
        holds = max(c.p_true for c in self.conditions)
        fails = min(1.0, len(self.conditions) * min(c.p_false for c in self.conditions))
        return (holds, HOLDS) if holds <= fails else (fails, NOT)


def within(what: str, value: Estimate, target: float, near: float, far: float) -> list[Condition]:
    """ "The mean is within `near` of the target, and the interval within `far`".

    A mean farther off, whose interval is not yet beyond `far`, leaves the question open.
    """
    found = [
        Condition(f"{what}:", value, target - far),
        Condition("", -value, -target - far),  # the same number, from the other side
    ]
    if abs(value.mean - target) > near:
        found.append(Condition(f"off {target:g} by", Estimate(value.mean - target, inf)))
    return found


def holm(findings: Sequence[Finding], alpha: float = ALPHA) -> None:
    """Set the outcomes so that the chance of any wrong one in a family is at most 2 alpha.

    Of a family's m p-values the smallest must be below alpha / m, the next below alpha / (m - 1),
    and so on; from the first that is not, all are inconclusive. Source: S. Holm (1979).
    """
    families: dict[str, list[Finding]] = defaultdict(list)
    for number, finding in enumerate(findings):
        families[finding.family or f"alone {number}"].append(finding)
    for family in families.values():
        ordered = sorted(family, key=lambda finding: finding.p[0])
        for rank, finding in enumerate(ordered):
            p, outcome = finding.p
            if p > alpha / (len(ordered) - rank):
                break
            finding.outcome = outcome


def combine(outcomes: Iterable[str]) -> str:
    """One word for the outcomes of a statement in its readings; those not measured are left out."""
    found = {outcome for outcome in outcomes if outcome != MISSING}
    if not found:
        return MISSING
    if {HOLDS, NOT} <= found:
        return DEPENDS
    return OPEN if OPEN in found else found.pop()


class Evidence:
    """The finished runs of a study, by arm, model and number of examples, in order of their seeds.

    Runs of the first split and of one precision `amp`. Unless it is given, it is the one in which
    most runs of the main arm are, and fp32 if no other has more.
    """

    def __init__(self, runs: Sequence[dict[str, Any]], amp: str = ""):
        done = [r for r in runs if r["status"] == "done" and r["setting"]["split"] == 0]
        amps = [r["setting"]["amp"] for r in done if r["setting"]["arm"] == "published"]
        self.amp = amp or max(["fp32", *sorted(set(amps))], key=amps.count)
        self.runs = [r for r in done if r["setting"]["amp"] == self.amp]
        # Many rules ask for the same difference, and for others of the same runs.
        self._known: dict[tuple, Estimate] = {}
        self._resampled: dict[str, np.ndarray] = {}

    def of(self, model: str, arm: str = "published", examples: int = 45_000) -> dict[int, dict]:
        """The runs of a cell by seed."""
        found = {}
        for run in self.runs:
            s = run["setting"]
            if (s["arm"], s["model"], s["examples"]) == (arm, model, examples):
                found[s["seed"]] = run
        return dict(sorted(found.items()))

    def both(self, one: dict[int, dict], two: dict[int, dict]) -> list[tuple[dict, dict]]:
        """The pairs of runs that two cells have in common: same seed, same validation part."""
        common = sorted(set(one) & set(two))
        pairs = [(one[seed], two[seed]) for seed in common]
        if any(a["valid_part"] != b["valid_part"] for a, b in pairs):
            raise ValueError("runs with different validation parts do not form pairs")
        return pairs

    def difference(
        self, one: dict[int, dict], two: dict[int, dict], measure: Callable = accuracy
    ) -> Estimate | None:
        """The paired difference on validation images, in points; None with fewer than two pairs."""
        pairs = self.both(one, two)
        if len(pairs) < 2:
            return None
        name = (measure, *(tuple(run["key"] for run in some) for some in zip(*pairs)))
        mirrored = (measure, name[2], name[1])
        if mirrored in self._known:
            return -self._known[mirrored]
        if name in self._known:
            return self._known[name]
        both = (np.stack([self._confusions(run) for run in some]) for some in zip(*pairs))
        self._known[name] = paired(*both, measure)
        return self._known[name]

    def _confusions(self, run: dict) -> np.ndarray:
        """The run's confusion matrix on validation images, and its bootstrap samples."""
        if run["key"] not in self._resampled:
            valid = run["selected"]["valid"]
            counts = np.asarray(valid["confusion"]).sum(1)
            labels = np.repeat(np.arange(len(counts)), counts)  # the images are sorted by class
            found = resampled(_digits(valid["predictions"]), labels, ROUNDS)
            self._resampled[run["key"]] = found
        return self._resampled[run["key"]]

    def per_seed(
        self, one: dict[int, dict], two: dict[int, dict], value: Callable[[dict], float]
    ) -> Estimate | None:
        """The paired difference of a value of the runs themselves."""
        pairs = self.both(one, two)
        if len(pairs) < 2:
            return None
        return estimate([value(a) - value(b) for a, b in pairs])

    def mean(self, cell: dict[int, dict]) -> Estimate | None:
        """Mean validation accuracy in per cent, over seeds and images."""
        if len(cell) < 2:
            return None
        valid = [run["selected"]["valid"] for run in cell.values()]
        hits = 100 * np.array([v["accuracy"] for v in valid])
        n = sum(map(sum, valid[0]["confusion"]))
        p = hits.mean() / 100
        return estimate(hits, 1e4 * p * (1 - p) / n)


def _digits(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8).astype(int) - ord("0")


def gap(clean: bool) -> Callable[[dict], float]:
    """Training minus validation accuracy of a run, in points, by one definition of the former."""
    name = "train_clean" if clean else "train_augmented"
    return lambda run: 100 * (run["selected"][name] - run["selected"]["valid"]["accuracy"])


def seconds(run: dict) -> float:
    """The time of the last epoch; in the first, memory is taken and kernels are chosen."""
    return float(run["epochs"][-1]["seconds"])


Rule = Callable[[Evidence, str, str, str], "list[Condition] | None"]


def _differences(
    evidence: Evidence, one: str, others: Sequence[str], measure: Callable, bound: float = 0.0
) -> list[Condition] | None:
    found = []
    for other in others:
        value = evidence.difference(evidence.of(one), evidence.of(other), measure)
        if value is None:
            return None
        found.append(Condition(f"{measure.__name__}, {one} - {other}:", value, bound))
    return found


def highest(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition] | None:
    """ViT is highest in training and validation accuracy."""
    found = _differences(e, vit, (cnn, resnet), accuracy)
    if found is None:
        return None
    for other in (cnn, resnet):
        value = e.per_seed(
            e.of(vit), e.of(other), lambda run: 100 * run["selected"]["train_augmented"]
        )
        found.append(Condition(f"training accuracy, {vit} - {other}:", value))
    return found


def competitive(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition] | None:
    """ViT is competitive with ResNet: at most a point behind."""
    return _differences(e, vit, (resnet,), accuracy, -1.0)


def superior_f1(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition] | None:
    """ViT has the superior F1."""
    return _differences(e, vit, (cnn, resnet), macro_f1)


def _timed(e: Evidence, models: Sequence[str]) -> dict[str, dict[int, dict]] | None:
    """The runs of the arm "timing", if they had the machine to themselves and all are of one device
    and way of stepping. Times of other runs enter no rule: who knows what the machine did besides.
    """
    found = {m: e.of(m, "timing") for m in models}
    runs = [run for cell in found.values() for run in cell.values()]
    alone = runs and all(run["parallel"] == 1 for run in runs)
    ways = {(run["device"], run["step"]) for run in runs}
    return found if alone and all(found.values()) and len(ways) == 1 else None


def _mean(cell: dict[int, dict], value: Callable[[dict], float]) -> float:
    return float(np.mean([value(run) for run in cell.values()]))


def more_resources(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition] | None:
    """ViT needs at least a tenth more operations, memory and time per epoch than ResNet.

    On a CPU only the memory of the whole process is known, data set included: not measured.
    """
    timed = _timed(e, (resnet, vit))
    if timed is None or any(run["device"].startswith("CPU") for run in timed[vit].values()):
        return None
    values: dict[str, Callable[[dict], float]] = {
        "operations": lambda run: run["flops"],
        "peak memory": lambda run: run["peak_memory"],
        "time": seconds,
    }
    return [
        Condition(
            f"{name}, {vit} / {resnet}:",
            Estimate(_mean(timed[vit], value) / _mean(timed[resnet], value)),
            1.1,
        )
        for name, value in values.items()
    ]


def fast_and_less_accurate(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition] | None:
    """The CNN is faster and less accurate than both others."""
    timed = _timed(e, (cnn, resnet, vit))
    worse = [_differences(e, other, (cnn,), accuracy) for other in (resnet, vit)]
    if timed is None or None in worse:
        return None
    ratios = [
        Condition(
            f"time, {other} / {cnn}:",
            Estimate(_mean(timed[other], seconds) / _mean(timed[cnn], seconds)),
            1.0,
        )
        for other in (resnet, vit)
    ]
    return ratios + [condition for some in worse for condition in some]


def rises(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition] | None:
    """Accuracy, precision, recall and F1 rise with the operations per image; so does the time."""
    cells = {m: e.of(m) for m in (cnn, resnet, vit)}
    timed = _timed(e, tuple(cells))
    if timed is None or not all(cells.values()):
        return None
    order = sorted(cells, key=lambda m: next(iter(cells[m].values()))["flops"])
    found = []
    for low, high in zip(order, order[1:]):
        for measure in (accuracy, macro_precision, macro_recall, macro_f1):
            some = _differences(e, high, (low,), measure)
            if some is None:
                return None
            found += some
        ratio = _mean(timed[high], seconds) / _mean(timed[low], seconds)
        found.append(Condition(f"time, {high} / {low}:", Estimate(ratio), 1.0))
    return found


def smaller_gap(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition] | None:
    """ResNet's gap between training and validation is smaller than ViT's, by both definitions."""
    return _gaps(e, vit, (resnet,))


def widest_gap(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition] | None:
    """The CNN's gap is the widest, by both definitions."""
    return _gaps(e, cnn, (resnet, vit))


def _gaps(e: Evidence, wide: str, others: Sequence[str]) -> list[Condition] | None:
    found = []
    for other, clean in product(others, (False, True)):
        value = e.per_seed(e.of(wide), e.of(other), gap(clean))
        if value is None:
            return None
        name = "clean" if clean else "augmented"
        found.append(Condition(f"gap ({name}), {wide} - {other}:", value))
    return found


def hungry(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition] | None:
    """ResNet's lead over ViT is larger with 1,000 examples than with all."""
    cells = [
        e.of(m, arm, n)
        for arm, n in (("scaling", 1000), ("published", 45_000))
        for m in (resnet, vit)
    ]
    common = sorted(set.intersection(*(set(cell) for cell in cells)))
    if len(common) < 2:
        return None
    small, small_vit, large, large_vit = (
        np.array([100 * cell[s]["selected"]["valid"]["accuracy"] for s in common]) for cell in cells
    )
    value = estimate(small - small_vit - large + large_vit)
    return [Condition("lead at 1,000 - lead at 45,000:", value)]


def cheaper_on_small(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition] | None:
    """With 1k, 5k and 10k examples ResNet reaches ViT's selected accuracy for fewer operations, and
    in less time, in at least 4 of 5 seeds.
    """
    timed = _timed(e, (resnet, vit))
    if timed is None:
        return None
    # Both have the same examples in an epoch, so that the ratio of whole epochs' times is theirs.
    bills = {
        "operations": lambda cell: next(iter(cell.values()))["flops"],
        "time": lambda cell: _mean(cell, seconds),
    }
    found = []
    for n in (1000, 5000, 10_000):
        pairs = e.both(e.of(resnet, "scaling", n), e.of(vit, "scaling", n))
        if len(pairs) < 5:
            return None
        for name, bill in bills.items():
            ours_an_epoch, theirs_an_epoch = bill(timed[resnet]), bill(timed[vit])
            wins = 0
            for ours, theirs in pairs:
                target = theirs["selected"]["valid"]["accuracy"]
                mine, its = (_epochs_to(run, target) for run in (ours, theirs))
                wins += mine * ours_an_epoch < its * theirs_an_epoch
            share = Estimate(wins / len(pairs))
            found.append(Condition(f"{name}, n={n}: share of seeds", share, 0.79))
    return found


def _epochs_to(run: dict, target: float) -> float:
    """Epochs until validation accuracy reaches a target; infinite if it never does."""
    reached = [r["epoch"] for r in run["epochs"] if r.get("valid_accuracy", 0) >= target]
    return min(reached, default=inf)


def balanced(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition] | None:
    """No other model is as accurate as ResNet for fewer operations, or in less time."""
    timed = _timed(e, (cnn, resnet, vit))
    found = []
    for other in (cnn, vit):
        ahead = e.difference(e.of(resnet), e.of(other))
        if timed is None or ahead is None:
            return None
        for name, value in (("operations", lambda r: r["flops"]), ("time", seconds)):
            if _mean(timed[other], value) < _mean(timed[resnet], value):
                found.append(Condition(f"cheaper in {name}; accuracy, {resnet} - {other}:", ahead))
    return found or [Condition("nothing is cheaper:", Estimate(1.0))]


def common_confusions(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition] | None:
    """The pair of classes most often confused is the same in all models in at least 4 of 5 seeds,
    and the frequencies of all confusions agree (rank correlation at least 0.7).
    """
    cells = [e.of(m) for m in (cnn, resnet, vit)]
    common = sorted(set.intersection(*(set(cell) for cell in cells)))
    if len(common) < 5:
        return None
    matrices = np.array(
        [[cell[s]["selected"]["valid"]["confusion"] for cell in cells] for s in common], float
    )
    both = matrices + matrices.swapaxes(-1, -2)  # the pair, whichever was taken for the other
    k = both.shape[-1]
    above = np.triu_indices(k, 1)
    tops = both[..., above[0], above[1]].argmax(-1)  # (seeds, models)
    modal = np.bincount(tops.ravel()).argmax()
    share = float((tops == modal).all(1).mean())
    off = ~np.eye(k, dtype=bool)
    mean = matrices.mean(0)[:, off]
    lowest = min(_rank_correlation(mean[i], mean[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    return [
        Condition("same top pair, share of seeds:", Estimate(share), 0.79),
        Condition("lowest rank correlation:", Estimate(lowest), 0.7),
    ]


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    from scipy import stats

    return float(stats.spearmanr(a, b)[0])


RULES: dict[str, Rule] = {
    "ViT is highest in training and validation accuracy": highest,
    "ViT is competitive": competitive,
    "ViT needs more resources": more_resources,
    "ResNet is more efficient on smaller data": cheaper_on_small,
    "the CNN is faster and less accurate": fast_and_less_accurate,
    "ResNet balances accuracy and time": balanced,
    "ViT has the superior F1": superior_f1,
    "accuracy and F1 rise with complexity, at the cost of time": rises,
    "ResNet's gap is smaller than ViT's": smaller_gap,
    "the CNN's gap is the highest": widest_gap,
    "confusion matrices show common confusions": common_confusions,
    "transformers need larger data": hungry,
}
NUMBERS = {
    "CNN 91": (CNNS, 91.0),
    "CNN 82.1": (CNNS, 82.1),
    "ResNet 94": (RESNETS, 94.0),
    "ResNet 89.5": (RESNETS, 89.5),
    "ViT 90.7": (VITS, 90.7),
}
ABLATIONS = {"augmentation helps": "no-augmentation", "step decay helps": "constant-rate"}


def fastest(costs: Sequence[dict], cnn: str, resnet: str, vit: str) -> list[Condition] | None:
    """The CNN's inference is the fastest, for one image and for 256, on every device timed."""
    times: dict[tuple, dict[str, float]] = defaultdict(dict)
    for line in costs:  # of the same model on the same device the newest counts
        for found in line["inference"] if line["amp"] == "fp32" else ():
            times[line["device"], found["batch"]][line["model"]] = found["ms"]
    return [
        Condition(f"{other} / {cnn}, batch {batch}, {device}:", Estimate(ms[other] / ms[cnn]), 1.0)
        for (device, batch), ms in times.items()
        if {cnn, resnet, vit} <= set(ms)
        for other in (resnet, vit)
    ] or None


def hierarchical(lines: dict[int, dict]) -> list[Condition] | None:
    """A linear probe's accuracy rises from stage to stage, and beats the untrained network's."""
    if len(lines) < 2:
        return None
    trained, untrained = (
        100 * np.array([line[name] for line in lines.values()]) for name in ("trained", "untrained")
    )
    steps = (trained[:, 1:] - trained[:, :-1]).T
    gains = (trained - untrained).T
    found = [
        Condition(f"probe, stage {k + 1} - {k}:", estimate(values))
        for k, values in enumerate(steps, 1)
    ]
    return found + [
        Condition(f"probe, stage {k}, trained - untrained:", estimate(values))
        for k, values in enumerate(gains, 1)
    ]


def judge(
    runs: Sequence[dict[str, Any]],
    costs: Sequence[dict[str, Any]] = (),
    probes: Sequence[dict[str, Any]] = (),
) -> list[Finding]:
    """Return a finding for each statement and reading.

    A reading for which runs are missing has the outcome "not measured". Holm's correction runs
    over the statements of one choice of models, and over each ablation's models. The comparisons
    with a printed number stand alone: with 5,000 images no correction would leave anything to
    find. Validation accuracy decides; the test set is not looked at.
    """
    evidence = Evidence(runs)
    findings: list[Finding] = []

    def add(statement: str, reading: str, found: list[Condition] | None, family: str = "") -> None:
        outcome = OPEN if found else MISSING
        findings.append(Finding(statement, reading, found or [], outcome, family))

    for statement, (models, number) in NUMBERS.items():
        for model in models:
            value = evidence.mean(evidence.of(model))
            found = value and within("validation accuracy", value, number, 1.0, 2.0)
            add(statement, model, found)
    for statement, rule in RULES.items():
        for reading in product(CNNS, RESNETS, VITS):
            name = " / ".join(reading)
            add(statement, name, rule(evidence, *reading), family=name)
    for statement, arm in ABLATIONS.items():
        for model in (*CNNS, *RESNETS, *VITS):
            value = evidence.difference(evidence.of(model), evidence.of(model, arm))
            found = value and [Condition("accuracy, with - without:", value)]
            add(statement, model, found, family=statement)
    for reading in product(CNNS, RESNETS, VITS):
        add("fastest inference: CNN", " / ".join(reading), fastest(costs, *reading))
    for model in CNNS:
        add("feature maps are hierarchical", model, hierarchical(probe.lines_of(model, probes)))
    holm([finding for finding in findings if finding.outcome != MISSING])
    return findings


def table(findings: Sequence[Finding]) -> str:
    """Return the verdicts in Markdown: a row for each statement, over its readings.

    Three readings are shown with five conditions each. Of a statement that depends, every reading
    is named beside its outcome.
    """
    lines = ["| statement | verdict | readings measured | evidence |", "|---|---|---|---|"]
    for statement in dict.fromkeys(finding.statement for finding in findings):
        mine = [finding for finding in findings if finding.statement == statement]
        measured = [finding for finding in mine if finding.outcome != MISSING]
        overall = combine(finding.outcome for finding in mine)
        evidence = [
            f"{f.reading}: {f.outcome}; " + ", ".join(str(c) for c in f.conditions[:5] if c.what)
            for f in measured[:3]
        ]
        more = [f"and {len(measured) - 3} more readings"] if len(measured) > 3 else []
        if overall == DEPENDS:
            by_outcome = defaultdict(list)
            for finding in measured:
                by_outcome[finding.outcome].append(finding.reading)
            more += [f"{outcome}: {'; '.join(names)}" for outcome, names in by_outcome.items()]
        lines.append(
            f"| {statement} | {overall} | {len(measured)} of {len(mine)} "
            f"| {'<br>'.join(evidence + more)} |"
        )
    return "\n".join(lines)
