"""From records to verdicts: the rules of records/cifar10-protocol.md as functions.

A rule gives conditions that compare an estimate with a bound. It holds when all are true, does not
hold when one is false, and is inconclusive otherwise. A reading of the text is a choice of models
that it can be taken to mean; a statement that holds in some and does not in others depends.
"""

from __future__ import annotations

from collections import defaultdict, namedtuple
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise, product
from math import inf
from operator import itemgetter

import numpy as np

from . import statistics
from .scores import accuracy, macro_f1, macro_precision, macro_recall
from .statistics import Cell, Estimate, Evidence, NotMeasured, cell_of, estimate
from .tables import Table

HOLDS, NOT, DEPENDS = "holds", "does not hold", "depends"
OPEN, MISSING = "inconclusive", "not measured"
CNNS = ("cnn-32", "cnn-64")
RESNETS = ("resnet18-3x3", "resnet18-7x7")
VITS = tuple(f"vit-{size}-{cut}" for cut in ("p16", "p4", "p16-224") for size in ("ti", "s", "b"))
TRIOS = tuple(product(CNNS, RESNETS, VITS))

# A row of the source's Tables 1 and 2: accuracies in %, times on an A100.
Printed = namedtuple("Printed", "training validation epoch_seconds image_ms precision recall f1")
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
PROBED = ("trained", "untrained")  # networks


@dataclass(frozen=True)
class Condition:
    """ "`name` is above `bound`": true, false or open, by two one-sided p-values.

    Tables leave out a condition without a name.
    """

    name: str
    value: Estimate
    bound: float = 0.0

    def p_values(self) -> tuple[float, float]:
        """That it is true, and that it is false, by chance."""
        return self.value.p_above(self.bound), (-self.value).p_above(-self.bound)

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
        true, false = zip(*(condition.p_values() for condition in self.conditions))
        holds, fails = max(true), min(1.0, len(false) * min(false))
        return (holds, HOLDS) if holds <= fails else (fails, NOT)


def decide(findings: Sequence[Finding]) -> None:
    """Set the outcomes, so that of a family's both tails 5 % at most are wrong in any."""
    families: dict[str, list[Finding]] = defaultdict(list)
    for number, finding in enumerate(findings):
        families[finding.family or f"alone {number}"].append(finding)
    for family in families.values():
        p_values, outcomes = zip(*(finding.p for finding in family))
        for finding, sure, outcome in zip(family, statistics.holm(p_values), outcomes):
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


flops = itemgetter("flops")  # operations for one image


def _mean(cell: Cell, value: Callable[[dict], float]) -> float:
    return float(np.mean([value(run) for run in cell.values()]))


def _ratio(one: Cell, two: Cell, value: Callable[[dict], float]) -> Estimate:
    return Estimate(_mean(one, value) / _mean(two, value))


