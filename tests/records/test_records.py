"""Records: found in a checkout, refused when damaged or without provenance."""

import json

import pytest

from dlbook_utils import records
from dlbook_utils.records import ledger

WHOLE = {key: "x" for key in ledger.REQUIRED} | {"accuracy": 0.5}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "folder", lambda: tmp_path)
    return tmp_path


def test_a_study_is_a_list_of_runs(folder):
    folder.joinpath("lr.jsonl").write_text(json.dumps(WHOLE) + "\n" + json.dumps(WHOLE) + "\n")
    assert records.load("lr") == [WHOLE, WHOLE]


def test_an_unknown_study_names_those_that_exist(folder):
    folder.joinpath("lr.jsonl").write_text("")
    with pytest.raises(FileNotFoundError, match="'depth'; recorded: lr"):
        records.load("depth")


def test_a_damaged_line_is_named(folder):
    folder.joinpath("lr.jsonl").write_text(json.dumps(WHOLE) + "\n" + '{"accuracy": 0.')
    with pytest.raises(ValueError, match="lr.jsonl, line 2 is damaged"):
        records.load("lr")


def test_a_run_without_provenance_is_refused(folder):
    folder.joinpath("lr.jsonl").write_text('{"accuracy": 1, "seed": 0}')
    with pytest.raises(ValueError, match="line 1 lacks its key, device, driver"):
        records.load("lr")


def test_a_checkout_keeps_its_records_at_the_root():
    assert records.folder().joinpath("README.md").exists()


@pytest.mark.parametrize("path", sorted(records.folder().glob("*.jsonl")), ids=lambda p: p.stem)
def test_every_record_of_the_book_is_whole_and_names_each_run_once(path):
    keys = [run["key"] for run in records.load(path.stem)]
    assert keys
    assert len(set(keys)) == len(keys)
