"""What one run of a study does: plain data, from which its name follows."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

AMPS = ("fp32", "tf32", "bf16")


# Fields that came after the first record: a key holds them only where they are not 0, so that the
# keys of older runs stay.
ADDED = ("small_epochs", "small_side")


@dataclass(frozen=True)
class Setting:
    """One run. Two runs with equal settings do the same arithmetic on the same kind of machine.

    Arguments:
        arm: the question that the run helps to answer, such as "published" or "scaling".
        model: a name in `models.MODELS`.
        seed: of the initial weights, the order of the examples and their augmentation. Models with
            the same seed and split see the same batches, so that their runs form pairs.
        split: which tenth of the training set is held out for validation, 0..9.
        examples: how many of the other nine tenths are trained on, with equal classes. The whole
            set (50,000 of CIFAR-10) leaves no validation part.
        per_epoch: images drawn in an "epoch"; 0: each example once. 45,000 with 1,000 examples
            makes an epoch as many steps as with all examples.
        epochs: at most so many.
        batch: examples per step; the last step of an epoch takes what is left over.
        rule: "adam", "adamw" or "muon" (the modern recipe, see `speedy`).
        lr, decay: learning rate and weight decay, at the start.
        halve_every: epochs after which the rate is halved, again and again; 0: the rate is constant
            ("muon" has a schedule of its own: it falls to 0 in a straight line).
        patience: stop when so many epochs have not improved validation accuracy; 0: never.
        check_every: epochs between validations; the last epoch always has one.
        select: "best": the weights of the epoch with the best validation accuracy (the earliest on
            a tie), or "last".
        pad, degrees, flip: augmentation: shifts by up to `pad` pixels with black edges, rotation
            by up to `degrees`, flips "random", "alternating" (each image in every second epoch)
            or "none".
        border: what a shift fills in: "black" or "reflect".
        small_epochs, small_side: the first so many epochs see the images shrunk to so many pixels
            a side, which cost fewer operations; 0: all see them whole.
        smoothing: of the labels, in 0..1.
        views: test-time views averaged: 1, 2 (and its mirror image) or 6 (shifted by a pixel, too).
        amp: "fp32": float32 throughout; "tf32": matrix products of float32 on the tensor cores of
            an Nvidia GPU, with a mantissa of 10 bits; "bf16": automatic mixed precision.
        data: name of the data set.
    """

    arm: str
    model: str
    seed: int = 0
    split: int = 0
    examples: int = 45_000
    per_epoch: int = 0
    epochs: int = 50
    batch: int = 32
    rule: str = "adam"
    lr: float = 1e-3
    decay: float = 0.0
    halve_every: int = 10
    patience: int = 10
    check_every: int = 1
    select: str = "best"
    pad: int = 4
    degrees: float = 15.0
    flip: str = "random"
    border: str = "black"
    smoothing: float = 0.0
    views: int = 1
    amp: str = "fp32"
    data: str = "cifar10"
    small_epochs: int = 0
    small_side: int = 0

    def __post_init__(self):
        for name, allowed in (
            ("rule", ("adam", "adamw", "muon")),
            ("select", ("best", "last")),
            ("flip", ("random", "alternating", "none")),
            ("border", ("black", "reflect")),
            ("views", (1, 2, 6)),
            ("amp", AMPS),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        for name in ("examples", "epochs", "batch", "check_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "per_epoch", "halve_every", "patience", "pad", *ADDED):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if bool(self.small_epochs) != bool(self.small_side):
            raise ValueError(
                "small_epochs and small_side go together, got "
                f"{self.small_epochs} and {self.small_side}"
            )
        if not 0 <= self.split <= 9:
            raise ValueError(f"split must lie in 0..9, got {self.split}")

    @property
    def key(self) -> str:
        """A name for files and records: readable, and different for every setting."""
        values = {name: v for name, v in asdict(self).items() if name not in ADDED or v}
        text = json.dumps(values, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        return f"{self.arm}.{self.model.replace('/', '-')}.n{self.examples}.s{self.seed}.{digest}"

    @property
    def reading(self) -> tuple:
        """The setting without its seed, split, precision: what runs have in common that are
        averaged.
        """
        apart = ("seed", "split", "amp")
        return tuple((f.name, getattr(self, f.name)) for f in fields(self) if f.name not in apart)


def from_dict(values: dict[str, Any]) -> Setting:
    """The setting in a record. Raises ValueError, naming them, for fields that are unknown."""
    known = {field.name for field in fields(Setting)}
    if unknown := set(values) - known:
        raise ValueError(f"a setting has no {', '.join(sorted(unknown))}")
    return Setting(**values)
