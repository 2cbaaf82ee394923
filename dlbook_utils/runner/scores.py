"""What predictions are worth: accuracy, confusions, macro averages, calibration.

How the classes' scores follow from a confusion matrix is what the chapter on the study builds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dlbook_utils.study.cifar10 import class_scores, two_macro_f1

BINS = 15  # of confidence, for the reliability diagram


def describe(z: Tensor, y: Tensor) -> dict[str, Any]:
    """Return what is recorded of scores z (n, k), before the softmax, for labels y (n,).

    "confusion"[i][j] counts images of class i taken for j. "predictions" has one digit per image,
    so that images can be resampled later; the images of a study's parts are sorted by class, and
    the rows of the confusion matrix say how many each class has. "calibration" has, for each of 15
    bins of confidence, the number of images, their summed confidence and the hits.
    """
    y, k = y.cpu(), z.shape[1]
    guesses = z.argmax(1)
    confusion = torch.bincount(y * k + guesses, minlength=k * k).view(k, k).tolist()
    hits = (guesses == y).double()
    return {
        "accuracy": hits.mean().item(),
        "loss": F.cross_entropy(z, y).item(),
        **macro(confusion),
        "confusion": confusion,
        "predictions": "".join(map(str, guesses.tolist())),
        "calibration": _calibration(F.softmax(z, 1).amax(1).double(), hits),
    }


def _calibration(sure: Tensor, hits: Tensor) -> list[list[float]]:
    place = (sure * BINS).long().clamp(max=BINS - 1)
    bins = torch.zeros(3, BINS, dtype=torch.float64)
    for total, values in zip(bins, (torch.ones_like(hits), sure, hits)):
        total.index_add_(0, place, values)
    return [[round(v, 4) for v in row] for row in bins.T.tolist()]


def macro(confusion) -> dict[str, float]:
    """Return macro precision, recall and F1 of a confusion matrix, each class weighing the same.

    "f1" is the mean of the classes' F1. "f1_of_means" is the harmonic mean of macro precision and
    macro recall, which some tables print instead. A class that is never predicted has precision 0.
    """
    precision, recall, _ = class_scores(confusion)
    of_classes, of_means = two_macro_f1(confusion)
    means = {"precision": precision.mean().item(), "recall": recall.mean().item()}
    return means | {"f1": of_classes, "f1_of_means": of_means}


def accuracy(confusion: np.ndarray) -> np.ndarray:
    """Accuracy of confusion matrices (..., k, k)."""
    return np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum((-2, -1))


def macro_precision(confusion: np.ndarray) -> np.ndarray:
    """The mean of the classes' precision, of confusion matrices (..., k, k)."""
    return class_scores(confusion)[0].numpy().mean(-1)


def macro_recall(confusion: np.ndarray) -> np.ndarray:
    """The mean of the classes' recall, of confusion matrices (..., k, k)."""
    return class_scores(confusion)[1].numpy().mean(-1)


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """The mean of the classes' F1, of confusion matrices (..., k, k)."""
    return class_scores(confusion)[2].numpy().mean(-1)
