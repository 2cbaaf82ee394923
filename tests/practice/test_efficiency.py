"""Smaller and faster: formats are PyTorch's, so are grids and scales; masks, and memory."""

import copy

import pytest
import torch
from torch import nn

from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.practice.efficiency import (
    LossScale,
    Recompute,
    ViewedLinear,
    decode_float,
    fake_quantise,
    grid_step,
    largest_mask,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


@pytest.mark.parametrize(
    ("dtype", "exponent", "fraction"), [(torch.float16, 5, 10), (torch.bfloat16, 8, 7)]
)
def test_every_pattern_of_16_bits_means_what_pytorch_says(dtype, exponent, fraction):
    bits = torch.arange(2**16)
    theirs = bits.sub(2**16 * (bits >= 2**15)).short().view(dtype).double()
    assert decode_float(bits, exponent, fraction).allclose(theirs, 0, 0, equal_nan=True)


def test_patterns_of_float32_mean_what_pytorch_says():
    x = draw(1000) * 10.0 ** torch.randint(-40, 38, (1000,), generator=generator(1))
    bits = x.view(torch.int32).long() & 2**32 - 1
    assert decode_float(bits, 8, 23).equal(x.double())


def test_patterns_that_are_none_are_refused():
    with pytest.raises(TypeError, match="bits must be int64, not torch.float32"):
        decode_float(torch.ones(3), 5, 10)
    with pytest.raises(ValueError, match=r"bits must lie in 0\.\.65535, found 0\.\.65536"):
        decode_float(torch.tensor([0, 65_536]), 5, 10)


@pytest.mark.parametrize("patience", [1, 3])
def test_scales_and_steps_are_those_of_grad_scaler(patience):
    def run(ours):
        w = torch.ones(3, requires_grad=True)
        sgd = torch.optim.SGD([w], lr=0.1)
        scaler = (
            LossScale(512.0, patience)
            if ours
            else torch.amp.GradScaler("cpu", init_scale=512.0, growth_interval=patience)
        )
        seen = []
        for step in range(15):
            factor = scaler.scale if ours else scaler.get_scale()
            w.grad = factor * torch.tensor([1.0, 2.0, 3.0]) * (step + 1)
            if step in (0, 5, 6):
                w.grad[1] = torch.nan if step == 5 else torch.inf
            if ours:
                scaler.step(sgd)
            else:
                scaler.scale(w.sum())
                scaler.step(sgd)
                scaler.update()
            seen.append((factor, *w.tolist()))
        return seen

    assert run(True) == run(False)


def test_a_step_says_whether_it_was_taken():
    w = torch.ones(2, requires_grad=True)
    sgd, scaler = torch.optim.SGD([w], lr=1.0), LossScale(8.0)
    w.grad = torch.tensor([8.0, torch.inf])
    assert scaler.step(sgd) is False
    assert w.tolist() == [1.0, 1.0]
    assert scaler.scale == 4.0
    w.grad = torch.tensor([4.0, 0.0])
    assert scaler.step(sgd) is True
    assert w.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_rounding_is_pytorchs_forward_and_backward(bits):
    W, up, high = draw(5, 300).requires_grad_(), draw(5, 300, seed=1), 2 ** (bits - 1) - 1
    step = grid_step(W.detach(), bits) * torch.tensor([[0.3], [1.0], [1.0], [1.0], [1.0]])
    theirs = torch.fake_quantize_per_channel_affine(
        W, step[:, 0], torch.zeros(5, dtype=torch.int32), 0, -high, high
    )
    ours = fake_quantise(W, step, bits)
    slopes = [torch.autograd.grad(out, W, up)[0] for out in (ours, theirs)]
    assert ours.allclose(theirs, atol=1e-6)
    assert slopes[0].allclose(slopes[1])
    assert (slopes[0][0] == 0).any()


def test_no_step_of_those_tried_rounds_better():
    W = draw(4, 50)
    best = grid_step(W, 3)

    def errors(step):
        return (fake_quantise(W, step, 3) - W).square().sum(1)

    for k in range(1, 41):
        other = W.abs().amax(1, keepdim=True) / 3 * k / 40
        assert (errors(best) <= errors(other) + 1e-6).all()


def test_a_row_of_zeros_stays_zero():
    W = torch.stack([torch.zeros(5), torch.ones(5)])
    assert fake_quantise(W, grid_step(W, 4), 4).equal(W)


@pytest.mark.parametrize("bits", [1, 17])
def test_bits_that_make_no_grid_are_refused(bits):
    with pytest.raises(ValueError, match=rf"bits must be in 2\.\.16, got {bits}"):
        fake_quantise(draw(2, 3), torch.ones(2, 1), bits)


def test_steps_that_fit_no_rows_are_refused():
    with pytest.raises(ValueError, match="step"):
        fake_quantise(draw(2, 3), torch.ones(3, 1), 4)
    with pytest.raises(ValueError, match="steps must be positive, the least is 0"):
        fake_quantise(draw(2, 3), torch.zeros(2, 1), 4)


def test_a_view_is_what_the_layer_computes_with_and_learns_through():
    seed_everything(0)
    layer, x = ViewedLinear(6, 4), draw(3, 6)
    plain = nn.Linear(6, 4)
    plain.load_state_dict(layer.state_dict())
    assert layer(x).equal(plain(x))
    mask = largest_mask(layer.weight.detach(), 0.5)
    layer.view = mask.mul
    layer(x).sum().backward()
    assert layer.weight.grad.eq(0).equal(mask.eq(0))
    assert layer(x).equal(nn.functional.linear(x, layer.weight * mask, layer.bias))


def test_the_largest_stay():
    W = torch.tensor([[0.1, -3.0], [2.0, -0.2]])
    assert largest_mask(W, 0.5).tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert largest_mask(W, 0.01).sum() == 1
    with pytest.raises(ValueError, match=r"share must be in \(0, 1\], got 0"):
        largest_mask(W, 0)


def test_computed_twice_the_gradients_are_the_same():
    seed_everything(1)
    block = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5)).double()
    twin, x = copy.deepcopy(block), draw(4, 5).double().requires_grad_()
    up = draw(4, 5, seed=2).double()
    ours = Recompute.apply(block, x, *block.parameters())
    theirs = torch.utils.checkpoint.checkpoint(twin, x, use_reentrant=False)
    slopes = torch.autograd.grad(ours, (x, *block.parameters()), up)
    expected = torch.autograd.grad(theirs, (x, *twin.parameters()), up)
    assert ours.equal(theirs)
    assert all(a.allclose(b) for a, b in zip(slopes, expected, strict=True))
