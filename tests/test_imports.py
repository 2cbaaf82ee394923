"""Importing the package stays cheap: what is heavy is imported where it is used."""

import subprocess
import sys

HEAVY = ("torchvision", "sklearn", "scipy", "matplotlib", "pooch", "ipywidgets", "babel", "IPython")
LIGHT = ("claims", "data", "augment", "devices", "guards", "metrics", "records", "training")


def test_nothing_heavy_is_imported_with_the_package():
    imports = "\n".join(f"import dlbook_utils.{name}" for name in LIGHT)
    code = f"import sys\n{imports}\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_study_of_the_inputs_needs_no_torch():
    code = "import sys, dlbook_utils.data as d; d.fingerprint(); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
