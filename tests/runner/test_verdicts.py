"""The protocol's rules on made-up records whose answer is known."""

import numpy as np
import pytest

from dlbook_utils.runner import grids, scores, statistics, verdicts
from dlbook_utils.runner.statistics import Estimate, Evidence
from dlbook_utils.runner.verdicts import Condition, Finding

N = 2000  # validation images
LABELS = np.repeat(np.arange(10), N // 10)
MODELS = ("cnn-32", "resnet18-3x3", "vit-s-p16")
READING = " / ".join(MODELS)


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr(statistics, "ROUNDS", 60)


def a_run(model, seed, right, arm="published", train=0.95, clean=0.96, **more):
    """A run that predicts a part `right` of the images correctly; errors go to the next class."""
    g = np.random.default_rng(seed)  # the same images are hard for all models: pairs
    hard = g.random(N) + 0.002 * seed
    hard[LABELS == 3] += 0.1
    guesses = np.where(hard < right, LABELS, (LABELS + 1) % 10)
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (LABELS, guesses), 1)
    valid = {
        "accuracy": float((guesses == LABELS).mean()),
        "confusion": confusion.tolist(),
        "predictions": "".join(map(str, guesses)),
        **scores.macro(confusion.tolist()),
    }
    setting = grids.published(model, 1e-3, seed=seed, arm=arm).__dict__ | more.pop("setting", {})
    run = {
        "key": f"{arm}{model}{seed}{right}{setting}",
        "status": "done",
        "setting": setting,
        "selected": {"valid": valid, "train_augmented": train, "train_clean": clean},
        "epochs": [{"epoch": 1, "seconds": 2.0, "valid_accuracy": valid["accuracy"]}],
        "flops": {"c": 1, "r": 10, "v": 5}[model[0]],
        "peak_memory": 100,
        "parallel": 1,
        "device": "d",
        "step": "fast",
        "valid_part": "p",
    }
    return run | more


def study(right=(0.7, 0.9, 0.8), seeds=range(5), arm="published", **more):
    return [a_run(m, s, p, arm, **more) for m, p in zip(MODELS, right) for s in seeds]


def timings(cells):
    """The arm "timing": for each of MODELS its operations, memory and seconds of both epochs."""
    return [
        a_run(model, 0, 0.5, "timing")
        | {"flops": flops, "peak_memory": memory}
        | {"epochs": [{"epoch": k, "seconds": s} for k, s in enumerate(times, 1)]}
        for model, (flops, memory, *times) in zip(MODELS, cells, strict=True)
    ]


def outcome(runs, statement, reading=READING):
    findings = [
        f for f in verdicts.judge(runs) if f.statement == statement and f.reading == reading
    ]
    assert len(findings) == 1
    return findings[0].outcome


@pytest.mark.parametrize(
    ("right", "expected"),
    [((0.7, 0.8, 0.9), "holds"), ((0.7, 0.9, 0.8), "does not hold"), ((0.7, 0.8, 0.8), "open")],
)
def test_superior_f1(right, expected):
    expected = verdicts.OPEN if expected == "open" else expected
    assert outcome(study(right), "ViT has the superior F1") == expected


def test_competitive_means_at_most_a_point_behind():
    statement = "ViT is competitive"
    assert outcome(study((0.7, 0.9, 0.9)), statement) == "holds"
    assert outcome(study((0.7, 0.9, 0.8)), statement) == "does not hold"


def test_highest_needs_training_and_validation():
    runs = study((0.7, 0.8, 0.9))
    for run in runs:
        k = MODELS.index(run["setting"]["model"])
        run["selected"]["train_augmented"] = 0.9 + 0.02 * k + 0.001 * run["setting"]["seed"]
    statement = "ViT is highest in training and validation accuracy"
    assert outcome(runs, statement) == "holds"
    for run in runs:
        if run["setting"]["model"] == "resnet18-3x3":
            run["selected"]["train_augmented"] = 0.99 + 0.0001 * run["setting"]["seed"]
    assert outcome(runs, statement) == "does not hold"


