"""The classical rivals: HOG is scikit-image's, stumps are scikit-learn's; settings and networks."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.ensemble import GradientBoostingClassifier

from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.practice.classical import (
    CHOICES,
    best_stump,
    boost_stumps,
    boosted_scores,
    classical_model,
    draw_settings,
    gradient_cells,
    hog_features,
    rival_net,
    train_net,
    train_rival,
)

STEPS = 60


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def labelled(n=200, seed=0):
    X = draw(n, 4, seed=seed)
    y = X[:, 0] * X[:, 1] + X[:, 2] + 0.3 * draw(n, seed=seed + 1)
    return X, (y > 0).long()


@pytest.mark.parametrize(("cell", "block", "bins"), [(4, 2, 9), (7, 2, 9), (5, 2, 6), (4, 1, 12)])
def test_hog_is_scikit_images(cell, block, bins):
    hog = pytest.importorskip("skimage.feature").hog
    x = draw(5, 1, 30, 28).abs()
    theirs = [hog(p[0].numpy(), bins, (cell, cell), (block, block)) for p in x]
    ours = hog_features(x, cell, block, bins)
    assert torch.allclose(ours, torch.stack([*map(torch.from_numpy, theirs)]), atol=1e-6)


def test_a_ramp_has_one_direction_and_its_slope_as_size():
    rows = torch.arange(12.0).expand(12, 12)
    inner = gradient_cells(torch.stack([rows, rows.T])[:, None], 4, 9)[:, 1, 1]
    assert inner[0].tolist() == [2.0] + [0.0] * 8  # to the right: 0 degrees
    assert inner[1].tolist() == [0.0] * 4 + [2.0] + [0.0] * 4  # down: 90 degrees


def test_light_and_shadow_are_normalised_away():
    x = draw(3, 1, 16, 16).abs()
    assert torch.allclose(hog_features(x), hog_features(0.3 * x + 2), atol=1e-6)
    assert torch.allclose(hog_features(x), hog_features(1 - x), atol=1e-6)


def test_pictures_too_small_for_a_block_are_refused():
    with pytest.raises(ValueError, match=r"block must be in 1\.\.1, got 2"):
        hog_features(draw(2, 1, 7, 7))
    with pytest.raises(ValueError, match=r"pictures must have shape \(n, 1, h, w\), got"):
        hog_features(draw(2, 3, 8, 8))


def by_loops(X, r):
    best = (-1.0, 0, 0.0)
    for j in range(X.shape[1]):
        values = X[:, j].unique()
        for t in ((values[:-1] + values[1:]) / 2).tolist():
            sides = X[:, j] <= t, X[:, j] > t
            best = max(best, (sum((r[A].sum() ** 2 / A.sum()).item() for A in sides), j, t))
    return best[1:]


@pytest.mark.parametrize("seed", range(4))
def test_the_best_stump_is_that_of_the_loops_with_ties_in_the_columns(seed):
    X, r = draw(60, 3, seed=seed).round(decimals=1), draw(60, seed=seed + 9)
    ours, loops = best_stump(X, r), by_loops(X, r)
    assert ours[0] == loops[0]
    assert ours[1] == pytest.approx(loops[1])


def test_columns_without_two_values_cannot_be_split():
    with pytest.raises(ValueError, match=r"no column of X \(5, 2\) has two values"):
        best_stump(torch.ones(5, 2), torch.arange(5.0))
    with pytest.raises(ValueError, match="no column of X"):
        best_stump(torch.ones(1, 2), torch.ones(1))


@pytest.mark.parametrize(("rounds", "rate"), [(1, 0.5), (40, 0.2), (150, 0.1)])
def test_boosted_stumps_score_as_scikit_learns(rounds, rate):
    X, y = labelled()
    theirs = GradientBoostingClassifier(n_estimators=rounds, max_depth=1, learning_rate=rate)
    wanted = torch.from_numpy(theirs.fit(X, y).decision_function(X.numpy()))
    assert torch.allclose(boosted_scores(X, *boost_stumps(X, y, rounds, rate)), wanted)


def test_what_is_left_over_is_minus_the_gradient_and_each_stump_lowers_the_loss():
    X, y = labelled()
    z = draw(200, seed=5).requires_grad_()
    F.binary_cross_entropy_with_logits(z, y.double(), reduction="sum").backward()
    assert torch.allclose(y - z.detach().sigmoid(), -z.grad)
    first, stumps = boost_stumps(X, y, 20)
    losses = [
        F.binary_cross_entropy_with_logits(boosted_scores(X, first, stumps[:k]), y.double()).item()
        for k in range(21)
    ]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("y", [torch.zeros(9).long(), torch.arange(9) % 3])
def test_labels_that_are_not_two_are_refused(y):
    with pytest.raises(ValueError, match="expected labels 0 and 1"):
        boost_stumps(draw(9, 2), y, 3)


@pytest.mark.parametrize("name", CHOICES)
def test_settings_are_drawn_from_the_choices_and_repeat(name):
    settings = draw_settings(name, 12)
    assert settings == draw_settings(name, 12) != draw_settings(name, 12, seed=1)
    for key, among in CHOICES[name].items():
        values = [setting[key] for setting in settings]
        inside = (lambda v, a=among: a[0] <= v <= a[1]) if isinstance(among, tuple) else None
        assert all(map(inside, values)) if inside else set(values) <= set(among)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("X must be finite", lambda: best_stump(spoilt(9, 3), draw(9))),
        ("X must be finite", lambda: boost_stumps(spoilt(9, 3), torch.arange(9) % 2, 2)),
        (r"X must have shape \(n, d\), got \(9,\)",
         lambda: boost_stumps(draw(9), torch.arange(9) % 2, 2)),
        ("pictures must be finite", lambda: hog_features(spoilt(1, 1, 8, 8))),
        (r"a stump's column must be in 0\.\.2, got -1",
         lambda: boosted_scores(draw(9, 3), 0.0, [(-1, 0.0, 1.0, 2.0)])),
        ("rows that differ and a reach above 0, got 1",
         lambda: classical_model("SVM", torch.ones(9, 3), {"C": 1.0, "reach": 1})),
        ("rows that differ and a reach above 0, got 0",
         lambda: classical_model("SVM", draw(9, 3), {"C": 1.0, "reach": 0})),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(message, call):
    with pytest.raises(ValueError, match=message):
        call()


def spoilt(*shape):
    """Return random numbers, one of which is none."""
    x = draw(*shape)
    x.view(-1)[1] = torch.nan
    return x


def test_a_rival_that_is_none_is_refused():
    with pytest.raises(ValueError, match="no rival 'trees', expected one of linear, SVM"):
        draw_settings("trees", 3)
    with pytest.raises(ValueError, match="no classical model 'CNN'"):
        classical_model("CNN", draw(3, 2), {})
    with pytest.raises(ValueError, match=r"got 'CNN', \(4,\)"):
        rival_net("CNN", torch.Size([4]), 2, 0.0)


@pytest.mark.parametrize("name", [name for name in CHOICES if name != "CNN"])
def test_every_rival_learns_a_line(name):
    X = draw(150, 3).float()
    y = (X[:, 0] > 0).long()
    ask = train_rival(name, X[:100], y[:100], draw_settings(name, 3)[0], STEPS)
    assert ask(X).shape == y.shape
    assert ask(X).dtype == torch.int64
    assert (ask(X[100:]) == y[100:]).float().mean() > 0.75


def test_the_cnn_takes_pictures_and_is_asked_without_dropout():
    x, y = draw(40, 1, 8, 8).float(), torch.arange(40) % 3
    ask = train_rival("CNN", x, y, {"rate": 3e-3, "drop": 0.5, "decay": 0.1}, 100)
    assert torch.equal(ask(x), ask(x))
    assert (ask(x) == y).float().mean() > 0.8


def test_networks_are_trained_as_their_seed_says_and_by_pytorchs_adamw():
    X, y = draw(50, 3).float(), torch.arange(50) % 2

    def trained(seed):
        seed_everything(0)
        return train_net(rival_net("MLP", X[0].shape, 2, 0.0), X, y, 5, 1e-2, 0.1, seed)(X)

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))


@pytest.mark.parametrize("name", ["SVM", "neighbours"])
def test_a_shuffle_of_the_columns_changes_no_answer_of_distances(name):
    X, y = labelled()
    order = torch.tensor([2, 0, 3, 1])
    setting = draw_settings(name, 1)[0]
    plain, mixed = (train_rival(name, A, y, setting, 1)(A) for A in (X, X[:, order]))
    assert torch.equal(plain, mixed)


def test_units_change_no_answer_of_boosted_trees():
    X, y = labelled()
    setting = draw_settings("boosting", 1)[0]
    plain, scaled = (train_rival("boosting", A, y, setting, 1)(A) for A in (X, 1024 * X))
    assert torch.equal(plain, scaled)
