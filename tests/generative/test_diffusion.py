"""Diffusion: schedules, steps, targets and layers against exact answers and plain formulas."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal

from dlbook_utils.generative.diffusion import (
    DenoisingUNet,
    Mixture,
    MLPsSideBySide,
    TimedBlock,
    add_noise,
    class_mixtures,
    column,
    cosine_schedule,
    data_from,
    denoiser,
    fit_diffusion,
    follow,
    go_back,
    linear_schedule,
    precision_coverage,
    sliced_distance,
    step_back,
    target_of,
    wave_features,
    with_level,
)
from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.page.guards import TrainingFailed

KINDS = ["noise", "data", "velocity"]


def shaken(module, seed=0):
    """Give every weight of a module a random non-zero value, and double precision."""
    g = generator(seed)
    module = module.double()
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(0.3 * torch.randn(p.shape, generator=g, dtype=p.dtype))
    return module


@pytest.mark.parametrize("schedule", [linear_schedule, cosine_schedule])
def test_schedules_fall_from_one_to_almost_nothing(schedule):
    abar = schedule()
    assert abar.shape == (1001,)
    assert abar.dtype == torch.float64
    assert abar[0] == 1
    assert (abar.diff() < 0).all()
    assert 0 < abar[-1] < 1e-4


def test_schedules_have_the_published_values():
    assert linear_schedule()[1].item() == pytest.approx(1 - 1e-4)
    step = linear_schedule()[1000] / linear_schedule()[999]
    assert step.item() == pytest.approx(0.98)
    expected = torch.cos(torch.tensor(0.508 / 1.008 * torch.pi / 2)) ** 2
    start = torch.cos(torch.tensor(0.008 / 1.008 * torch.pi / 2)) ** 2
    assert cosine_schedule()[500].item() == pytest.approx((expected / start).item(), rel=1e-5)


@pytest.mark.parametrize("target", KINDS)
def test_each_target_leads_back_to_the_data(target):
    g = generator(0)
    x0, eps = torch.randn(2, 50, 3, 2, 2, generator=g, dtype=torch.float64)
    a = column(linear_schedule()[torch.randint(1, 900, (50,), generator=g)], x0)
    assert a.shape == (50, 1, 1, 1)
    x = add_noise(x0, eps, a)
    out = target_of(target, x0, eps, a)
    assert torch.allclose(data_from(target, out, x, a), x0, atol=1e-9)


def test_an_unknown_target_is_refused():
    one = torch.ones(1)
    with pytest.raises(KeyError, match="score"):
        target_of("score", one, one, one)


def test_a_step_is_drawn_from_the_posterior():
    a, b = torch.tensor([0.3, 0.7], dtype=torch.float64)
    x, x0 = torch.tensor([0.4, -1.1], dtype=torch.float64)
    grid = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    log_p = Normal(b.sqrt() * x0, (1 - b).sqrt()).log_prob(grid)
    p = (log_p + Normal((a / b).sqrt() * grid, (1 - a / b).sqrt()).log_prob(x)).softmax(0)
    mean = p @ grid
    still = step_back(x, x0, a, b, eta=1.0)
    assert still.item() == pytest.approx(mean.item(), rel=1e-6)
    moved = step_back(x, x0, a, b, eta=1.0, z=1.0) - still
    assert moved.item() == pytest.approx((p @ (grid - mean) ** 2).sqrt().item(), rel=1e-6)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_with_the_true_data_every_eta_keeps_the_marginals(eta):
    g, n = generator(1), 200_000
    a, b = torch.tensor([0.2, 0.6])
    x0, eps, z = 1.3 * torch.ones(n), *torch.randn(2, n, generator=g)
    x = step_back(add_noise(x0, eps, a), x0, a, b, eta, z)
    assert x.mean().item() == pytest.approx((b.sqrt() * 1.3).item(), abs=0.01)
    assert x.var().item() == pytest.approx(1 - b.item(), abs=0.01)


def test_the_last_step_says_the_guess_and_none_goes_wrong():
    one, x = torch.ones(()), torch.randn(4, 2, generator=generator(2))
    guess = torch.zeros(4, 2) + 0.25
    assert torch.allclose(step_back(x, guess, torch.tensor(0.9), one, 1.0, 1.0), guess)
    up = step_back(x, guess, torch.tensor(0.9), torch.tensor(0.5))
    assert up.isfinite().all()


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_an_exact_denoiser_brings_back_a_gaussian(eta):
    abar, m, s = linear_schedule(), 0.7, 0.4

    def exact(x, t):
        a = abar[t].to(x)
        return m + a.sqrt() * s**2 / (a * s**2 + 1 - a) * (x - a.sqrt() * m)

    g = generator(3)
    x = go_back(exact, torch.randn(20_000, 1, generator=g), abar, 400, eta, g)
    assert x.mean().item() == pytest.approx(m, abs=0.02)
    assert x.std().item() == pytest.approx(s, abs=0.02)
    start = torch.randn(5, 1, generator=generator(4))
    assert torch.equal(*(go_back(exact, start, abar, 10) for _ in range(2)))


def test_waves_tell_levels_apart():
    waves = wave_features(torch.linspace(0, 1, 1001), 16)
    assert waves.shape == (1001, 16)
    assert waves.abs().max() <= 1
    assert torch.pdist(waves).min() > 0.1


def test_a_block_equals_its_formula_forward_and_backward():
    block = shaken(TimedBlock(8, 16, 5))
    h = torch.randn(2, 8, 4, 4, generator=generator(5), dtype=torch.float64, requires_grad=True)
    e = torch.randn(2, 5, generator=generator(6), dtype=torch.float64, requires_grad=True)
    got = block(h, e)

    def normed(x, norm):  # groups of all sizes by hand
        parts = x.reshape(len(x), 8, -1)
        y = (parts - parts.mean(2, keepdim=True)) / (
            parts.var(2, unbiased=False, keepdim=True) + 1e-5
        ).sqrt()
        y = y.reshape(x.shape)
        return norm.weight[:, None, None] * y + norm.bias[:, None, None]

    def silu(x):
        return x / (1 + (-x).exp())

    r = F.conv2d(silu(normed(h, block.norm1)), block.conv1.weight, block.conv1.bias, padding=1)
    r = r + (e @ block.tell.weight.T + block.tell.bias)[:, :, None, None]
    r = F.conv2d(silu(normed(r, block.norm2)), block.conv2.weight, block.conv2.bias, padding=1)
    skip = torch.einsum("mc,nchw->nmhw", block.skip.weight[:, :, 0, 0], h)
    wanted = r + skip + block.skip.bias[:, None, None]
    assert torch.allclose(got, wanted)
    up = torch.randn(got.shape, generator=generator(7), dtype=torch.float64)
    inputs = [h, e, *block.parameters()]
    ours = torch.autograd.grad((got * up).sum(), inputs)
    theirs = torch.autograd.grad((wanted * up).sum(), inputs)
    for u, v in zip(ours, theirs, strict=True):
        assert u.abs().sum() > 0
        assert torch.allclose(u, v)


def test_a_fresh_block_passes_its_input_on():
    seed_everything(0)
    block = TimedBlock(8, 8, 4)
    h = torch.randn(2, 8, 4, 4)
    nn.init.zeros_(block.conv2.bias)
    assert torch.equal(block(h, torch.randn(2, 4)), h)


def test_the_unet_uses_picture_level_label_and_skip():
    net = shaken(DenoisingUNet(c=2, width=8, classes=3, d=8))
    x = torch.randn(4, 2, 6, 8, generator=generator(8), dtype=torch.float64)
    t, y = torch.tensor([1, 500, 900, 1000]), torch.tensor([0, 1, 2, 0])
    out = net(x, t, y)
    assert out.shape == x.shape
    assert not torch.allclose(out, net(x, t.flip(0), y))
    assert not torch.allclose(out, net(x, t, y.flip(0) + 1))
    untold = torch.full((4,), 3)
    assert torch.equal(net(x, t), net(x, t, untold))
    assert torch.allclose(net(x, torch.tensor(7)), net(x, torch.full((4,), 7)))
    one = net(x[1:2], t[1:2], y[1:2])
    assert torch.allclose(out[1:2], one)  # no picture sees another
    grads = torch.autograd.grad(out.sum(), list(net.parameters()))
    assert all(g.abs().sum() > 0 for g in grads)


def test_guidance_is_an_affine_mixture_whatever_is_mixed():
    abar, y = cosine_schedule(), torch.tensor([0, 2, 1])
    net = shaken(DenoisingUNet(c=1, width=8, classes=3, d=8))
    x = torch.randn(3, 1, 4, 4, generator=generator(9), dtype=torch.float64)
    t = torch.tensor(400)
    for target in KINDS:
        free, told, far = (denoiser(net, abar, target, y, scale)(x, t) for scale in (0.0, 1.0, 3.0))
        assert torch.allclose(far, free + 3 * (told - free))
        assert torch.allclose(free, denoiser(net, abar, target)(x, t))


class Line(nn.Module):
    """A linear denoiser for numbers, without a level."""

    classes = 0

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))

    def forward(self, x, t, y=None):
        return self.w * x


def test_training_finds_the_best_linear_denoiser_and_leaves_the_data():
    abar = torch.tensor([1.0, 0.5], dtype=torch.float64)  # one level
    x = 2 * torch.randn(5000, 1, generator=generator(10))
    before = x.clone()
    net, losses = fit_diffusion(Line(), x, abar=abar, steps=800, target="data", size=256, lr=0.02)
    best = 0.5**0.5 * 4 / (0.5 * 4 + 0.5)  # covariance over variance
    assert net.w.item() == pytest.approx(best, abs=0.03)
    assert len(losses) == 800
    assert losses[-1] < losses[0]
    assert torch.equal(x, before)
    assert not net.w.requires_grad


def test_training_is_repeatable_and_stops_at_nan():
    abar, x = cosine_schedule(), torch.randn(64, 1, 4, 4, generator=generator(11))
    y = torch.arange(64) % 3
    results = []
    for _ in range(2):
        seed_everything(1)
        net = DenoisingUNet(width=8, classes=3, d=8)
        results.append(fit_diffusion(net, x, y, abar=abar, steps=3, size=8, seed=5)[1])
    assert results[0] == results[1]
    with pytest.raises(TrainingFailed, match="step 1"):
        fit_diffusion(Line(), x * torch.nan, abar=abar, steps=2, target="data")


def test_an_average_follows():
    a, b = Line(), Line()
    nn.init.constant_(b.w, 1.0)
    for _ in range(3):
        follow(a, b, 0.9)
    assert a.w.item() == pytest.approx(1 - 0.9**3)


def test_precision_and_coverage_on_a_line():
    real = torch.arange(10.0)[:, None]  # with k = 1 each ball reaches to the neighbours
    assert precision_coverage(real, real, k=1) == (1.0, 1.0)
    fake = torch.tensor([[0.2], [0.4], [50.0], [60.0]])
    near, met = precision_coverage(fake, real, k=1)
    assert near == 0.5
    assert met == pytest.approx(0.2)  # the balls around 0 and 1


@pytest.mark.parametrize("parts", [1, 3])
def test_class_mixtures_have_the_mean_of_each_class(parts):
    g = generator(20)
    y = torch.arange(400) % 10
    means = 0.2 + 0.6 * torch.rand(10, 1, 2, 2, generator=g)
    images = (means[y] + 0.05 * torch.randn(400, 1, 2, 2, generator=g)).clamp(0, 1)
    drawn = class_mixtures(images, y, 2000, parts)
    assert drawn.shape == (2000, 1, 2, 2)
    assert drawn.dtype == images.dtype
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    for k, part in enumerate(drawn.chunk(10)):
        assert torch.allclose(part.mean(0), images[y == k].mean(0), atol=0.02)
    assert torch.equal(drawn, class_mixtures(images, y, 2000, parts))
    assert not torch.equal(drawn, class_mixtures(images, y, 2000, parts, seed=1))


def two_parts():
    means = torch.tensor([[1.0, 0.0], [-1.0, 0.5]])
    return Mixture(means, torch.tensor([3.0, 1.0]), spread=0.3)


def test_a_mixture_has_the_density_and_the_moments_it_says():
    mixture, a = two_parts(), torch.tensor(0.6, dtype=torch.float64)
    x = torch.randn(5, 2, generator=generator(0), dtype=torch.float64)
    deviation = (a * 0.3**2 + 1 - a).sqrt()
    parts = [
        w * Normal(a.sqrt() * m.double(), deviation).log_prob(x).sum(1).exp()
        for w, m in zip((0.75, 0.25), mixture.means, strict=True)
    ]
    torch.testing.assert_close(mixture.log_parts(x, a).logsumexp(1).exp(), sum(parts))
    drawn = mixture.sample(40_000, generator(1))
    assert (drawn.mean(0) - torch.tensor([0.5, 0.125])).abs().max() < 0.03
    assert (drawn.var(0) - torch.tensor([0.84, 0.136875])).abs().max() < 0.03


def test_a_mixtures_denoiser_is_the_mean_of_clean_given_noisy_by_tweedie():
    mixture, a = two_parts(), torch.tensor(0.6, dtype=torch.float64)
    x = torch.randn(5, 2, generator=generator(0), dtype=torch.float64).requires_grad_()
    (score,) = torch.autograd.grad(mixture.log_parts(x, a).logsumexp(1).sum(), x)
    guess = (x + (1 - a) * score) / a.sqrt()
    torch.testing.assert_close(mixture.denoise(x.detach(), a), guess.detach())


def test_sliced_distance_is_zero_for_one_cloud_and_the_shift_on_a_line():
    x = torch.randn(200, 3, generator=generator(0))
    assert sliced_distance(x, x[torch.randperm(200)], generator(1)) < 1e-6
    assert sliced_distance(x[:, :1], x[:, :1] + 2, generator(1)) == pytest.approx(2, rel=1e-5)


def test_networks_side_by_side_are_networks_one_by_one():
    seed_everything(0)
    many = MLPsSideBySide(3, [4, 5, 2])
    with torch.no_grad():
        for b in many.b:
            b.normal_()
    h = torch.randn(3, 7, 4, generator=generator(1), requires_grad=True)
    for k in range(3):
        hidden = F.silu(h[k] @ many.W[0][k] + many.b[0][k])
        alone = hidden @ many.W[1][k] + many.b[1][k]
        torch.testing.assert_close(many(h)[k], alone)
        ours, theirs = (torch.autograd.grad(out.sum(), h)[0] for out in (many(h)[k], alone))
        torch.testing.assert_close(ours, theirs)


def test_levels_are_appended_as_waves():
    x, t = torch.zeros(2, 3, 2), torch.arange(6.0).view(2, 3) * 100
    out = with_level(x, t)
    assert out.shape == (2, 3, 18)
    torch.testing.assert_close(out[1, 2, 2:], wave_features(torch.tensor([0.5]), 16)[0])
