"""The command and its grids: order, choice, several workers, several processes on one run."""

import contextlib
import json
import multiprocessing
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dlbook_utils import data, records
from dlbook_utils.data.sets import Images
from dlbook_utils.records import ledger
from dlbook_utils.runner import __main__ as command
from dlbook_utils.runner import (
    engine,
    feed,
    grids,
    measure,
    models,
    report,
    store,
    together,
)
from dlbook_utils.runner.learner import EVEN, Learner
from dlbook_utils.runner.settings import Setting

FORK = multiprocessing.get_context("fork")  # a new interpreter would import torch again
BOOK = Path(__file__).parents[2]
REAL_LOAD = feed.load


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """The trial study on 1,200 images of noise, without a GPU."""

    def load(name, split="train"):
        g = torch.Generator().manual_seed(len(split))
        x = torch.randint(0, 256, (1200, 3, 32, 32), dtype=torch.uint8, generator=g)
        y = torch.arange(1200) % 10
        return Images(x, y, tuple("0123456789"), "toy", True, (0.5,) * 3, (0.25,) * 3)

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(feed, "load", load)
    feed.digest.cache_clear()
    yield
    feed.digest.cache_clear()
    torch.set_num_threads(before)


def place(folder):
    return store.Place("trial", folder, folder)


def run(folder, *words):
    return command.main(["run", "trial", "--device", "cpu", "--out", str(folder), *words])


# The grid


def fake(setting: Setting, accuracy=0.5, **more) -> dict:
    valid = {"accuracy": accuracy, "confusion": [[1]], "predictions": "0"}
    return {
        "key": setting.key,
        "setting": setting.__dict__,
        "status": "done",
        "selected": {"valid": valid},
    } | more


def test_the_grid_has_no_run_twice_and_the_best_first():
    grid = grids.grid("cifar10")
    assert len({s.key for s in grid}) == len(grid)
    first = [(s.arm, s.model) for s in grid[:6]]
    assert first[:2] == [("published", "cnn-32"), ("published", "resnet18-3x3")]
    assert first[2:5] == [("rate", "vit-s-p16")] * 3
    published = [s for s in grid if s.arm == "published"]
    assert all(
        (s.batch, s.epochs, s.lr, s.halve_every, s.examples) == (32, 50, 1e-3, 10, 45_000)
        for s in published
    )


def test_a_vits_rate_is_chosen_by_validation_before_it_is_run():
    trials = grids.rate_trials("vit-s-p16")
    runs = [fake(t, a) for t, a in zip(trials, (0.4, 0.6, 0.6), strict=True)]
    early = grids.grid("cifar10", runs[:2])
    assert not [s for s in early if s.model == "vit-s-p16" and s.arm in ("published", "scaling")]
    grid = grids.grid("cifar10", runs)
    wanted = [s for s in grid if s.arm == "published" and s.model == "vit-s-p16"]
    assert {s.lr for s in wanted} == {3e-4}  # the earlier one of two equals
    assert {s.seed for s in wanted} == set(grids.SEEDS)
    assert grids.TUNING_SEED not in grids.SEEDS
    failed = fake(trials[1]) | {"status": "failed"}
    assert grids.best_of(trials, [runs[0], failed, runs[2]]).lr == 1e-3


