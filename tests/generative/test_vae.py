"""The variational autoencoder: against torch.distributions, a grid, and the exact linear model."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from dlbook_utils.generative.vae import (
    VAE,
    elbo_terms,
    fit_vae,
    kl_gaussians,
    log_normal,
    reparameterise,
    train_vae,
)
from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.page.guards import TrainingFailed


def normals(n=4, size=6, seed=0):
    return torch.randn(n, size, generator=generator(seed), dtype=torch.float64).unbind()


def pictures(n=48, seed=0):
    """Smooth pictures (n, 1, 8, 8) with two hidden numbers behind them."""
    z = torch.randn(n, 2, generator=generator(seed))
    wave = torch.linspace(0, 3, 64)
    return (z @ torch.stack([wave.sin(), wave.cos()])).sigmoid().view(n, 1, 8, 8)


def small(codes=3, dtype=torch.float64, **options):
    seed_everything(1)
    model = VAE(codes, hidden=(10,), **options).to(dtype)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator(2), dtype=dtype))
    return model


def test_kl_equals_pytorchs_in_value_and_gradient():
    ours_in = [v.clone().requires_grad_() for v in normals()]
    theirs_in = [v.clone().requires_grad_() for v in normals()]
    ours = kl_gaussians(*ours_in)
    m, log_v, m2, log_v2 = theirs_in
    theirs = kl_divergence(Normal(m, (log_v / 2).exp()), Normal(m2, (log_v2 / 2).exp()))
    assert torch.allclose(ours, theirs)
    for a, b in zip(
        torch.autograd.grad(ours.sum(), ours_in), torch.autograd.grad(theirs.sum(), theirs_in)
    ):
        assert torch.allclose(a, b)


def test_kl_to_the_prior_is_zero_only_at_the_prior():
    m, log_v, *_ = normals()
    assert torch.equal(kl_gaussians(torch.zeros(3), torch.zeros(3)), torch.zeros(3))
    assert (kl_gaussians(m, log_v) > 0).all()
    one = kl_gaussians(torch.tensor(1.0), torch.tensor(0.25).log())
    assert one.item() == pytest.approx(1 / 8 + math.log(2))


def test_log_normal_equals_pytorchs():
    x, m, log_v, _ = normals()
    assert torch.allclose(log_normal(x, m, log_v), Normal(m, (log_v / 2).exp()).log_prob(x))


def test_draws_have_mean_variance_and_a_path():
    m = torch.tensor([2.0, -1.0]).requires_grad_()
    log_v = torch.tensor([0.5, -2.0]).requires_grad_()
    eps = torch.randn(200_000, 2, generator=generator(3))
    z = reparameterise(m, log_v, eps)
    assert torch.allclose(z.mean(0), m, atol=0.02)
    assert torch.allclose(z.var(0), log_v.exp(), rtol=0.03)
    by_m, by_log_v = torch.autograd.grad(z[:7].sum(), (m, log_v))
    assert torch.allclose(by_m, torch.full((2,), 7.0))
    assert torch.allclose(by_log_v, 0.5 * (0.5 * log_v).exp() * eps[:7].sum(0))


def test_the_bound_and_its_gradients_equal_those_of_torch_distributions():
    model, x = small(), pictures(5).double()
    eps = torch.randn(5, 3, generator=generator(4), dtype=torch.float64)
    log_p, kl = elbo_terms(model, x, eps)
    assert log_p.shape == (5,)
    assert kl.shape == (5, 3)
    m, log_v = model.encode(x)
    q = Normal(m, (log_v / 2).exp())
    pixel = Normal(model.decode(q.mean + q.stddev * eps), (model.log_v / 2).exp())
    theirs = pixel.log_prob(x).flatten(1).sum(1)
    their_kl = kl_divergence(q, Normal(torch.zeros_like(m), 1.0))
    assert torch.allclose(log_p, theirs)
    assert torch.allclose(kl, their_kl)
    parameters = list(model.parameters())
    a = torch.autograd.grad((log_p - kl.sum(1)).sum(), parameters)
    b = torch.autograd.grad((theirs - their_kl.sum(1)).sum(), parameters)
    assert all(torch.allclose(u, v) for u, v in zip(a, b))
    assert all(g.abs().max() > 0 for g in a)


def test_the_bound_is_the_evidence_where_q_is_the_posterior():
    """A linear decoder of one code: with the exact posterior every draw gives log p(x)."""
    model = VAE(1, hidden=(), squash=nn.Identity(), shape=(1, 1, 2), v=0.5).double()
    W, b = torch.tensor([[2.0], [1.0]]).double(), torch.tensor([0.1, -0.2]).double()
    M = (W.T @ W).item() + 0.5
    with torch.no_grad():
        decoder, encoder = model.decoder.layers[0], model.encoder.layers[0]
        decoder.weight.copy_(W)
        decoder.bias.copy_(b)
        encoder.weight.copy_(torch.cat([W.T / M, torch.zeros(1, 2)]))
        encoder.bias.copy_(torch.tensor([-(W.T @ b).item() / M, math.log(0.5 / M)]))
        x = torch.randn(4, 1, 1, 2, generator=generator(5), dtype=torch.float64)
        eps = torch.randn(4, 1, generator=generator(6), dtype=torch.float64)
        m, log_v = model.encode(x)
        z = reparameterise(m, log_v, eps)
        zero = torch.zeros(())
        joint = model.log_p(x, z) + log_normal(z, zero, zero)[:, 0]
        evidence = joint - log_normal(z, m, log_v)[:, 0]
        exact = torch.distributions.MultivariateNormal(b, W @ W.T + 0.5 * torch.eye(2))
    assert torch.allclose(evidence, exact.log_prob(x.flatten(1)))


def test_training_climbs_the_bound_and_repeats_itself():
    x = pictures()
    runs = []
    for _ in range(2):
        seed_everything(0)
        model = VAE(2, hidden=(16,))
        runs.append(train_vae(model, x, 20, 3, size=16))
    history = runs[0]
    assert history == runs[1]
    assert [row["epoch"] for row in history] == list(range(1, 21))
    bound = [row["log_p"] - row["kl"] for row in history]
    assert bound[-1] > bound[0] + 5


def test_a_heavy_price_kills_the_codes_and_a_floor_keeps_them():
    x = pictures()
    rates = {}
    for name, options in {"dear": {"beta": 100.0}, "floor": {"beta": 100.0, "floor": 0.5}}.items():
        seed_everything(0)
        rates[name] = train_vae(VAE(2, hidden=(16,)), x, 40, size=16, **options)[-1]["kl"]
    assert rates["dear"] < 0.05
    assert 0.8 < rates["floor"] < 1.5


def test_a_fixed_variance_stays():
    model = small(dtype=torch.float32, v=0.5)
    model.log_v.requires_grad_(False)
    before = model.log_v.item()
    train_vae(model, pictures(), 2)
    assert model.log_v.item() == before


def test_fit_vae_samples_images_and_keeps_its_seed():
    x = pictures()
    model = fit_vae(x, 2, 2, seed=4)
    images = model.sample(7, generator(8))
    assert not model.training
    assert images.shape == (7, 1, 8, 8)
    assert images.min() >= 0
    assert images.max() <= 1
    assert torch.equal(images, fit_vae(x, 2, 2, seed=4).sample(7, generator(8)))
    assert not torch.equal(images, fit_vae(x, 2, 2, seed=5).sample(7, generator(8)))


def test_wrong_shapes_and_broken_data_are_named():
    with pytest.raises(ValueError, match=r"expected images .*8, 8.*got \(5, 64\)"):
        small().encode(torch.zeros(5, 64).double())
    with pytest.raises(TrainingFailed):
        fit_vae(pictures() * torch.nan, 2, 1)