def _ahead(
    e: Evidence, one: str, others: Sequence[str], measure: Callable = accuracy, bound: float = 0.0
) -> list[Condition]:
    """One model is ahead of each other by more than the bound."""
    name = measure.__name__
    return [
        Condition(f"{name}, {one} - {o}:", e.difference(e.of(one), e.of(o), measure), bound)
        for o in others
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


def _better_trained(e: Evidence, one: str, others: Sequence[str]) -> list[Condition]:
    def training(run: dict) -> float:
        return 100 * run["selected"]["train_augmented"]

    return [
        Condition(f"training accuracy, {one} - {o}:", e.per_seed(e.of(one), e.of(o), training))
        for o in others
    ]


def _wider(e: Evidence, wide: str, others: Sequence[str]) -> list[Condition]:
    """One model's gap is wider than each other's, by both definitions of training accuracy."""
    return [
        Condition(f"gap ({word}), {wide} - {o}:", e.per_seed(e.of(wide), e.of(o), gap(clean)))
        for o, (word, clean) in product(others, (("augmented", False), ("clean", True)))
    ]


def more_resources(e: Evidence, cnn: str, resnet: str, vit: str) -> list[Condition]:
    """ViT needs at least a tenth more operations, memory and time per epoch than ResNet.

    On a CPU only the memory of the whole process is known, data set included: not measured.
    """
    timed = e.timed(resnet, vit)
    if any(run["device"].startswith("CPU") for run in timed[vit].values()):
        raise NotMeasured("memory of the network alone")
    values: dict[str, Callable] = {
        "operations": flops,
        "peak memory": itemgetter("peak_memory"),
        "time": seconds,
    }
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
    order = sorted(timed, key=lambda model: _mean(timed[model], flops))
    conditions = []
    for low, high in pairwise(order):
        for measure in (accuracy, macro_precision, macro_recall, macro_f1):
            conditions += _ahead(e, high, (low,), measure)
        ratio = _ratio(timed[high], timed[low], seconds)
        conditions.append(Condition(f"time, {high} / {low}:", ratio, 1.0))
    return conditions


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
    from scipy.stats import spearmanr as spearman

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
    lowest = min(spearman(mean[i], mean[j])[0] for i, j in ((0, 1), (0, 2), (1, 2)))
    return [
        Condition("same top pair, share of seeds:", Estimate(share), MOST),
        Condition("lowest rank correlation:", Estimate(float(lowest)), ALIKE),
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


def hierarchical(e: Evidence, model: str) -> list[Condition]:
    """A linear probe's accuracy rises from stage to stage, and beats the untrained network's."""
    cell = cell_of(e.probes, model=model, split=0, arm="published")
    if len(cell) < 2:
        raise NotMeasured(f"{len(cell)} probed runs; two are needed")
    trained, untrained = (  # (stages, seeds)
        100 * np.array([line[name] for line in cell.values()]).T for name in PROBED
    )
    stages, gains = enumerate(trained[1:] - trained[:-1], 1), enumerate(trained - untrained, 1)
    rising = [Condition(f"probe, stage {k + 1} - {k}:", estimate(v)) for k, v in stages]
    words = "trained - untrained"
    return rising + [Condition(f"probe, stage {k}, {words}:", estimate(v)) for k, v in gains]


# Of a reading, that is a choice of CNN, ResNet and ViT. Who is competitive is at most a point
# behind; by a superior F1 is meant the mean of the classes'.
RULES: dict[str, Callable[[Evidence, str, str, str], list[Condition]]] = {
    "ViT is highest in training and validation accuracy": lambda e, cnn, resnet, vit: (
        _ahead(e, vit, (cnn, resnet)) + _better_trained(e, vit, (cnn, resnet))
    ),
    "ViT is competitive": lambda e, cnn, resnet, vit: _ahead(e, vit, (resnet,), bound=-BEHIND),
    "ViT needs more resources": more_resources,
    "ResNet is more efficient on smaller data": cheaper_on_small,
    "the CNN is faster and less accurate": fast_and_less_accurate,
    "ResNet balances accuracy and time": balanced,
    "ViT has the superior F1": lambda e, cnn, resnet, vit: _ahead(e, vit, (cnn, resnet), macro_f1),
    "accuracy and F1 rise with complexity, at the cost of time": rises,
    "ResNet's gap is smaller than ViT's": lambda e, cnn, resnet, vit: _wider(e, vit, (resnet,)),
    "the CNN's gap is the highest": lambda e, cnn, resnet, vit: _wider(e, cnn, (resnet, vit)),
    "confusion matrices show common confusions": common_confusions,
    "transformers need larger data": hungry,
}
ABLATIONS = {"augmentation helps": "no-augmentation", "step decay helps": "constant-rate"}


def _statements() -> Iterable[tuple[str, Callable, Sequence[tuple[str, ...]], str]]:
    """Each statement with its rule, its readings, and their family, where {} is a reading."""
    for name, models, number in NUMBERS:
        yield f"{name} {number:g}", partial(near, number), [*product(models)], ""
    for statement, rule in RULES.items():
        yield statement, rule, TRIOS, "{}"
    for statement, arm in ABLATIONS.items():
        yield statement, partial(helps, arm), [*product((*CNNS, *RESNETS, *VITS))], statement
    yield "fastest inference: CNN", fastest, TRIOS, ""
    yield "feature maps are hierarchical", hierarchical, [*product(CNNS)], ""


def judge(
    runs: statistics.Lines, costs: statistics.Lines = (), probes: statistics.Lines = ()
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
            findings.append(
                Finding(statement, reading, conditions, outcome, family.format(reading))
            )
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
