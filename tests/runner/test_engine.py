"""A run: the same arithmetic fast and plain, the same result broken off and unbroken."""

import re
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dlbook_utils import records
from dlbook_utils.data.sets import Images
from dlbook_utils.records import ledger, provenance
from dlbook_utils.runner import engine, feed, grids, learner, models, scores, store
from dlbook_utils.runner.learner import EVEN, Learner
from dlbook_utils.runner.settings import Setting, from_dict

CPU = torch.device("cpu")
SMALL = {"examples": 180, "epochs": 3, "data": "toy"}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def toy(monkeypatch):
    """200 images of ten colours under noise, and as many to test with."""

    def load(name, split="train"):
        g = torch.Generator().manual_seed(len(split))
        y = torch.arange(200) % 10
        colours = torch.randint(40, 216, (10, 3, 1, 1), generator=torch.Generator().manual_seed(9))
        noise = torch.randint(-40, 40, (200, 3, 32, 32), generator=g)
        x = (colours[y] + noise).byte()
        return Images(x, y, tuple("0123456789"), "toy", True, (0.5,) * 3, (0.25,) * 3)

    monkeypatch.setattr(feed, "load", load)
    feed.digest.cache_clear()
    yield
    feed.digest.cache_clear()


def worker(folder: Path, study: str = "cifar10", **more) -> engine.Worker:
    place = store.Place(study, folder, folder)
    return engine.Worker(CPU, place, **{"say": lambda line: None} | more)


def checkpoint(folder: Path, setting: Setting) -> Path:
    return worker(folder).place.checkpoint(setting.key)


def timeless(thing):
    """A record without what a clock or the date decides."""
    if isinstance(thing, dict):
        drop = ("seconds", "valid_seconds", "date", "peak_memory")
        return {k: timeless(v) for k, v in thing.items() if k not in drop}
    return [timeless(v) for v in thing] if isinstance(thing, list) else thing


# The same batches for everybody


def test_parts_are_disjoint_balanced_and_nested(toy):
    setting = Setting("a", "tiny-cnn", examples=180, data="toy")
    seen = set()
    for split in range(10):
        train, valid = feed.divide(replace(setting, split=split))
        assert torch.bincount(valid.y).tolist() == [2] * 10
        assert torch.bincount(train.y).tolist() == [18] * 10
        assert valid.y.tolist() == sorted(valid.y.tolist())
        pixels = [{image.numpy().tobytes() for image in part.x} for part in (train, valid)]
        assert len(pixels[0] | pixels[1]) == 200
        seen |= pixels[1]
    assert len(seen) == 200  # the ten validation parts are all of it
    small, _ = feed.divide(replace(setting, examples=50))
    large = {image.numpy().tobytes() for image in feed.divide(setting)[0].x}
    assert torch.bincount(small.y).tolist() == [5] * 10
    assert {image.numpy().tobytes() for image in small.x} < large
    assert small.digest != feed.divide(setting)[0].digest
    whole, none = feed.divide(replace(setting, examples=200))
    assert (len(whole), len(none)) == (200, 0)
    with pytest.raises(ValueError, match="190 of 180 examples"):
        feed.divide(replace(setting, examples=190))


def test_the_draws_follow_from_seed_split_and_epoch_alone():
    setting = Setting("a", "tiny-cnn", examples=100)
    first = feed.draw(setting, 100, 1)
    other_model = feed.draw(replace(setting, model="tiny-vit", lr=0.1, arm="b"), 100, 1)
    assert torch.equal(first.order, other_model.order)
    assert torch.equal(first.angles, other_model.angles)
    assert first.order.sort().values.tolist() == list(range(100))
    for change in ({"seed": 1}, {"split": 1}):
        assert not torch.equal(first.order, feed.draw(replace(setting, **change), 100, 1).order)
    assert not torch.equal(first.order, feed.draw(setting, 100, 2).order)
    plain = feed.draw(replace(setting, flip="none", degrees=0.0), 100, 1)
    assert torch.equal(plain.order, first.order)
    assert not plain.flips.any()
    assert not plain.angles.any()


def test_an_epoch_may_draw_more_images_than_there_are():
    drawn = feed.draw(Setting("a", "tiny-cnn", per_epoch=250), 100, 1)
    assert torch.bincount(drawn.order, minlength=100).unique().tolist() == [2, 3]


