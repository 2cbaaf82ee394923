"""Boxes: how far two agree, which to keep, how to grade them, as built in "Detection".

Boxes are (..., m, 4): left, top, right, bottom, in pixels, y downwards. Boxes of one picture stand
best first, and go with a label each; a label below 0 says that there is nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dlbook_utils.page.guards import check_between, check_boxes, check_count, check_shape


def box_area(boxes: Tensor) -> Tensor:
    """Return the areas (...) of boxes (..., 4)."""
    check_boxes(boxes, [..., 4])
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def shared_area(a: Tensor, b: Tensor) -> Tensor:
    """Return the area that boxes a and b (..., 4) share; their other axes broadcast."""
    check_boxes(a, [..., 4], "a")
    check_boxes(b, [..., 4], "b")
    low = torch.maximum(a[..., :2], b[..., :2])
    high = torch.minimum(a[..., 2:], b[..., 2:])
    return (high - low).clamp(min=0).prod(-1)


def pair_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return intersection over union of each box of a (..., m, 4) with each of b (..., k, 4).

    The result is (..., m, k), and equals torchvision.ops.box_iou: NaN for two boxes without area,
    too. Raises ValueError for other shapes and for boxes that end before they begin.
    """
    check_boxes(a, [..., "m", 4], "a")
    check_boxes(b, [..., "k", 4], "b")
    shared = shared_area(a[..., :, None, :], b[..., None, :, :])
    both = box_area(a)[..., :, None] + box_area(b)[..., None, :]
    return shared / (both - shared)


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the generalised intersection over union of boxes a and b (..., 4), one by one.

    From -1 for small boxes far apart to 1 for equal ones. Raises ValueError unless the two have
    one shape and no box ends before it begins.
    Source: H. Rezatofighi et al. (2019), arXiv:1902.09630.
    """
    check_boxes(b, [*check_boxes(a, [..., 4], "a").shape], "b")
    shared = shared_area(a, b)
    union = box_area(a) + box_area(b) - shared
    low = torch.minimum(a[..., :2], b[..., :2])
    high = torch.maximum(a[..., 2:], b[..., 2:])
    hull = (high - low).prod(-1)
    return shared / union - (hull - union) / hull


def focal_loss(z: Tensor, target: Tensor, gamma: float = 2.0, alpha: float = 0.25) -> Tensor:
    """Return the focal loss of each score z for targets 0 or 1 of the same shape.

    `alpha` weights the targets that are 1, 1 - alpha those that are 0; `gamma` 0 leaves the
    weighted cross-entropy. Raises ValueError for other shapes, a gamma below 0, and a target or an
    alpha outside 0 to 1. Source: T.-Y. Lin et al. (2017), arXiv:1708.02002.
    """
    check_shape(target, [*check_shape(z, [...], "z").shape], "target")
    if not (gamma >= 0 and 0 <= alpha <= 1):
        raise ValueError(f"gamma >= 0, alpha in 0..1: {gamma}, {alpha}")
    check_between(target, 0, 1, "targets")
    p = torch.sigmoid(z)
    right = p * target + (1 - p) * (1 - target)
    weight = alpha * target + (1 - alpha) * (1 - target)
    entropy = F.binary_cross_entropy_with_logits(z, target, reduction="none")
    return weight * (1 - right) ** gamma * entropy


def suppress(boxes: Tensor, labels: Tensor, most: float = 0.5) -> Tensor:
    """Return which boxes (..., m, 4) stay, as bool (..., m): non-maximum suppression.

    The boxes of a picture stand best first. Going down, each one that stays strikes out all later
    ones of its label whose intersection over union with it is above `most`. Raises ValueError for
    other shapes and a share outside 0 to 1.
    """
    check_boxes(boxes, [*check_shape(labels, [..., "m"], "labels").shape, 4])
    if not 0 <= most <= 1:
        raise ValueError(f"most is a share between 0 and 1, got {most}")
    rivals = labels[..., :, None] == labels[..., None, :]
    rivals = rivals & (pair_iou(boxes, boxes) > most)
    stays = torch.ones_like(labels, dtype=torch.bool)
    for i in range(boxes.shape[-2]):  # each picture's number i at once
        struck = rivals[..., i, :] & stays[..., i, None]
        stays[..., i + 1 :] &= ~struck[..., i + 1 :]
    return stays


def match_boxes(
    boxes: Tensor, labels: Tensor, true_boxes: Tensor, true_labels: Tensor, least: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Return which boxes are right, bool (n, m), and which true ones were found, bool (n, k).

    For n pictures with m boxes each, best first, and k true ones; labels are (n, m) and (n, k).
    Each box in turn takes the true box of its label, still free, that it overlaps most, if their
    intersection over union is `least` or more. Raises ValueError for other shapes and a share
    outside 0 to 1.
    """
    n, m = check_shape(labels, ["n", "m"], "labels").shape
    n, k = check_shape(true_labels, [n, "k"], "true labels").shape
    check_boxes(boxes, [n, m, 4])
    check_boxes(true_boxes, [n, k, 4], "true boxes")
    if not 0 <= least <= 1:
        raise ValueError(f"least is a share between 0 and 1, got {least}")
    same = labels[:, :, None] == true_labels[:, None]
    same = same & (true_labels >= 0)[:, None]
    overlap = pair_iou(boxes, true_boxes).where(same, -1)  # (n, m, k)
    right = torch.zeros_like(labels, dtype=torch.bool)
    taken = torch.zeros_like(true_labels, dtype=torch.bool)
    for i in range(m if k else 0):
        best = overlap[:, i].where(~taken, -1).max(1)
        right[:, i] = best.values >= least
        taken |= F.one_hot(best.indices, k).bool() & right[:, i, None]
    return right, taken


def average_precision(scores: Tensor, right: Tensor, total: int, levels: int = 0) -> float:
    """Return the area under the interpolated curve of precision over recall.

    Arguments:
        scores: of all boxes of one class in all pictures, (m,).
        right: whether each of them took a true box, bool (m,).
        total: number of true boxes.
        levels: 0 for the area; 101 for the mean over recalls 0, 0.01, ..., 1, as COCO has it.

    Raises ValueError for other shapes, scores that are NaN, and fewer true boxes than were taken.
    """
    check_shape(right, [len(check_shape(scores, ["m"], "scores"))], "right")
    if scores.isnan().any():
        raise ValueError("scores hold NaN")
    order = scores.argsort(descending=True, stable=True)
    hits = right[order].cpu().double()
    found = hits.cumsum(0)
    check_count(total, "total", max(1, int(hits.sum())))
    ranks = torch.arange(1, len(hits) + 1)
    precision = (found / ranks).flip(0).cummax(0).values.flip(0)
    if not levels:
        return (precision * hits).sum().item() / total
    recalls = torch.linspace(0, 1, levels, dtype=torch.float64)
    at = torch.searchsorted(found / total, recalls)
    return F.pad(precision, (0, 1))[at].mean().item()
