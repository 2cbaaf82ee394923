"""The record of a study and its checkpoints: whole or not at all, and no damage overwritten."""

import json
import multiprocessing
import os

import pytest
import torch

from dlbook_utils.records import ledger
from dlbook_utils.runner import store


def a_run(key: str, **more) -> dict:
    return {name: "x" for name in ledger.PROVENANCE} | {"key": key} | more


def test_a_run_is_added_once(tmp_path):
    path = tmp_path / "s.jsonl"
    assert ledger.append(path, a_run("a", accuracy=0.5))
    assert not ledger.append(path, a_run("a", accuracy=0.6))
    assert ledger.append(path, a_run("b"))
    assert [(run["key"], run.get("accuracy")) for run in ledger.read(path)] == [
        ("a", 0.5),
        ("b", None),
    ]


def test_a_torn_line_is_cut_off_told_and_kept(tmp_path, capsys):
    path = tmp_path / "s.jsonl"
    ledger.append(path, a_run("a"))
    whole = path.read_bytes()
    torn = json.dumps(a_run("b")).encode()  # all of it but the line end: not known to be whole
    path.write_bytes(whole + torn)
    assert [run["key"] for run in ledger.read(path)] == ["a"]
    ledger.append(path, a_run("c"))
    assert [run["key"] for run in ledger.read(path)] == ["a", "c"]
    assert path.read_bytes().startswith(whole)
    assert f"torn ({len(torn)} bytes" in capsys.readouterr().err
    assert (tmp_path / "s.jsonl.torn").read_bytes() == torn + b"\n"


@pytest.mark.parametrize("bad", [b'{"key": "a", "device"\n', b'{"key": "a"}\n', b"[]\n", b"7\n"])
def test_a_damaged_line_is_refused_and_left_alone(tmp_path, bad):
    path = tmp_path / "s.jsonl"
    ledger.append(path, a_run("a"))
    path.write_bytes(path.read_bytes() + bad)
    before = path.read_bytes()
    with pytest.raises(ledger.Damaged, match="line 2"):
        ledger.read(path)
    with pytest.raises(ledger.Damaged, match="line 2"):
        ledger.append(path, a_run("b"))
    assert path.read_bytes() == before


def test_a_run_without_provenance_or_with_nan_is_not_written(tmp_path):
    path = tmp_path / "s.jsonl"
    with pytest.raises(ValueError, match="without its device"):
        ledger.append(path, {"key": "a"})
    with pytest.raises(ValueError, match="JSON compliant"):
        ledger.append(path, a_run("a", loss=float("nan")))
    assert ledger.read(path) == []


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    path = tmp_path / "s.jsonl"
    ledger.append(path, a_run("a"))
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        ledger.append(path, a_run("b"))
    assert path.read_bytes() == before


def _add(path, worker):
    for k in range(20):
        ledger.append(path, a_run(f"{worker}-{k}", text="x" * 5000))
        ledger.append(path, a_run(f"shared-{k}"))


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    path = tmp_path / "s.jsonl"
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_add, args=(path, k)) for k in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    keys = [run["key"] for run in ledger.read(path)]
    assert len(keys) == len(set(keys)) == 80


def test_a_lock_is_had_by_one(tmp_path):
    with ledger.locked(tmp_path / "l") as mine, ledger.locked(tmp_path / "l", wait=False) as other:
        assert mine
        assert not other
    with ledger.locked(tmp_path / "l", wait=False) as again:
        assert again


STATE = {"epoch": 3, "weights": {"w": torch.arange(6.0).view(2, 3)}, "history": [{"loss": 0.5}]}


def test_a_checkpoint_comes_back(tmp_path):
    path = tmp_path / "folder" / "c.pt"
    assert store.load(path) is None
    store.save(path, STATE)
    found = store.load(path)
    assert torch.equal(found["weights"]["w"], STATE["weights"]["w"])
    assert (found["epoch"], found["history"]) == (3, [{"loss": 0.5}])
    assert [file.name for file in path.parent.iterdir()] == ["c.pt"]


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_checkpoint_is_refused_and_left_alone(tmp_path, damage):
    path = tmp_path / "c.pt"
    store.save(path, STATE)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    else:
        del content[-10 if damage == "cut" else 0 :]
    path.write_bytes(content)
    with pytest.raises(ledger.Damaged, match="is damaged; it is left as it is"):
        store.load(path)
    assert path.read_bytes() == content


def test_a_failure_while_saving_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "c.pt"
    store.save(path, STATE)
    monkeypatch.setattr(os, "fsync", lambda handle: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.save(path, STATE | {"epoch": 4})
    assert store.load(path)["epoch"] == 3
    assert [file.name for file in tmp_path.iterdir()] == ["c.pt"]
