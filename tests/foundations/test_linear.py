"""The training loop against a naive one; intervals against enumeration, bisection and scipy."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import optimize, stats
from torch import nn

from dlbook_utils.foundations.linear import batches, evaluate, fit, mean_interval, wilson
from dlbook_utils.page.devices import generator

N, D, K = 37, 5, 3


def problem(seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(N, D, generator=g, dtype=torch.float64)
    return x, (x @ torch.randn(D, K, generator=g, dtype=torch.float64)).argmax(1)


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(D, 8), nn.Tanh(), nn.Linear(8, K)).double()


def trained(seed=0, **options):
    net = network()
    options = {"epochs": 4, "size": 8} | options
    optimizer = options.pop("optimizer", torch.optim.SGD)(net.parameters(), lr=0.2)
    history = fit(net, problem(), problem(1), optimizer=optimizer, seed=seed, **options)
    return net, history


@pytest.mark.parametrize(("n", "size"), [(10, 3), (9, 3), (2, 5), (1, 1)])
@pytest.mark.parametrize("shuffle", [None, 0])
def test_batches_cover_every_index_once(n, size, shuffle):
    drawn = list(batches(n, size, None if shuffle is None else generator(shuffle)))
    assert sorted(torch.cat(drawn).tolist()) == list(range(n))
    assert [len(idx) for idx in drawn[:-1]] == [size] * (len(drawn) - 1)
    assert 1 <= len(drawn[-1]) <= size


def test_batches_without_a_generator_are_in_order():
    assert torch.cat(list(batches(7, 2))).tolist() == list(range(7))


def test_batches_are_shuffled_anew_and_reproducibly():
    shuffle = generator(3)
    first, second = (torch.cat(list(batches(50, 7, shuffle))) for _ in range(2))
    assert not torch.equal(first, second)
    assert not torch.equal(first, torch.arange(50))
    assert torch.equal(first, torch.cat(list(batches(50, 50, generator(3)))))


def test_no_batches_of_no_size():
    with pytest.raises(ValueError, match="size must be 1 or more, got 0"):
        list(batches(5, 0))


@pytest.mark.parametrize("size", [1, 8, 36, 37, 1000])
def test_evaluate_equals_a_naive_computation(size):
    net, (x, y) = network(), problem()
    losses, hits = [], []
    for row, label in zip(x, y):
        z = net(row)
        losses.append(-(z[label] - z.exp().sum().log()).item())
        hits.append(int(z.argmax() == label))
    result = evaluate(net, x, y, size=size)
    assert result["loss"] == pytest.approx(sum(losses) / N, rel=1e-12)
    assert result["accuracy"] == sum(hits) / N
    assert set(result) == {"loss", "accuracy"}


def test_evaluate_real_targets_have_no_accuracy():
    x, _ = problem()
    net = nn.Linear(D, 1).double()
    result = evaluate(net, x, x[:, :1], loss=F.mse_loss, size=5)
    assert result == {"loss": pytest.approx(F.mse_loss(net(x), x[:, :1]).item(), rel=1e-12)}


def test_evaluate_sequences_count_every_label():
    scores = torch.randn(6, 4, K, generator=generator(0))
    y = torch.randint(K, (6, 4), generator=generator(1))

    def loss(z, t):
        return F.cross_entropy(z.flatten(0, 1), t.flatten())

    result = evaluate(nn.Identity(), scores, y, loss=loss, size=4)
    assert result["accuracy"] == pytest.approx((scores.argmax(-1) == y).double().mean().item())
    assert result["loss"] == pytest.approx(loss(scores, y).item(), rel=1e-5)


def test_evaluate_turns_dropout_off_and_leaves_no_gradient():
    x, y = problem()
    net = nn.Sequential(nn.Dropout(0.5), network())
    net.train()
    assert evaluate(net, x, y) == evaluate(net, x, y)
    assert not net.training


def test_evaluate_builds_no_graph():
    graphs = []

    def loss(scores, y):
        graphs.append(scores.requires_grad)
        return F.cross_entropy(scores, y)

    evaluate(network(), *problem(), loss=loss)
    assert graphs == [False]


def test_fit_takes_the_steps_of_a_plain_loop():
    net, history = trained(seed=5)
    plain, (x, y), shuffle = network(), problem(), generator(5)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.2)
    for epoch in range(4):
        order, total = torch.randperm(N, generator=shuffle), 0.0
        for start in range(0, N, 8):
            idx = order[start : start + 8]
            loss = F.cross_entropy(plain(x[idx]), y[idx])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(idx)
        assert history[epoch]["train_loss"] == pytest.approx(total / N, rel=1e-12)
    for ours, theirs in zip(net.parameters(), plain.parameters()):
        assert torch.equal(ours, theirs)


def test_history_has_a_row_per_epoch():
    net, history = trained()
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert set(history[0]) == {"epoch", "train_loss", "valid_loss", "valid_accuracy"}
    final = evaluate(net, *problem(1))
    assert history[-1]["valid_loss"] == final["loss"]
    assert history[-1]["valid_accuracy"] == final["accuracy"]


def test_history_without_validation_data():
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    (row,) = fit(net, problem(), optimizer=optimizer, epochs=1)
    assert set(row) == {"epoch", "train_loss"}


def test_fit_is_reproducible_and_undisturbed_by_other_draws():
    net, history = trained(seed=1)
    torch.rand(100)  # the global generator moves on
    again, same = trained(seed=1)
    _, other = trained(seed=2)
    assert history == same
    assert history != other
    for a, b in zip(net.parameters(), again.parameters()):
        assert torch.equal(a, b)


def test_seed_offset_changes_the_order(monkeypatch):
    _, history = trained(seed=1)
    monkeypatch.setenv("DLBOOK_SEED_OFFSET", "1")
    _, shifted = trained(seed=1)
    assert history != shifted


def test_fit_learns():
    _, history = trained(epochs=60)
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    _, still = trained(epochs=60, optimizer=lambda p, lr: torch.optim.SGD(p, lr=0.0))
    assert still[-1]["valid_loss"] == still[0]["valid_loss"]


def test_fit_trains_in_training_mode_after_each_evaluation():
    modes = []

    class Spy(nn.Linear):
        def forward(self, x):
            modes.append(self.training)
            return super().forward(x)

    net = Spy(D, K, dtype=torch.float64)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    fit(net, problem(), problem(1), optimizer=optimizer, epochs=2, size=20)
    assert modes == [True, True, False, True, True, False]


def test_transform_is_applied_to_training_batches_only():
    x, y = problem()
    shapes = []

    def silence(batch):
        shapes.append(tuple(batch.shape))
        return 0 * batch

    net = nn.Linear(D, K, bias=False).double()
    before = net.weight.detach().clone()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    history = fit(net, (x, y), (x, y), optimizer=optimizer, epochs=1, size=20, transform=silence)
    assert shapes == [(20, D), (17, D)]
    assert torch.equal(net.weight, before)  # the model saw only zeros
    assert history[0]["train_loss"] == pytest.approx(torch.tensor(K).double().log().item())
    assert history[0]["valid_loss"] != pytest.approx(history[0]["train_loss"])


def test_fit_takes_any_loss_and_target():
    x, _ = problem()
    y = x @ torch.ones(D, 1, dtype=torch.float64)
    net = nn.Linear(D, 1).double()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
    history = fit(net, (x, y), (x, y), optimizer=optimizer, epochs=200, loss=F.mse_loss)
    assert set(history[0]) == {"epoch", "train_loss", "valid_loss"}
    assert history[0]["valid_loss"] > history[5]["valid_loss"] > 1e-4
    assert history[-1]["train_loss"] < 1e-6
    assert torch.allclose(net.weight, torch.ones(1, D, dtype=torch.float64), atol=1e-3)


def test_wilson_bounds_are_the_proportions_just_not_rejected():
    """Each bound solves |p_hat - p| = z sqrt(p (1 - p) / n), found here by bisection."""
    for correct, n in ((1, 10), (37, 50), (344, 360), (5, 6)):
        share = correct / n

        def gap(p, share=share, n=n):
            return (share - p) ** 2 - 1.96**2 * p * (1 - p) / n

        low = optimize.brentq(gap, 1e-12, share, xtol=1e-14)
        high = optimize.brentq(gap, share, 1 - 1e-12, xtol=1e-14)
        assert wilson(correct, n) == pytest.approx((low, high), abs=1e-10)


def test_wilson_against_scipy():
    for correct, n, level in ((0, 7, 0.95), (7, 7, 0.95), (12, 40, 0.99), (500, 501, 0.9)):
        z = stats.norm.ppf((1 + level) / 2)
        theirs = stats.binomtest(correct, n).proportion_ci(level, method="wilson")
        assert wilson(correct, n, z) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize("n", [20, 100, 360])
def test_wilson_covers_the_truth_about_as_often_as_it_says(n):
    p = np.linspace(0.02, 0.98, 481)
    ours = coverage(wilson, n, p)
    assert ours.mean() == pytest.approx(0.95, abs=0.01)
    assert ours.min() > 0.83
    assert ours.max() < 0.999
    assert coverage(textbook, n, p).min() < ours.min() - 0.04


def coverage(interval, n, p):
    """Return the exact chance (len(p),) that the interval contains p, by enumerating counts."""
    chance = stats.binom.pmf(np.arange(n + 1)[:, None], n, p)
    bounds = np.array([interval(k, n) for k in range(n + 1)])
    return (chance * ((bounds[:, :1] <= p) & (p <= bounds[:, 1:]))).sum(0)


def textbook(correct, n, z=1.96):
    p = correct / n
    half = z * math.sqrt(p * (1 - p) / n)
    return p - half, p + half


def test_wilson_stays_inside_and_never_has_length_zero():
    for n in (1, 3, 1000):
        for correct in (0, n):
            low, high = wilson(correct, n)
            assert 0 <= low < high <= 1
            assert low <= correct / n <= high


def test_wilson_is_symmetric_and_shrinks():
    low, high = wilson(3, 20)
    assert wilson(17, 20) == pytest.approx((1 - high, 1 - low))
    widths = [np.diff(wilson(9 * n, 10 * n))[0] for n in (1, 10, 100)]
    assert widths[0] > widths[1] > widths[2]


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(correct, n):
    with pytest.raises(ValueError, match=f"got {correct} of {n}"):
        wilson(correct, n)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
def test_mean_interval_against_scipy(level):
    values = [0.91, 0.94, 0.9, 0.97, 0.93]
    mean, half = mean_interval(values, level)
    low, high = stats.t.interval(level, len(values) - 1, np.mean(values), stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high), abs=1e-12)


def test_mean_interval_by_hand():
    """1 and 3: mean 2, standard error 1, and t with one degree of freedom is the Cauchy law."""
    mean, half = mean_interval([1, 3])
    assert mean == 2
    assert half == pytest.approx(math.tan(math.pi * 0.475))
    assert (type(mean), type(half)) == (float, float)


def test_mean_interval_takes_tensors_and_arrays():
    values = [0.25, 0.5, 1.0]
    assert mean_interval(torch.tensor(values)) == pytest.approx(mean_interval(values))
    assert mean_interval(np.array(values)) == pytest.approx(mean_interval(values))


def test_mean_interval_covers_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(3.0, 2.0, (4000, 5))
    hits = [abs(mean - 3.0) <= half for mean, half in map(mean_interval, draws)]
    assert np.mean(hits) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 4000))


@pytest.mark.parametrize("values", [[], [0.9], [[0.1, 0.2], [0.3, 0.4]]])
def test_mean_interval_refuses_too_few_values(values):
    with pytest.raises(ValueError, match="expected two numbers or more"):
        mean_interval(values)
