"""From records to verdicts: the rules of records/cifar10-protocol.md as functions.

A rule is a list of conditions that must all be true. A condition compares an estimate with a bound;
it is true or false when its p-value is small enough, else open. A rule holds when all conditions
are true, does not hold when one is false, and is inconclusive otherwise. Over the readings of the
text, which are the models that it can be taken to mean, a statement that holds in some and does not
in others depends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise, product
from math import inf
from typing import Any, NamedTuple

import numpy as np

from .scores import accuracy, macro_f1, macro_precision, macro_recall
from .statistics import Cell, Estimate, Evidence, NotMeasured, estimate, holm, rank_correlation
from .tables import Table

HOLDS, NOT, DEPENDS = "holds", "does not hold", "depends"
OPEN, MISSING = "inconclusive", "not measured"
CNNS = ("cnn-32", "cnn-64")
RESNETS = ("resnet18-3x3", "resnet18-7x7")
VITS = tuple(f"vit-{size}-{cut}" for cut in ("p16", "p4", "p16-224") for size in ("ti", "s", "b"))
TRIOS = tuple(product(CNNS, RESNETS, VITS))


class Printed(NamedTuple):
    """A row of the source's Tables 1 and 2; accuracies in %, times on an A100."""

    training: float
    validation: float
    epoch_seconds: float
    image_ms: float
    precision: float
    recall: float
    f1: float


REPORTED = {
    "basic CNN": Printed(85.3, 82.1, 35.0, 3.2, 0.81, 0.80, 0.805),
    "ResNet-18": Printed(91.8, 89.5, 50.0, 5.0, 0.89, 0.87, 0.880),
    "ViT": Printed(94.5, 90.7, 75.0, 8.1, 0.91, 0.88, 0.895),
}
# Validation accuracies: what the text of the source says, and what its table does.
NUMBERS = (
    ("CNN", CNNS, 91.0),
    ("CNN", CNNS, REPORTED["basic CNN"].validation),
    ("ResNet", RESNETS, 94.0),
    ("ResNet", RESNETS, REPORTED["ResNet-18"].validation),
    ("ViT", VITS, REPORTED["ViT"].validation),
)
NEAR, FAR = 1.0, 2.0  # points from a number for the mean, and for its interval
BEHIND = 1.0  # points that are still competitive
MORE = 1.1  # a tenth more is more
ALIKE = 0.7  # rank correlation of confusions that are common
SEEDS = 5  # that a share of seeds is taken of
MOST = 0.79  # conditions say "above", the protocol "at least 4 of 5"
FEW = (1_000, 5_000, 10_000)  # examples
SHOWN_READINGS, SHOWN_CONDITIONS = 3, 5  # in a row of the table


@dataclass(frozen=True)
class Condition:
    """ "`name` is above `bound`": true, false or open, by two one-sided p-values.

    Tables leave out a condition without a name.
    """

    name: str
    value: Estimate
    bound: float = 0.0

    @property
    def p_true(self) -> float:
        return self.value.p_above(self.bound)

    @property
    def p_false(self) -> float:
        return (-self.value).p_above(-self.bound)

    def __str__(self) -> str:
        return f"{self.name} {self.value}"


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


def decide(findings: Sequence[Finding]) -> None:
    """Set the outcomes, so that of a family's both tails 5 % at most are wrong in any."""
    families: dict[str, list[Finding]] = defaultdict(list)
    for number, finding in enumerate(findings):
        families[finding.family or f"alone {number}"].append(finding)
    for family in families.values():
        p_values, outcomes = zip(*(finding.p for finding in family))
        for finding, sure, outcome in zip(family, holm(p_values), outcomes):
            finding.outcome = outcome if sure else finding.outcome


def combine(outcomes: Iterable[str]) -> str:
    """One word for the outcomes of a statement in its readings; those not measured are left out."""
    words = {outcome for outcome in outcomes if outcome != MISSING}
    if not words:
        return MISSING
    if {HOLDS, NOT} <= words:
        return DEPENDS
    return OPEN if OPEN in words else words.pop()


def gap(clean: bool) -> Callable[[dict], float]:
    """Training minus validation accuracy of a run, in points, by one definition of the former."""
    name = "train_clean" if clean else "train_augmented"
    return lambda run: 100 * (run["selected"][name] - run["selected"]["valid"]["accuracy"])


def seconds(run: dict) -> float:
    """The time of the last epoch; in the first, memory is taken and kernels are chosen."""
    return float(run["epochs"][-1]["seconds"])


