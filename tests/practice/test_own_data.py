"""Runs that are interrupted, against runs that are not; the rate test; what is shipped."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlbook_utils.page.guards import TrainingFailed
from dlbook_utils.practice.own_data import (
    FromBytes,
    rate_at,
    rate_test,
    resume_run,
    save_run,
    start_run,
    train_epoch,
    train_run,
)


def points(n=90, seed=0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=draw)
    return x, (x[:, 0] > x[:, 1]).long()


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2)
    )


class Cut(Exception):
    pass


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine():
    rates = [rate_at(t, 100, 0.5) for t in range(100)]
    wanted = [
        0.5 * min(1, (t + 1) / 10) * (1 + math.cos(math.pi * t / 100)) / 2 for t in range(100)
    ]
    assert rates == pytest.approx(wanted)
    for bad in [(100, 100, 0.5), (0, 100, 0.0), (0, 100, 1.0, 1.0), (-1, 9, 1.0)]:
        with pytest.raises(ValueError, match="expected a step"):
            rate_at(*bad)


def test_an_epoch_is_that_of_pytorch():
    x, y = points()
    torch.manual_seed(3)
    ours = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    theirs = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    theirs.load_state_dict(ours.state_dict())
    run = start_run(ours)
    mean = train_epoch(run, x, y, 30, 0.1, size=32)
    adam = torch.optim.AdamW(theirs.parameters(), lr=0.1, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda t: rate_at(min(t, 29), 30, 1.0))
    total = 0.0
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    for idx in order.split(32):
        loss = F.cross_entropy(theirs(x[idx]), y[idx])
        total += loss.item() * len(idx)
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        adam.step()
        schedule.step()
    assert run["step"] == 3
    assert mean == pytest.approx(total / len(x), abs=1e-5)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)
        assert torch.allclose(a.grad, b.grad, atol=1e-5)


@pytest.mark.parametrize("epochs", [1, 4])
def test_interrupted_and_resumed_equals_uninterrupted_to_the_bit(tmp_path, epochs):
    """Weights, buffers, history and the best epoch; the cut falls in the middle of an epoch."""
    train, valid = points(), points(30, 1)
    whole = start_run(net())
    history = train_run(whole, train, valid, 9, 0.05, size=16)

    cut = start_run(net())
    looks = iter(range(epochs))

    def look(module, inputs):
        if not module.training and next(looks, None) is None:
            raise Cut

    cut["model"].register_forward_pre_hook(look)
    file = tmp_path / "run.pt"
    with pytest.raises(Cut):
        train_run(cut, train, valid, 9, 0.05, size=16, path=file)
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]

    torch.manual_seed(99)
    again = resume_run(start_run(net(5), seed=5), file)
    assert len(again["history"]) == epochs
    assert train_run(again, train, valid, 9, 0.05, size=16) == history
    for name, tensor in whole["model"].state_dict().items():
        assert torch.equal(tensor, again["model"].state_dict()[name]), name


def test_patience_ends_a_run_and_the_best_epoch_is_kept(monkeypatch):
    losses = iter([0.9, 0.7, 0.8, 0.75, 0.6, 0.65])
    run = start_run(net())
    seen = []

    def look(model, *_):
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return {"loss": next(losses), "accuracy": 0.5}

    monkeypatch.setattr("dlbook_utils.practice.own_data.evaluate", look)
    history = train_run(run, points(), points(30, 1), 6, 0.05, patience=1)
    assert [row["loss"] for row in history] == [0.9, 0.7, 0.8, 0.75]
    assert run["best"]["epoch"] == 2
    for name, tensor in run["model"].state_dict().items():
        assert torch.equal(tensor, seen[1][name]), name


def test_a_file_is_read_without_running_code_and_a_crash_leaves_the_old_one(tmp_path, monkeypatch):
    run, file = start_run(net()), tmp_path / "run.pt"
    save_run(run, file)
    assert torch.load(file, weights_only=True)["step"] == 0
    run["step"] = 7

    def crash(state, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", crash)
    with pytest.raises(OSError, match="disk full"):
        save_run(run, file)
    assert resume_run(start_run(net()), file)["step"] == 0


def test_bad_data_and_a_loss_that_is_no_number_are_named():
    x, y = points()
    with pytest.raises(ValueError, match="90"):
        train_epoch(start_run(net()), x, y[:50], 9, 0.1)
    x[3] = torch.nan
    with pytest.raises((ValueError, TrainingFailed), match=r"nan|NaN"):
        train_epoch(start_run(net()), x, y, 9, 0.1)


def test_the_rates_grow_by_a_factor_and_the_model_stays_as_it_was():
    model, (x, y) = net(), points()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    rates, losses = rate_test(model, x, y, 1e-4, 1e2, steps=60)
    assert len(rates) == len(losses) == 61
    assert (rates[0], rates[-1]) == (1e-4, pytest.approx(1e2))
    assert rates[7] / rates[6] == pytest.approx(rates[40] / rates[39])
    assert min(losses) < losses[0] < max(losses[-5:])
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    with pytest.raises(ValueError, match=r"got 1\.0 and 0\.1"):
        rate_test(model, x, y, 1.0, 0.1)


def test_bytes_are_scaled_inside_forward_and_backward():
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    whole = FromBytes(inner, (0.2, 0.4, 0.6), (0.1, 0.2, 0.3))
    x = torch.randint(0, 256, (5, 3, 2, 2), dtype=torch.uint8)
    mean, std = torch.tensor([0.2, 0.4, 0.6]), torch.tensor([0.1, 0.2, 0.3])
    wanted = inner((x / 255 - mean[:, None, None]) / std[:, None, None]).softmax(1)
    assert torch.allclose(whole(x), wanted)
    (slope,) = torch.autograd.grad(whole(x)[:, 0].sum(), inner[1].weight)
    (theirs,) = torch.autograd.grad(wanted[:, 0].sum(), inner[1].weight)
    assert torch.allclose(slope, theirs)
    with pytest.raises(ValueError, match="stds above 0"):
        FromBytes(inner, (0.2,), (0.0,))
