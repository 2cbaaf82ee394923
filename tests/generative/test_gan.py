"""Losses, spectral normalisation and Fréchet distance against references; the digit networks."""

import pytest
import torch
import torch.nn.functional as F
from scipy import linalg
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from dlbook_utils import data
from dlbook_utils.generative.gan import (
    DigitDiscriminator,
    DigitGenerator,
    SpectralNorm,
    digit_features,
    discriminator_loss,
    fit_gan,
    frechet_distance,
    generator_loss,
    largest_stretch,
    matrix_root,
    one_step,
    power_iteration,
    train_judge,
)
from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.page.guards import TrainingFailed
from dlbook_utils.vision.cnn import ConvNet


def draw(*shape, seed):
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def test_losses_and_their_gradients_are_binary_cross_entropies():
    real, fake = (draw(40, seed=s).requires_grad_() for s in (0, 1))
    bce = F.binary_cross_entropy_with_logits
    pairs = [
        (
            discriminator_loss(real, fake),
            bce(real, torch.ones_like(real)) + bce(fake, 0 * fake.detach()),
        ),
        (generator_loss(fake), bce(fake, torch.ones_like(fake))),
    ]
    for ours, theirs in pairs:
        assert torch.allclose(ours, theirs)
        for leaf in (real, fake):
            got = torch.autograd.grad(ours, leaf, retain_graph=True, allow_unused=True)[0]
            expected = torch.autograd.grad(theirs, leaf, retain_graph=True, allow_unused=True)[0]
            assert (got is None) == (expected is None)
            assert got is None or torch.allclose(got, expected)


def test_losses_are_finite_for_sure_judges():
    sure = torch.tensor([-1e4, 1e4])
    assert discriminator_loss(sure, sure).isfinite()
    assert generator_loss(sure).isfinite()


def test_power_iteration_finds_singular_value_and_its_gradient_in_a_stack():
    W = draw(3, 7, 5, seed=2).requires_grad_()
    v = power_iteration(W.detach(), F.normalize(draw(3, 5, 1, seed=3), dim=1), 2000)
    ours = largest_stretch(W, v)
    theirs = torch.linalg.svdvals(W)[:, 0]
    assert torch.allclose(ours.flatten(), theirs)
    got, expected = (torch.autograd.grad(s.sum(), W)[0] for s in (ours, theirs))
    assert torch.allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("make", [lambda: nn.Linear(9, 7), lambda: nn.Conv2d(3, 8, 3)])
def test_spectral_norm_equals_pytorchs_after_convergence(make):
    seed_everything(4)
    ours, theirs = make().double(), make().double()
    theirs.load_state_dict(ours.state_dict())
    x = draw(2, 9, seed=5) if isinstance(ours, nn.Linear) else draw(2, 3, 6, 6, seed=5)
    parametrize.register_parametrization(ours, "weight", SpectralNorm(ours.weight))
    parametrizations.spectral_norm(theirs)
    for _ in range(800):
        outputs = ours(x), theirs(x)
    assert torch.allclose(*outputs, atol=1e-7)
    c = draw(*outputs[0].shape, seed=6)
    gradients = []
    for layer, output in zip((ours, theirs), outputs):
        (output * c).sum().backward()
        gradients.append(layer.parametrizations.weight.original.grad)
    assert gradients[0].abs().sum() > 0
    assert torch.allclose(*gradients, atol=1e-6)


def test_spectral_norm_stands_still_in_evaluation_mode():
    norm = SpectralNorm(draw(5, 4, seed=7)).eval()
    before = norm.v.clone()
    norm(draw(5, 4, seed=8))
    assert torch.equal(norm.v, before)


def test_matrix_root_is_symmetric_and_right_even_where_singular():
    A = draw(6, 3, seed=9)
    S = A @ A.T
    R = matrix_root(S)
    assert torch.allclose(R @ R, S)
    assert torch.allclose(R, R.T)