def test_alternating_flips_turn_each_image_in_every_second_epoch():
    setting = Setting("a", "tiny-cnn", flip="alternating")
    turned = []
    for epoch in (1, 2, 3):
        drawn = feed.draw(setting, 100, epoch)
        flips = torch.empty(100, dtype=torch.bool)
        flips[drawn.order] = drawn.flips
        turned.append(flips)
    assert 30 < turned[0].sum() < 70
    assert torch.equal(turned[1], ~turned[0])
    assert torch.equal(turned[2], turned[0])


def test_shifts_may_mirror_the_border():
    setting = Setting("a", "tiny-cnn", pad=2, degrees=0.0, flip="none", border="reflect")
    x = torch.randint(0, 256, (9, 3, 8, 8), dtype=torch.uint8)
    drawn = feed.draw(setting, 9, 1)
    wide = torch.nn.functional.pad(x.float(), (2,) * 4, "reflect").byte()
    for image, (top, left), out in zip(wide, drawn.corners, feed.augmented(x, drawn, setting)):
        assert torch.equal(out, image[:, top : top + 8, left : left + 8])


def test_the_first_epochs_may_see_small_images():
    setting = Setting("a", "tiny-cnn", small_epochs=2, small_side=8, pad=0, degrees=0.0)
    setting = replace(setting, flip="none")
    g = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (1007, 3, 32, 32), dtype=torch.uint8, generator=g)
    x[0] = 255
    sides = [feed.augmented(x, feed.draw(setting, 1007, e), setting).shape[-1] for e in (1, 2, 3)]
    assert sides == [8, 8, 32]
    drawn = feed.draw(setting, 1007, 1)
    assert drawn.of(slice(0, 3)).side == drawn.to("cpu").side == 8
    small = feed.augmented(x, drawn, setting)
    assert small.dtype == torch.uint8
    assert (small[0] == 255).all()  # weighted means of white are white
    theirs = torch.nn.functional.interpolate(x, size=(8, 8), mode="bilinear", antialias=True)
    assert (small.int() - theirs.int()).abs().max() <= 1  # PyTorch's own way with bytes


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_processes_share_every_batch(ranks):
    x = torch.arange(100, dtype=torch.uint8).view(100, 1, 1, 1).expand(-1, 3, 4, 4)
    part = feed.Part(x, torch.arange(100), "")
    setting = Setting("a", "tiny-cnn", batch=11, pad=0, degrees=0.0, flip="none")
    drawn = feed.draw(setting, 100, 1)
    met = []
    for rank in range(ranks):
        mine = [b for some in feed.batches(part, drawn, setting, rank, ranks) for b in some]
        met.append([y[:own].tolist() for _, y, own, _ in mine])
        assert all(len(y) > 0 for _, y, _, _ in mine)  # everybody takes part in every step
        assert all(torch.equal(x[:, 0, 0, 0].long(), y) for x, y, _, _ in mine)
        assert [total for *_, total in mine] == [11] * 9 + [1]
    for k, batch in enumerate(drawn.order.split(11)):
        assert sorted(i for one in met for i in one[k]) == sorted(batch.tolist())


# One step


def trained(step_kind, setting, count=6, dtype=torch.float32, follow=None):
    """Loss, and what a step changes, after each of `count` steps; each from where the steps of the
    history `follow` have led, if one is given.
    """
    learner = Learner(setting, EVEN, CPU, step_kind)
    learner.model.to(dtype)
    learner.mean, learner.std = learner.mean.to(dtype), learner.std.to(dtype)
    g = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (count, 32, 3, 32, 32), dtype=torch.uint8, generator=g)
    y = torch.randint(0, 10, (count, 32), generator=g)
    history = []
    for k in range(count):
        if follow and k:
            with torch.no_grad():
                for tensor, other in zip(learner.tensors(), follow[k - 1][2], strict=True):
                    tensor.copy_(other)
        learner.step(x[k], y[k], 32, 32)
        state = [tensor.detach().clone() for tensor in learner.tensors()]
        gradients = [p.grad for p in learner.model.parameters()]
        history.append((learner.tally.take()[0] / 32, gradients, state))
    return history


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


