"""The record of the book's own time: from the last whole build, once."""

import json

from dlbook_utils.records import ledger
from tools.records import book

LINE = {"key": "book 1", "device": "CPU", "driver": "", "versions": {}, "seed": 0, "seconds": 599.4}
LINE |= {"cores": 2, "data": "", "commit": "", "date": "2026-11-30T09:00:00+00:00"}


def test_a_build_is_recorded_once(tmp_path, capsys):
    path = tmp_path / book.LAST_BUILD
    path.parent.mkdir()
    path.write_text(json.dumps(LINE))
    assert [book.main(tmp_path), book.main(tmp_path)] == [0, 0]
    said = capsys.readouterr().out
    assert said == "book 1: 599 s, added\nbook 1: 599 s, stands there already\n"
    assert ledger.read(tmp_path / "records" / book.BOOK_RECORD) == [LINE]


def test_without_a_whole_build_there_is_nothing_to_record(tmp_path, capsys):
    assert book.main(tmp_path) == 1
    assert "make book" in capsys.readouterr().err
    assert not (tmp_path / "records").exists()