def test_equal_costs_are_equal():
    plain = {s.arm + s.model: s for s in grids.plans("cifar10") if s.seed == 0}
    equal = [plain["equal-flops" + model] for model in ("cnn-32", "resnet18-3x3")]
    cnn, resnet = (s.epochs * models.count(s.model)["flops"] for s in equal)
    assert cnn == pytest.approx(resnet, rel=0.02)
    assert equal[0].halve_every == pytest.approx(equal[0].epochs / 5, abs=1)
    timed = [
        fake(
            grids.published(model, arm="timing", epochs=2),
            device="d",
            step="fast",
            epochs=[{"seconds": 9}, {"seconds": seconds}],
        )
        for model, seconds in zip(grids.MAIN, (1.0, 4.0, 2.0, 2.0), strict=True)
    ]

    def equal_time(runs):
        return [s for s in grids.grid("cifar10", runs) if s.arm == "equal-time" and s.seed == 0]

    assert {s.model: s.epochs for s in equal_time(timed)} == {"cnn-32": 20, "resnet18-3x3": 5}
    large = fake(grids.published("vit-b-p4", arm="timing"), device="other", step="fast")
    assert len(equal_time([*timed, large | {"status": "failed"}])) == 2
    assert not equal_time(timed[1:])
    assert not equal_time([timed[0] | {"device": "other"}, *timed[1:]])
    rates = [fake(s, s.lr) for s in grids.grid("cifar10") if s.arm == "rate"]
    assert {s.model: s.epochs for s in equal_time(timed + rates)}["vit-s-p4"] == 10


def test_tuning_gives_every_model_the_same_trials():
    trials = [s for s in grids.grid("cifar10") if s.arm == "trial"]
    by_model = {m: {(s.lr, s.decay) for s in trials if s.model == m} for m in grids.MAIN}
    assert len(trials) == 8 * len(grids.MAIN)
    assert len({frozenset(v) for v in by_model.values()}) == 1
    runs = [fake(s, s.lr) for s in trials]
    best = [s for s in grids.grid("cifar10", runs) if s.arm == "tuned"]
    assert {(s.model, s.lr, s.seed) for s in best} == {
        (m, 3e-3, seed) for m in grids.MAIN for seed in grids.SEEDS
    }


def test_every_reading_is_timed_once_and_by_no_choice():
    def place(**wanted):
        return next(
            k for k, s in enumerate(grid) if all(getattr(s, n) == v for n, v in wanted.items())
        )

    grid = grids.grid("cifar10")
    timings = [s for s in grid if s.arm == "timing"]
    assert [s.model for s in timings] == [*grids.READINGS]
    trials = [s for s in grid if s.arm == "rate"]
    chosen = grids.grid("cifar10", [fake(s, s.lr) for s in trials])
    assert [s for s in chosen if s.arm == "timing"] == timings  # what has been timed stays timed
    first, second = (place(model="resnet18-7x7", arm="published", seed=k) for k in (0, 1))
    assert first < place(model="cnn-64", arm="timing") < second


def test_small_data_are_a_pair_of_narrow_models_and_only_the_vit_is_tuned():
    flops = [models.count(model)["flops"] for model in grids.NARROW]
    assert max(flops) < 1.5 * min(flops)
    trials = [s for s in grids.grid("cifar10") if s.arm == "small-rate"]
    assert [(s.model, s.lr) for s in trials] == [(grids.NARROW[1], r) for r in grids.RATES]
    assert {s.seed for s in trials} == {grids.TUNING_SEED}
    runs = [fake(s, 1 - s.lr) for s in trials]
    chosen = [s for s in grids.grid("cifar10", runs) if s.arm == "small"]
    assert {(s.model, s.seed) for s in chosen} == {
        (m, seed) for m in grids.NARROW for seed in grids.SEEDS
    }
    assert {(s.model, s.lr) for s in chosen} == {(grids.NARROW[0], 1e-3), (grids.NARROW[1], 1e-4)}
    assert {(s.examples, s.epochs, s.patience) for s in trials + chosen} == {(1000, 50, 0)}


def test_training_seconds_leave_validation_out():
    rows = [{"seconds": 4.0, "valid_seconds": 1.5}, {"seconds": 5.0}]
    assert report.training_seconds({"seconds": 12.0, "epochs": rows}) == 10.5


# The command


def listed(capsys, *words):
    """Arm and model of each run that the command would make, and its number of examples."""
    assert command.main(["run", "cifar10", "--list", *words]) == 0
    keys = [line.split()[1].split(".") for line in capsys.readouterr().out.splitlines()]
    return {(arm, model, examples) for arm, model, examples, *_ in keys}


