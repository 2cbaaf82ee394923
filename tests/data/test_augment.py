"""Augmentation against torchvision on the same parameters, and the draws."""

import pytest
import torch
import torchvision.transforms.functional as reference
from torchvision.transforms import InterpolationMode

from dlbook_utils.data import augment

N, PAD = 40, 4
SHAPES = [(3, 32, 32), (1, 28, 28), (2, 9, 14)]
MODES = {"bilinear": InterpolationMode.BILINEAR, "nearest": InterpolationMode.NEAREST}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(shape, dtype=torch.uint8) -> torch.Tensor:
    x = torch.randint(0, 256, (N, *shape), dtype=torch.uint8, generator=generator(1))
    return x if dtype == torch.uint8 else x.to(dtype) / 255 - 0.4


batches = pytest.mark.parametrize(
    "x",
    [images(shape, dtype) for shape in SHAPES for dtype in (torch.uint8, torch.float32)],
    ids=lambda x: f"{x.dtype}-{tuple(x.shape[1:])}",
)


@batches
def test_shift_crop_equals_torchvision(x):
    corners = augment.draw_shifts(N, PAD, generator())
    h, w = x.shape[2:]
    expected = [
        reference.crop(reference.pad(image, PAD), top, left, h, w)
        for image, (top, left) in zip(x, corners.tolist(), strict=True)
    ]
    ours = augment.apply_shift_crop(x, corners, PAD)
    assert ours.dtype == x.dtype
    assert torch.equal(ours, torch.stack(expected))


@batches
def test_flip_equals_torchvision(x):
    flips = augment.draw_flips(N, 0.5, generator())
    assert 0 < flips.sum() < N
    expected = [reference.hflip(image) if f else image for image, f in zip(x, flips, strict=True)]
    assert torch.equal(augment.apply_flip(x, flips), torch.stack(expected))


