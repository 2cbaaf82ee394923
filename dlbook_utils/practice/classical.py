"""Histograms of oriented gradients, boosted stumps, and rivals that are tuned alike.

As built in the chapter on the classical rivals. Pictures are (n, c, h, w), rows of features (n, d),
labels (n,) from 0 on.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.page.devices import generator, seed_everything
from dlbook_utils.page.guards import (
    check_count,
    check_data,
    check_finite,
    check_inputs,
    check_shape,
)

Stump = tuple[int, float, float, float]  # column, threshold, what is added below and above
CHOICES: dict[
    str, dict[str, Any]
] = {  # a pair in (): from, to, drawn evenly by ratio; a list: one of its values
    "linear": {"C": (1e-3, 1e2)},
    "SVM": {"C": (0.3, 100.0), "reach": (0.1, 10.0)},
    "neighbours": {"k": [1, 3, 5, 9, 15, 25], "closer": [False, True]},
    "forest": {"share": [0.03, 0.1, 0.3], "leaf": [1, 2, 5]},
    "boosting": {"rate": (0.03, 0.3), "leaves": [4, 8, 16], "leaf": [2, 5, 20]},
    "MLP": {"rate": (3e-4, 1e-2), "drop": [0.0, 0.3, 0.5], "decay": (1e-3, 1.0)},
    "CNN": {"rate": (3e-4, 1e-2), "drop": [0.0, 0.3, 0.5], "decay": (1e-3, 1.0)},
}


def gradient_cells(x: Tensor, cell: int = 4, bins: int = 9) -> Tensor:
    """Return how much slope of each direction lies in each cell of grey pictures (n, 1, h, w).

    Directions are counted from 0 to 180 degrees, in `bins` equal parts; a cell is `cell` pixels
    wide and high, and what is left over at the right and below is not looked at. The result is
    (n, h // cell, w // cell, bins), a mean over the pixels of a cell.
    Source: N. Dalal, B. Triggs (2005), doi:10.1109/CVPR.2005.177.
    """
    check_inputs(x, where="pictures")
    check_shape(x, ["n", 1, "h", "w"], "pictures")
    check_finite(x, "pictures")
    check_count(cell, "cell", 1, min(x.shape[2:]))
    check_count(bins, "bins", 1, 180)
    across, down = torch.zeros_like(x), torch.zeros_like(x)
    across[..., 1:-1] = x[..., 2:] - x[..., :-2]
    down[..., 1:-1, :] = x[..., 2:, :] - x[..., :-2, :]
    size = torch.hypot(across, down)
    turn = torch.rad2deg(torch.atan2(down, across)) % 180
    at = (turn / (180 / bins)).long() % bins
    maps = x.new_zeros(len(x), bins, *x.shape[2:]).scatter(1, at, size)
    return F.avg_pool2d(maps, cell).permute(0, 2, 3, 1)


def hog_features(x: Tensor, cell: int = 4, block: int = 2, bins: int = 9) -> Tensor:
    """Return histograms of oriented gradients of grey pictures (n, 1, h, w), a row for each.

    Every square of `block` by `block` cells is brought to length 1, its entries are cut at 0.2,
    and it is brought to length 1 again. Raises ValueError if no block fits into a picture.
    Source: N. Dalal, B. Triggs (2005), doi:10.1109/CVPR.2005.177.
    """
    cells = gradient_cells(x, cell, bins)  # (n, rows, columns, bins)
    check_count(block, "block", 1, min(cells.shape[1:3]))
    blocks = cells.unfold(1, block, 1).unfold(2, block, 1)
    v = blocks.permute(0, 1, 2, 4, 5, 3).flatten(3)  # (n, rows, columns, d)
    for most in (0.2, torch.inf):
        length = (v.square().sum(-1, keepdim=True) + 1e-10).sqrt()
        v = (v / length).clamp(max=most)
    return v.flatten(1)


def best_stump(X: Tensor, r: Tensor) -> tuple[int, float]:
    """Return the column of X (n, d) and the threshold that split r (n,) with least squared error.

    The threshold lies midway between two neighbouring values. Raises ValueError if no column has
    two values.
    """
    check_inputs(X)
    check_shape(X, ["n", "d"], "X")
    check_finite(X, "X")
    check_shape(r, [len(X)], "r")
    check_inputs(r, where="r")
    check_finite(r, "r")
    V, order = X.sort(0)
    left = r[order].cumsum(0)[:-1]  # (n - 1, d)
    k = torch.arange(1, len(X)).to(r)[:, None]
    gain = left**2 / k + (r.sum() - left) ** 2 / (len(X) - k)
    gain[V[1:] == V[:-1]] = -torch.inf  # equal values stay together
    if not gain.numel() or gain.max() == -torch.inf:
        raise ValueError(f"no column of X {tuple(X.shape)} has two values to split between")
    i, j = divmod(int(gain.argmax()), X.shape[1])
    return j, ((V[i, j] + V[i + 1, j]) / 2).item()


def boost_stumps(X: Tensor, y: Tensor, rounds: int, rate: float = 0.1) -> tuple[float, list[Stump]]:
    """Return the first score and `rounds` stumps, each fitted to what the ones before it left over.

    Arguments:
        X, y: (n, d), and labels (n,), 0 or 1, of both kinds.
        rate: share of each stump's step that is taken.

    Source: J. H. Friedman (2001), doi:10.1214/aos/1013203451.
    """
    check_data(X, y)
    check_shape(X, ["n", "d"], "X")
    check_count(rounds, "rounds")
    share = y.double().mean().item()
    if not (0 < share < 1 and ((y == 0) | (y == 1)).all() and rate > 0):
        raise ValueError(f"expected labels 0 and 1 and a rate above 0, got {y.unique()}, {rate}")
    first, stumps = log(share / (1 - share)), []
    z = torch.full_like(X[:, 0], first)
    for _ in range(rounds):
        p = z.sigmoid()
        r = y - p
        j, t = best_stump(X, r)
        above = X[:, j] > t
        low, high = (
            rate * (r[side].sum() / (p * (1 - p))[side].sum()).item() for side in (~above, above)
        )
        stumps.append((j, t, low, high))
        z = z + torch.where(above, high, low)
    return first, stumps


def boosted_scores(X: Tensor, first: float, stumps: list[Stump]) -> Tensor:
    """Return the scores (n,) of rows X (n, d): the first one, and what each stump adds to it."""
    check_inputs(X)
    check_shape(X, ["n", "d"], "X")
    check_finite(X, "X")
    z = torch.full_like(X[:, 0], first)
    for j, t, low, high in stumps:
        check_count(j, "a stump's column", 0, X.shape[1] - 1)
        z = z + torch.where(X[:, j] > t, high, low)
    return z


def draw_settings(name: str, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Return `count` settings of a rival, drawn from its CHOICES. ValueError for another name."""
    if name not in CHOICES:
        raise ValueError(f"no rival {name!r}, expected one of {', '.join(CHOICES)}")
    draw, settings = generator(seed), []
    for _ in range(check_count(count, "count")):
        setting = {}
        for key, among in CHOICES[name].items():
            u = torch.rand((), generator=draw).item()
            if isinstance(among, tuple):
                setting[key] = among[0] * (among[1] / among[0]) ** u
            else:
                setting[key] = among[int(u * len(among))]
        settings.append(setting)
    return settings


def rival_net(name: str, shape: torch.Size, classes: int, drop: float) -> nn.Sequential:
    """Return an "MLP" with two hidden layers for inputs of a shape, or a "CNN" for (1, h, w)."""
    if name not in ("MLP", "CNN") or (name == "CNN" and len(shape) != 3):
        raise ValueError(f"expected an MLP, or a CNN for (c, h, w), got {name!r}, {tuple(shape)}")
    if name == "MLP":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(shape.numel(), 128), nn.ReLU(), nn.Dropout(drop),
            nn.Linear(128, 128), nn.ReLU(), nn.Dropout(drop), nn.Linear(128, classes),
        )  # fmt: skip
    c, h, w = shape
    return nn.Sequential(
        nn.Conv2d(c, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(drop), nn.Linear(32 * (h // 4) * (w // 4), classes),
    )  # fmt: skip


def train_net(
    net: nn.Module, X: Tensor, y: Tensor, steps: int, rate: float, decay: float, seed: int = 0
) -> nn.Module:
    """Train a network by AdamW on batches of 64, its rate falling to zero along a line; return it
    ready to be asked.
    """
    check_data(X, y)
    shuffle, steps = generator(seed), check_count(steps, "steps")
    adam = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=decay, fused=True)
    net.train()
    for step in range(steps):
        idx = torch.randint(len(X), (64,), generator=shuffle)
        loss = F.cross_entropy(net(X[idx]), y[idx])
        adam.zero_grad()
        loss.backward()
        adam.step()
        adam.param_groups[0]["lr"] = rate * (1 - (step + 1) / steps)
    return net.eval()


def classical_model(name: str, X: Tensor, setting: dict[str, Any], seed: int = 0) -> Any:
    """Return a model of scikit-learn, not yet fitted, for inputs X (n, ...) and a setting."""
    from sklearn import ensemble, linear_model, neighbors, svm

    s, state = setting, generator(seed).initial_seed() % 2**32
    if name == "linear":
        return linear_model.LogisticRegression(C=s["C"], max_iter=1000)
    if name == "SVM":
        width = s["reach"] * X[0].numel() * X.var().item()
        if not width > 0:
            raise ValueError(f"an SVM takes rows that differ and a reach above 0, got {s['reach']}")
        return svm.SVC(C=s["C"], gamma=1 / width)
    if name == "neighbours":
        weights = "distance" if s["closer"] else "uniform"
        return neighbors.KNeighborsClassifier(min(s["k"], len(X)), weights=weights)
    if name == "forest":
        return ensemble.RandomForestClassifier(
            100, max_features=s["share"], min_samples_leaf=s["leaf"], random_state=state
        )
    if name == "boosting":
        return ensemble.HistGradientBoostingClassifier(
            learning_rate=s["rate"], max_leaf_nodes=s["leaves"], min_samples_leaf=s["leaf"],
            max_bins=31 if X[0].numel() > 500 else 255,  # of grey levels 31 are plenty
            early_stopping=False, random_state=state,
        )  # fmt: skip
    raise ValueError(f"no classical model {name!r}")


def train_rival(
    name: str, X: Tensor, y: Tensor, setting: dict[str, Any], steps: int, seed: int = 0
) -> Callable[[Tensor], Tensor]:
    """Train a rival on X (n, ...), y (n,) and return it: a function from inputs to labels (n,).

    Networks are trained for `steps` steps where X is; the others by scikit-learn, on the CPU.
    """
    check_data(X, y)
    if name in ("MLP", "CNN"):
        seed_everything(seed)
        net = rival_net(name, X[0].shape, int(y.max()) + 1, setting["drop"])
        net = net.to(X.device).to(memory_format=torch.channels_last)
        train_net(net, X, y, steps, setting["rate"], setting["decay"], seed)

        @torch.no_grad()
        def ask(inputs: Tensor) -> Tensor:
            return torch.cat([net(part).argmax(1) for part in inputs.split(1000)])

        return ask
    model = classical_model(name, X, setting, seed)
    model.fit(X.flatten(1).cpu().numpy(), y.cpu().numpy())
    return lambda inputs: torch.from_numpy(model.predict(inputs.flatten(1).cpu().numpy())).to(y)