def trials_of(*models, arm="rate"):
    return {(arm, model, "n45000") for model in models}


def test_what_a_wanted_run_waits_for_is_wanted(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "folder", lambda: tmp_path)  # nothing is recorded
    vits = [model for model in models.MODELS if re.match("vit-(ti|s|b)", model)]
    main = trials_of("vit-s-p16", "vit-s-p4")
    cnn = ("published", "cnn-32", "n45000")

    named = listed(capsys, "--arm", "published", "--seeds", "0")
    assert trials_of(*vits) < named
    assert {arm for arm, *_ in named} == {"published", "rate"}
    assert listed(capsys, "--arm", "published", "--model", "cnn-32") == {cnn}
    named = listed(capsys, "--arm", "published", "--split", "1", "--model", "cnn-32", "vit-s-p4")
    assert named == {cnn, *trials_of("vit-s-p4")}
    named = listed(capsys, "--examples", "1000", "--seeds", "3")
    assert {line for line in named if line[2] == "n45000"} == main
    named = listed(capsys, "--arm", "equal-time", "--seeds", "0")
    assert named == main | trials_of(*grids.MAIN, arm="timing")
    named = listed(capsys, "--arm", "tuned", "--seeds", "0", "--model", "cnn-32")
    assert named == trials_of("cnn-32", arm="trial")
    named = listed(capsys, "--arm", "small", "--seeds", "0")
    assert ("small-rate", "vit-narrow-p4", "n1000") in named
    for arm in ("timing", "short", "modern", "modern-50k", "modern-cpu"):
        assert {line[0] for line in listed(capsys, "--arm", arm)} == {arm}


def test_every_arm_that_follows_from_others_says_so():
    everything = {s.arm for s in grids.plans("cifar10")}
    assert everything == set(grids.ARMS)
    alike = {"device": "", "step": "", "epochs": [{"seconds": 1.0}]}
    first = [fake(s, **alike) for s in grids.grid("cifar10") if s.arm in grids.CHOOSING]
    for choosing in {run["setting"]["arm"] for run in first}:  # without it, what has no name?
        others = [run for run in first if run["setting"]["arm"] != choosing]
        named = Counter(s.arm for s in grids.grid("cifar10", others))
        planned = Counter(s.arm for s in grids.plans("cifar10"))
        nameless = {arm for arm in planned if named[arm] < planned[arm]}
        assert nameless == {name for name, arm in grids.ARMS.items() if choosing in arm.waits_for}


def test_a_try_out_is_no_result(tmp_path, capsys):
    words = ("--model", "tiny-cnn", "--seeds", "0")
    assert run(tmp_path, *words, "--epochs", "1") == 0
    (tried,) = ledger.read(tmp_path / "trial.jsonl")
    assert tried["setting"]["arm"] == grids.TRY_OUT
    assert tried["key"].startswith("try-out.tiny-cnn.")
    assert report.coverage([tried], "trial")["published"][0] == 0
    out = report.Results("trial", tmp_path).markdown()
    assert "tiny-cnn, split" not in out
    assert command.main(["test", "trial", "--device", "cpu", "--out", str(tmp_path)]) == 0
    assert "read for 0 runs" in capsys.readouterr().out
    assert run(tmp_path, *words, "--list") == 0
    assert capsys.readouterr().out.startswith("missing   published.tiny-cnn.")


def test_a_try_out_waits_for_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "folder", lambda: tmp_path)
    words = ("--arm", "published", "--model", "vit-s-p16", "--epochs", "1")
    assert listed(capsys, *words) == trials_of("vit-s-p16", arm="try-out")


