"""How sure a number is: estimates over seeds and images, and the runs that they come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np

from .scores import accuracy

ALPHA = 0.025  # one-sided: an interval of 95 % lies on one side of the bound
ALL = 45_000  # examples, unless fewer are asked for
ROUNDS = 500  # of the bootstrap over images
CERTAIN = 1e9  # degrees of freedom of an error to which seeds add nothing: Student's t is normal

Lines = Sequence[dict[str, Any]]  # of a record
Cell = dict[int, dict[str, Any]]  # runs that differ in their seed alone, by seed


class NotMeasured(Exception):
    """Runs are missing without which a rule cannot be applied."""


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


def estimate(per_seed: Sequence[float] | np.ndarray, images: float = 0.0) -> Estimate:
    """An estimate from one value per seed, and the variance that the choice of images gives it.

    Five seeds are too few to be resampled: a bootstrap's interval over them holds the truth far
    less often than it says, so that Student's t takes them. The images' share, known from
    thousands, has no such trouble: the freedom lies in between (Welch and Satterthwaite).
    Raises ValueError for fewer than two seeds.
    """
    values = np.asarray(per_seed, dtype=float)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"expected values of at least two seeds, got {values.shape}")
    seeds = float(values.var(ddof=1)) / len(values)
    freedom = (len(values) - 1) * ((seeds + images) / seeds) ** 2 if seeds else CERTAIN
    return Estimate(float(values.mean()), sqrt(seeds + images), len(values), freedom)


@lru_cache(4)
def _weights(n: int, rounds: int) -> np.ndarray:
    """How often each of n images counts (rounds + 1, n): once, then as a bootstrap draws it."""
    draws = np.random.default_rng(0)
    drawn = [np.bincount(draws.integers(0, n, n), minlength=n) for _ in range(rounds)]
    return np.array([np.ones(n, int), *drawn], np.int32)


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
    # Sorted by cell, the images of a cell lie side by side: one sum a cell, for all rounds at once.
    order = cells.argsort(kind="stable")
    filled, begins = np.unique(cells[order], return_index=True)
    counts = np.zeros((rounds + 1, classes**2), int)
    counts[:, filled] = np.add.reduceat(_weights(len(labels), rounds)[:, order], begins, axis=1)
    return counts.reshape(-1, classes, classes)


def paired(one: np.ndarray, two: np.ndarray) -> Estimate:
    """The difference, in points, between two models on the same images and seeds.

    Arguments:
        one, two: a measure in 0..1 of what `resampled` returned, for each seed (seeds, rounds + 1).

    Raises ValueError if the shapes differ.
    """
    if one.shape != two.shape:
        raise ValueError(f"shapes {one.shape} and {two.shape} do not form pairs")
    differences = 100 * (one - two)
    over_images = differences[:, 1:].mean(0)
    return estimate(differences[:, 0], float(np.var(over_images, ddof=1)))


def holm(p_values: Sequence[float], alpha: float = ALPHA) -> list[bool]:
    """Which of m hypotheses are rejected so that the chance of any wrong one is at most alpha.

    The smallest p-value must be at most alpha / m, the next alpha / (m - 1), and so on; from the
    first that is not, none is rejected. Source: S. Holm (1979).
    """
    rejected = [False] * len(p_values)
    for rank, k in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[k] > alpha / (len(p_values) - rank):
            break
        rejected[k] = True
    return rejected


def cell_of(lines: Lines, **wanted: Any) -> Cell:
    """The lines whose settings have these values, by seed."""
    cell = {}
    for line in lines:
        if all(line["setting"][name] == value for name, value in wanted.items()):
            cell[line["setting"]["seed"]] = line
    return dict(sorted(cell.items()))


class Evidence:
    """The finished runs of a study, by arm, model and number of examples, in order of their seeds.

    Runs of the first split and of one precision `amp`. Unless it is given, it is the one in which
    most runs of the main arm are, and fp32 if no other has more. Besides, the records of inference
    times and of linear probes.
    """

    def __init__(self, runs: Lines, amp: str = "", costs: Lines = (), probes: Lines = ()):
        done = [r for r in runs if r["status"] == "done" and r["setting"]["split"] == 0]
        amps = [r["setting"]["amp"] for r in done if r["setting"]["arm"] == "published"]
        self.amp = amp or max(["fp32", *sorted(set(amps))], key=amps.count)
        self.runs = [r for r in done if r["setting"]["amp"] == self.amp]
        self.costs, self.probes = costs, probes
        self._known: dict[tuple, np.ndarray] = {}  # many rules ask for the same

    def of(self, model: str, arm: str = "published", examples: int = ALL) -> Cell:
        """The runs of a cell by seed."""
        return cell_of(self.runs, model=model, arm=arm, examples=examples)

    def pairs(self, one: Cell, two: Cell, least: int = 2) -> list[tuple[dict, dict]]:
        """The pairs of runs that two cells have in common: same seed, same validation part.

        Raises NotMeasured if there are fewer than `least`.
        """
        pairs = [(one[seed], two[seed]) for seed in sorted(set(one) & set(two))]
        if any(a["valid_part"] != b["valid_part"] for a, b in pairs):
            raise ValueError("runs with different validation parts do not form pairs")
        if len(pairs) < least:
            raise NotMeasured(f"{len(pairs)} pairs of runs; {least} are needed")
        return pairs

    def difference(self, one: Cell, two: Cell, measure: Callable = accuracy) -> Estimate:
        """The paired difference of a measure of confusion matrices on validation images, in points.

        `measure` maps matrices (..., classes, classes) to numbers in 0..1.
        """
        both = zip(*self.pairs(one, two))
        return paired(*(np.stack([self._values(run, measure) for run in runs]) for runs in both))

    def _values(self, run: dict, measure: Callable) -> np.ndarray:
        """A measure of the run's confusions, and of those of bootstrap samples (rounds + 1,)."""
        key = run["key"], measure
        if key not in self._known:
            valid = run["selected"]["valid"]
            counts = np.asarray(valid["confusion"]).sum(1)
            labels = np.repeat(np.arange(len(counts)), counts)  # the images are sorted by class
            guesses = np.frombuffer(valid["predictions"].encode(), np.uint8).astype(int) - ord("0")
            self._known[key] = measure(resampled(guesses, labels, ROUNDS))
        return self._known[key]

    def per_seed(self, one: Cell, two: Cell, value: Callable[[dict], float]) -> Estimate:
        """The paired difference of a value of the runs themselves."""
        return estimate([value(a) - value(b) for a, b in self.pairs(one, two)])

    def mean(self, cell: Cell) -> Estimate:
        """Mean validation accuracy in per cent, over seeds and images."""
        if len(cell) < 2:
            raise NotMeasured(f"{len(cell)} runs; two are needed")
        valid = [run["selected"]["valid"] for run in cell.values()]
        hits = 100 * np.array([v["accuracy"] for v in valid])
        n = sum(map(sum, valid[0]["confusion"]))
        p = hits.mean() / 100
        return estimate(hits, 100**2 * p * (1 - p) / n)

    def timed(self, *models: str) -> dict[str, Cell]:
        """The runs of the arm "timing", if they had the machine to themselves and all are of one
        device and kind of step. Times of other runs enter no rule: who knows what the machine did
        besides.
        """
        cells = {m: self.of(m, "timing") for m in models}
        runs = [run for cell in cells.values() for run in cell.values()]
        alone = all(run["parallel"] == 1 for run in runs)
        conditions = {(run["device"], run["step"]) for run in runs}
        if not (all(cells.values()) and alone and len(conditions) == 1):
            raise NotMeasured("no comparable times")
        return cells
