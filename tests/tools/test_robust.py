"""Robustness runs: every combination of settings, and a line per claim with its least margin."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from dlbook_utils.records import folder, ledger
from tools import robust


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """Keep pieces and records out of the checkout; the chapter is one cell."""
    monkeypatch.setattr(robust, "ROOT", tmp_path)
    cell = new_code_cell("water = 'wet'")
    monkeypatch.setattr(robust, "read", lambda path: new_notebook(cells=[cell]))
    return cell


def claimed(supported, margin):
    return {"statement": "water is wet", "supported": supported, "margin": margin}


def test_seeds_threads_and_instruction_sets_are_all_combined():
    found = robust.settings()
    assert len(found) == len({tuple(sorted(setting.items())) for setting in found}) == 12
    assert {setting["ATEN_CPU_CAPABILITY"] for setting in found} == {"default", "avx2"}


def test_the_least_margin_is_shown(monkeypatch, tmp_path, capsys):
    margins = iter([5.0, 3.25, 9.0])
    monkeypatch.setattr(robust, "settings", lambda: [{"SEED": k} for k in "012"])
    monkeypatch.setattr(robust, "run", lambda path, setting: [claimed(True, next(margins))])
    (row,) = robust.table(tmp_path / "a.md")
    assert row == {"statement": "water is wet", "held": 3, "runs": 3, "least": 3.25}
    assert "3/3  water is wet   least margin 3.2 s.e." in capsys.readouterr().out


def test_a_failure_names_its_setting(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(robust, "settings", lambda: [{"SEED": k} for k in "01"])
    monkeypatch.setattr(robust, "run", lambda path, s: [claimed(s["SEED"] == "0", None)])
    (row,) = robust.table(tmp_path / "a.md")
    assert (row["held"], row["runs"], row["least"]) == (1, 2, None)
    said = capsys.readouterr().out
    assert "1/2  water is wet" in said
    assert "fails with SEED=1" in said


def test_a_crash_is_a_failed_claim(monkeypatch, tmp_path):
    notebook = new_notebook(cells=[new_code_cell("1 / 0")])
    monkeypatch.setattr(robust, "read", lambda path: notebook)
    (item,) = robust.run(tmp_path / "a.md", {})
    assert item["supported"] is False
    assert "ZeroDivisionError" in item["statement"]


def test_a_setting_reaches_the_kernel_and_only_the_kernel(monkeypatch, tmp_path):
    code = (
        "import os\nassert os.environ['DLBOOK_SEED_OFFSET'] + os.environ['MKL_NUM_THREADS'] == '72'"
    )
    monkeypatch.setattr(robust, "read", lambda path: new_notebook(cells=[new_code_cell(code)]))
    monkeypatch.delenv("DLBOOK_SEED_OFFSET", raising=False)
    assert robust.run(tmp_path / "a.md", {"DLBOOK_SEED_OFFSET": "7", "OMP_NUM_THREADS": "2"}) == []
    assert "DLBOOK_SEED_OFFSET" not in robust.os.environ
    (item,) = robust.run(tmp_path / "a.md", {"DLBOOK_SEED_OFFSET": "8"})
    assert item["supported"] is False


def test_one_thread_runs_are_taken_two_at_a_time(monkeypatch, tmp_path):
    from threading import Barrier

    both = Barrier(2, timeout=10)  # broken, and so an error, unless two runs wait at once
    groups = [{"OMP_NUM_THREADS": str(n), "SEED": str(k)} for k, n in enumerate((1, 1, 2))]
    monkeypatch.setattr(robust, "settings", lambda: groups)

    def run(path, setting):
        if setting["OMP_NUM_THREADS"] == "1":
            both.wait()
        return [claimed(True, None)]

    monkeypatch.setattr(robust, "run", run)
    assert [setting for _, setting in robust.outcomes(tmp_path / "a.md")] == groups


def test_a_command_that_was_stopped_goes_on_where_it_was(monkeypatch, tmp_path, elsewhere):
    monkeypatch.setattr(robust, "settings", lambda: [{"SEED": k} for k in "012"])
    asked = []

    def run(path, setting):
        if setting["SEED"] == "1" and "1" not in asked:
            asked.append("1")
            raise KeyboardInterrupt
        asked.append(setting["SEED"])
        return [claimed(True, 7.0)]

    monkeypatch.setattr(robust, "run", run)
    with pytest.raises(KeyboardInterrupt):
        robust.table(tmp_path / "a.md")
    before = list(asked)
    assert robust.table(tmp_path / "a.md")[0]["runs"] == 3
    assert "0" in before
    assert asked.count("0") == 1
    elsewhere.source = "water = 'dry'"  # other code: everything runs again
    robust.table(tmp_path / "a.md")
    assert asked.count("0") == 2


def test_a_complete_chapter_is_recorded_once(monkeypatch, tmp_path):
    rows = [{"statement": "water is wet", "held": 2, "runs": 2, "least": 4.5}]
    for _ in range(2):
        robust.record(tmp_path / "book" / "a.md", rows, 1.5)
    (line,) = ledger.read(tmp_path / "records" / robust.ROBUST_RECORD)
    assert line["page"] == "book/a"
    assert line["claims"] == rows
    assert line["settings"] == 12


def test_what_is_recorded_held_everywhere():
    last = {line["page"]: line for line in ledger.read(folder() / robust.ROBUST_RECORD)}
    fallen = [
        (page, row["statement"], row["held"])
        for page, line in last.items()
        for row in line["claims"]
        if row["held"] < row["runs"] or row["runs"] < 12
    ]
    assert not fallen


def test_a_record_says_what_all_its_runs_took_also_earlier_ones(monkeypatch, tmp_path, elsewhere):
    path = tmp_path / "a.md"
    for code, seconds in (("water = 'dry'", 50.0), ("water = 'wet'", 4.0)):
        elsewhere.source = code
        for setting in ("SEED=0", "SEED=1"):
            line = robust.line(f"{robust.name(path)} {setting}", seconds, {"claims": []})
            ledger.append(tmp_path / robust.PIECES, line)
    assert robust.spent(path) == 8.0
    monkeypatch.setattr(robust, "chapters", lambda: [path])
    monkeypatch.setattr(robust, "table", lambda path: [])
    monkeypatch.setattr(robust.sys, "argv", ["robust"])
    assert robust.main() == 0
    (line,) = ledger.read(tmp_path / "records" / robust.ROBUST_RECORD)
    assert line["seconds"] == 8.0
