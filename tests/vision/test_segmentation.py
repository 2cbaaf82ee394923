"""Scores of masks against scikit-learn, bending against SciPy, the small U-Net, its training."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from sklearn.metrics import f1_score, jaccard_score
from torch import nn

from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.page.guards import TrainingFailed
from dlbook_utils.vision.segmentation import (
    SmallUNet,
    bend,
    best_threshold,
    draw_crops,
    fit_unet,
    mask_iou,
    pixel_probabilities,
    soft_dice_loss,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def test_iou_is_scikit_learns_and_empty_masks_agree():
    guess, truth = draw(3, 6, 7) > 0.3, draw(3, 6, 7, seed=1) > 0.3
    expected = [jaccard_score(t.flatten(), g.flatten()) for g, t in zip(guess, truth, strict=True)]
    assert torch.allclose(mask_iou(guess, truth).double(), torch.tensor(expected).double())
    none = torch.zeros(4, 4, dtype=torch.bool)
    assert mask_iou(none, none) == 1
    assert mask_iou(none, ~none) == 0


def test_the_best_threshold_is_the_best_of_all():
    truth = draw(2, 9, 9) > 0.5
    p = (draw(2, 9, 9) + 0.5 * draw(2, 9, 9, seed=1)).sigmoid()
    cut = best_threshold(p, truth, 10)
    scores = [mask_iou(p > k / 10, truth).mean() for k in range(1, 10)]
    assert mask_iou(p > cut, truth).mean() == max(scores)
    assert best_threshold(truth * 0.5, truth, 4) in (0.25,)


def test_dice_loss_is_f1_of_certain_masks_and_has_torchs_gradient():
    y = (draw(2, 1, 8, 8) > 0).double()
    guess = draw(2, 1, 8, 8, seed=1) > 0
    sure = torch.where(guess, 60.0, -60.0).double()
    share = f1_score(y.flatten(), guess.flatten())
    size = y.sum() + guess.sum()
    expected = 1 - (share * size + 1) / (size + 1)
    assert soft_dice_loss(sure, y).item() == pytest.approx(expected.item(), abs=1e-9)
    scores = draw(2, 3, 4, 4).double().requires_grad_()
    marks = (draw(2, 3, 4, 4, seed=2) > 0).double()
    assert torch.autograd.gradcheck(lambda z: soft_dice_loss(z, marks), scores)


@pytest.mark.parametrize("skips", [True, False])
def test_the_small_net_keeps_the_size_and_halves_thrice(skips):
    net = SmallUNet(classes=3, width=4, skips=skips)
    assert net(draw(2, 1, 16, 24)).shape == (2, 3, 16, 24)
    assert [up.in_channels for up in net.up] == [8, 16, 32]
    with pytest.raises(ValueError, match=r"multiples of 8, got \(2, 1, 20, 16\)"):
        net(draw(2, 1, 20, 16))
    with pytest.raises(ValueError, match="depth"):
        SmallUNet(depth=0)


def test_skips_hand_over_what_pooling_loses():
    """A picture and the same moved by a pixel: without skips all that differs passed a pooling."""
    seed_everything(0)
    for skips in (True, False):
        net = SmallUNet(width=4, depth=1, skips=skips).eval()
        for part in net.down[1]:
            if isinstance(part, nn.Conv2d):
                nn.init.zeros_(part.weight)  # nothing passes below
        moved = [net(draw(1, 1, 8, 8).roll(shift, 3)) for shift in (0, 1)]
        assert torch.allclose(*moved, atol=1e-6) == (not skips)


def test_crops_are_turned_and_mirrored_pieces():
    both = torch.arange(2 * 36.0).view(2, 1, 6, 6)
    squares = draw_crops(both, 60, 3, generator(0))
    pieces = set()
    for piece in both.unfold(2, 3, 1).unfold(3, 3, 1).reshape(-1, 3, 3):
        for turn in range(4):
            turned = piece.rot90(turn, (0, 1))
            pieces |= {tuple(turned.flatten().tolist()), tuple(turned.flip(1).flatten().tolist())}
    drawn = {tuple(square.flatten().tolist()) for square in squares}
    assert drawn <= pieces
    assert len(drawn) > 40


def test_bending_by_nothing_changes_nothing_and_moves_picture_and_mask_alike():
    batch = draw(2, 2, 16, 16)
    assert torch.allclose(bend(batch, 0.0, generator(0)), batch, atol=1e-5)
    same = draw(1, 1, 32, 32).repeat(1, 2, 1, 1)
    bent = bend(same, 2.0, generator(0))
    assert torch.allclose(bent[:, 0], bent[:, 1])
    assert (bent - same).abs().mean() > 0.1


def test_bending_moves_where_scipy_does():
    smooth = F.avg_pool2d(draw(1, 1, 48, 48), 9, 1, 4)
    far, knots, s = 1.5, 3, 48
    shift = far * torch.randn(1, 2, knots, knots, generator=generator(3))
    shift = F.interpolate(shift, (s, s), mode="bicubic", align_corners=True)[0].numpy()
    rows, cols = np.mgrid[:s, :s]
    places = rows + shift[1], cols + shift[0]
    expected = ndimage.map_coordinates(smooth[0, 0].numpy(), places, order=3, mode="mirror")
    ours = bend(smooth, far, generator(3))[0, 0].numpy()
    inside = slice(6, -6)
    error, moved = (
        np.abs(ours - other)[inside, inside].max() for other in (expected, smooth[0, 0].numpy())
    )
    assert error < 0.05 * moved


def test_training_learns_dark_walls_and_refuses_what_is_no_number():
    x = draw(2, 1, 64, 64)
    both = torch.cat([x, (x < -0.5).float()], 1)
    seed_everything(0)
    net = fit_unet(SmallUNet(1, 4, 1), both, 60, 1e-2, 0)
    p = pixel_probabilities(net, x)
    assert p.shape == (2, 1, 64, 64)
    assert mask_iou(p[:, 0] > 0.5, x[:, 0] < -0.5).min() > 0.55
    both[0, 0, 3, 3] = torch.nan
    with pytest.raises(TrainingFailed, match="nan"):
        fit_unet(SmallUNet(1, 4, 1), both, 2, 1e-2, 0)
    with pytest.raises(ValueError, match="steps"):
        fit_unet(SmallUNet(1, 4, 1), both.nan_to_num(), 0, 1e-2, 0)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("two bool masks of one shape", lambda: mask_iou(draw(3, 3), draw(3, 3) > 0)),
        (r"torch.bool \(3, 3\), torch.bool \(3, 2\)",
         lambda: mask_iou(draw(3, 3) > 0, draw(3, 2) > 0)),
        ("size", lambda: draw_crops(draw(1, 2, 8, 8), 1, 9, generator(0))),
        ("masks", lambda: soft_dice_loss(draw(1, 2, 8, 8), draw(1, 1, 8, 8))),
        ("knots", lambda: bend(draw(1, 2, 8, 8), 1.0, generator(0), 1)),
        ("squares", lambda: bend(draw(1, 2, 8, 9), 1.0, generator(0))),
        ("side must be 2 or more, got 1", lambda: bend(draw(1, 2, 1, 1), 1.0, generator(0))),
        ("distance in pixels, got -2", lambda: bend(draw(1, 2, 8, 8), -2, generator(0))),
        ("distance in pixels, got nan", lambda: bend(draw(1, 2, 8, 8), np.nan, generator(0))),
        (r"masks must lie in 0\.\.1, found 0\.0\.\.255",
         lambda: soft_dice_loss(draw(1, 1, 2, 2), torch.tensor([[[[0.0, 255], [0, 0]]]]))),
        (r"p must lie in 0\.\.1", lambda: best_threshold(5 * draw(2, 8, 8), draw(2, 8, 8) > 0)),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(message, call):
    with pytest.raises(ValueError, match=message):
        call()