def apart(plainly, other):
    """How far apart gradients and parameters are after each step but the first, from states that
    are the same: medians of norms, relative to the gradients' and to that of the step.
    """
    gradients, updates = [], []
    for (*_, before), plain, fast in zip(plainly, plainly[1:], other[1:]):
        g, h = flat(plain[1]), flat(fast[1])
        gradients.append(((g - h).norm() / g.norm()).item())
        start, p, q = (flat(state[: len(plain[1])]) for state in (before, plain[2], fast[2]))
        updates.append(((p - q).norm() / (p - start).norm()).item())
    return median(gradients), median(updates)


# On a CPU, PyTorch's batch normalisation rounds more coarsely where channels come last (1e-6 of its
# output, measured), and eighteen layers let that grow.
NEAR = {"tiny-cnn": 1e-5, "tiny-resnet": 5e-5, "tiny-vit": 1e-5}


@pytest.mark.parametrize("model", NEAR)
def test_the_fast_step_equals_the_plain_step(model):
    setting = Setting("a", model, rule="adamw" if model == "tiny-vit" else "adam", decay=0.01)
    plainly = trained("plain", setting)
    fastly = trained("fast", setting, follow=plainly)
    for plain, fast in zip(plainly, fastly, strict=True):
        assert fast[0] == pytest.approx(plain[0], rel=1e-5)
    assert max(apart(plainly, fastly)) < NEAR[model]
    # Rounding alone decides on which side of its kink a ReLU is that gets next to nothing, and in
    # which direction Adam steps where the gradient is: both are rare in double precision.
    both = (trained(step_kind, setting, dtype=torch.float64) for step_kind in ("plain", "fast"))
    for plain, fast in zip(*both, strict=True):
        assert fast[0] == pytest.approx(plain[0], rel=1e-6)  # the tally is float32
        g, h = flat(plain[1]), flat(fast[1])
        assert (g - h).norm() < 1e-9 * g.norm()
        for p, q in zip(plain[2], fast[2], strict=True):
            assert torch.allclose(q.double(), p.double(), rtol=1e-5, atol=1e-9)


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler here")
def test_the_compiled_step_equals_the_plain_step():
    setting = Setting("a", "tiny-cnn")
    plainly = trained("plain", setting, count=3)
    compiled = trained("compile", setting, count=3, follow=plainly)
    for plain, fast in zip(plainly, compiled, strict=True):
        assert fast[0] == pytest.approx(plain[0], rel=1e-5)
    assert max(apart(plainly, compiled)) < NEAR["tiny-cnn"]