def test_frechet_distance_equals_scipys():
    a, b = draw(80, 5, seed=10) @ draw(5, 5, seed=11), draw(60, 5, seed=12) + 0.5
    S1, S2 = torch.cov(a.T), torch.cov(b.T)
    root = linalg.sqrtm((S1 @ S2).numpy()).real
    expected = (a.mean(0) - b.mean(0)).square().sum() + (S1 + S2).trace() - 2 * root.trace()
    assert frechet_distance(a, b) == pytest.approx(expected.item(), abs=1e-8)
    assert frechet_distance(b, a) == pytest.approx(expected.item(), abs=1e-8)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(a, a + 2) == pytest.approx(5 * 4, abs=1e-8)


def test_frechet_distance_of_one_feature():
    a, b = draw(50, 1, seed=13), 3 * draw(70, 1, seed=14) + 1
    expected = (a.mean() - b.mean()) ** 2 + (a.std() - b.std()) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected.item())


@pytest.mark.parametrize("shape", [(5,), (1, 3), (5, 4)])
def test_frechet_distance_names_shapes_that_do_not_fit(shape):
    with pytest.raises(ValueError, match=r"expected \(n, d\) and \(m, d\), got"):
        frechet_distance(torch.zeros(shape), torch.zeros(6, 3))


def test_one_step_is_the_optimizers():
    w = torch.ones(2, requires_grad=True)
    sgd = torch.optim.SGD([w], lr=0.1)
    for _ in range(2):  # the gradient of the first step is forgotten
        one_step(sgd, (w * torch.tensor([1.0, 2.0])).sum())
    assert torch.allclose(w, torch.tensor([0.8, 0.6]))


def test_the_networks_shapes_and_range():
    seed_everything(15)
    G, D = DigitGenerator(noise=7, width=4), DigitDiscriminator(width=4)
    images = G(torch.randn(6, 7))
    assert images.shape == (6, 1, 8, 8)
    assert images.min() >= 0
    assert images.max() <= 1
    assert D(images).shape == (6,)


def test_samples_follow_their_generator_and_do_not_depend_on_each_other():
    G = DigitGenerator(width=4)
    first, again = G.sample(5, generator(16)), G.sample(5, generator(16))
    assert torch.equal(first, again)
    assert not torch.equal(first, G.sample(5, generator(17)))
    assert not first.requires_grad
    assert torch.allclose(first[:2], G.sample(2, generator(16)), atol=1e-6)


def small_game(steps, seed=0, lr=4e-3):
    digits = data.load("digits", "train").pixels()
    seed_everything(18)
    G, D = DigitGenerator(width=4), DigitDiscriminator(width=4)
    return G, D, fit_gan(G, D, digits, steps=steps, lr=lr, size=16, seed=seed)


def test_fit_gan_trains_both_and_can_be_repeated():
    torch.set_num_threads(1)
    seed_everything(18)
    before = DigitGenerator(width=4).state_dict(), DigitDiscriminator(width=4).state_dict()
    G, D, history = small_game(5)
    for net, old in zip((G, D), before):
        assert all(not torch.equal(p, old[name]) for name, p in net.named_parameters())
    assert [row["step"] for row in history] == list(range(5))
    assert history == small_game(5)[2]
    assert history != small_game(5, seed=1)[2]


def test_fit_gan_stops_at_the_first_loss_that_is_not_finite():
    with pytest.raises(TrainingFailed):
        small_game(20, lr=float("inf"))


def test_the_judges_features_are_what_its_head_sees():
    digits = data.load("digits", "train")
    images, y = digits.pixels()[:300], digits.y[:300]
    judge = train_judge(images, y, epochs=2)
    assert isinstance(judge, ConvNet)
    assert not judge.training
    features = digit_features(judge, images[:9])
    assert features.dtype == torch.float64
    assert torch.allclose(judge.head(features.float()), judge(images[:9]), atol=1e-5)
