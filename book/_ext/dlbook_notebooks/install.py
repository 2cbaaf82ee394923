import importlib.util
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

ADDRESS = "<<address>>"
VERSION = "<<version>>"  # of the package that this notebook was made with


def install(keep=("torch", "torchvision", "numpy")):
    """Install or update the package and leave those in `keep` as they are."""
    if importlib.util.find_spec("pip") is None:
        raise RuntimeError(f"this Python has no pip: install {ADDRESS} by other means")
    present = {dist.metadata["Name"] for dist in metadata.distributions()}
    pins = [f"{name}=={metadata.version(name)}" for name in keep if name in present]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "constraints.txt")
        constraints.write_text("\n".join(pins) + "\n")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade"]
        subprocess.run([*pip, "--constraint", str(constraints), ADDRESS], check=True)
    importlib.invalidate_caches()


if importlib.util.find_spec("dlbook_utils") is None:
    install()
elif (installed := importlib.import_module("dlbook_utils").__version__) != VERSION:
    print(f"This notebook was made with version {VERSION} of the book's package;")
    print(f"version {installed} is installed here. If a cell fails, or shows something")
    print("else than the text says: run install() in a new cell, and restart the kernel.")
