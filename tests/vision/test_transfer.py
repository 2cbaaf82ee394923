"""Weights moved by name, layers that stay as they are, rates by depth, readouts.

Against PyTorch and scikit-learn: values and gradients; what is refused; what is left untouched.
"""

import io

import pytest
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import nn

from dlbook_utils.page import generator
from dlbook_utils.vision.transfer import (
    Frozen,
    fit_from,
    fit_readout,
    rate_groups,
    transplant,
)


def small_net(seed, classes=3):
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    net = nn.Module()
    net.body, net.head = body, nn.Linear(64, classes)
    net.forward = lambda x: net.head(net.body(x))
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return net


def pictures(n=12, seed=0):
    return torch.randn(n, 1, 6, 6, generator=generator(seed))


def test_the_end_of_gradient_descent_is_the_nearest_solution():
    X, y = torch.randn(2, 8, 20, generator=generator(1)).double(), None
    X, start = X[0], X[1][0]
    y = torch.randn(8, generator=generator(2)).double()
    end = fit_from(start, X, y)
    w = start.clone().requires_grad_()
    sgd = torch.optim.SGD([w], 0.02)
    for _ in range(20_000):
        loss = (y - X @ w).square().sum() / 2
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    assert torch.allclose(w.detach(), end, atol=1e-6)
    assert torch.allclose(X @ end, y)
    reference = torch.linalg.lstsq(X, y - X @ start, driver="gelsd").solution
    assert torch.allclose(end, start + reference)


def test_the_end_is_differentiable_in_its_start():
    X = torch.randn(4, 6, generator=generator(1)).double()
    y, start = torch.randn(4).double(), torch.randn(6).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: fit_from(s, X, y), start)


def test_with_enough_examples_the_start_does_not_matter():
    X = torch.randn(30, 6, generator=generator(1)).double()
    y = torch.randn(30, generator=generator(2)).double()
    ends = [fit_from(k * torch.ones(6).double(), X, y) for k in (0, 5)]
    assert torch.allclose(*ends)


def test_transplanting_is_what_load_state_dict_does_to_the_body():
    ours, theirs, donor = small_net(1), small_net(1), small_net(2, classes=7)
    donor.body(pictures(50))  # statistics of its own
    assert transplant(ours, donor.state_dict(), skip=["head."]) == 7
    body = {k: w for k, w in donor.state_dict().items() if not k.startswith("head.")}
    report = theirs.load_state_dict(body, strict=False)
    assert report.missing_keys == ["head.weight", "head.bias"]
    assert not report.unexpected_keys
    grads = []
    for net in (ours, theirs):
        loss = F.cross_entropy(net.forward(pictures()), torch.arange(12) % 3)
        grads.append(torch.autograd.grad(loss, [*net.parameters()]))
    assert all(map(torch.equal, *grads))
    assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))


def test_transplanted_weights_are_copies():
    ours, donor = small_net(1), small_net(2)
    transplant(ours, donor.state_dict())
    with torch.no_grad():
        ours.head.bias += 1
    assert not torch.equal(ours.head.bias, donor.head.bias)


def test_half_a_transplant_is_none():
    net, donor = small_net(1), small_net(2)
    before = {k: w.clone() for k, w in net.state_dict().items()}
    prefixed = {f"module.{k}": w for k, w in donor.state_dict().items()}
    with pytest.raises(ValueError, match=r"body\.0\.bias.*module\.body\.0\.bias"):
        transplant(net, prefixed)
    short = {k: w for k, w in donor.state_dict().items() if k != "body.1.running_var"}
    with pytest.raises(ValueError, match=r"body\.1\.running_var"):
        transplant(net, short, skip=["head."])
    with pytest.raises(ValueError, match=r"head\.(weight|bias).*7"):
        transplant(net, small_net(3, classes=7).state_dict())
    with pytest.raises(ValueError, match="nothing copied"):
        transplant(net, donor.state_dict(), skip=[""])
    assert all(torch.equal(w, before[k]) for k, w in net.state_dict().items())


def test_a_skip_that_skips_nothing_is_refused():
    net, donor = small_net(1), small_net(2)
    before = {k: w.clone() for k, w in net.state_dict().items()}
    with pytest.raises(ValueError, match="no name begins with 'haed"):
        transplant(net, donor.state_dict(), skip=["haed."])
    with pytest.raises(TypeError, match="'head"):
        transplant(net, donor.state_dict(), skip="head.")
    assert all(torch.equal(w, before[k]) for k, w in net.state_dict().items())