def test_the_plain_step_is_what_anybody_would_write():
    setting = Setting("a", "tiny-cnn")
    torch.manual_seed(0)
    model = models.build("tiny-cnn")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    g = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (6, 32, 3, 32, 32), dtype=torch.uint8, generator=g)
    y = torch.randint(0, 10, (6, 32), generator=g)
    for k, (loss, _, parameters) in enumerate(trained("plain", setting)):
        value = nn.functional.cross_entropy(model((x[k] / 255 - 0.5) / 0.25), y[k])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        assert loss == pytest.approx(value.item(), rel=1e-5)
        for p, q in zip(model.parameters(), parameters):
            assert torch.allclose(p, q, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("model", ["tiny-resnet", "tiny-vit"])
def test_trial_steps_can_be_undone(model):
    """As after the steps that record a graph: in the same memory, as if nothing had happened."""
    one = Learner(Setting("a", model), EVEN, CPU)
    before = [tensor.detach().clone() for tensor in one.tensors()]
    x = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    for _ in range(3):
        one.step(x, torch.arange(8), 8, 8)
    memory = [tensor.data_ptr() for tensor in one.tensors()]
    one._undo(before, fresh=True)
    after = one.tensors()
    assert [tensor.data_ptr() for tensor in after] == memory
    assert all(torch.equal(a, b) for a, b in zip(after, before))
    assert len(after) > len(before)
    assert not any(tensor.any() for tensor in after[len(before) :])
    assert one.tally.take() == [0.0] * 5


def test_bf16_computes_something_near():
    plain = trained("fast", Setting("a", "tiny-vit"))
    half = trained("fast", Setting("a", "tiny-vit", amp="bf16"))
    assert half[0][0] == pytest.approx(plain[0][0], rel=0.02)
    assert half[0][0] != plain[0][0]
    assert half[0][2][0].dtype == torch.float32  # the weights stay as they are


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("step_kind", ["fast", "graph"])
@pytest.mark.parametrize("model", ["cnn-32", "tiny-resnet", "tiny-vit"])
def test_a_gpu_steps_as_plainly_as_it_can(step_kind, model, toy, tmp_path):
    setting = Setting("a", model, **SMALL)
    rows = []
    for step in ("plain", step_kind):
        gpu = replace(worker(tmp_path / step, step=step), device=torch.device("cuda"))
        rows.append(engine.run(setting, gpu)["epochs"][0])
    assert rows[1]["train_loss"] == pytest.approx(rows[0]["train_loss"], rel=1e-3)


def test_rates_are_halved_and_the_modern_one_falls():
    plain = Learner(Setting("a", "tiny-cnn", halve_every=10), EVEN, CPU)
    rates = [plain.set_rates(epoch - 1) for epoch in range(1, 51)]
    assert rates == [1e-3 * 0.5**k for k in range(5) for _ in range(10)]
    setting = Setting("a", "tiny-speedy", rule="muon", lr=0.2, epochs=8)
    learner = Learner(setting, EVEN, CPU)
    assert [learner.set_rates(t) for t in (0, 4, 8)] == [0.2, 0.1, 0.0]
    bias = learner.optimizers[1].param_groups[0]
    assert bias["lr"] == 0
    learner.set_rates(1.5)
    assert bias["lr"] == pytest.approx(0.053 / 2 * setting.batch)


def test_a_rate_of_0_spares_the_gradient_and_changes_no_weight():
    setting = Setting("a", "tiny-speedy", rule="muon", lr=0.2, epochs=2, batch=16)
    g = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8, generator=g)
    y = torch.arange(16) % 10
    ended = []
    for sparing in (True, False):
        learner = Learner(setting, EVEN, CPU)
        for k in range(8):  # the first layer's bias rests from the third on
            learner.set_rates(k / 4)
            if sparing:
                learner.rest()
                assert learner.model.whiten.bias.requires_grad == (k < 3)
            learner.step(x, y, 16, 16)
        ended.append(learner.model.state_dict())
    assert all(torch.equal(ended[0][name], ended[1][name]) for name in ended[0])


# A whole run


@pytest.fixture
def unbroken(toy, tmp_path):
    def run(setting):
        return engine.run(setting, worker(tmp_path / "unbroken"))

    return run


@pytest.mark.parametrize(
    ("model", "where"),
    [
        *((model, "step") for model in ("tiny-cnn", "tiny-resnet", "tiny-vit", "tiny-speedy")),
        ("tiny-resnet", "save"),
        ("tiny-resnet", "record"),
    ],
)
def test_a_run_broken_off_anywhere_gives_the_same(
    model, where, toy, unbroken, tmp_path, monkeypatch
):
    setting = Setting("a", model, **SMALL, halve_every=1, rule="adam")
    if model == "tiny-speedy":
        setting = replace(setting, rule="muon", lr=0.1, views=6, flip="alternating", smoothing=0.2)
    expected = unbroken(setting)
    here = worker(tmp_path / "broken")
    with monkeypatch.context() as patch:
        if where == "step":
            step, calls = Learner.step, []

            def counted(*batch):
                calls.append(1)
                if len(calls) == 9:  # 6 steps an epoch: in the middle of the second
                    raise KeyboardInterrupt
                step(*batch)

            patch.setattr(Learner, "step", counted)
        elif where == "save":
            calls = []

            replace_file = Path.replace

            def dying(path, target):
                calls.append(1)
                if len(calls) == 2:  # written, but not yet in its place
                    raise KeyboardInterrupt
                return replace_file(path, target)

            patch.setattr(Path, "replace", dying)
        else:
            patch.setattr(store, "save", _dying_at_weights(store.save))
        with pytest.raises(KeyboardInterrupt):
            engine.run(setting, here)
    saved = len(store.load(checkpoint(tmp_path / "broken", setting))["history"])
    assert saved == (3 if where == "record" else 1)
    result = engine.run(setting, here)
    assert timeless(result) == timeless(expected)
    weights = [
        store.load(tmp_path / name / "weights" / f"{setting.key}.pt")["model"]
        for name in ("broken", "unbroken")
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def _dying_at_weights(save):
    def dying(path, state):
        if path.parent.name == "weights":
            raise KeyboardInterrupt
        save(path, state)

    return dying


@pytest.mark.parametrize(
    ("sent", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)]
)
def test_a_command_that_is_ended_loses_an_epoch_at_most(tmp_path, sent, status):
    """Killed by the system, or by Ctrl-C, then run again; against a run left in peace."""
    setting = replace(grids.plans("trial")[0], epochs=8, arm=grids.TRY_OUT)
    peace = engine.run(setting, worker(tmp_path / "peace", study="trial"))
    words = [sys.executable, "-m", "dlbook_utils.runner", "run", "trial", "--threads", "1"]
    words += ["--model", setting.model, "--seeds", "0", "--epochs", "8", "--device", "cpu"]
    words += ["--out", str(tmp_path)]

    def start():
        return subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # "&" ignores it
        )

    killed = start()
    for line in killed.stdout:
        if "epoch 2/8" in line:
            killed.send_signal(sent)
    assert killed.wait() == status
    assert not (tmp_path / "trial.jsonl").exists()
    assert checkpoint(tmp_path, setting).exists()
    again = start()
    said = again.communicate(timeout=200)[0]
    assert again.returncode == 0
    assert re.search("goes on after epoch [2-7]", said)
    mine = ledger.read(tmp_path / "trial.jsonl")
    assert timeless(mine) == timeless([peace])
    assert len(mine[0]["epochs"]) == 8