def test_gaps_by_both_definitions():
    runs = study()
    for run in runs:
        wide = {"cnn-32": 0.02, "resnet18-3x3": 0.05, "vit-s-p16": 0.1}[run["setting"]["model"]]
        chosen, noise = run["selected"], 1e-4 * run["setting"]["seed"]
        chosen["train_augmented"] = chosen["valid"]["accuracy"] + wide + noise
        chosen["train_clean"] = chosen["valid"]["accuracy"] + wide - noise * wide
    assert outcome(runs, "ResNet's gap is smaller than ViT's") == "holds"
    assert outcome(runs, "the CNN's gap is the highest") == "does not hold"
    for run in runs:  # the definitions disagree
        chosen = run["selected"]
        chosen["train_clean"] = 2 * chosen["valid"]["accuracy"] - chosen["train_clean"]
    assert outcome(runs, "ResNet's gap is smaller than ViT's") == "does not hold"


def test_resources_and_times():
    runs = study()
    statement = "ViT needs more resources"
    assert outcome(runs, statement) == verdicts.MISSING  # those runs' times are nobody's
    even = timings([(1, 100, 2.0, 2.0), (10, 100, 2.0, 2.0), (5, 100, 2.0, 2.0)])
    assert outcome(runs + even, statement) == "does not hold"  # half the operations of ResNet's
    dear = timings([(1, 100, 2.0, 2.0), (10, 100, 2.0, 2.0), (20, 200, 2.0, 4.0)])
    assert outcome(runs + dear, statement) == "holds"
    slow_to_begin = timings([(1, 100, 2.0, 2.0), (10, 100, 2.0, 2.0), (20, 200, 9.0, 2.0)])
    assert outcome(runs + slow_to_begin, statement) == "does not hold"
    for run in dear:
        run["parallel"] = 4  # times of runs that shared the machine are none
    assert outcome(runs + dear, statement) == verdicts.MISSING


def test_faster_balanced_and_rising():
    runs = study((0.7, 0.8, 0.9))
    for name in (
        "the CNN is faster and less accurate",
        "ResNet balances accuracy and time",
        "accuracy and F1 rise with complexity, at the cost of time",
    ):
        assert outcome(runs, name) == verdicts.MISSING
    in_order = [(1, 100, 1.0, 1.0), (10, 100, 2.0, 2.0), (20, 100, 4.0, 4.0)]
    runs_in_order = [
        run | {"flops": {"c": 1, "r": 10, "v": 20}[run["setting"]["model"][0]]} for run in runs
    ]
    timed = runs_in_order + timings(in_order)
    assert outcome(timed, "the CNN is faster and less accurate") == "holds"
    assert outcome(timed, "ResNet balances accuracy and time") == "holds"
    assert outcome(timed, "accuracy and F1 rise with complexity, at the cost of time") == "holds"
    cheap_vit = [(1, 100, 3.0, 3.0), (10, 100, 2.0, 2.0), (5, 100, 1.0, 1.0)]
    timed = runs + timings(cheap_vit)
    assert outcome(timed, "the CNN is faster and less accurate") == "does not hold"
    assert outcome(timed, "ResNet balances accuracy and time") == "does not hold"


def test_memory_of_a_cpu_is_the_whole_processs_and_enters_no_rule():
    dear = timings([(1, 100, 2.0, 2.0), (10, 100, 2.0, 2.0), (20, 200, 2.0, 4.0)])
    on_cpu = [run | {"device": "CPU of some maker, 2 threads"} for run in dear]
    assert outcome(study() + dear, "ViT needs more resources") == "holds"
    assert outcome(study() + on_cpu, "ViT needs more resources") == verdicts.MISSING


@pytest.mark.parametrize(
    ("statement", "arm"),
    [("augmentation helps", "no-augmentation"), ("step decay helps", "constant-rate")],
)
def test_an_ablation_compares_a_model_with_itself(statement, arm):
    runs = study((0.7, 0.8, 0.8)) + study((0.6, 0.9, 0.8), arm=arm)
    expected = ("holds", "does not hold", verdicts.OPEN)
    assert tuple(outcome(runs, statement, model) for model in MODELS) == expected
    assert outcome(runs, statement, "cnn-64") == verdicts.MISSING


def test_evidence_is_of_one_split_and_one_precision():
    main = study(seeds=range(2))
    other = study((0.1, 0.1, 0.1), range(2), setting={"split": 1})
    rounded = study((0.1, 0.1, 0.1), range(2), setting={"amp": "bf16"})

    def accuracies(runs, **how):
        evidence = Evidence(runs, **how)
        cell = evidence.of("cnn-32")
        return evidence.amp, [run["selected"]["valid"]["accuracy"] > 0.5 for run in cell.values()]

    assert accuracies(main + other) == ("fp32", [True, True])
    assert accuracies(rounded + main) == ("fp32", [True, True])  # as many of each: the reading
    assert accuracies(rounded + main[:5]) == ("bf16", [False, False])
    assert accuracies(rounded + main[:5], amp="fp32") == ("fp32", [True, True])


