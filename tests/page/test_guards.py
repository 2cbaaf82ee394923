"""Bad data and dying losses are stopped, each with a message that names the values."""

import re

import pytest
import torch
from torch import nn

from dlbook_utils.foundations.linear import evaluate, fit
from dlbook_utils.page import guards
from dlbook_utils.page.guards import TrainingFailed, check_data, check_loss, check_scores, progress

X = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
Y = torch.arange(12) % 4


def model():
    return nn.Linear(3, 4)


def train(x=X, y=Y, net=None, rate=0.1, **options):
    net = net or model()
    optimizer = torch.optim.SGD(net.parameters(), lr=rate)
    return fit(net, (x, y), optimizer=optimizer, epochs=2, size=4, **options)


BAD = [
    (X, Y[:-1], ValueError, r"one length, got \(12, 3\) and \(11,\)"),
    (X[:0], Y[:0], ValueError, r"empty, x has shape \(0, 3\)"),
    (X, Y - 1, ValueError, r"labels must lie in 0\.\.3 for 4 scores, found -1\.\."),
    (X, Y + 1, ValueError, r"labels must lie in 0\.\.3 for 4 scores, found \d\.\.4"),
    ((X * 9).to(torch.uint8), Y, TypeError, r"x must be float or int64, not torch\.uint8"),
    (X > 0, Y, TypeError, r"x must be float or int64, not torch\.bool"),
    (X.tolist(), Y, TypeError, "x must be a tensor, not list"),
    (X, Y.numpy(), TypeError, "y must be a tensor, not ndarray"),
    (torch.tensor(1.0), Y, ValueError, r"one length, got \(\) and \(12,\)"),
]


@pytest.mark.parametrize(("x", "y", "error", "message"), BAD)
def test_fit_refuses(x, y, error, message):
    with pytest.raises(error, match=message):
        train(x, y)


@pytest.mark.parametrize(("x", "y", "error", "message"), BAD)
def test_evaluate_refuses(x, y, error, message):
    with pytest.raises(error, match=message):
        evaluate(model(), x, y)


def test_the_message_says_which_data():
    with pytest.raises(ValueError, match="^training data: empty"):
        train(X[:0], Y[:0])
    with pytest.raises(ValueError, match="^evaluation data: empty"):
        train(valid=(X[:0], Y[:0]))


def test_bad_data_are_refused_before_a_weight_changes():
    net = model()
    before = net.weight.detach().clone()
    with pytest.raises(ValueError, match="labels must lie"):
        train(y=Y + 4, net=net)
    assert torch.equal(net.weight, before)


@pytest.mark.parametrize("net", [nn.Flatten(0), nn.Sequential(nn.Linear(3, 4), nn.Flatten(0))])
def test_scores_of_a_wrong_shape(net):
    scores = net(X)
    with pytest.raises(
        ValueError, match=rf"expected scores of shape \(12, classes\).*\({len(scores)},\)"
    ):
        check_scores(scores, Y)


def test_targets_that_are_no_labels_pass():
    check_scores(torch.randn(12), torch.randn(12))
    check_scores(torch.randn(12, 5, 7), torch.zeros(12, 5, dtype=torch.int64))


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32, torch.bool])
def test_labels_of_another_type_are_refused(kind):
    with pytest.raises(TypeError, match=rf"labels must be int64, not {kind}: use y.long\(\)"):
        check_scores(torch.randn(12, 4), Y.to(kind))


def test_sound_data_pass():
    check_data(X, Y)
    check_data(torch.zeros(4, 9, dtype=torch.int64), torch.zeros(4, 9, dtype=torch.int64))
    check_data(X.double(), X)
    check_scores(torch.randn(12, 4), Y)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_no_number_stops_at_its_step(value):
    """Five examples in batches of two: the third batch of the second epoch is step 3."""
    seen = []

    def loss(scores, y):
        seen.append(len(y))
        return scores.sum() * 0 + (value if len(seen) == 6 else 1.0)

    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(TrainingFailed, match=rf"loss is {value} in epoch 2, step 3"):
        fit(net, (X[:5], Y[:5]), optimizer=optimizer, epochs=3, size=2, loss=loss)
    assert len(seen) == 6