def test_the_record_has_its_provenance_and_its_measurements(unbroken):
    setting = Setting("a", "tiny-resnet", **SMALL)
    run = unbroken(setting)
    assert not [key for key in ledger.PROVENANCE if key not in run]
    assert from_dict(run["setting"]) == setting
    assert [row["epoch"] for row in run["epochs"]] == [1, 2, 3]
    best = max(row["valid_accuracy"] for row in run["epochs"])
    chosen = run["selected"]
    assert chosen["valid"]["accuracy"] == best
    assert chosen["epoch"] == min(
        row["epoch"] for row in run["epochs"] if row["valid_accuracy"] == best
    )
    assert sum(map(sum, chosen["valid"]["confusion"])) == len(chosen["valid"]["predictions"]) == 20
    assert run["last"]["epoch"] == 3
    assert run["last"]["valid"]["accuracy"] == run["epochs"][-1]["valid_accuracy"]
    assert 0 <= chosen["train_clean"] <= 1
    assert chosen["train_augmented"] == run["epochs"][chosen["epoch"] - 1]["train_accuracy"]
    assert run["last"]["train_augmented"] == run["epochs"][-1]["train_accuracy"]
    assert run["peak_memory"] > 1e6
    assert run["train_part"] != run["valid_part"]


def test_a_run_learns(unbroken):
    run = unbroken(Setting("a", "tiny-cnn", examples=180, epochs=12, lr=0.01, data="toy"))
    assert run["epochs"][-1]["train_loss"] < 0.8 * run["epochs"][0]["train_loss"]
    assert run["selected"]["train_clean"] > 0.5


def test_the_modern_recipe_learns_and_needs_no_validation_part(unbroken):
    setting = Setting(
        "a",
        "tiny-speedy",
        examples=200,
        epochs=6,
        data="toy",
        rule="muon",
        lr=0.2,
        batch=20,
        select="last",
        patience=0,
        pad=2,
        degrees=0.0,
        border="reflect",
        smoothing=0.2,
        views=6,
    )
    run = unbroken(setting)
    assert run["selected"]["train_clean"] > 0.5
    assert "valid" not in run["selected"]


def test_early_stopping_and_its_absence(toy, tmp_path, monkeypatch):
    values = iter([0.3, 0.5, 0.4, 0.5, 0.2, 0.2, 0.2, 0.2])

    def fixed(run, row):
        row.update(valid_accuracy=next(values), valid_loss=1.0, valid_seconds=0.0)

    monkeypatch.setattr(engine.Run, "_validate", fixed)
    setting = Setting("a", "tiny-cnn", examples=50, epochs=8, patience=3, data="toy")
    run = engine.run(setting, worker(tmp_path))
    assert len(run["epochs"]) == 5  # three without improvement; a tie is none
    assert run["selected"]["epoch"] == 2


