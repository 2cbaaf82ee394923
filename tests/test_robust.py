"""Robustness runs: every combination of settings, and a line per claim with its least margin."""

from tools import robust


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
    assert robust.table(tmp_path / "a.md") == 0
    assert "3/3  water is wet   least margin 3.2 s.e." in capsys.readouterr().out


def test_a_failure_names_its_setting(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(robust, "settings", lambda: [{"SEED": k} for k in "01"])
    monkeypatch.setattr(robust, "run", lambda path, s: [claimed(s["SEED"] == "0", None)])
    assert robust.table(tmp_path / "a.md") == 1
    said = capsys.readouterr().out
    assert "1/2  water is wet" in said
    assert "fails with SEED=1" in said


def test_a_crash_is_a_failed_claim(monkeypatch, tmp_path):
    from nbformat.v4 import new_code_cell, new_notebook

    notebook = new_notebook(cells=[new_code_cell("1 / 0")])
    monkeypatch.setattr(robust, "read", lambda path: notebook)
    monkeypatch.setattr(robust, "environment", dict)  # what is set here is set for other tests, too
    monkeypatch.setenv("DLBOOK_STRICT", "0")
    (item,) = robust.run(tmp_path / "a.md", {})
    assert item["supported"] is False
    assert "ZeroDivisionError" in item["statement"]