def test_of_a_statement_that_depends_every_reading_is_named():
    findings = [
        Finding("s", f"r{k}", [Condition("x", Estimate(1.0))], word)
        for k, word in enumerate(["holds"] * 4 + ["does not hold"])
    ]
    ((statement, *cells, evidence),) = verdicts.table(findings).rows
    assert (statement, *cells) == ("s", "depends", "5 of 5")
    assert "holds: r0; r1; r2; r3<br>does not hold: r4" in evidence


def test_the_source_says_two_numbers_of_one_model():
    runs = study((0.823, 0.9, 0.8))
    findings = {f.statement: f.outcome for f in verdicts.judge(runs) if f.reading == "cnn-32"}
    assert findings["CNN 91"] == "does not hold"
    value = Estimate(82.0, 0.3, 5, 100.0)
    close = Finding("", "", verdicts.within(value, 82.1))
    off = Finding("", "", verdicts.within(value, 83.5))
    verdicts.decide([close, off])
    assert (close.outcome, off.outcome) == ("holds", verdicts.OPEN)


def test_confusions_and_small_data_need_five_seeds():
    statement = "confusion matrices show common confusions"
    assert outcome(study(), statement) == "holds"
    assert outcome(study(seeds=range(4)), statement) == verdicts.MISSING
    small = [
        run
        for n in (1000, 5000, 10_000)
        for run in study((0.5, 0.7, 0.6), arm="scaling", setting={"examples": n})
    ]
    statement = "ResNet is more efficient on smaller data"
    runs = study() + small
    assert outcome(runs, statement) == verdicts.MISSING  # until epochs are timed
    dear = timings([(1, 100, 2.0, 2.0), (10, 100, 2.0, 2.0), (5, 100, 2.0, 2.0)])
    assert outcome(runs + dear, statement) == "does not hold"  # dearer operations
    slow = timings([(1, 100, 2.0, 2.0), (4, 100, 2.0, 2.0), (5, 100, 2.0, 1.0)])
    assert outcome(runs + slow, statement) == "does not hold"  # as many epochs of twice the time
    cheap = timings([(1, 100, 2.0, 2.0), (4, 100, 2.0, 1.0), (5, 100, 2.0, 2.0)])
    assert outcome(runs + cheap, statement) == "holds"
    assert outcome(study() + small, "transformers need larger data") == verdicts.OPEN
    more = study((0.5, 0.7, 0.4), arm="scaling", setting={"examples": 1000})
    assert outcome(study() + more, "transformers need larger data") == "holds"


def test_what_is_missing_is_not_measured():
    assert {f.outcome for f in verdicts.judge([])} == {verdicts.MISSING}
    assert outcome(study(seeds=[0]), "ViT is competitive") == verdicts.MISSING
    failed = [run | {"status": "failed"} for run in study()]
    assert {f.outcome for f in verdicts.judge(failed)} == {verdicts.MISSING}
    rows = verdicts.table(verdicts.judge([])).rows
    assert ["ViT is competitive", "not measured", "0 of 36", ""] in rows


def test_runs_on_other_images_form_no_pairs():
    runs = study()
    runs[-1]["valid_part"] = "q"
    with pytest.raises(ValueError, match="different validation parts"):
        verdicts.judge(runs)


def test_readings_are_combined():
    holds, fails, missing = "holds", "does not hold", verdicts.MISSING
    assert verdicts.combine([holds, missing, holds]) == holds
    assert verdicts.combine([holds, fails, verdicts.OPEN]) == verdicts.DEPENDS
    assert verdicts.combine([holds, verdicts.OPEN]) == verdicts.OPEN
    assert verdicts.combine([missing]) == missing
    assert verdicts.combine([fails, fails]) == fails


