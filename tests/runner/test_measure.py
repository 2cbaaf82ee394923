"""Linear probes: the closed form is scikit-learn's, and a stage that shows the classes is seen."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from dlbook_utils.data.sets import Images
from dlbook_utils.records import ledger, provenance
from dlbook_utils.runner import feed, grids, measure, models, store, verdicts
from dlbook_utils.runner.learner import EVEN, Learner
from dlbook_utils.runner.settings import Setting

CPU = torch.device("cpu")


def test_ridge_is_scikit_learns():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(200, 7, generator=g), torch.randint(0, 10, (200,), generator=g)
    x = 3 * x + 5
    ours = measure.ridge(x, y)(x)
    z = (x - x.mean(0)) / x.std(0)
    theirs = Ridge(alpha=measure.RIDGE * len(x)).fit(z, np.eye(10)[y])
    np.testing.assert_allclose(ours, theirs.predict(z), atol=1e-5)


def test_a_feature_that_never_changes_does_no_harm():
    x = torch.cat([torch.eye(10).repeat(5, 1), torch.ones(50, 1)], 1)
    y = torch.arange(10).repeat(5)
    assert (measure.ridge(x, y)(x).argmax(1) == y).all()


def test_features_are_the_means_of_quarters():
    class Halves(nn.Module):
        def maps(self, x):
            return [x, x[:, :1, ::2, ::2]]

    x = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    halves = Learner(Setting("a", "tiny-cnn"), EVEN, CPU)
    halves.model = Halves()
    whole, part = measure.features(halves, x)
    assert whole.shape == (3, 12)
    assert part.shape == (3, 4)
    corner = halves.normalise(x)[:, 0, :16, :16].mean((1, 2))
    torch.testing.assert_close(whole[:, 0], corner)


@pytest.mark.parametrize("name", ["tiny-cnn", "tiny-resnet"])
def test_maps_lead_to_the_models_own_scores(name):
    model = models.build(name).eval()
    x = torch.randn(2, 3, 32, 32)
    last = model.maps(x)[-1]
    last = last.mean((2, 3)) if name == "tiny-resnet" else last.flatten(1)
    torch.testing.assert_close(model.head(last), model(x))


def coloured(name, split="train"):
    """200 images whose class is their colour."""
    y = torch.arange(200) % 10
    g = torch.Generator().manual_seed(9)
    colours = torch.randint(0, 256, (10, 3, 1, 1), generator=g)
    noise = torch.randint(-9, 10, (200, 3, 32, 32), generator=g)
    x = (colours[y] + noise).clamp(0, 255).byte()
    return Images(x, y, tuple("0123456789"), "toy", True, (0.5,) * 3, (0.25,) * 3)


def test_runs_are_probed_once(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(feed, "load", coloured)
    monkeypatch.setattr(feed, "digest", lambda name: "toy")
    place = store.Place("trial", tmp_path, tmp_path)
    setting = Setting("published", "tiny-cnn", examples=180, data="toy")
    others = [Setting("published", "tiny-vit", examples=180), Setting("tuned", "tiny-cnn")]
    made = {"status": "done"} | provenance.origin(CPU, 0, "toy")
    for s in (setting, *others):
        ledger.append(tmp_path / "trial.jsonl", {"key": s.key, "setting": vars(s), **made})
        weights = {"model": models.build(s.model).state_dict()}
        store.save(place.weights(s.key), weights)
    said: list[str] = []
    measure.probes(place, CPU, said.append)
    measure.probes(place, CPU, said.append)
    assert said[1:] == ["1 runs were probed", "0 runs were probed"]
    (line,) = ledger.read(tmp_path / "trial-probe.jsonl")
    assert line["key"] == setting.key
    assert setting.key in said[0]
    assert len(line["trained"]) == len(line["untrained"]) == 3
    assert line["trained"][0] > 0.9  # colours can be told apart after random filters


def lines(trained, untrained, seeds=5):
    wobble = np.linspace(-0.001, 0.001, seeds)
    return [
        {
            "setting": vars(grids.published("cnn-32", seed=k)),
            "trained": [v + w for v in trained],
            "untrained": [v - w for v in untrained],
        }
        for k, w in enumerate(wobble)
    ]


@pytest.mark.parametrize(
    ("trained", "untrained", "seeds", "outcome"),
    [
        ((0.5, 0.6, 0.7), (0.4, 0.4, 0.4), 5, verdicts.HOLDS),
        ((0.5, 0.6, 0.5), (0.4, 0.4, 0.4), 5, verdicts.NOT),
        ((0.5, 0.6, 0.7), (0.4, 0.4, 0.8), 5, verdicts.NOT),
        ((0.5, 0.6, 0.7), (0.4, 0.4, 0.4), 1, verdicts.MISSING),
    ],
)
def test_the_verdict_on_hierarchy(trained, untrained, seeds, outcome):
    findings = verdicts.judge([], probes=lines(trained, untrained, seeds))
    mine = [f for f in findings if f.statement == "feature maps are hierarchical"]
    assert {f.reading: f.outcome for f in mine} == {"cnn-32": outcome, "cnn-64": verdicts.MISSING}


def timing(model, ms, device="d", amp="fp32"):
    times = [{"batch": 1, "ms": ms[0]}, {"batch": 256, "ms": ms[1]}]
    return {"model": model, "amp": amp, "device": device, "inference": times}


@pytest.mark.parametrize(("cnn", "outcome"), [((1, 10), verdicts.HOLDS), ((1, 40), verdicts.NOT)])
def test_the_verdict_on_inference(cnn, outcome):
    costs = [timing("cnn-32", (9, 90)), timing("cnn-32", cnn)]  # the newest counts
    costs += [timing("resnet18-3x3", (2, 30)), timing("vit-s-p16", (3, 20))]
    costs += [timing("cnn-32", (9, 90), amp="bf16")]  # another precision does not
    findings = verdicts.judge([], costs)
    mine = [f for f in findings if f.statement == "fastest inference: CNN"]
    measured = {f.reading: f.outcome for f in mine if f.outcome != verdicts.MISSING}
    assert measured == {"cnn-32 / resnet18-3x3 / vit-s-p16": outcome}
