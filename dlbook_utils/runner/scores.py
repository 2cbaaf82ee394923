"""What a model's scores say: accuracy, confusions, macro averages, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import speedy
from .feed import Part
from .settings import Setting
from .steps import Normalise, precision

BINS = 15  # of confidence, for the reliability diagram


@torch.no_grad()
def predict(
    model: nn.Module, normalise: Normalise, part: Part, setting: Setting, size: int = 1000
) -> Tensor:
    """Return the model's scores (n, classes), float32 on the CPU, in evaluation mode.

    With several views of each image, their scores are averaged.
    """
    model.eval()
    found = []
    with precision(setting.amp, part.x.device):
        for x in part.x.split(size):
            views = speedy.views(normalise(x), setting.views)
            found.append(sum(weight * model(view).float() for weight, view in views))
    return torch.cat(found).cpu()


def describe(scores: Tensor, y: Tensor) -> dict[str, Any]:
    """Return what is recorded of scores (n, k) for labels (n,).

    "confusion"[i][j] counts images of class i taken for j. "predictions" has one digit per image,
    so that images can be resampled later; the images of a study's parts are sorted by class, and
    the rows of the confusion matrix say how many each class has. "calibration" has, for each of 15
    bins of confidence, the number of images, their summed confidence and the hits.
    """
    y = y.cpu()
    k = scores.shape[1]
    guesses = scores.argmax(1)
    confusion = torch.bincount(y * k + guesses, minlength=k * k).view(k, k)
    sure = F.softmax(scores, 1).amax(1).double()
    where = (sure * BINS).long().clamp(max=BINS - 1)
    hits = (guesses == y).double()
    bins = [torch.zeros(BINS, dtype=torch.float64) for _ in range(3)]
    for total, values in zip(bins, (torch.ones_like(hits), sure, hits)):
        total.index_add_(0, where, values)
    return {
        "accuracy": hits.mean().item(),
        "loss": F.cross_entropy(scores, y).item(),
        **macro(confusion.tolist()),
        "confusion": confusion.tolist(),
        "predictions": "".join(map(str, guesses.tolist())),
        "calibration": [[round(v, 4) for v in row] for row in torch.stack(bins, 1).tolist()],
    }


def macro(confusion: Sequence[Sequence[int]]) -> dict[str, float]:
    """Return macro precision, recall and F1 of a confusion matrix, each class weighing the same.

    "f1" is the mean of the classes' F1. "f1_of_means" is the harmonic mean of macro precision and
    macro recall, which some tables print instead. A class that is never predicted has precision 0.
    """
    c = torch.tensor(confusion, dtype=torch.float64)
    hits = c.diag()
    precision_ = hits / c.sum(0).clamp(min=1)
    recall = hits / c.sum(1).clamp(min=1)
    f1 = 2 * hits / (c.sum(0) + c.sum(1)).clamp(min=1)
    p, r = precision_.mean().item(), recall.mean().item()
    return {
        "precision": p,
        "recall": r,
        "f1": f1.mean().item(),
        "f1_of_means": 2 * p * r / (p + r) if p + r else 0.0,
    }
