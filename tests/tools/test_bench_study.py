"""The sides of the benchmark do what their names say; how long they take is no test."""

import pytest
import torch

from tools import bench_study


@pytest.fixture
def rivals(monkeypatch):
    monkeypatch.setattr(bench_study, "IMAGES", {"tiny-cnn": 64})
    return {name: pair for name, *pair in bench_study.rivals()}


def test_both_sides_take_the_same_number_of_steps(rivals, monkeypatch):
    fused = []  # one entry a step: whether it was a fused one
    adam = torch.optim.Adam.step

    def counted(self):
        fused.append(bool(self.defaults["fused"]))
        return adam(self)

    monkeypatch.setattr(torch.optim.Adam, "step", counted)
    for name in ("plain loop / engine", "plain step / engine's step"):
        other, ours = rivals[f"study, tiny-cnn: {name}"]
        other()
        ours()
        assert fused == [False, False, True, True], name
        fused.clear()


def test_seconds_to_89_are_those_of_runs_that_reach_it(monkeypatch):
    def run(accuracy, amp="bf16", arm="modern-cpu", status="done"):
        return {
            "setting": {"arm": arm, "amp": amp},
            "status": status,
            "selected": {"valid": {"accuracy": accuracy}},
            "seconds": 100.0,
            "epochs": [{"valid_seconds": 10.0}],
        }

    others = [run(0.88), run(0.9, "fp32"), run(0.9, arm="modern"), run(0.9, status="failed")]
    runs = [run(0.9), *others]
    monkeypatch.setattr(bench_study.records, "load", lambda name: runs)
    assert bench_study.seconds_to_89() == [90.0]
