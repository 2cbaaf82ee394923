"""The study needs PyTorch and NumPy only, so that it runs on a bare GPU machine."""

import subprocess
import sys

import pytest

from dlbook_utils.runner import __main__ as command
from dlbook_utils.runner import report

ABSENT = (
    *("torchvision", "sklearn", "scipy", "matplotlib", "pooch", "IPython", "ipywidgets", "babel"),
    *("tqdm", "PIL", "filelock", "requests", "urllib3", "tensorboard", "jupytext"),
)


def test_a_run_imports_torch_and_numpy_only(tmp_path):
    """Here what a bare machine lacks is made impossible to import."""
    code = f"""
import builtins, sys
import torch  # which may have them

true_import = builtins.__import__

def refuse(name, globals=None, locals=None, fromlist=(), level=0):
    by = (globals or {{}}).get("__name__", "")
    if level == 0 and name.split(".")[0] in {ABSENT!r} and by.startswith("dlbook_utils"):
        raise ImportError(f"{{by}} imports {{name}}")
    return true_import(name, globals, locals, fromlist, level)

builtins.__import__ = refuse
from dlbook_utils.runner.__main__ import main
words = ["run", "trial", "--model", "tiny-cnn", "--seeds", "0", "--epochs", "1"]
status = main([*words, "--device", "cpu", "--threads", "1", "--out", {str(tmp_path)!r}])
main(["status", "trial", "--epochs", "1", "--out", {str(tmp_path)!r}])
sys.exit(status)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "1 runs finished" in run.stdout
    assert "1 of 2" in run.stdout


def test_a_library_that_is_missing_is_named(tmp_path, capsys, monkeypatch):
    def importing(name):
        def markdown(results):
            __import__(name)

        return markdown

    words = ["report", "trial", "--out", str(tmp_path)]
    for name in ("scipy", "scipy.stats"):
        monkeypatch.setitem(sys.modules, name, None)  # what Python takes for not to be found
        monkeypatch.setattr(report.Results, "markdown", importing(name))
        assert command.main(words) == 2
        message = capsys.readouterr().err
        assert message == "this needs the library scipy, which is not installed here\n"
    monkeypatch.setattr(report.Results, "markdown", importing("dlbook_utils.nowhere"))
    with pytest.raises(ModuleNotFoundError, match="nowhere"):  # our own mistake is no advice
        command.main(words)
