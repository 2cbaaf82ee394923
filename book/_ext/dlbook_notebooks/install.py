import importlib.util
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path


def install(address, keep=("torch", "torchvision", "numpy")):
    """Install the package from its address and leave those in `keep` as they are."""
    present = {dist.metadata["Name"]: dist.version for dist in metadata.distributions()}
    pins = [f"{name}=={present[name]}" for name in keep if name in present]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "constraints.txt")
        constraints.write_text("\n".join(pins) + "\n")
        pip = [sys.executable, "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--constraint", str(constraints), address], check=True)
    importlib.invalidate_caches()


if importlib.util.find_spec("dlbook_utils") is None:
    install("ADDRESS")