def test_training_stops_before_the_weights_are_spoilt():
    net = nn.Linear(3, 1, dtype=torch.float64)
    x, y = X.double(), X.double().sum(1, keepdim=True)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e6)
    with pytest.raises(TrainingFailed, match=r"epoch \d+, step \d+.*smaller learning rate"):
        fit(net, (x, y), optimizer=optimizer, epochs=500, loss=nn.functional.mse_loss)
    assert torch.isfinite(net.weight).all()


def test_check_loss_returns_the_number():
    assert check_loss(torch.tensor(0.25), 1, 1) == 0.25
    assert check_loss(torch.tensor(3.0e38), 1, 1) == pytest.approx(3e38)


def test_progress_yields_everything_and_shows_nothing_unwatched(monkeypatch, capsys):
    monkeypatch.setattr(guards, "_watched", lambda: False)
    assert list(progress(range(5), "epochs")) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err == ""


def test_progress_shows_a_bar_to_somebody(monkeypatch, capsys):
    monkeypatch.setattr(guards, "_watched", lambda: True)
    assert list(progress(range(5), "epochs")) == [0, 1, 2, 3, 4]
    assert re.search(r"epochs:.*/5", capsys.readouterr().err)


def test_the_build_and_the_tests_show_no_bar(monkeypatch):
    monkeypatch.setenv("DLBOOK_STRICT", "1")
    assert not guards._watched()


def test_predictions_of_another_shape_than_their_targets_are_refused():
    with pytest.raises(ValueError, match=r"shape \(4, 1\), targets \(4,\)"):
        check_scores(torch.zeros(4, 1), torch.zeros(4))
    check_scores(torch.zeros(4, 2), torch.zeros(4, 2))


def test_lengths_are_whole_and_in_range():
    lengths = torch.tensor([1, 3])
    assert guards.check_lengths(lengths, 2, 3) is lengths
    for wrong, error, message in (
        (lengths.float(), TypeError, "frames must be int64, not torch.float32"),
        (lengths[:1], ValueError, r"frames.*\(1,\)"),
        (lengths - 1, ValueError, r"frames must be in 1\.\.3, got \[0, 2\]"),
        (lengths + 1, ValueError, r"frames must be in 1\.\.3, got \[2, 4\]"),
        ([1, 3], TypeError, "frames must be a tensor, not list"),
    ):
        with pytest.raises(error, match=message):
            guards.check_lengths(wrong, 2, 3, "frames")


def test_numbers_are_finite_ids_are_known_and_shares_lie_between():
    assert guards.check_finite(X) is X
    with pytest.raises(ValueError, match="r must be finite: 2 of 3 numbers"):
        guards.check_finite(torch.tensor([1.0, float("nan"), float("inf")]), "r")
    assert guards.check_ids(Y, 4) is Y
    with pytest.raises(ValueError, match=r"ids must lie in 0\.\.3, found -1\.\.2"):
        guards.check_ids(Y - 1, 4)
    with pytest.raises(ValueError, match=r"targets must lie in 0\.\.3, found 1\.\.4"):
        guards.check_ids(Y + 1, 4, "targets")
    with pytest.raises(TypeError, match="int64, not torch.float32"):
        guards.check_ids(X, 4)
    assert guards.check_ids(Y[:0], 4).numel() == 0
    assert guards.check_between(X, -9, 9) is X
    with pytest.raises(ValueError, match=r"levels must lie in 0\.\.1, found nan\.\.nan"):
        guards.check_between(torch.tensor([0.5, float("nan")]), 0, 1, "levels")