def test_a_study_from_run_to_report(tmp_path, capsys):
    assert run(tmp_path, "--model", "tiny-cnn", "--seeds", "0", "--list") == 0
    assert capsys.readouterr().out.startswith("missing   published.tiny-cnn.n1000.s0.")
    assert run(tmp_path, "--model", "tiny-cnn") == 0
    out = capsys.readouterr().out
    assert "2 runs finished; nothing is left" in out
    assert run(tmp_path, "--model", "tiny-cnn") == 0
    assert "0 runs finished; nothing is left" in capsys.readouterr().out
    assert len(ledger.read(tmp_path / "trial.jsonl")) == 2
    assert not list((tmp_path / "checkpoints").iterdir())
    assert command.main(["status", "trial", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "| published | tiny-cnn | 1000 | 0 | 2 of 2 | 0 | 0 |" in out
    assert "| tiny-resnet | 1000 | 0 | 0 of 2 | 0 | 0 | not measured yet |" in out
    assert command.main(["report", "trial", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    headings, rows = report.Results("trial", tmp_path).published()
    (row,) = [row for row in rows if row[0] == "tiny-cnn, split 0, fp32"]
    assert re.fullmatch(r"\d+\.\d\d to \d+\.\d\d", row[headings.index("s/epoch")])  # of two seeds
    assert [name for name, cell in zip(headings, row) if cell == "not measured yet"] == ["test"]
    assert "| basic CNN, reported | 85.3 |" in out


def test_a_mistyped_name_is_named(capsys):
    for option, wrong, right in (
        ("--model", "resnet19", "resnet18-3x3"),
        ("--arm", "pub", "short"),
    ):
        with pytest.raises(SystemExit, match="2"):
            command.main(["run", "cifar10", option, wrong])
        message = capsys.readouterr().err
        assert repr(wrong) in message
        assert right in message
    arms = {setting.arm for setting in grids.grid("cifar10")}
    waiting = {"equal-time", "tuned", "small-long"}  # for other runs
    assert arms | waiting == set(grids.ARMS)
    assert grids.TRY_OUT not in grids.ARMS
    assert set(grids.CHOOSING) < {*grids.ARMS, grids.TRY_OUT}


def test_only_the_models_named_are_timed(tmp_path, capsys, monkeypatch):
    def timed(name, device, batch, amp):
        return {"ms": 1.0, "batch": batch}

    monkeypatch.setattr(measure, "inference_time", timed)
    command.main(
        ["costs", "trial", "--model", "tiny-cnn", "--out", str(tmp_path), "--device", "cpu"]
    )
    assert [line["model"] for line in ledger.read(tmp_path / "trial-costs.jsonl")] == ["tiny-cnn"]


def test_the_test_set_is_read_once(tmp_path, capsys, monkeypatch):
    run(tmp_path, "--model", "tiny-cnn", "--seeds", "0")
    words = ["test", "trial", "--device", "cpu", "--out", str(tmp_path)]
    assert command.main(words) == 0
    assert "was read for 1 runs" in capsys.readouterr().out
    before = (tmp_path / "trial-test.jsonl").read_bytes()
    line = json.loads(before)
    assert len(line["test"]["predictions"]) == 1200
    monkeypatch.setattr(feed, "held_back", lambda name: 1 / 0)  # not even loaded again
    assert command.main(words) == 0
    assert (tmp_path / "trial-test.jsonl").read_bytes() == before


def test_runs_of_another_machine_are_merged_once(tmp_path, capsys):
    run(tmp_path / "there", "--model", "tiny-cnn", "--seeds", "0")
    words = ["merge", "trial", str(tmp_path / "there" / "trial.jsonl"), "--out", str(tmp_path)]
    assert command.main(words) == 0
    assert "1 runs added" in capsys.readouterr().out
    assert command.main(words) == 0
    assert "0 runs added" in capsys.readouterr().out
    assert ledger.read(tmp_path / "trial.jsonl") == ledger.read(tmp_path / "there" / "trial.jsonl")
    other = tmp_path / "odd.jsonl"
    other.write_text("")
    assert command.main(["merge", "trial", str(other), "--out", str(tmp_path)]) == 2


def test_damage_ends_the_command_with_a_message(tmp_path, capsys):
    path = tmp_path / "trial.jsonl"
    path.write_text("{}\n")
    assert run(tmp_path) == 2
    assert "trial.jsonl, line 1 lacks its key" in capsys.readouterr().err
    assert path.read_text() == "{}\n"
    path.unlink()
    setting = grids.plans("trial")[0]
    broken = place(tmp_path).checkpoint(setting.key)
    broken.parent.mkdir()
    broken.write_bytes(b"x" * 100)
    assert run(tmp_path) == 2
    assert "is damaged" in capsys.readouterr().err
    assert broken.read_bytes() == b"x" * 100


def test_no_stand_in_is_studied(tmp_path, capsys, monkeypatch):
    stand_in = replace(feed.load("cifar10"), real=False)
    monkeypatch.setattr(feed, "load", REAL_LOAD.__wrapped__)
    monkeypatch.setattr(data, "load", lambda name, split: stand_in)
    monkeypatch.delenv("DLBOOK_DATA", raising=False)
    words = ["run", "cifar10", "--arm", "published", "--model", "cnn-32", "--device", "cpu"]
    assert command.main([*words, "--out", str(tmp_path)]) == 2
    assert "cifar10 is not at hand" in capsys.readouterr().err


@pytest.mark.parametrize("checkout", [True, False])
def test_a_package_is_not_written_to(tmp_path, monkeypatch, checkout):
    shipped = tmp_path / "installed" / "records"
    shipped.mkdir(parents=True)
    if checkout:
        (shipped.parent / "pyproject.toml").touch()
    monkeypatch.setattr(records, "folder", lambda: shipped)
    monkeypatch.setenv("DLBOOK_CACHE", str(tmp_path / "cache"))
    cache = tmp_path / "cache" / "study" / "trial"
    words = ["run", "trial", "--device", "cpu", "--model", "tiny-cnn", "--seeds", "0"]
    assert command.main([*words, "--epochs", "1"]) == 0
    assert [file.name for file in shipped.iterdir()] == ["trial.jsonl"] * checkout
    assert len(ledger.read((shipped if checkout else cache) / "trial.jsonl")) == 1
    assert list((cache / "weights").iterdir())


@pytest.fixture
def refused(tmp_path, capsys):
    """Give the command, which refuses; return its one line."""

    def refused(*words, verb="run", study="trial"):
        with contextlib.suppress(SystemExit):
            assert command.main([verb, study, *map(str, words)]) == 2
            (line,) = capsys.readouterr().err.splitlines()
            return line
        (line,) = capsys.readouterr().err.splitlines()  # what cannot be parsed
        return line

    return refused


def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path, monkeypatch, refused):
    words = ("--model", "tiny-cnn", "--seeds", "0", "--device", "cpu", "--out", tmp_path)
    assert "--step graph needs an Nvidia GPU, not 'cpu'" in refused(*words, "--step", "graph")
    assert "no device 'nowhere' here" in refused(*words, "--device", "nowhere")
    if not torch.cuda.is_available():
        assert "no device 'cuda' here" in refused(*words, "--device", "cuda")
    monkeypatch.setenv("DLBOOK_SEED_OFFSET", "3")
    assert "DLBOOK_SEED_OFFSET shifts the seeds" in refused(*words)
    monkeypatch.setenv("DLBOOK_SEED_OFFSET", "0")
    assert run(tmp_path, "--model", "tiny-cnn", "--seeds", "0", "--epochs", "1") == 0


@pytest.mark.parametrize("option", ["--epochs", "--threads", "--parallel"])
@pytest.mark.parametrize("wrong", ["-1", "0", "many", "1.5"])
def test_a_number_that_is_none_is_named(refused, option, wrong):
    said = refused(f"{option}={wrong}")
    assert f"argument {option}: expected a whole number of at least 1, got {wrong!r}" in said


@pytest.mark.parametrize("name", ["DLBOOK_PARALLEL", "DLBOOK_TIMEOUT"])
@pytest.mark.parametrize("wrong", ["x", "0", "-2"])
def test_a_variable_that_is_no_number_is_named(tmp_path, monkeypatch, refused, name, wrong):
    monkeypatch.setenv(name, wrong)
    monkeypatch.setenv("WORLD_SIZE", "2")  # as under torchrun, but nobody else is waited for
    said = refused("--device", "cpu", "--out", tmp_path)
    assert said == f"Impossible: {name}: expected a whole number of at least 1, got {wrong!r}"


@pytest.mark.parametrize("verb", ["run", "status", "report", "merge"])
def test_a_file_is_no_folder(tmp_path, refused, verb):
    file = tmp_path / "file"
    file.write_text("mine")
    more = ["trial.jsonl"] if verb == "merge" else []
    for out in (file, file / "below"):
        said = refused("--out", out, *more, verb=verb)
        assert said.startswith(f"Impossible: --out {out}: expected a folder (")
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--split", "77"), "no run of trial has split 77; there are 0"),
        (("--examples", 10**12), "no run of trial has examples 1000000000000; there are 1000"),
        (("--seeds", "0", "5"), "no run of trial has seed 5; there are 0, 1"),
        (("--model", "cnn-32"), "no run of trial has model cnn-32; there are tiny-cnn, tiny-"),
        (("--arm", "tuned"), "no run of trial has arm tuned; there are published"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "status"])
def test_a_choice_that_no_run_fits_is_named(tmp_path, refused, verb, words, said):
    assert said in refused("--out", tmp_path, *words, verb=verb)
    assert not list(tmp_path.iterdir())


def test_choices_that_no_run_fits_together_are_named(tmp_path, refused):
    words = ("--out", tmp_path, "--model", "cnn-64", "vit-b-p4", "--split", "1")
    said = refused(*words, study="cifar10")
    assert "no run of cifar10 has all of model cnn-64 or vit-b-p4, split 1" in said


def test_a_record_that_is_not_there_is_not_merged(tmp_path, refused):
    missing = tmp_path / "there" / "trial.jsonl"
    said = refused(missing, "--out", tmp_path, verb="merge")
    assert said == f"Impossible: {missing}: expected a record, but there is no such file"
    said = refused(tmp_path / "odd.jsonl", "--out", tmp_path, verb="merge")
    assert said.startswith("Impossible: odd.jsonl: expected one of trial.jsonl, trial-test.jsonl")
    assert not list(tmp_path.iterdir())


def printed_commands():
    """Every command of the study that a text of the book prints, as its words."""
    for name in ("book/study/cifar10.md", "README.md", "CONTRIBUTING.md", "Makefile"):
        text = (BOOK / name).read_text("utf8")
        for line in re.findall(r"-m dlbook_utils\.runner ([^`\n]+)", text):
            verbs, *words = shlex.split(line, comments=True)
            yield from ([verb, *words] for verb in verbs.split("|"))
        for options in re.findall(r'make study ARGS="(--[^"]+)"', text):
            yield ["run", "cifar10", *shlex.split(options)]


def test_printed_commands_can_be_given():
    commands = list(printed_commands())
    assert {"run", "status", "test", "costs", "loading", "probe", "report"} <= {
        verb for verb, *_ in commands
    }
    for words in commands:
        assert command._parser().parse_args(words).study == "cifar10"


def test_the_limit_leaves_the_rest_for_later(tmp_path, capsys):
    assert run(tmp_path, "--limit-seconds", "-1") == 0
    assert "more are left" in capsys.readouterr().out
    assert not (tmp_path / "trial.jsonl").exists()


def _worker(folder):
    torch.set_num_threads(1)
    sys.exit(run(folder))


def test_workers_share_a_grid_and_do_nothing_twice(tmp_path):
    several = [FORK.Process(target=_worker, args=(tmp_path,)) for _ in range(3)]
    for worker in several:
        worker.start()
    for worker in several:
        worker.join(120)
    assert [worker.exitcode for worker in several] == [0, 0, 0]
    lines = (tmp_path / "trial.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["key"] for line in lines) == sorted(
        s.key for s in grids.plans("trial")
    )


def test_a_run_at_another_worker_is_left_to_it(tmp_path):
    worker = engine.Worker(torch.device("cpu"), place(tmp_path), say=lambda line: None)
    taken = grids.plans("trial")[0]
    with ledger.locked(place(tmp_path).lock(taken.key)):
        done, complete = engine.work(worker, lambda s: s.model == "tiny-cnn", {"epochs": 2})
    assert (done, complete) == (1, False)
    assert [run["seed"] for run in ledger.read(tmp_path / "trial.jsonl")] == [1]


def test_parallel_workers_are_processes_of_the_same_command(monkeypatch):
    started = []

    class Process:
        def __init__(self, words, env):
            started.append((words[3:], env["DLBOOK_PARALLEL"]))

        def wait(self):
            return len(started) - 1

    monkeypatch.setattr(subprocess, "Popen", Process)
    assert command.several(2, ["run", "trial"]) == 1
    assert started == [(["run", "trial"], "2")] * 2


# Several processes, one run


def _partner(rank, port, do, folder):
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "DLBOOK_TIMEOUT": "30",
    }
    torch.set_num_threads(1)
    sys.stdout = sys.stderr = (folder / f"said-{rank}").open("w")
    sys.exit(do(rank, folder))


def partners(do, folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [FORK.Process(target=_partner, args=(rank, port, do, folder)) for rank in (0, 1)]
    for partner in both:
        partner.start()
    return both


BATCH = torch.Generator().manual_seed(3)
X = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=BATCH)
Y = torch.randint(0, 10, (8,), generator=BATCH)


def gradients(x, y, own, total, group=None):
    """Those of one step in double precision, from the weights of seed 0."""
    torch.set_default_dtype(torch.float64)
    try:
        setting = Setting("a", "tiny-vit", lr=0.0, batch=8)
        learner = Learner(setting, EVEN, torch.device("cpu"), "plain", processes=group)
        learner.step(x, y, own, total)
    finally:
        torch.set_default_dtype(torch.float32)
    return [p.grad for p in learner.model.parameters()]


def _gradients(rank, folder):
    group = together.Group()
    for n in (8, 5, 1):  # of the last batch, a process may get more than another, or nothing
        mine = torch.arange(n)[rank::2]
        own = len(mine)
        mine = mine if own else torch.tensor([0])
        torch.save(gradients(X[mine], Y[mine], own, n, group), folder / f"{rank}-{n}.pt")
    group.leave()
    return 0


def test_two_processes_have_the_gradients_of_one(tmp_path):
    for partner in partners(_gradients, tmp_path):
        partner.join(60)
        assert partner.exitcode == 0
    for n in (8, 5, 1):
        expected = gradients(X[:n], Y[:n], n, n)
        for rank in (0, 1):
            shared = torch.load(tmp_path / f"{rank}-{n}.pt")
            for g, h in zip(expected, shared, strict=True):
                assert g.dtype == torch.float64
                assert torch.allclose(g, h, rtol=1e-9, atol=1e-12)


def _run_together(rank, folder):
    return run(folder / "two", "--model", "tiny-cnn", "--seeds", "0")


def test_two_processes_make_one_run_and_one_record(tmp_path):
    for partner in partners(_run_together, tmp_path):
        partner.join(120)
        assert partner.exitcode == 0
    run(tmp_path / "one", "--model", "tiny-cnn", "--seeds", "0")
    two, one = (ledger.read(tmp_path / name / "trial.jsonl") for name in ("two", "one"))
    assert len(two) == len(one) == 1
    assert (two[0]["processes"], one[0]["processes"]) == (2, 1)
    assert two[0]["key"] == one[0]["key"]
    for ours, theirs in zip(two[0]["epochs"], one[0]["epochs"], strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-4)
    assert (tmp_path / "said-1").read_text() == ""  # one process speaks for both


def test_torchrun_makes_one_run(tmp_path):
    words = ["run", "trial", "--model", "tiny-cnn", "--seeds", "0", "--device", "cpu"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    subprocess.run(
        [*torchrun, "-m", "dlbook_utils.runner", *words, "--out", str(tmp_path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        timeout=120,
    )
    (record,) = ledger.read(tmp_path / "trial.jsonl")
    assert (record["processes"], record["status"]) == (2, "done")


def _killed(rank, folder):
    store.Curves.add = lambda self, row: os.kill(os.getpid(), signal.SIGKILL)
    return _run_together(rank, folder)  # as far as the first epoch's checkpoint


def test_two_processes_go_on_where_they_were_killed(tmp_path):
    for do, folder, code in (
        (_run_together, "peace", 0),
        (_killed, "broken", -signal.SIGKILL),
        (_run_together, "broken", 0),
    ):
        (tmp_path / folder).mkdir(exist_ok=True)
        for partner in partners(do, tmp_path / folder):
            partner.join(60)
            assert partner.exitcode == code
    assert "goes on after epoch 1" in (tmp_path / "broken" / "said-0").read_text()
    (peace,), (broken,) = (
        ledger.read(tmp_path / folder / "two" / "trial.jsonl") for folder in ("peace", "broken")
    )
    assert broken["selected"] == peace["selected"]
    for ours, theirs in zip(broken["epochs"], peace["epochs"], strict=True):
        assert (ours["train_loss"], ours["valid_loss"]) == (
            theirs["train_loss"],
            theirs["valid_loss"],
        )


def _run_apart(rank, folder):
    return run(folder / str(rank), "--model", "tiny-cnn", "--seeds", "0")


def test_two_processes_with_two_folders_do_not_go_on(tmp_path):
    for partner in partners(_killed, tmp_path):
        partner.join(60)
    (tmp_path / "two").rename(tmp_path / "0")
    for partner in partners(_run_apart, tmp_path):
        partner.join(60)
        assert partner.exitcode == 2
    for rank in (0, 1):
        said = (tmp_path / f"said-{rank}").read_text()
        assert "hold 1, 0 epochs; all must see one folder" in said


def _run_resnet(rank, folder):
    return run(folder, "--model", "tiny-resnet")


def test_a_model_that_cannot_be_shared_out_is_named(tmp_path):
    for partner in partners(_run_resnet, tmp_path):
        partner.join(60)
        assert partner.exitcode == 2
    for rank in (0, 1):
        said = (tmp_path / f"said-{rank}").read_text()
        assert said.startswith("Impossible: batch normalisation over several processes")
        assert said.count("\n") == 1


def _run_long(rank, folder):
    return run(folder, "--model", "tiny-cnn", "--seeds", "0", "--epochs", "5000")


def test_a_dead_partner_ends_the_run_with_a_message(tmp_path):
    first, second = partners(_run_long, tmp_path)
    setting = replace(grids.plans("trial")[0], epochs=5000, arm=grids.TRY_OUT)
    path = place(tmp_path).checkpoint(setting.key)
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(second.pid, signal.SIGKILL)
    first.join(60)
    assert first.exitcode == 1
    said = (tmp_path / "said-0").read_text()
    assert "process 0 of 2: another process is gone or stuck" in said
    assert len(store.load(path)["history"]) >= 1  # and it can go on from here


def test_batch_normalisation_is_not_split_over_cpus():
    group = together.Group()
    group.size = 2
    with pytest.raises(together.Impossible, match="needs GPUs"):
        group.wrap(models.build("tiny-resnet"))


def test_inference_is_timed():
    timing = measure.inference_time("tiny-cnn", torch.device("cpu"), 2, passes=20)
    assert 0 < timing["low"] <= timing["ms"] <= timing["high"]
    assert timing["passes"] == 20
    assert report.family("vit-s-p4") == "ViT"