def test_only_the_selected_weights_see_the_training_images_again(toy, tmp_path, monkeypatch):
    values, sizes = iter([0.5, 0.4, 0.3]), []

    def fixed(run, row):
        row.update(valid_accuracy=next(values), valid_loss=1.0, valid_seconds=0.0)

    def predict(learner, x, true=Learner.predict):
        sizes.append(len(x))
        return true(learner, x)

    monkeypatch.setattr(engine.Run, "_validate", fixed)
    monkeypatch.setattr(Learner, "predict", predict)
    run = engine.run(Setting("a", "tiny-cnn", **SMALL), worker(tmp_path))
    assert (run["selected"]["epoch"], run["last"]["epoch"]) == (1, 3)
    assert sorted(sizes) == [20, 20, 180]
    assert "train_clean" not in run["last"]
    assert "f1" in run["last"]["valid"]


def test_the_commit_is_the_one_at_the_beginning(toy, tmp_path, monkeypatch):
    commits = ["first"]
    monkeypatch.setattr(provenance, "commit", lambda: commits[-1])
    setting = Setting("a", "tiny-cnn", **SMALL)

    def stop(line):  # said after an epoch has been saved
        commits.append("second")
        raise KeyboardInterrupt

    here = worker(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        engine.run(setting, replace(here, say=stop))
    kept = store.load(checkpoint(tmp_path, setting))
    again = engine.run(setting, replace(here, say=lambda line: commits.append("third")))
    assert (again["commit"], provenance.commit()) == ("first", "third")
    kept.pop("commit")  # as it was before commits were kept
    store.save(checkpoint(tmp_path, setting), kept)
    commits.append("fourth")
    assert engine.run(setting, here)["commit"] == "fourth"


def test_nan_ends_the_run_and_says_where(toy, tmp_path):
    setting = Setting("a", "tiny-cnn", **SMALL, lr=1e30)
    run = engine.run(setting, worker(tmp_path))
    assert run["status"] == "failed"
    assert run["reason"] == "the loss is not finite in epoch 1, step 2"
    assert run["epochs"] == []
    assert ledger.append(tmp_path / "s.jsonl", run)  # a failure is a result


@pytest.fixture
def hours(monkeypatch):
    """The time, which epochs alone take, and how long one does: the last number of each list."""
    now, each = [0.0], [200.0]

    def epoch(run, number, true=engine.Run._pass):
        row = true(run, number)
        now.append(now[-1] + each[-1])
        return row | {"seconds": each[-1]}

    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: now[-1]))
    monkeypatch.setattr(engine.Run, "_pass", epoch)
    return now, each


def test_the_time_limit_stops_between_epochs(toy, tmp_path, unbroken, hours):
    now, each = hours
    setting, other = (Setting("a", "tiny-cnn", **SMALL, seed=seed) for seed in (0, 1))
    expected = unbroken(setting)

    def call(limit, *settings):
        """The records that one call makes, and how many epochs it does."""
        before, clock = len(now), engine.Clock(limit, began=now[-1])
        lines = [engine.run(one, worker(tmp_path, clock=clock)) for one in settings]
        return lines, len(now) - before

    assert call(-1, setting) == ([None], 0)
    assert not checkpoint(tmp_path, setting).exists()  # no time, nothing begun
    assert call(630, setting) == ([None], 2)  # for a third, too little would be left over
    each.append(700.0)
    assert call(630, other) == ([None], 1)  # longer than the limit, yet every call goes on
    assert call(630, other) == ([None], 1)
    (result, nothing), done = call(1500, setting, other)
    assert timeless(result) == timeless(expected)
    assert (nothing, done) == (None, 1)  # the second run's epoch is not the first of the call
    assert call(630, other)[0][0]["status"] == "done"


def test_a_checkpoint_of_another_manner_or_setting_is_refused(toy, tmp_path):
    setting = Setting("a", "tiny-cnn", **SMALL)
    engine.run(setting, worker(tmp_path))
    path = checkpoint(tmp_path, setting)
    before = path.read_bytes()
    with pytest.raises(engine.Mismatch, match="was begun with step"):
        engine.run(setting, worker(tmp_path, step="plain"))
    other = replace(setting, lr=0.5)
    path.rename(checkpoint(tmp_path, other))
    with pytest.raises(engine.Mismatch, match="another setting"):
        engine.run(other, worker(tmp_path))
    assert checkpoint(tmp_path, other).read_bytes() == before