def flops(run: dict) -> float:
    """Operations for one image."""
    return run["flops"]


def _mean(cell: Cell, value: Callable[[dict], float]) -> float:
    return float(np.mean([value(run) for run in cell.values()]))


def _ratio(one: Cell, two: Cell, value: Callable[[dict], float]) -> Estimate:
    return Estimate(_mean(one, value) / _mean(two, value))


def _ahead(
    e: Evidence, one: str, others: Sequence[str], measure: Callable = accuracy, bound: float = 0.0
) -> list[Condition]:
    """One model is ahead of each other by more than the bound."""
    return [
        Condition(
            f"{measure.__name__}, {one} - {other}:",
            e.difference(e.of(one), e.of(other), measure),
            bound,
        )
        for other in others
    ]


def near(number: float, e: Evidence, model: str) -> list[Condition]:
    """The mean validation accuracy is within NEAR of the number, and the interval within FAR.

    A mean farther off, whose interval is not yet beyond FAR, leaves the question open.
    """
    return within(e.mean(e.of(model)), number)


def within(value: Estimate, number: float) -> list[Condition]:
    """The conditions of `near`, for any estimate."""
    conditions = [
        Condition("validation accuracy:", value, number - FAR),
        Condition("", -value, -number - FAR),  # the same number, from the other side
    ]
    if abs(value.mean - number) > NEAR:  # an infinite error: neither true nor false
        conditions.append(Condition(f"off {number:g} by", Estimate(value.mean - number, inf)))
    return conditions


def highest(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition]:
    """ViT is highest in training and validation accuracy."""

    def training(run: dict) -> float:
        return 100 * run["selected"]["train_augmented"]

    return _ahead(e, vit, (cnn, resnet)) + [
        Condition(
            f"training accuracy, {vit} - {other}:", e.per_seed(e.of(vit), e.of(other), training)
        )
        for other in (cnn, resnet)
    ]


def competitive(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition]:
    """ViT is competitive with ResNet: at most a point behind."""
    return _ahead(e, vit, (resnet,), bound=-BEHIND)


def superior_f1(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition]:
    """ViT has the superior F1."""
    return _ahead(e, vit, (cnn, resnet), macro_f1)


def more_resources(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition]:
    """ViT needs at least a tenth more operations, memory and time per epoch than ResNet.

    On a CPU only the memory of the whole process is known, data set included: not measured.
    """
    timed = e.timed(resnet, vit)
    if any(run["device"].startswith("CPU") for run in timed[vit].values()):
        raise NotMeasured("memory of the network alone")
    values = {"operations": flops, "peak memory": lambda run: run["peak_memory"], "time": seconds}
    return [
        Condition(f"{name}, {vit} / {resnet}:", _ratio(timed[vit], timed[resnet], value), MORE)
        for name, value in values.items()
    ]


def fast_and_less_accurate(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition]:
    """The CNN is faster and less accurate than both others."""
    timed = e.timed(cnn, resnet, vit)
    slower = [
        Condition(f"time, {other} / {cnn}:", _ratio(timed[other], timed[cnn], seconds), 1.0)
        for other in (resnet, vit)
    ]
    return slower + _ahead(e, resnet, (cnn,)) + _ahead(e, vit, (cnn,))


def rises(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition]:
    """Accuracy, precision, recall and F1 rise with the operations per image; so does the time."""
    timed = e.timed(cnn, resnet, vit)
    cells = {model: e.of(model) for model in timed}
    if not all(cells.values()):
        raise NotMeasured("a model's runs")
    order = sorted(cells, key=lambda model: flops(next(iter(cells[model].values()))))
    conditions = []
    for low, high in pairwise(order):
        for measure in (accuracy, macro_precision, macro_recall, macro_f1):
            conditions += _ahead(e, high, (low,), measure)
        ratio = _ratio(timed[high], timed[low], seconds)
        conditions.append(Condition(f"time, {high} / {low}:", ratio, 1.0))
    return conditions


def smaller_gap(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition]:
    """ResNet's gap between training and validation is smaller than ViT's, by both definitions."""
    return _wider(e, vit, (resnet,))


def widest_gap(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition]:
    """The CNN's gap is the widest, by both definitions."""
    return _wider(e, cnn, (resnet, vit))


def _wider(e: Evidence, wide: str, others: Sequence[str]) -> list[Condition]:
    return [
        Condition(
            f"gap ({'clean' if clean else 'augmented'}), {wide} - {other}:",
            e.per_seed(e.of(wide), e.of(other), gap(clean)),
        )
        for other, clean in product(others, (False, True))
    ]


