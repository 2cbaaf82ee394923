"""Speech: spectrograms, mel filters, warping, and CTC against brute force and PyTorch."""

from itertools import product
from math import comb

import pytest
import torch
import torch.nn.functional as F

from dlbook_utils.page.devices import generator
from dlbook_utils.sequences.speech import (
    collapse,
    ctc_alphas,
    ctc_loss,
    edit_distance,
    mel_filters,
    spectrogram,
    warp_costs,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


@pytest.mark.parametrize(("width", "hop"), [(16, 8), (16, 5), (15, 20), (40, 1)])
def test_the_spectrogram_is_pytorchs_forward_and_backward(width, hop):
    x = draw(3, 40).requires_grad_()
    window = torch.hann_window(width, dtype=x.dtype)
    theirs = torch.stft(x, width, hop, window=window, center=False, return_complex=True)
    theirs = torch.view_as_real(theirs).square().sum(-1).transpose(1, 2)
    ours = spectrogram(x, width, hop)
    assert ours.shape == (3, (40 - width) // hop + 1, width // 2 + 1)
    assert torch.allclose(ours, theirs)
    weights = draw(*ours.shape, seed=1)
    slopes = [torch.autograd.grad((power * weights).sum(), x)[0] for power in (ours, theirs)]
    assert torch.allclose(*slopes)


def test_a_tone_stands_in_its_bin():
    t = torch.arange(400) / 8000
    power = spectrogram((2 * torch.pi * 1000 * t).sin()[None], 256, 100)
    assert (power.argmax(2) == 1000 * 256 // 8000).all()


def test_a_sound_shorter_than_a_frame_is_refused():
    with pytest.raises(ValueError, match=r"width must be in 2\.\.10, got 16"):
        spectrogram(draw(1, 10), 16, 8)


def test_mel_filters_share_each_bin_and_are_equally_wide_in_mel():
    filters = mel_filters(24, 1024, 8000)
    first, last = filters[0].argmax() + 1, filters[-1].argmax()
    assert torch.allclose(filters[:, first:last].sum(0), torch.ones(last - first), atol=1e-5)
    peaks = filters.argmax(1) * 8000 / 1024
    steps = (2595 * torch.log10(1 + peaks / 700)).diff()
    assert (steps - steps.mean()).abs().max() < 8  # half a bin, in mel
    for rate in (-1, torch.inf, torch.nan):
        with pytest.raises(ValueError, match=f"a rate is positive and finite, got {rate}"):
            mel_filters(24, 256, rate)


def one_warp(A, B):
    """The least cost of all paths, by trying them."""

    def least(i, j):
        here = (A[i] - B[j]).norm().item()
        before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        return here + min((least(*cell) for cell in before if min(cell) >= 0), default=0)

    return least(len(A) - 1, len(B) - 1) / (len(A) + len(B))


def test_warping_costs_are_the_least_of_all_paths():
    A, B = draw(3, 5, 2), draw(2, 4, 2, seed=1)
    a, b = torch.tensor([5, 3, 1]), torch.tensor([4, 2])
    costs = warp_costs(A, a, B, b)
    for i, j in product(range(3), range(2)):
        assert costs[i, j].item() == pytest.approx(one_warp(A[i, : a[i]], B[j, : b[j]]))
    assert warp_costs(A, a, A, a).diagonal().abs().max() < 1e-6
    with pytest.raises(ValueError, match=r"b must be in 1\.\.4, got \[4, 5\]"):
        warp_costs(A, a, B, b + torch.tensor([0, 3]))


def test_a_long_recording_costs_nothing_against_itself():
    x, frames = draw(2, 40, 24).float(), torch.tensor([40, 31])  # long enough for a matrix product
    assert not warp_costs(x, frames, x, frames).diagonal().any()


def test_a_path_is_merged_first():
    assert collapse([2, 2, 5, 5, 9, 5], 9) == [2, 5, 5]
    assert collapse([9, 9], 9) == []
    assert collapse("aa-ab", "-") == ["a", "a", "b"]


def test_the_loss_is_that_of_all_paths():
    z = draw(5, 3)
    p = z.softmax(1)
    totals = {}
    for path in product(range(3), repeat=5):
        spelt = tuple(collapse(path, 2))
        totals[spelt] = totals.get(spelt, 0) + p[range(5), path].prod()
    for target, total in totals.items():
        if target:
            args = torch.tensor([5]), torch.tensor([target]), torch.tensor([len(target)])
            assert torch.allclose(ctc_loss(z.log_softmax(1)[None], *args), -total.log())
    assert sum(totals.values()) == pytest.approx(1)


def some_batch():
    frames, lengths = torch.tensor([12, 7, 9, 12]), torch.tensor([4, 3, 1, 2])
    targets = torch.tensor([[0, 0, 1, 1], [2, 3, 2, 9], [1, 9, 9, 9], [3, 3, 3, 3]])
    return draw(4, 12, 5).requires_grad_(), frames, targets, lengths


def test_the_loss_and_its_gradient_are_pytorchs():
    z, frames, targets, lengths = some_batch()
    ours = ctc_loss(z.log_softmax(2), frames, targets, lengths)
    theirs = F.ctc_loss(
        z.log_softmax(2).transpose(0, 1),
        targets.clamp(max=3),
        frames,
        lengths,
        blank=4,
        reduction="none",
    )
    assert torch.allclose(ours, theirs)
    weights = draw(4, seed=2)
    slopes = [torch.autograd.grad((loss * weights).sum(), z)[0] for loss in (ours, theirs)]
    assert torch.allclose(*slopes)
    assert slopes[0][1, 7:].abs().max() == 0  # frames that do not count


def test_there_are_as_many_paths_as_choices_of_borders():
    ones = torch.zeros(1, 40, 11, dtype=torch.float64)
    args = torch.tensor([40]), torch.tensor([[4, 0, 2, 7]]), torch.tensor([4])
    assert round((-ctc_loss(ones, *args)).exp().item()) == comb(44, 8)


@pytest.mark.parametrize(
    ("frames", "targets", "message"),
    [
        (3, [5, 5, 2], r"no path spells the targets below 10: \[3\] frames for \[\[5, 5, 2\]\]"),
        (9, [5, 10, 2], r"no path spells the targets below 10: .* \[\[5, 10, 2\]\]"),
        (11, [5, 5, 2], r"frames must be in 1\.\.10, got \[11\]"),
    ],
)
def test_what_cannot_be_spelt_is_refused(frames, targets, message):
    log_p = draw(1, 10, 11).log_softmax(2)
    with pytest.raises(ValueError, match=message):
        ctc_loss(log_p, torch.tensor([frames]), torch.tensor([targets]), torch.tensor([3]))


def test_a_line_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"line must be int64 \(n, 3 or more\) in 0\.\.2, got"):
        ctc_alphas(draw(1, 4, 3), torch.tensor([[2, 3, 2]]))


def test_log_probabilities_are_finite():
    log_p = draw(1, 4, 3).log_softmax(2)
    log_p[0, :, 1] = -torch.inf
    with pytest.raises(ValueError, match="log_p must be finite: 4 of 12 numbers"):
        ctc_loss(log_p, torch.tensor([4]), torch.tensor([[1]]), torch.tensor([1]))


@pytest.mark.parametrize(
    ("a", "b", "edits"),
    [
        ("kitten", "sitting", 3),
        ("", "abc", 3),
        ("abc", "", 3),
        ([4, 0, 2], [4, 2, 2], 1),
        ("", "", 0),
    ],
)
def test_edit_distances(a, b, edits):
    assert edit_distance(a, b) == edit_distance(b, a) == edits
