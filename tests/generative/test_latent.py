"""Pictures as grids of codes.

Against scikit-learn, PyTorch and gradients by hand; what a dead code becomes; what guidance mixes.
"""

import pytest
import torch
from sklearn.metrics import pairwise_distances_argmin

from dlbook_utils.generative.latent import (
    VQVAE,
    codebook_loss,
    guide,
    pass_through,
    quantise,
    revive_codes,
)
from dlbook_utils.page.devices import generator, seed_everything


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def test_the_nearest_code_is_scikit_learns():
    h, E = draw(40, 6), draw(11, 6, seed=1)
    assert quantise(h, E).tolist() == pairwise_distances_argmin(h, E).tolist()
    grid = h.view(2, 4, 5, 6)
    assert torch.equal(quantise(grid, E).flatten(), quantise(h, E))


def test_the_gradient_passes_as_if_nothing_had_been_rounded():
    h, e = draw(5, 3).requires_grad_(), draw(5, 3, seed=1).requires_grad_()
    q, w = pass_through(h, e), draw(5, 3, seed=2)
    slope, none = torch.autograd.grad((w * q.sin()).sum(), (h, e), allow_unused=True)
    assert torch.allclose(q, e)
    assert torch.allclose(slope, w * e.cos())
    assert none is None


def test_one_term_moves_the_code_and_the_other_the_encoder():
    h, e = draw(5, 3).requires_grad_(), draw(5, 3, seed=1).requires_grad_()
    to_h, to_e = torch.autograd.grad(codebook_loss(h, e, beta=0.5), (h, e))
    assert torch.allclose(to_e, 2 * (e - h) / 15)
    assert torch.allclose(to_h, (h - e) / 15)


def test_the_codec_gives_pictures_back_and_trains_all_of_its_parts():
    seed_everything(0)
    net = VQVAE(K=9, d=4, m=6)
    x = torch.rand(2, 3, 16, 16, generator=generator(3))
    copy, h, k = net(x)
    assert copy.shape == x.shape
    assert h.shape == (2, 16, 4)
    assert k.shape == (2, 16)
    assert torch.allclose(net.decode(net.E[k]), copy, atol=1e-5)
    ((copy - x).square().mean() + codebook_loss(h, net.E[k])).backward()
    assert all(p.grad.abs().sum() > 0 for p in net.parameters())


def test_codes_are_in_the_order_of_rows():
    seed_everything(0)
    net = VQVAE(K=9, d=4, m=6)
    x = torch.zeros(1, 3, 16, 16)
    x[:, :, :4, 12:] = 1.0  # the upper right
    far = (net.encode(x) - net.encode(torch.zeros_like(x))).abs().sum(-1)[0].view(4, 4)
    assert (far[:2, 2:] > 0).all()
    far[:2, 2:] = 0
    assert (far == 0).all()


def test_dead_codes_come_to_life_where_outputs_are_and_no_others_move():
    E, h = draw(5, 3), draw(2, 4, 3, seed=1)
    old = E.clone()
    used = torch.tensor([1.0, 0.0, 3.0, 0.0, 2.0])
    assert revive_codes(E, used, h, generator(2)) == 2
    assert torch.equal(E[[0, 2, 4]], old[[0, 2, 4]])
    assert all((h.flatten(0, 1) == E[k]).all(1).any() for k in (1, 3))


def test_guidance_multiplies_probabilities():
    told, free = draw(3, 7), draw(3, 7, seed=1)
    assert torch.equal(guide(told, free, 0.0), free)
    assert torch.allclose(guide(told, free, 1.0), told)
    p = told.softmax(-1) ** 3 * free.softmax(-1) ** -2
    assert torch.allclose(guide(told, free, 3.0).softmax(-1), p / p.sum(-1, keepdim=True))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: quantise(draw(4, 3), draw(5, 2)),
            r"h must have shape \(\.\.\., 2\), got \(4, 3\)",
        ),
        (lambda: quantise(draw(4, 3) / 0, draw(5, 3)), "h must be finite"),
        (lambda: pass_through(draw(4, 3), draw(3)), r"e must have shape \(4, 3\), got \(3,\)"),
        (lambda: codebook_loss(draw(4, 3), draw(4, 3), -1.0), "beta must be 0 or more, got -1.0"),
        (lambda: VQVAE(K=0), "K must be 1 or more, got 0"),
        (lambda: VQVAE()(torch.zeros(2, 1, 16, 16)), r"\(n, 3, h, w\), got \(2, 1, 16, 16\)"),
        (
            lambda: revive_codes(draw(5, 3), torch.ones(4), draw(6, 3), generator(0)),
            r"used must have shape \(5,\), got \(4,\)",
        ),
        (lambda: guide(draw(3, 7), draw(7), 2.0), r"free must have shape \(3, 7\), got \(7,\)"),
    ],
)
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