def hungry(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition]:
    """ResNet's lead over ViT is larger with 1,000 examples than with all."""
    models = resnet, vit
    cells = [e.of(model, "scaling", FEW[0]) for model in models] + [e.of(m) for m in models]
    seeds = _common(cells, 2)
    small, small_vit, large, large_vit = (
        np.array([100 * cell[seed]["selected"]["valid"]["accuracy"] for seed in seeds])
        for cell in cells
    )
    lead = estimate(small - small_vit - large + large_vit)
    return [Condition("lead at 1,000 - lead at 45,000:", lead)]


def _common(cells: Sequence[Cell], least: int) -> list[int]:
    """The seeds that all cells have."""
    seeds = sorted(set.intersection(*(set(cell) for cell in cells)))
    if len(seeds) < least:
        raise NotMeasured(f"{len(seeds)} common seeds; {least} are needed")
    return seeds


def cheaper_on_small(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition]:
    """With 1k, 5k and 10k examples ResNet reaches ViT's selected accuracy for fewer operations, and
    in less time, in at least 4 of 5 seeds.
    """
    timed = e.timed(resnet, vit)
    conditions = []
    for n in FEW:
        pairs = e.pairs(e.of(resnet, "scaling", n), e.of(vit, "scaling", n), SEEDS)
        for name, value in (("operations", flops), ("time", seconds)):
            # Both have the same examples in an epoch, so that the ratio of whole epochs is theirs.
            ours, theirs = (_mean(timed[model], value) for model in (resnet, vit))
            wins = sum(_epochs(a, b) * ours < _epochs(b, b) * theirs for a, b in pairs)
            share = Estimate(wins / len(pairs))
            conditions.append(Condition(f"{name}, n={n}: share of seeds", share, MOST))
    return conditions


def _epochs(run: dict, rival: dict) -> float:
    """Epochs until a run reaches the rival's selected accuracy; infinite if it never does."""
    target = rival["selected"]["valid"]["accuracy"]
    reached = [r["epoch"] for r in run["epochs"] if r.get("valid_accuracy", 0) >= target]
    return min(reached, default=inf)


def balanced(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition]:
    """No other model is as accurate as ResNet for fewer operations, or in less time."""
    timed = e.timed(cnn, resnet, vit)
    conditions = []
    for other in (cnn, vit):
        ahead = e.difference(e.of(resnet), e.of(other))
        for name, value in (("operations", flops), ("time", seconds)):
            if _mean(timed[other], value) < _mean(timed[resnet], value):
                name = f"cheaper in {name}; accuracy, {resnet} - {other}:"
                conditions.append(Condition(name, ahead))
    return conditions or [Condition("nothing is cheaper:", Estimate(1.0))]


