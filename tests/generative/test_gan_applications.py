"""Styles, outlines and translators against references."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from dlbook_utils.generative.gan_applications import (
    StackedMLP,
    StyleGenerator,
    Translator,
    adain,
    as_it_is,
    crossed,
    extra_loss,
    fit_translators,
    gram_matrix,
    outlines,
)
from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.page.guards import TrainingFailed


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def test_adain_is_instance_normalisation_with_a_scale_for_each_picture():
    leaves = [draw(3, 4, 5, 6), draw(3, 4, seed=1), draw(3, 4, seed=2)]
    h, scale, shift = (leaf.requires_grad_() for leaf in leaves)
    ours = adain(h, scale, shift)
    theirs = F.instance_norm(
        h.view(1, 12, 5, 6), weight=scale.flatten(), bias=shift.flatten()
    ).view_as(h)
    assert torch.allclose(ours, theirs)
    slopes = [torch.autograd.grad(out.pow(3).sum(), leaves) for out in (ours, theirs)]
    assert all(map(torch.allclose, *slopes))
    assert torch.allclose(ours.mean((2, 3)), shift)


def test_adain_of_a_flat_map_is_its_shift():
    assert torch.equal(
        adain(torch.ones(1, 2, 3, 3), torch.ones(1, 2), torch.ones(1, 2)).unique(), torch.ones(1)
    )


def test_gram_matrix_is_einsum_and_forgets_places():
    h = draw(2, 3, 4, 5).requires_grad_()
    theirs = torch.einsum("nkij,nlij->nkl", h, h) / 20
    assert torch.allclose(gram_matrix(h), theirs)
    slopes = [torch.autograd.grad(out.sin().sum(), h)[0] for out in (gram_matrix(h), theirs)]
    assert torch.allclose(*slopes)
    assert torch.allclose(gram_matrix(h), gram_matrix(h.flip(2)))
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        gram_matrix(draw(3, 4))


def test_outlines_are_the_silhouette_less_its_erosion():
    pictures = torch.rand(5, 1, 9, 11, generator=generator(1))
    pictures = F.avg_pool2d(F.pad(pictures, [1] * 4, value=0.5), 3, 1)
    inside = (pictures > 0.45).numpy()[:, 0]
    window = np.ones((3, 3), bool)
    eroded = np.stack([ndimage.binary_erosion(mask, window) for mask in inside])
    assert torch.equal(outlines(pictures, 0.45)[:, 0], torch.tensor(inside ^ eroded).float())
    assert outlines(pictures, 0.45).mean() > 0.1


def test_stacked_perceptrons_do_not_hear_each_other():
    seed_everything(0)
    stack = StackedMLP(3, [4, 5, 2])
    x = torch.randn(3, 6, 4, generator=generator(2)).requires_grad_()
    (slope,) = torch.autograd.grad(stack(x)[1].square().sum(), x)
    assert slope[1].abs().min() > 0
    assert not slope[[0, 2]].any()
    with pytest.raises(ValueError, match=r"\(2, 6, 4\)"):
        stack(x[:2])


def test_a_translator_begins_near_the_picture_or_where_it_is_told():
    seed_everything(0)
    x = torch.rand(2, 50, 196, generator=generator(3))
    near = (Translator(2)(x) - as_it_is(x).sigmoid()).abs().mean()
    blank = (Translator(2, start=lambda x: 0)(x) - 0.5).abs().mean()
    assert max(near, blank) < 0.1


def test_extra_loss_is_the_way_back_and_the_distance():
    a, b = draw(2, 3, 4), draw(2, 3, 4, seed=1)
    G, H = (lambda x: 2 * x), (lambda x: x + 1)
    loss = extra_loss(G, H, a, b, G(a), H(b), 10.0, 3.0)
    cycle = F.l1_loss(2 * a + 1, a) + F.l1_loss(2 * b + 2, b)
    near = F.l1_loss(2 * a, a) + F.l1_loss(b + 1, b)
    assert torch.allclose(loss, 10 * cycle + 3 * near)
    assert extra_loss(G, H, a, b, G(a), H(b), 0, 0) == 0


def test_the_way_back_is_learned_and_a_run_can_be_had_again():
    A = torch.rand(64, 16, generator=generator(4)).round()
    runs = [fit_translators(A, 1 - A, steps=60, games=2, lr=1e-2, cycle=c) for c in (10, 10, 0)]
    x = A.expand(2, -1, -1)
    errors = [(H(G(x)) - x).abs().mean().item() for G, H in runs]
    assert errors[0] == errors[1] < 0.7 * errors[2]


def test_training_that_fails_says_so():
    A = torch.rand(8, 4, generator=generator(5))
    with pytest.raises(TrainingFailed, match="nan"):
        fit_translators(A, torch.full((8, 4), torch.nan), steps=2, games=1, size=4)
    with pytest.raises(ValueError, match=r"\(8, 3\)"):
        fit_translators(A, A[:, :3], steps=1)


def test_style_generator_hears_a_code_at_each_layer():
    seed_everything(0)
    G = StyleGenerator(8, 6, 5).double().eval()
    a, b = G.mapping(draw(2, 3, 8)).unbind()
    assert G(draw(2, 8)).shape == (2, 1, 28, 28)
    drawn = [G.draw(crossed(a, b, layer)) for layer in range(5)]
    assert torch.equal(drawn[4], G.draw([a] * 4))
    assert torch.equal(drawn[0], G.draw([b] * 4))
    assert all((p - q).abs().max() > 1e-3 for p, q in zip(drawn, drawn[1:], strict=False))
    with pytest.raises(ValueError, match="3"):
        G.draw([a] * 3)
    with pytest.raises(ValueError, match="5"):
        crossed(a, b, 5)


def test_style_generator_mixes_neighbours_in_training_alone():
    seed_everything(1)
    G, z = StyleGenerator(8, 6, 5), torch.randn(4, 8, generator=generator(6))
    plain = G.eval()(z)
    assert torch.equal(plain, G(z))
    G.train()
    assert any(not torch.equal(plain, G(z)) for _ in range(10))