@batches
@pytest.mark.parametrize("size", [1, 7, 8])
def test_cutout_equals_torchvision_erase(x, size):
    h, w = x.shape[2:]
    centres = augment.draw_centres(N, h, w, generator())
    expected = []
    for image, (row, column) in zip(x, centres.tolist(), strict=True):
        top, left = max(row - size // 2, 0), max(column - size // 2, 0)
        bottom = min(row - size // 2 + size, h)
        right = min(column - size // 2 + size, w)
        value = torch.zeros((), dtype=x.dtype)
        expected.append(reference.erase(image, top, left, bottom - top, right - left, value))
    assert torch.equal(augment.apply_cutout(x, centres, size), torch.stack(expected))


@pytest.mark.parametrize("mode", MODES)
@batches
def test_rotate_equals_torchvision(x, mode):
    angles = augment.draw_angles(N, 40, generator())
    ours = augment.apply_rotate(x, angles, mode)
    expected = torch.stack(
        [
            reference.rotate(image, angle, MODES[mode])
            for image, angle in zip(x, angles.tolist(), strict=True)
        ]
    )
    assert ours.dtype == x.dtype
    difference = (ours.double() - expected.double()).abs()
    if mode == "bilinear":
        assert difference.max() <= (1 if x.dtype == torch.uint8 else 1e-4)
    else:  # a pixel that comes from half-way between two may go to either
        assert (difference > 1e-6).double().mean() < 0.002


def test_quarter_turns_are_exact_and_counter_clockwise():
    x = images((3, 32, 32), torch.float64)
    for quarters in (0, 1, 2, 3):
        angles = torch.full((N,), 90.0 * quarters, dtype=torch.float64)
        expected = torch.rot90(x, quarters, (2, 3))
        assert torch.allclose(augment.apply_rotate(x, angles), expected, atol=1e-9)


def test_every_sample_has_its_own_draw():
    x = images((1, 28, 28))[:1].expand(N, -1, -1, -1)
    for operation in (augment.shift_crop, augment.flip, augment.rotate, augment.cutout):
        out = operation(x, generator=generator())
        different = {image.numpy().tobytes() for image in out}
        assert len(different) == 2 if operation is augment.flip else len(different) > N // 2


@pytest.mark.parametrize(
    "operation", [augment.shift_crop, augment.flip, augment.rotate, augment.cutout]
)
def test_the_generator_alone_decides_and_the_input_stays(operation):
    x = images((3, 32, 32))
    before, state = x.clone(), torch.random.get_rng_state()
    one, two = operation(x, generator=generator(3)), operation(x, generator=generator(3))
    assert torch.equal(one, two)
    assert not torch.equal(one, operation(x, generator=generator(4)))
    assert torch.equal(x, before)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_draws_are_uniform():
    n = 20_000
    corners = augment.draw_shifts(n, PAD, generator())
    counts = torch.bincount(corners[:, 0] * 9 + corners[:, 1], minlength=81)
    chi2 = ((counts - n / 81) ** 2 / (n / 81)).sum()  # 80 degrees of freedom: mean 80, std 12.6
    assert counts.shape == (81,)
    assert 30 < chi2 < 150
    angles = augment.draw_angles(n, 15, generator())
    assert angles.abs().max() <= 15
    assert angles.mean().abs() < 0.3  # standard error 0.06
    assert (angles.std() - 15 / 3**0.5).abs() < 0.2
    assert (augment.draw_flips(n, 0.3, generator()).double().mean() - 0.3).abs() < 0.02
    centres = augment.draw_centres(n, 5, 9, generator())
    assert centres.amin(0).tolist() == [0, 0]
    assert centres.amax(0).tolist() == [4, 8]


def test_not_contiguous_and_channels_last_batches():
    x = images((3, 32, 32))
    corners = augment.draw_shifts(N, PAD, generator())
    expected = augment.apply_shift_crop(x, corners, PAD)
    for same in (x.to(memory_format=torch.channels_last), x.permute(1, 0, 2, 3).contiguous()):
        view = same if same.shape == x.shape else same.permute(1, 0, 2, 3)
        assert torch.equal(augment.apply_shift_crop(view, corners, PAD), expected)
        flips = torch.ones(N, dtype=torch.bool)
        assert torch.equal(augment.apply_flip(view, flips), x.flip(-1))


def test_no_shift_no_turn_and_no_square_change_nothing():
    x = images((3, 32, 32))
    assert torch.equal(augment.shift_crop(x, 0, generator=generator()), x)
    assert torch.equal(augment.apply_rotate(x, torch.zeros(N)), x)
    assert torch.equal(augment.cutout(x, 0, generator=generator()), x)
    assert torch.equal(augment.flip(x, 0, generator=generator()), x)


def test_wrong_input_is_named():
    x = images((3, 32, 32))
    with pytest.raises(ValueError, match=r"got torch.int64 \(40, 3, 32, 32\)"):
        augment.flip(x.long(), generator=generator())
    with pytest.raises(ValueError, match=r"got torch.uint8 \(3, 32, 32\)"):
        augment.rotate(x[0], generator=generator())
    with pytest.raises(ValueError, match=r"flips must have shape \(40,\), got \(39,\)"):
        augment.apply_flip(x, torch.ones(39, dtype=torch.bool))
    corners = torch.zeros(N, 2, dtype=torch.int64)
    corners[0, 0] = 9
    with pytest.raises(ValueError, match=r"0 .. 8, got 0 .. 9"):
        augment.apply_shift_crop(x, corners, PAD)
    with pytest.raises(ValueError, match="'cubic'"):
        augment.rotate(x, 10, "cubic", generator=generator())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("operation", ["shift_crop", "flip", "rotate", "cutout"])
def test_the_gpu_agrees_with_the_cpu(operation):
    x = images((3, 32, 32))
    ours = getattr(augment, operation)(x.cuda(), generator=generator()).cpu()
    expected = getattr(augment, operation)(x, generator=generator())
    assert (ours.int() - expected.int()).abs().max() <= (1 if operation == "rotate" else 0)
