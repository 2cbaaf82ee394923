"""Scans against the loop and autograd, layers against their recurrence, place by place."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.transformers.state_space import (
    PARTS,
    DiagonalSSM,
    MambaBlock,
    SelectiveSSM,
    combine,
    convolve_by_fft,
    legs_matrix,
    linear_scan,
    scan_by_chunks,
    scan_by_doubling,
    scan_by_steps,
    start_steps,
)
from tests.random_weights import assert_same


def f(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("T", [2, 7, 12])
@pytest.mark.parametrize(
    "scan",
    [scan_by_steps, scan_by_doubling, linear_scan, lambda a, b: scan_by_chunks(a, b, len(a[0]))],
)
def test_scans_are_the_sum_over_products(scan, T):
    a, b = (f(2, T, 3, seed=s).requires_grad_() for s in (0, 1))
    rows = [sum(b[:, s] * a[:, s + 1 : t + 1].prod(1) for s in range(t + 1)) for t in range(T)]
    assert_same(scan(a, b), torch.stack(rows, 1), [a, b])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 6, 12])
def test_chunks_of_any_size_that_fills(size):
    a, b = (f(2, 12, 3, seed=s).requires_grad_() for s in (0, 1))
    assert_same(scan_by_chunks(a, b, size), scan_by_steps(a, b), [a, b])


def test_chunks_that_do_not_fill_are_refused():
    with pytest.raises(ValueError, match="chunks of 5 do not fill 12"):
        scan_by_chunks(f(2, 12), f(2, 12), 5)
    with pytest.raises(ValueError, match=r"a must have shape \(2, 12\), got \(2, 11\)"):
        linear_scan(f(2, 11), f(2, 12))


def test_a_decay_of_zero_begins_anew():
    a, b = torch.tensor([[1.0, 0.0, 1.0, 1.0]]), torch.tensor([[5.0, 1.0, 2.0, 0.0]])
    for scan in (scan_by_steps, scan_by_doubling, linear_scan, partial(scan_by_chunks, size=2)):
        assert scan(a, b).tolist() == [[5.0, 1.0, 3.0, 3.0]]


def test_joining_is_associative():
    x, y, z = ((f(4, seed=s), f(4, seed=s + 3)) for s in range(3))
    torch.testing.assert_close(combine(combine(x, y), z), combine(x, combine(y, z)))


def test_convolution_has_no_wrap_around():
    x, kernel = f(2, 9, 3).requires_grad_(), f(9, 3, seed=1).requires_grad_()
    padded = F.pad(x.mT, (8, 0))
    theirs = F.conv1d(padded, kernel.flip(0).T[:, None], groups=3).mT
    assert_same(convolve_by_fft(x, kernel), theirs, [x, kernel])


def test_legs_of_three():
    A, b = legs_matrix(3)
    assert torch.linalg.eigvals(A).real.sort().values.tolist() == pytest.approx([-3, -2, -1])
    assert A[2, 0].item() == pytest.approx(-(5**0.5))
    assert (b**2).tolist() == pytest.approx([1, 3, 5])


def test_diagonal_is_its_recurrence():
    seed_everything(0)
    layer, x = DiagonalSSM(3, 4).double(), f(2, 11, 3).requires_grad_()
    rate = torch.complex(-layer.log_decay.exp(), layer.turn)
    a = (rate * layer.log_step.exp()[:, None]).exp()
    read, h, rows = torch.view_as_complex(layer.read), 0, []
    for t in range(11):
        h = a * h + (a - 1) / rate * x[:, t, :, None]
        rows.append(2 * (read * h).sum(-1).real + layer.skip * x[:, t])
    assert_same(layer(x), torch.stack(rows, 1), [x, *layer.parameters()])


@pytest.mark.parametrize("selects", [PARTS, ("step",), ()])
def test_selective_is_its_recurrence(selects):
    seed_everything(0)
    layer, x = SelectiveSSM(3, 4, selects).double(), f(2, 11, 3).requires_grad_()
    h, rows = torch.zeros(2, 3, 4, dtype=torch.float64), []
    for u in x.unbind(1):
        step, write, read = (
            getattr(layer, part)(u if part in selects else 0 * u) for part in PARTS
        )
        step = torch.log1p(step.exp())[..., None]
        h = h * (-step * layer.log_rates.exp()).exp() + step * u[..., None] * write[:, None]
        rows.append((h @ read[..., None])[..., 0] + layer.skip * u)
    assert_same(layer(x), torch.stack(rows, 1), [x])


def test_without_selection_places_are_alike():
    x = torch.zeros(1, 12, 3)
    x[0, 2] = x[0, 7] = torch.ones(3)
    for selects, alike in (((), True), (PARTS, False)):
        seed_everything(1)
        layer = SelectiveSSM(3, 4, selects)
        early, late = x.clone(), x.clone()
        early[0, 7], late[0, 2] = 0, 0
        assert torch.allclose(layer(early) + layer(late), layer(x), atol=1e-6) is alike


def test_mamba_sees_nothing_later():
    seed_everything(0)
    block, x = MambaBlock(6, partial(SelectiveSSM, N=3)), f(2, 9, 6).float()
    changed = x.clone()
    changed[:, 5:] += 1
    before, after = block(x), block(changed)
    assert torch.allclose(before[:, :5], after[:, :5], atol=1e-6)
    assert not torch.allclose(before[:, 5:], after[:, 5:])


def test_starts_and_refusals():
    steps = start_steps(1000)
    assert 0.01 <= steps.min() < 0.02
    assert 0.8 < steps.max() <= 1.0
    with pytest.raises(ValueError, match="selects are of .*, got \\('gate',\\)"):
        SelectiveSSM(3, 4, ("gate",))


def test_what_would_silently_be_wrong_is_refused():
    a, b = f(2, 5).sigmoid(), f(2, 5, seed=1)
    for pair in ((a.to(torch.complex128), b.to(torch.complex128)), (a.float(), b)):
        with pytest.raises(TypeError, match="a and b must be real, of one type"):
            linear_scan(*pair)
    with pytest.raises(TypeError, match="T must be a whole number"):
        DiagonalSSM(3, 4).kernel(2.5)