def test_where_no_graph_can_be_recorded_the_run_goes_on(toy, tmp_path, monkeypatch, unbroken):
    def refusing(learner, x, y):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Learner, "record", refusing)
    setting = Setting("a", "tiny-cnn", **SMALL)
    expected = unbroken(setting)

    def as_on_a_gpu(worker, setting):
        return "graph" if worker.step == "auto" else worker.step

    def on_a_cpu(setting, model, step_kind, device, true=learner.adam):  # none for a graph is there
        return true(setting, model, "fast", device)

    monkeypatch.setattr(engine.Worker, "step_for", as_on_a_gpu)
    monkeypatch.setitem(learner.OPTIMIZERS, "adam", on_a_cpu)
    said = []
    here = worker(tmp_path, say=said.append)
    assert timeless(engine.run(setting, here)) == timeless(expected)
    assert "no graph could be recorded (operation not permitted" in said[0]
    with pytest.raises(engine.NoGraph, match="capturing"):
        engine.run(setting, worker(tmp_path / "other", step="graph"))

    def stop(line):  # said after an epoch has been saved
        raise KeyboardInterrupt

    begun = worker(tmp_path / "begun", step="fast")
    with pytest.raises(KeyboardInterrupt):
        engine.run(setting, replace(begun, say=stop))
    assert checkpoint(tmp_path / "begun", setting).exists()
    again = engine.run(setting, worker(tmp_path / "begun"))  # goes on without trying a graph again
    assert timeless(again) == timeless(expected)


def test_peak_memory_is_of_this_run():
    from dlbook_utils.records import provenance

    def peak(megabytes):
        provenance.forget_peak_memory(CPU)
        torch.ones(megabytes * 2**18).sum()
        return provenance.peak_memory(CPU) / 2**20

    large, small = peak(400), peak(1)
    assert large > 400
    if Path("/proc/self/clear_refs").exists():
        assert large - small > 300


def test_settings_are_named_and_checked():
    a = Setting("a", "tiny-cnn")
    assert a.key.startswith("a.tiny-cnn.n45000.s0.")
    assert len({a.key, replace(a, lr=0.1).key, replace(a, amp="bf16").key}) == 3
    assert from_dict(asdict(a)) == a
    assert a.recipe == replace(a, seed=3, split=1, amp="tf32").recipe
    for wrong in ({"amp": "fp16"}, {"epochs": 0}, {"split": 10}, {"seed": -1}, {"views": 3}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Setting("a", "tiny-cnn", **wrong)
    with pytest.raises(ValueError, match="small_epochs and small_side go together, got 2 and 0"):
        Setting("a", "tiny-cnn", small_epochs=2)
    assert replace(a, small_epochs=2, small_side=24).key != a.key
    before = {k: v for k, v in asdict(a).items() if not k.startswith("small_")}
    assert from_dict(before).key == a.key  # records older than these fields keep their keys
    for run in records.load("cifar10"):
        assert from_dict(run["setting"]).key == run["key"]
    with pytest.raises(ValueError, match="no colour"):
        from_dict(asdict(a) | {"colour": 1})


def test_macro_averages_are_scikit_learns():
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    g = torch.Generator().manual_seed(0)
    y = torch.randint(0, 10, (500,), generator=g)
    logits = torch.randn(500, 10, generator=g) + 2 * torch.eye(10)[y]
    described = scores.describe(logits, y)
    guess = logits.argmax(1)
    p, r, f, _ = precision_recall_fscore_support(y, guess, average="macro")
    assert (described["precision"], described["recall"], described["f1"]) == pytest.approx(
        (p, r, f)
    )
    assert described["confusion"] == confusion_matrix(y, guess).tolist()
    assert described["f1_of_means"] == pytest.approx(2 * p * r / (p + r))
    bins = torch.tensor(described["calibration"])
    assert bins[:, 0].sum() == 500
    assert bins[:, 2].sum() / 500 == pytest.approx(described["accuracy"], abs=1e-6)
    assert (bins[:, 1] <= bins[:, 0]).all()