def test_holm_steps_down_and_stops():
    def finding(p, family="f"):
        from scipy import stats

        return Finding(
            "", "", [Condition("", Estimate(stats.norm.isf(p), 1, 5, 1e9))], family=family
        )

    findings = [finding(p) for p in (0.02, 0.006, 0.013, 0.004)]
    verdicts.decide(findings)  # against 0.025 / 4, / 3, / 2, / 1 in order of size
    assert [f.outcome for f in findings] == [verdicts.OPEN, "holds", verdicts.OPEN, "holds"]
    alone = [finding(0.02, ""), finding(0.02, "")]
    verdicts.decide(alone)
    assert [f.outcome for f in alone] == ["holds", "holds"]


def test_all_conditions_count():
    yes, no, maybe = (Condition("", Estimate(m, 1, 5, 1e9)) for m in (9, -9, 0.1))
    for conditions, expected in (
        ([yes, yes], "holds"),
        ([yes, no], "does not hold"),
        ([maybe, no], "does not hold"),
        ([yes, maybe], verdicts.OPEN),
    ):
        finding = Finding("", "", conditions)
        verdicts.decide([finding])
        assert finding.outcome == expected


def test_the_interval_covers_where_the_bootstrap_over_seeds_does_not():
    """2,000 studies of 5 seeds and 200 images, true difference 0: in how many is 0 inside?"""
    g = np.random.default_rng(0)
    ours = theirs = 0
    for _ in range(2000):
        images, seeds = g.normal(size=200), 0.1 * g.normal(size=5)
        values = seeds[:, None] + images + 0.5 * g.normal(size=(5, 200))
        share = values.mean(0).var(ddof=1) / 200
        low, high = statistics.estimate(values.mean(1), share).interval()
        ours += low < 0 < high
        picked = values.mean(1)[g.integers(0, 5, (200, 5))].mean(1)
        low, high = np.quantile(picked, [0.025, 0.975])
        theirs += low < 0 < high
    assert 0.94 < ours / 2000 < 0.985
    assert theirs / 2000 < 0.85


def test_pairs_make_differences_sharper():
    runs = study((0.80, 0.82, 0.8))
    evidence = Evidence(runs)
    pair = evidence.difference(evidence.of("resnet18-3x3"), evidence.of("cnn-32"))
    assert pair.mean == pytest.approx(2, abs=0.7)
    alone = [evidence.mean(evidence.of(m)) for m in MODELS[:2]]
    assert pair.error < 0.7 * np.hypot(alone[0].error, alone[1].error)
    assert pair.n == 5


@pytest.mark.parametrize("measure", [scores.accuracy, scores.macro_f1])
def test_a_difference_is_that_of_confusions_counted_one_by_one(measure):
    runs = study()
    evidence = Evidence(runs)
    names = ("resnet18-3x3", "cnn-32")
    ours = evidence.difference(*map(evidence.of, names), measure)

    def confusion(run, images):
        guesses = np.array([int(c) for c in run["selected"]["valid"]["predictions"]])
        matrix = np.zeros((10, 10))
        np.add.at(matrix, (LABELS[images], guesses[images]), 1)
        return matrix

    def difference(images):
        return [
            100 * (measure(confusion(a, images)) - measure(confusion(b, images)))
            for a, b in zip(*(evidence.of(name).values() for name in names))
        ]

    draws = np.random.default_rng(0)
    over_images = [np.mean(difference(draws.integers(0, N, N))) for _ in range(statistics.ROUNDS)]
    expected = statistics.estimate(difference(np.arange(N)), np.var(over_images, ddof=1))
    assert ours.mean == pytest.approx(expected.mean)
    assert ours.error == pytest.approx(expected.error)
    with pytest.raises(ValueError, match="predictions for"):
        statistics.resampled(LABELS[1:], LABELS, 2)
    with pytest.raises(ValueError, match="do not form pairs"):
        statistics.paired(np.ones((2, 3)), np.ones((3, 3)))


def test_measures_are_those_of_the_records():
    for run in study()[:3]:
        valid = run["selected"]["valid"]
        confusion = np.array(valid["confusion"], float)
        for name, measure in (
            ("accuracy", scores.accuracy),
            ("f1", scores.macro_f1),
            ("precision", scores.macro_precision),
            ("recall", scores.macro_recall),
        ):
            assert measure(confusion) == pytest.approx(valid[name])
        assert valid["recall"] == pytest.approx(valid["accuracy"])  # where classes are balanced


def test_the_number_of_readings_is_what_the_protocol_says():
    findings = verdicts.judge([])
    assert sum(f.statement == "ViT is competitive" for f in findings) == 2 * 2 * 9
    assert len({f.statement for f in findings}) == 21
