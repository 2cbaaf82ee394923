"""Weights that pages load: file and line belong together, and nothing is overwritten."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from dlbook_utils.records import ledger, provenance
from tools.records import weights


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "RECORD", tmp_path / "weights.jsonl")
    return tmp_path / "weights.jsonl"


def test_weights_lie_beside_their_line(record):
    net = nn.Linear(3, 2)
    run = {"loss": 0.5} | provenance.origin(torch.device("cpu"), 0, "none", 1.0)
    weights.keep("tiny", "a command", net, run)
    (line,) = ledger.read(record)
    assert (line["key"], line["file"], line["loss"]) == ("tiny", "tiny.safetensors", 0.5)
    stored = load_file(record.parent / line["file"])
    assert torch.equal(stored["weight"], net.weight.detach().half())


def test_recorded_weights_are_not_overwritten(record):
    run = provenance.origin(torch.device("cpu"), 0, "none", 1.0)
    weights.keep("tiny", "a command", nn.Linear(3, 2), run)
    before = (record.parent / "tiny.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match="has weights 'tiny': remove their line first"):
        weights.keep("tiny", "a command", nn.Linear(3, 2), run)
    assert (record.parent / "tiny.safetensors").read_bytes() == before
