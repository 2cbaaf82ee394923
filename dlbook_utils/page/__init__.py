"""What a page needs besides its own code, from one import line.

    >>> from dlbook_utils.page import check, claim, device, generator, use_style

Each name is imported with the module that holds it only when it is asked for: the data sets and
the engine of studies use one or two of these modules, and must not pay for the others' libraries.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "claims": ("ClaimFailed", "check", "check_answer", "claim", "glue", "verdict"),
    "devices": ("budget", "device", "generator", "seed_everything"),
    "guards": (
        *("TrainingFailed", "check_batches", "check_boxes", "check_count", "check_data"),
        *("check_inputs", "check_labels", "check_lengths", "check_loss", "check_number"),
        *("check_scores", "check_shape", "check_sides", "check_state", "checked_pair"),
        *("progress", "widened"),
    ),
    "interactive": ("explore",),
    "plotting": (
        *("COLORS", "decision_regions", "heat_map", "image_grid", "intervals", "label_line"),
        *("learning_curves", "use_style"),
    ),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