def common_confusions(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition]:
    """The pair of classes most often confused is the same in all models in at least 4 of 5 seeds,
    and the frequencies of all confusions agree (rank correlation at least 0.7).
    """
    cells = [e.of(model) for model in (cnn, resnet, vit)]
    seeds = _common(cells, SEEDS)
    matrices = np.array(  # (seeds, models, classes, classes)
        [[cell[seed]["selected"]["valid"]["confusion"] for cell in cells] for seed in seeds], float
    )
    both = matrices + matrices.swapaxes(-1, -2)  # the pair, whichever was taken for the other
    classes = both.shape[-1]
    above = np.triu_indices(classes, 1)
    tops = both[..., above[0], above[1]].argmax(-1)  # (seeds, models)
    usual = np.bincount(tops.ravel()).argmax()
    share = float((tops == usual).all(1).mean())
    mean = matrices.mean(0)[:, ~np.eye(classes, dtype=bool)]
    lowest = min(rank_correlation(mean[i], mean[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    return [
        Condition("same top pair, share of seeds:", Estimate(share), MOST),
        Condition("lowest rank correlation:", Estimate(lowest), ALIKE),
    ]


def helps(arm: str, e: Evidence, model: str) -> list[Condition]:
    """What the arm leaves out makes the model more accurate."""
    return [Condition("accuracy, with - without:", e.difference(e.of(model), e.of(model, arm)))]


def fastest(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition]:
    """The CNN's inference is the fastest, for one image and for 256, on every device timed."""
    times: dict[tuple, dict[str, float]] = defaultdict(dict)
    for line in e.costs:  # of the same model on the same device the newest counts
        for timing in line["inference"] if line["amp"] == "fp32" else ():
            times[line["device"], timing["batch"]][line["model"]] = timing["ms"]
    return [
        Condition(f"{other} / {cnn}, batch {batch}, {device}:", Estimate(ms[other] / ms[cnn]), 1.0)
        for (device, batch), ms in times.items()
        if {cnn, resnet, vit} <= set(ms)
        for other in (resnet, vit)
    ]


def probes_of(model: str, probes: Sequence[dict[str, Any]]) -> Cell:
    """The probes of a model's runs on the first split, by seed."""
    cell = {}
    for line in probes:
        setting = line["setting"]
        if (setting["model"], setting["split"], setting["arm"]) == (model, 0, "published"):
            cell[setting["seed"]] = line
    return dict(sorted(cell.items()))


def hierarchical(e: Evidence, model: str) -> list[Condition]:
    """A linear probe's accuracy rises from stage to stage, and beats the untrained network's."""
    cell = probes_of(model, e.probes)
    if len(cell) < 2:
        raise NotMeasured(f"{len(cell)} probed runs; two are needed")
    trained, untrained = (  # (stages, seeds)
        100 * np.array([line[name] for line in cell.values()]).T
        for name in ("trained", "untrained")
    )
    return [
        Condition(f"probe, stage {k + 1} - {k}:", estimate(gains))
        for k, gains in enumerate(trained[1:] - trained[:-1], 1)
    ] + [
        Condition(f"probe, stage {k}, trained - untrained:", estimate(gains))
        for k, gains in enumerate(trained - untrained, 1)
    ]


# Of one reading, that is of one choice of CNN, ResNet and ViT.
RULES: dict[str, Callable[[Evidence, str, str, str], list[Condition]]] = {
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
ABLATIONS = {"augmentation helps": "no-augmentation", "step decay helps": "constant-rate"}


def _statements() -> Iterable[tuple[str, Callable, Sequence[tuple[str, ...]], Callable]]:
    """Each statement with its rule, its readings, and the family of a reading."""

    def alone(reading: str) -> str:
        return ""

    def of_each(models: Sequence[str]) -> list[tuple[str, ...]]:
        return [(model,) for model in models]

    for name, models, number in NUMBERS:
        yield f"{name} {number:g}", partial(near, number), of_each(models), alone
    for statement, rule in RULES.items():
        yield statement, rule, TRIOS, str
    for statement, arm in ABLATIONS.items():
        models = (*CNNS, *RESNETS, *VITS)
        yield statement, partial(helps, arm), of_each(models), partial(str.format, statement)
    yield "fastest inference: CNN", fastest, TRIOS, alone
    yield "feature maps are hierarchical", hierarchical, of_each(CNNS), alone


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
    evidence = Evidence(runs, costs=costs, probes=probes)
    findings: list[Finding] = []
    for statement, rule, readings, family in _statements():
        for models in readings:
            reading = " / ".join(models)
            try:
                conditions = rule(evidence, *models)
            except NotMeasured:
                conditions = []
            outcome = OPEN if conditions else MISSING
            findings.append(Finding(statement, reading, conditions, outcome, family(reading)))
    decide([finding for finding in findings if finding.outcome != MISSING])
    return findings


def table(findings: Sequence[Finding]) -> Table:
    """Return the verdicts: a row for each statement, over its readings.

    A few readings are shown with a few conditions each. Of a statement that depends, every reading
    is named beside its outcome.
    """
    rows = []
    for statement in dict.fromkeys(finding.statement for finding in findings):
        mine = [finding for finding in findings if finding.statement == statement]
        measured = [finding for finding in mine if finding.outcome != MISSING]
        verdict = combine(finding.outcome for finding in mine)
        evidence = "<br>".join(_evidence(measured, verdict))
        rows.append([statement, verdict, f"{len(measured)} of {len(mine)}", evidence])
    return Table(["statement", "verdict", "readings measured", "evidence"], rows)


def _evidence(measured: Sequence[Finding], verdict: str) -> Iterable[str]:
    for finding in measured[:SHOWN_READINGS]:
        shown = [str(c) for c in finding.conditions[:SHOWN_CONDITIONS] if c.name]
        yield f"{finding.reading}: {finding.outcome}; " + ", ".join(shown)
    if len(measured) > SHOWN_READINGS:
        yield f"and {len(measured) - SHOWN_READINGS} more readings"
    if verdict == DEPENDS:
        by_outcome = defaultdict(list)
        for finding in measured:
            by_outcome[finding.outcome].append(finding.reading)
        yield from (f"{outcome}: {'; '.join(names)}" for outcome, names in by_outcome.items())
