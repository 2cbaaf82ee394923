"""Scenes: what is said to lie in them lies there."""

import pytest
import torch

from dlbook_utils.data.scenes import Cutouts, compose_scenes, cut_out, paste, stack_scenes
from dlbook_utils.data.sets import Images


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def blocks():
    """Ten images of one bright block each: rows 4 to 9, columns 2 to 19; classes in turn."""
    x = torch.zeros(10, 1, 28, 28, dtype=torch.uint8)
    x[:, :, 4:10, 2:20] = 255
    return Images(x, torch.arange(10) % 5, tuple("abcde"), "blocks", True, (0.5,), (0.5,))


def test_cutouts_have_tight_boxes_and_labels_in_the_order_asked_for():
    pictures, labels, boxes = cut_out(blocks(), [3, 1])
    assert pictures.shape == (4, 1, 28, 28)
    assert labels.tolist() == [1, 0, 1, 0]
    assert (boxes == torch.tensor([2.0, 4, 20, 10])).all()


def test_a_thing_that_is_pasted_fills_its_box_and_nothing_else():
    things, box = cut_out(blocks(), [0]), torch.tensor([[10.0, 20, 28, 26]]).repeat(2, 1)
    there = torch.tensor([True, False])
    scene = paste(torch.zeros(2, 1, 40, 40), things.pictures, things.boxes, box, there)
    expected = torch.zeros(40, 40)
    expected[20:26, 10:28] = 1
    assert torch.allclose(scene[0, 0], expected)
    assert not scene[1].any()


def test_the_last_of_a_scene_lies_on_top_and_within_it():
    pictures, boxes, labels = compose_scenes(cut_out(blocks(), range(5)), 50, generator(), scraps=0)
    assert pictures.shape == (50, 1, 40, 40)
    assert labels.min() == -1
    assert ((labels >= 0).sum(1) >= 1).all()
    assert (boxes >= 0).all()
    assert (boxes <= 40).all()
    longest = (boxes[..., 2:] - boxes[..., :2]).amax(-1)
    assert ((longest >= 11) & (longest <= 22)).all()
    places = torch.arange(40) + 0.5
    for picture, things, names in zip(pictures[:, 0], boxes, labels, strict=True):
        covered = torch.zeros(40, 40, dtype=torch.bool)
        for x0, y0, x1, y1 in things[names >= 0]:
            across, down = (places >= x0) & (places < x1), (places >= y0) & (places < y1)
            covered |= down[:, None] & across
        assert not picture[~covered].any()  # nothing outside the boxes
        assert (picture[covered] > 0.1).float().mean() > 0.95  # blocks fill them


def test_nothing_hides_more_than_half_of_another():
    _, boxes, labels = compose_scenes(cut_out(blocks(), range(5)), 200, generator())
    for things, names in zip(boxes, labels, strict=True):
        a = things[names >= 0]
        low, high = (f(a[:, None], a) for f in (torch.maximum, torch.minimum))
        shared = (high[..., 2:] - low[..., :2]).clamp(min=0).prod(-1)
        area = (a[:, 2:] - a[:, :2]).prod(-1)
        assert (shared / torch.minimum(area[:, None], area)).fill_diagonal_(0).max() <= 0.5


def test_scraps_are_drawn_and_not_told():
    things = cut_out(blocks(), range(5))
    pictures, boxes, labels = compose_scenes(things, 50, generator(), scraps=6)
    places = torch.arange(40) + 0.5
    outside = 0
    for picture, all_boxes, names in zip(pictures[:, 0], boxes, labels, strict=True):
        free = torch.ones(40, 40, dtype=torch.bool)
        for x0, y0, x1, y1 in all_boxes[names >= 0]:
            free &= ~(((places >= y0) & (places < y1))[:, None] & ((places >= x0) & (places < x1)))
        outside += (picture[free] > 0.1).sum().item()
    assert outside > 50 * 20


def test_a_generator_gives_the_same_scenes_again():
    things = cut_out(blocks(), range(5))
    first, second = (compose_scenes(things, 5, generator(3)) for _ in range(2))
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cut_out(blocks(), [5]), r"class must be in 0\.\.4, got 5"),
        (lambda: cut_out(colour(), [0]), r"square grey images, got \(2, 3, 8, 8\)"),
        (lambda: scenes(size=20), "size must be 24 or more, got 20"),
        (lambda: scenes(most=1), "most must be 2 or more, got 1"),
        (lambda: scenes(scraps=-1), "scraps must be 0 or more, got -1"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def colour():
    x = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    return Images(x, torch.tensor([0, 1]), ("a", "b"), "colour", True, (0.5,) * 3, (0.5,) * 3)


def scenes(**options):
    things = Cutouts(torch.zeros(1, 1, 28, 28), torch.zeros(1).long(), torch.ones(1, 4))
    return compose_scenes(things, 2, generator(), **options)


def test_stacked_things_lie_in_their_halves_and_nothing_is_nothing():
    things = cut_out(blocks(), range(5))
    scenes = stack_scenes(things, torch.tensor([[0, 4], [2, -1], [-1, 3]]), generator())
    assert scenes.shape == (3, 1, 24, 24)
    lit = torch.stack([half.flatten(1).any(1) for half in scenes.split(12, dim=2)], 1)
    assert lit.tolist() == [[True, True], [True, False], [False, True]]


@pytest.mark.parametrize("kinds", [[[0, 5]], [[-2, 0]]])
def test_stacking_refuses_kinds_that_are_not_there(kinds):
    with pytest.raises(ValueError, match=r"kinds must be -1 \.\. 4"):
        stack_scenes(cut_out(blocks(), range(5)), torch.tensor(kinds), generator())
    with pytest.raises(ValueError, match="kinds"):
        stack_scenes(cut_out(blocks(), range(5)), torch.zeros(3), generator())
