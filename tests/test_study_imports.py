"""The study needs PyTorch and NumPy only, so that it runs on a bare GPU machine."""

import subprocess
import sys

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
from dlbook_utils.study.__main__ import main
words = ["run", "trial", "--model", "tiny-cnn", "--seeds", "0", "--epochs", "1"]
status = main([*words, "--device", "cpu", "--threads", "1", "--out", {str(tmp_path)!r}])
main(["status", "trial", "--epochs", "1", "--out", {str(tmp_path)!r}])
sys.exit(status)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "1 runs finished" in run.stdout
    assert "1 of 2" in run.stdout
