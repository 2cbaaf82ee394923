"""What one run of a study does: plain data, from which its name follows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

AMPS = ("fp32", "tf32", "bf16")
CHOICES = {
    "rule": ("adam", "adamw", "muon"),
    "select": ("best", "last"),
    "flip": ("random", "alternating", "none"),
    "border": ("black", "reflect"),
    "views": (1, 2, 6),
    "amp": AMPS,
}
TENTHS = 10  # into which the training set is cut; one is held out for validation
LEAST = dict.fromkeys(("examples", "epochs", "batch", "check_every"), 1)
LEAST |= dict.fromkeys(("seed", "per_epoch", "halve_every", "patience", "pad", "small_side"), 0)
# Fields that came after the first record: a key holds them only where they are not 0, so that the
# keys of older runs stay.
ADDED = ("small_epochs", "small_side")


@dataclass(frozen=True)
class Setting:
    """One run. Two runs with equal settings do the same arithmetic on the same kind of machine.

    Models with the same seed and split see the same batches, so that their runs form pairs.
    """

    arm: str  # the question that the run helps to answer, such as "published" or "scaling"
    model: str  # a name in `models.MODELS`
    seed: int = 0  # of the initial weights, the order of the examples and their augmentation
    split: int = 0  # which tenth of the training set is held out for validation, 0..9
    # How many of the other nine tenths are trained on, with equal classes. The whole set (50,000 of
    # CIFAR-10) leaves no validation part.
    examples: int = 45_000
    # Images drawn in an "epoch"; 0: each example once. 45,000 with 1,000 examples makes an epoch as
    # many steps as with all examples.
    per_epoch: int = 0
    epochs: int = 50  # at most so many
    batch: int = 32  # examples per step; the last step of an epoch takes what is left over
    rule: str = "adam"  # "adamw", or "muon": the modern recipe's; see OPTIMIZERS in `learner`
    lr: float = 1e-3  # learning rate at the start
    decay: float = 0.0  # of the weights
    # Epochs after which the rate is halved, again and again; 0: the rate is constant. ("muon" has a
    # schedule of its own: it falls to 0 in a straight line.)
    halve_every: int = 10
    patience: int = 10  # stop when so many epochs have not improved validation accuracy; 0: never
    check_every: int = 1  # epochs between validations; the last epoch always has one
    # Which weights count: those of the epoch with the "best" validation accuracy (the earliest on a
    # tie), or the "last".
    select: str = "best"
    pad: int = 4  # shifts by up to so many pixels
    degrees: float = 15.0  # rotations by up to so many, with black corners
    flip: str = "random"  # "alternating": each image in every second epoch; "none"
    border: str = "black"  # what a shift fills in, or "reflect"
    smoothing: float = 0.0  # of the labels, in 0..1
    views: int = 1  # averaged in a test: 2: and its mirror image; 6: shifted by a pixel, too
    # "fp32": float32 throughout; "tf32": its matrix products on the tensor cores of an Nvidia GPU,
    # with a mantissa of 10 bits; "bf16": automatic mixed precision.
    amp: str = "fp32"
    data: str = "cifar10"  # name of the data set
    # The first so many epochs see the images shrunk to so many pixels a side, which cost fewer
    # operations; 0: all see them whole.
    small_epochs: int = 0
    small_side: int = 0

    def __post_init__(self):
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if bool(self.small_epochs) != bool(self.small_side):
            both = f"{self.small_epochs} and {self.small_side}"
            raise ValueError(f"small_epochs and small_side go together, got {both}")
        if not 0 <= self.split < TENTHS:
            raise ValueError(f"split must lie in 0..{TENTHS - 1}, got {self.split}")

    @property
    def falls(self) -> bool:
        """Whether the rate falls from step to step, down to 0; else it is halved, or constant."""
        return self.rule == "muon"

    @property
    def key(self) -> str:
        """A name for files and records: readable, and different for every setting."""
        values = {name: v for name, v in asdict(self).items() if name not in ADDED or v}
        text = json.dumps(values, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        return f"{self.arm}.{self.model.replace('/', '-')}.n{self.examples}.s{self.seed}.{digest}"

    @property
    def recipe(self) -> tuple:
        """The setting without its seed, split, precision: what averaged runs have in common."""
        apart = ("seed", "split", "amp")
        return tuple((f.name, getattr(self, f.name)) for f in fields(self) if f.name not in apart)


def from_dict(values: dict[str, Any]) -> Setting:
    """The setting in a record. Raises ValueError, naming them, for fields that are unknown."""
    known = {field.name for field in fields(Setting)}
    if unknown := set(values) - known:
        raise ValueError(f"a setting has no {', '.join(sorted(unknown))}")
    return Setting(**values)
