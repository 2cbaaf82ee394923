"""Transfer: weights moved from one network to another, frozen, or trained at rates of their own.

Derived in book/vision/transfer.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.page.guards import check_count, check_data, check_number, check_shape

__all__ = [
    "Frozen",
    "fit_from",
    "fit_readout",
    "rate_groups",
    "transplant",
]


def fit_from(start: Tensor, X: Tensor, y: Tensor) -> Tensor:
    """Return where gradient descent on ||y - X w||² ends that begins at `start` (d,).

    X (n, d) holds the examples, y (n,) their targets. Of all least-squares solutions it is the
    one nearest to `start`. Raises ValueError for other shapes.
    """
    n, d = check_shape(X, ["n", "d"], "X").shape
    check_shape(y, [n], "y")
    check_shape(start, [d], "start")
    return start + torch.linalg.pinv(X) @ (y - X @ start)


def transplant(model: nn.Module, weights: Mapping[str, Tensor], skip: Iterable[str] = ()) -> int:
    """Copy weights into the parameters and buffers of the same names; return how many.

    Names that begin with one of `skip` are left as they are, in the model and among the weights.
    Raises ValueError, and copies nothing, if of the others one is missing on either side or has
    another shape, or if no name begins with one of `skip`; TypeError if `skip` is a string.
    """
    if isinstance(skip, str):
        raise TypeError(f"skip holds beginnings of names, got {skip!r}")
    own, skip = model.state_dict(), tuple(skip)
    for start in skip:
        if not any(name.startswith(start) for name in [*own, *weights]):
            raise ValueError(f"nothing copied: no name begins with {start!r}")
    mine = {name for name in own if not name.startswith(skip)}
    given = {name for name in weights if not name.startswith(skip)}
    if mine != given or not mine:
        lost, spare = sorted(mine - given)[:3], sorted(given - mine)[:3]
        raise ValueError(f"nothing copied: missing {lost}, left over {spare}")
    for name in mine:
        check_shape(weights[name], [*own[name].shape], name)
    with torch.no_grad():
        for name in mine:
            own[name].copy_(weights[name])  # the model's own memory
    return len(mine)


class Frozen(nn.Module):
    """A module that does not learn: no gradients for its weights, and evaluation mode throughout.

    Gradients still flow through it to its inputs. The module given is itself changed, and its names
    get "module." in front; requires_grad_(True) on what holds it thaws the weights.
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Frozen:
        """Stay in evaluation mode, whatever the whole network is put in."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x)


def rate_groups(
    layers: Sequence[nn.Module], rate: float, factor: float = 1.0
) -> list[dict[str, Any]]:
    """Return parameter groups for an optimiser: the last layer at `rate`, each one below it at
    `factor` times the rate of the one above.

    Layers without parameters that learn get no group, but count. Raises ValueError unless `rate`
    is positive and finite and `factor` above 0 and at most 1.
    """
    if not (0 < rate < math.inf and 0 < factor <= 1):
        raise ValueError(f"expected rate > 0 and 0 < factor <= 1, got {rate}, {factor}")
    groups = []
    for depth, layer in enumerate(reversed(layers)):
        learning = [w for w in layer.parameters() if w.requires_grad]
        if learning:
            groups.append({"params": learning, "lr": rate * factor**depth})
    return groups


def fit_readout(X: Tensor, y: Tensor, classes: int, decay: float = 0.1) -> nn.Module:
    """Return a softmax regression on features X (n, d), fitted to labels y (n,).

    The features are standardised first, by their mean and deviation in X (a deviation below a
    thousandth of the largest counts as that much); `decay` times half the squared length of the
    weights is added to the mean loss, the biases go free. Raises ValueError
    for data that do not fit, and for a decay that is not positive.
    """
    check_shape(X, ["n", "d"], "X")
    check_data(X, y, "features")
    check_number(X.sum(), "features")
    check_count(classes, "classes", int(y.max()) + 1)
    if not decay > 0:
        raise ValueError(f"decay is positive, got {decay}")
    middle, spread = X.mean(0), X.std(0, correction=0)
    spread = spread.clamp(min=1e-3 * spread.max())  # hardly any is none
    spread = torch.where(spread > 0, spread, 1.0)
    U = (X - middle) / spread
    head = nn.Linear(X.shape[1], classes).to(X)
    nn.init.zeros_(head.weight)
    lbfgs = torch.optim.LBFGS(head.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        lbfgs.zero_grad()
        loss = F.cross_entropy(head(U), y)
        loss = loss + decay / 2 * head.weight.square().sum()
        loss.backward()
        return loss

    lbfgs.step(closure)
    with torch.no_grad():  # one layer that takes the features as they are
        head.weight /= spread
        head.bias -= head.weight @ middle  # type: ignore[misc]
    return head.requires_grad_(False)
