"""A run's curves, as TensorBoard itself reads them; and the time that loading takes."""

import sys
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dlbook_utils.records import ledger
from dlbook_utils.runner import engine, feed, measure
from dlbook_utils.runner.settings import Setting
from dlbook_utils.runner.store import Curves, Place

CPU = torch.device("cpu")


def row(epoch, loss):
    return {"epoch": epoch, "train_loss": loss, "train_accuracy": 0.5, "lr": 1e-3, "seconds": 1.0}


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder)).Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def test_points_are_on_the_disk_after_each_epoch(tmp_path):
    with Curves(tmp_path) as drawn:
        drawn.add(row(1, 2.0))
        assert read(tmp_path)["loss/training"] == [(1, 2.0)]  # while the writer is still open
        drawn.add(row(2, 1.0) | {"valid_loss": 3.0})
    points = read(tmp_path)
    assert points["loss/training"] == [(1, 2.0), (2, 1.0)]
    assert points["loss/validation"] == [(2, 3.0)]


def test_what_a_broken_run_wrote_too_much_is_struck_out(tmp_path):
    with Curves(tmp_path) as drawn:
        for epoch in (1, 2, 3):
            drawn.add(row(epoch, 9.0))
    with Curves(tmp_path, done=1) as drawn:  # its checkpoint knows of one epoch
        for epoch in (2, 3):
            drawn.add(row(epoch, 1.0))
    assert read(tmp_path)["loss/training"] == [(1, 9.0), (2, 1.0), (3, 1.0)]


def test_without_tensorboard_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with Curves(tmp_path / "curves") as drawn:
        drawn.add(row(1, 2.0))
    assert not (tmp_path / "curves").exists()


def test_a_run_draws_its_curves(tmp_path):
    setting = Setting("published", "tiny-cnn", data="shapes", examples=100, epochs=2, degrees=0.0)
    worker = engine.Worker(CPU, Place("trial", tmp_path, tmp_path), say=lambda line: None)
    run = engine.run(setting, worker)
    drawn = read(worker.place.curves(setting.key))
    want = [(r["epoch"], pytest.approx(r["valid_accuracy"])) for r in run["epochs"]]
    assert drawn["accuracy/validation"] == want


def test_loading_is_measured_both_ways(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "IMAGES", 96)
    monkeypatch.setattr(torch.multiprocessing, "cpu_count", lambda: 2)
    said: list[str] = []
    measure.loading(Place("trial", tmp_path, tmp_path), CPU, said.append)
    (line,) = ledger.read(tmp_path / "trial-loading.jsonl")
    assert list(line["seconds_an_epoch"]) == ["resident", "PIL, 0 workers", "PIL, 2 workers"]
    assert all(seconds > 0 for seconds in line["seconds_an_epoch"].values())
    assert len(said) == 3


def test_both_sides_load_the_same_batches():
    x = torch.randint(0, 256, (70, 3, 32, 32), dtype=torch.uint8)
    theirs = [tuple(batch.shape) for batch in measure.usual(x, 0)]
    part = feed.Part(x, torch.zeros(70, dtype=torch.int64), "")
    draws = feed.draw(measure.LOADING, 70, 1)
    ours = [tuple(b.shape) for some in feed.batches(part, draws, measure.LOADING) for b, *_ in some]
    assert ours == theirs == [(32, 3, 32, 32), (32, 3, 32, 32), (6, 3, 32, 32)]
