"""Run the notebooks as Colab does: with the built wheel, and nothing of the repository beside them.

usage: python -m tools.as_colab [--here] [pytest arguments]

The environment is a fresh one that borrows this one's libraries; with --here it is this one
itself, as it has to be inside Colab's own image.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from tools.execute import BUILD, ROOT, environment

HERE = BUILD / "colab"


def main() -> int:
    shutil.rmtree(HERE, ignore_errors=True)
    folder = HERE / "content"
    shutil.copytree(ROOT / "notebooks", folder)
    here = "--here" in sys.argv
    arguments = [word for word in sys.argv[1:] if word != "--here"]
    python = this_environment() if here else fresh_environment()
    settings = os.environ | environment() | {"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    if not here:  # a kernel that was installed for the user would run another Python
        settings["JUPYTER_PATH"] = str(Path(sys.prefix) / "share" / "jupyter")
    settings.pop("DLBOOK_BUILD")  # no book here: figures and sliders as a reader has them
    command = [python, "-m", "pytest", "--nbval", "-q", "-n", "2", "--dist", "loadfile"]
    command += ["-p", "no:cacheprovider", "--rootdir", str(folder), *arguments, str(folder)]
    return subprocess.run(command, cwd=folder, env=settings).returncode


def this_environment() -> str:
    """Install the wheel into this environment, and see that its torch stays as it is."""
    before = _run(sys.executable, "import torch; print(torch.__version__)")
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", str(wheel())], check=True)
    after = _run(sys.executable, "import torch; print(torch.__version__)")
    if before != after:
        raise RuntimeError(f"installing the package changed torch from {before} to {after}")
    return sys.executable


def wheel() -> Path:
    """Build the package's wheel and return where it is."""
    build = ["-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    folder = HERE / "wheel"
    subprocess.run([sys.executable, *build, "-w", str(folder), str(ROOT)], check=True)
    return next(folder.glob("*.whl"))


def fresh_environment() -> Path:
    """Make an environment with the libraries of this one, and of the project only its wheel.

    A .pth file lends it this environment's packages; an editable install among them is a .pth
    file, too, and these are not followed twice.
    """
    place = HERE / "venv"
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    site = Path(_run(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))
    install = ["-m", "pip", "install", "-q", "--no-deps", "--target", str(site)]
    subprocess.run([sys.executable, *install, str(wheel())], check=True)
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    package = Path(_run(python, "import dlbook_utils; print(dlbook_utils.__file__)"))
    if site not in package.parents:
        raise RuntimeError(f"the notebooks would import {package}, not the wheel in {site}")
    return python


def _run(python: Path | str, code: str) -> str:
    settings = os.environ | {"PYTHONPATH": ""}
    command = [python, "-c", code]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=HERE, env=settings
    ).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
