"""Detection: boxes, suppression and loss against torchvision, grades against COCO's program."""

import contextlib
import io

import numpy as np
import pytest
import torch
import torchvision.ops as ops

from dlbook_utils.page.devices import generator
from dlbook_utils.vision.detection import (
    average_precision,
    box_area,
    focal_loss,
    generalised_iou,
    match_boxes,
    pair_iou,
    shared_area,
    suppress,
)


def boxes_of(*shape, seed=0):
    corner, sides = torch.rand(2, *shape, 2, generator=generator(seed), dtype=torch.float64)
    return 40 * torch.cat([corner, corner + 0.1 + 0.5 * sides], -1)


def both_ways(f, *inputs):
    """The value of f and the gradients of the sum of its squares."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    value = f(*inputs)
    return [value, *torch.autograd.grad(value.square().sum(), inputs)]


def agree(ours, theirs, *inputs, atol=1e-8):
    pairs = zip(both_ways(ours, *inputs), both_ways(theirs, *inputs), strict=True)
    return all(torch.allclose(x, y, atol=atol) for x, y in pairs)


def test_iou_is_torchvisions_forward_and_backward():
    assert agree(pair_iou, ops.box_iou, boxes_of(30), boxes_of(20, seed=1))


def test_pictures_are_a_batch():
    a, b = boxes_of(3, 30), boxes_of(3, 20, seed=1)
    assert torch.equal(pair_iou(a, b), torch.stack([*map(pair_iou, a, b)]))


def test_areas():
    a, b = torch.tensor([0.0, 0, 4, 2]), torch.tensor([3.0, 1, 9, 9])
    assert box_area(a) == 8
    assert shared_area(a, b) == 1
    assert shared_area(a, b + 4) == 0


def test_generalised_iou_is_torchvisions_forward_and_backward():
    a, b = boxes_of(30), boxes_of(30, seed=1)
    assert agree(
        lambda a, b: 1 - generalised_iou(a, b), ops.generalized_box_iou_loss, a, b, atol=1e-6
    )


def test_where_boxes_part_only_the_generalised_one_has_a_gradient():
    a = boxes_of(5)
    assert not both_ways(lambda a, b: pair_iou(a, b).diagonal(), a, a + 100)[1].any()
    slopes = both_ways(generalised_iou, a, a + 100)[1]
    assert (slopes != 0).all()


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.0, 0.5), (1.0, 0.9)])
def test_the_focal_loss_is_torchvisions_forward_and_backward(gamma, alpha):
    z = 5 * torch.randn(40, 5, generator=generator(2), dtype=torch.float64)
    y = (torch.rand(40, 5, generator=generator(3)) < 0.3).double()
    assert agree(
        lambda z: focal_loss(z, y, gamma, alpha),
        lambda z: ops.sigmoid_focal_loss(z, y, alpha, gamma),
        z,
    )


@pytest.mark.parametrize("most", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_what_stays_is_what_torchvision_keeps(most):
    boxes = boxes_of(4, 50)
    labels = torch.randint(3, (4, 50), generator=generator(1))
    falling = torch.arange(50.0, 0, -1, dtype=torch.float64)
    for picture, kinds, stays in zip(boxes, labels, suppress(boxes, labels, most), strict=True):
        kept = ops.batched_nms(picture, falling, kinds, most)
        assert torch.equal(stays.nonzero()[:, 0], kept.sort().values)


def test_a_true_box_is_taken_once_and_by_the_best():
    true = torch.tensor([[[0.0, 0, 10, 10]]])
    boxes = torch.tensor([[[0.0, 0, 10, 9], [0, 0, 10, 10], [20, 20, 30, 30]]])
    right, taken = match_boxes(boxes, torch.zeros(1, 3).long(), true, torch.zeros(1, 1).long())
    assert right.tolist() == [[True, False, False]]
    assert taken.tolist() == [[True]]


def test_no_label_matches_no_label():
    boxes, nothing = boxes_of(2, 3), -torch.ones(2, 3).long()
    right, taken = match_boxes(boxes, nothing, boxes, nothing)
    assert not right.any()
    assert not taken.any()


def test_doubles_cost_nothing_at_the_end_of_the_list():
    scores = torch.arange(6.0, 0, -1)
    last, in_turn = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 0, 1, 0, 1, 0]]).bool()
    assert average_precision(scores, last, 3) == 1
    assert average_precision(scores, in_turn, 3) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert average_precision(scores, in_turn, 6) == pytest.approx((1 + 2 / 3 + 3 / 5) / 6)


def test_nothing_said_is_worth_nothing():
    assert average_precision(torch.zeros(0), torch.zeros(0).bool(), 3) == 0
    assert average_precision(torch.zeros(0), torch.zeros(0).bool(), 3, levels=101) == 0


def crowd(seed, n=25, m=12, k=6, kinds=3):
    """True boxes in n pictures, and what a poor detector says of them, best first."""
    g = generator(seed)
    true_boxes = boxes_of(n, k, seed=seed)
    true_labels = torch.randint(-1, kinds, (n, k), generator=g)
    near = torch.randint(k, (n, m), generator=g)
    shaken = true_boxes.gather(1, near[..., None].expand(-1, -1, 4))
    shaken = shaken + 1.5 * torch.randn(n, m, 4, generator=g)
    shaken[..., 2:] = torch.maximum(shaken[..., 2:], shaken[..., :2] + 1)
    labels = true_labels.gather(1, near).clamp(min=0)
    stray = torch.rand(n, m, generator=g) < 0.2
    labels = torch.where(stray, torch.randint(kinds, (n, m), generator=g), labels)
    scores = torch.rand(n, m, generator=g, dtype=torch.float64).sort(descending=True).values
    return (shaken, scores, labels), (true_boxes, true_labels)


def as_coco(boxes, labels, scores=None):
    """Annotations or results in COCO's form: left, top, width, height."""
    rows = []
    for i, (picture, kinds) in enumerate(zip(boxes, labels, strict=True)):
        for j, (box, kind) in enumerate(zip(picture.tolist(), kinds.tolist(), strict=True)):
            if kind < 0:
                continue
            x0, y0, x1, y1 = box
            row = {"image_id": i + 1, "category_id": kind + 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
            row |= {"id": len(rows) + 1, "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
            rows.append(row | ({} if scores is None else {"score": scores[i, j].item()}))
    return rows


def coco_grades(found, truth, kinds):
    """COCO's average precision, (10 thresholds, kinds)."""
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    boxes, scores, labels = found
    with contextlib.redirect_stdout(io.StringIO()):
        true = coco.COCO()
        true.dataset = {
            "images": [{"id": i + 1} for i in range(len(boxes))],
            "categories": [{"id": k + 1} for k in range(kinds)],
            "annotations": as_coco(*truth),
        }
        true.createIndex()
        judge = cocoeval.COCOeval(true, true.loadRes(as_coco(boxes, labels, scores)), "bbox")
        judge.evaluate()
        judge.accumulate()
    return judge.eval["precision"][:, :, :, 0, -1].mean(1)  # all sizes, 100 boxes a picture


@pytest.mark.parametrize("seed", range(4))
def test_matching_and_average_precision_are_cocos(seed):
    found, truth = crowd(seed)
    boxes, scores, labels = found
    theirs = coco_grades(found, truth, 3)
    ours = np.zeros((10, 3))
    for t, least in enumerate(np.linspace(0.5, 0.95, 10)):
        right, _ = match_boxes(boxes, labels, *truth, least)
        for k in range(3):
            mine, total = labels == k, int((truth[1] == k).sum())
            ours[t, k] = average_precision(scores[mine], right[mine], total, levels=101)
    assert 0.1 < theirs.mean() < 0.9
    assert np.abs(ours - theirs).max() < 1e-9


def test_the_area_is_what_ever_finer_levels_approach():
    (boxes, scores, labels), truth = crowd(5)
    right, _ = match_boxes(boxes, labels, *truth)
    graded = scores.flatten(), right.flatten(), int((truth[1] >= 0).sum())
    area = average_precision(*graded)
    assert average_precision(*graded, levels=100_001) == pytest.approx(area, abs=1e-4)
    assert average_precision(*graded, levels=101) != area


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: suppress(boxes_of(3), torch.zeros(3), 50), "most is a share .* got 50"),
        (lambda: suppress(boxes_of(3), torch.zeros(4)), r"shape \(4, 4\), got \(3, 4\)"),
        (lambda: generalised_iou(boxes_of(3), boxes_of(1)), r"b must have shape \(3, 4\)"),
        (lambda: focal_loss(torch.zeros(3), torch.zeros(3, 1)), r"target must have shape \(3,?\)"),
        (lambda: focal_loss(torch.zeros(3), torch.zeros(3), -1), "gamma >= 0, .* -1"),
        (
            lambda: average_precision(torch.ones(3), torch.ones(3).bool(), 2),
            "total must be 3 or more, got 2",
        ),
        (
            lambda: average_precision(torch.ones(3), torch.zeros(3).bool(), 0),
            "total must be 1 or more, got 0",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
