"""Devices, budgets and seeds."""

import random

import numpy as np
import pytest
import torch

from dlbook_utils.page.devices import budget, device, generator, seed_everything


def test_the_device_is_a_gpu_where_there_is_one(monkeypatch):
    monkeypatch.delenv("DLBOOK_BUDGET", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device() == torch.device("cpu")
    assert budget(cpu=2, gpu=30) == 2
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device() == torch.device("cuda")
    assert budget(cpu=2, gpu=30) == 30


@pytest.mark.parametrize("there", [False, True])
def test_a_budget_can_be_asked_for_on_any_machine(monkeypatch, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setenv("DLBOOK_BUDGET", "gpu")
    assert budget(cpu=2, gpu=30) == 30
    monkeypatch.setenv("DLBOOK_BUDGET", "cpu")
    assert budget(cpu=2, gpu=30) == 2
    monkeypatch.setenv("DLBOOK_BUDGET", "")
    assert budget(cpu=2, gpu=30) == (30 if there else 2)


def test_a_budget_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("DLBOOK_BUDGET", "GPU")
    with pytest.raises(ValueError, match="DLBOOK_BUDGET is 'cpu' or 'gpu', not 'GPU'"):
        budget(cpu=2, gpu=30)


def test_a_device_that_is_not_there_is_named():
    assert device("cpu") == torch.device("cpu")
    with pytest.raises(RuntimeError, match="no device 'mps' here"):
        device("mps")


def draws():
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_one_seed_gives_the_same_draws_everywhere():
    seed_everything(3)
    first = draws()
    seed_everything(3)
    assert draws() == first
    seed_everything(4)
    assert all(a != b for a, b in zip(draws(), first, strict=True))


def test_the_offset_shifts_every_seed(monkeypatch):
    plain = torch.rand(3, generator=generator(5))
    assert torch.equal(plain, torch.rand(3, generator=generator(5)))
    monkeypatch.setenv("DLBOOK_SEED_OFFSET", "1")
    assert not torch.equal(plain, torch.rand(3, generator=generator(5)))


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="not -1"):
        generator(-1)
