"""Chapters on a pretended GPU: where they break off, and what stays on the CPU, with reasons."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from tools.pretend_gpu import __main__ as tool
from tools.pretend_gpu.watch import LARGE, watched_gpu
from tools.records import chapters

LIGHT = ("origins/history", "foundations/backprop", "foundations/linear")

TRAINS = """
import torch
from dlbook_utils.page.devices import budget, device
def train(model):
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(budget(cpu=1, gpu=3)):
        sgd.zero_grad()
        model(torch.ones(2, 3, device=model.weight.device)).sum().backward()
        sgd.step()
    return model
"""
MOVED = "train(torch.nn.Linear(3, 1).to(device()))"
STAYS = "train(torch.nn.Linear(3, 1))"
MIXES = "x = 1\ntorch.ones(2) + torch.ones(2, device=device())"


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A function that makes a chapter of these cells, and one that runs it with the tool."""
    from dlbook_utils.page import claims

    monkeypatch.setattr(chapters, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(claims, "_show", claims._show)
    monkeypatch.delenv("DLBOOK_BUDGET", raising=False)
    monkeypatch.setattr(  # in this process: others would not know this book
        tool.chapters, "in_a_process", lambda name, *rest: tool.run(name)
    )
    (tmp_path / "part").mkdir()

    def make(name, *sources):
        cells = [{"cell_type": "code", "source": [s], "metadata": {}} for s in sources]
        (tmp_path / "part" / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))
        return lambda *options: tool.main([*options, f"part/{name}"], tmp_path / "on_cpu.toml")

    return make


def test_a_chapter_that_trains_on_the_gpu_has_nothing_to_explain(book, capsys):
    assert book("moved", TRAINS, MOVED)() == 0
    said = capsys.readouterr().out
    assert "ran to its end" in said
    assert "on the CPU" not in said


def test_a_cell_that_mixes_devices_is_named_with_its_line(book, capsys):
    assert book("mixes", TRAINS, MIXES)() == 1
    said = capsys.readouterr().out
    assert "broke off in code cell 2, line 2, torch.ones(2) + " in said
    assert "RuntimeError: Expected all tensors to be on the same device" in said


def test_training_that_stays_on_the_cpu_needs_a_reason(book, capsys, tmp_path):
    run = book("stays", TRAINS, STAYS)
    assert run() == 1
    assert "NOT LISTED in on_cpu.toml: trains in train\n" in capsys.readouterr().out
    assert run("--write") == 0
    assert tool.read(tmp_path / "on_cpu.toml") == {"part/stays": {"trains in train": "to be moved"}}
    assert run() == 0


def test_what_was_moved_leaves_the_list(book, capsys, tmp_path):
    tool.write(tmp_path / "on_cpu.toml", {"part/moved": {"trains in train": "it is tiny"}})
    run = book("moved", TRAINS, MOVED)
    assert run() == 1
    assert "LISTED, but does not stay: trains in train\n" in capsys.readouterr().out
    assert run("--write") == 0
    assert tool.read(tmp_path / "on_cpu.toml") == {}


def test_writing_keeps_reasons_and_other_chapters(book, tmp_path):
    file = tmp_path / "on_cpu.toml"
    others = {"a/b": {"trains in x": 'a "quoted" reason, größer'}}
    tool.write(file, others | {"part/stays": {"trains in train": "it is tiny", "gone": "?"}})
    assert book("stays", TRAINS, STAYS)("--write") == 0
    assert tool.read(file) == others | {"part/stays": {"trains in train": "it is tiny"}}


def test_an_unknown_chapter_is_named(capsys):
    assert tool.main(["no/such"]) == 2
    assert "no chapter no/such; there are" in capsys.readouterr().out


@pytest.mark.parametrize(("asked", "steps"), [("cpu", 1), ("gpu", 3)])
def test_the_budget_is_the_one_asked_for(monkeypatch, asked, steps):
    given = {}
    monkeypatch.setattr(
        tool.chapters, "in_a_process", lambda *a: given.update(a[4]) or {"error": ""}
    )
    tool.in_a_process("part/any", asked, 1.0)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    names = {}
    with watched_gpu():
        exec(f"{TRAINS}\nsteps = budget(cpu=1, gpu=3)", names)
    assert names["steps"] == steps


def test_large_products_on_the_cpu_are_seen():
    def product(n, **where):
        return torch.ones(n, 2, **where) @ torch.ones(2, 2, **where)

    exec(
        compile("def f(product, n):\n    product(n)\n", "x.ipynb, code cell 3", "exec"), here := {}
    )
    with watched_gpu() as stays:
        here["f"](product, LARGE // 2 - 1)
        assert stays == {}
        product(LARGE, device="cuda")
        here["f"](product, LARGE)
    assert stays == {"computes in f": 2 * LARGE}


def test_a_place_in_no_function_is_its_line():
    import linecache

    name, source = "x.ipynb, code cell 3", "y = 1\nx = a @ a\n"
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    with watched_gpu() as stays:
        exec(compile(source, name, "exec"), {"a": torch.ones(400, 400)})
    assert stays == {"computes in x = a @ a": 160_000}


def test_a_model_partly_on_the_cpu_is_seen():
    with watched_gpu() as stays:
        model = nn.ModuleList([nn.Linear(3, 1).cuda(), nn.Linear(2, 1)])
        adam = torch.optim.Adam(model.parameters())
        model[1](torch.ones(2)).sum().backward()
        adam.step()
    assert list(stays.values()) == [3]


def test_every_place_on_the_list_is_of_a_chapter_and_has_a_reason():
    places = tool.read(tool.ON_CPU)
    assert places.keys() <= set(chapters.chapter_names())
    for chapter, there in places.items():
        for place, reason in there.items():
            assert place.startswith(("trains in ", "computes in ")), (chapter, place)
            assert reason.strip(), (chapter, place)


def test_light_chapters_run_on_a_pretended_gpu():
    command = [sys.executable, "-m", "tools.pretend_gpu", *LIGHT]
    run = subprocess.run(command, cwd=chapters.ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count("ran to its end") == len(LIGHT)