def test_what_is_frozen_stays_as_it_is_and_lets_gradients_through():
    net = small_net(1)
    net.body = Frozen(net.body)
    before = {k: w.clone() for k, w in net.body.state_dict().items()}
    net.train()
    assert net.head.training
    assert not any(m.training for m in net.body.modules())
    x = pictures().requires_grad_()
    loss = F.cross_entropy(net.forward(x), torch.arange(12) % 3)
    loss.backward()
    assert all(torch.equal(w, before[k]) for k, w in net.body.state_dict().items())
    assert all(p.grad is None for p in net.body.parameters())
    assert net.head.weight.grad.abs().sum() > 0
    assert x.grad.abs().sum() > 0
    features = net.body(pictures()).detach()
    wanted = torch.autograd.grad(
        F.cross_entropy(net.head(features), torch.arange(12) % 3), [*net.head.parameters()]
    )
    assert all(map(torch.equal, [p.grad for p in net.head.parameters()], wanted))


def test_rates_fall_with_depth():
    layers = [nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Linear(2, 1)]
    layers[0].bias.requires_grad_(False)
    groups = rate_groups(layers, 0.1, 0.5)
    assert [g["lr"] for g in groups] == pytest.approx([0.1, 0.05, 0.0125])
    assert [len(g["params"]) for g in groups] == [2, 2, 1]
    net = nn.Sequential(*layers)
    before = [p.clone() for p in net.parameters()]
    net(torch.ones(3, 2)).square().sum().backward()
    torch.optim.SGD(groups).step()
    for rate, layer in zip((0.0125, 0.05, 0.1), (layers[0], layers[2], layers[3])):
        for p in layer.parameters():
            (was,) = (b for b, q in zip(before, net.parameters()) if q is p)
            moved = 0 if p.grad is None else rate * p.grad
            assert torch.allclose(p, was - moved)


@pytest.mark.parametrize(
    ("rate", "factor"), [(0, 0.5), (-1, 1), (float("inf"), 1), (0.1, 0), (0.1, 1.5)]
)
def test_rates_that_are_none_are_refused(rate, factor):
    with pytest.raises(ValueError, match=str(rate)):
        rate_groups([nn.Linear(1, 1)], rate, factor)


def test_the_readout_is_scikit_learns():
    X = 3 + 2 * torch.randn(60, 5, generator=generator(1)).double()
    y = (X[:, 0] + X[:, 1] > 6).long() + (X[:, 2] > 4).long()
    head = fit_readout(X, y, 3, decay=0.1)
    U = (X - X.mean(0)) / X.std(0, correction=0)
    theirs = LogisticRegression(C=1 / (0.1 * len(X)), tol=1e-10, max_iter=1000).fit(U, y)
    wanted = torch.tensor(theirs.predict_proba(U))
    assert torch.allclose(head(X).softmax(1), wanted, atol=1e-4)
    assert not any(p.requires_grad for p in head.parameters())


def test_the_readout_does_not_depend_on_the_unit():
    X = torch.randn(20, 4, generator=generator(1)).double()
    X[:, 2] = 3.0  # a feature that tells nothing apart
    y = torch.arange(20) % 3
    head, small = fit_readout(X, y, 3), fit_readout(1e-5 * X, y, 3)
    probabilities = head(X).softmax(1), small(1e-5 * X).softmax(1)
    assert torch.allclose(*probabilities, atol=1e-4)
    flat = fit_readout(torch.ones(6, 2), y[:6], 3)
    assert torch.allclose(flat(torch.ones(6, 2)).softmax(1), torch.tensor(1 / 3), atol=1e-3)


def test_a_readout_survives_saving():
    X, y = torch.randn(20, 4, generator=generator(1)), torch.arange(20) % 2
    head, file = fit_readout(X, y, 2), io.BytesIO()
    torch.save(head.state_dict(), file)
    file.seek(0)
    other = nn.Linear(4, 2)
    transplant(other, torch.load(file))
    assert torch.equal(other(X), head(X))


def test_bad_readouts_are_refused():
    X, y = torch.randn(6, 4), torch.arange(6) % 3
    with pytest.raises(ValueError, match="decay is positive, got 0"):
        fit_readout(X, y, 3, decay=0)
    with pytest.raises(ValueError, match="classes"):
        fit_readout(X, y, 2)
    with pytest.raises(ValueError, match="5"):
        fit_readout(X, y[:5], 3)
