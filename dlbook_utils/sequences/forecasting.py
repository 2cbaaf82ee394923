"""Forecasts of several hours from several hours, and how far they may be off.

As built in the chapter on forecasting. A window's past is (channels, past), what follows it
(channels, ahead); n of them are (n, channels, ...), oldest first.
"""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor, nn

from dlbook_utils.page.guards import check_count, check_inputs, check_shape


def cut_windows(values: Tensor, past: int, ahead: int) -> tuple[Tensor, Tensor]:
    """Return every stretch of `past` steps of values (T, c), and the `ahead` steps after it.

    They are views, (n, c, past) and (n, c, ahead) with n = T - past - ahead + 1. Raises ValueError
    if the series is too short for a single window.
    """
    check_shape(values, ["T", "c"], "values")
    past = check_count(past, "past", 1, len(values) - 1)
    ahead = check_count(ahead, "ahead", 1, len(values) - past)
    both = values.unfold(0, past + ahead, 1)  # (n, c, past + ahead)
    return both[..., :past], both[..., past:]


def ridge_map(X: Tensor, Y: Tensor, strength: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return the W (p, q) and b (q,) with the least squared error of X W + b, plus
    strength times the squared length of W.

    Arguments:
        X, Y: (n, p) and (n, q), a row for each example.
        strength: 0 or more; b is not held back.

    Raises ValueError for shapes that do not fit, and for a negative strength.
    Source: A. E. Hoerl, R. W. Kennard (1970), doi:10.1080/00401706.1970.10488634.
    """
    check_shape(X, ["n", "p"], "X")
    check_shape(Y, [len(X), "q"], "Y")
    if not strength >= 0:
        raise ValueError(f"strength must be 0 or more, got {strength}")
    x, y = X.mean(0), Y.mean(0)
    A, B = (X - x).T @ (X - x), (X - x).T @ (Y - y)  # (p, p), (p, q)
    A = A.cpu().double() + strength * torch.eye(len(A)).double()
    W = torch.linalg.solve(A, B.cpu().double()).to(X)
    return W, y - x @ W


class PatchForecaster(nn.Module):
    """Days as tokens, a core that reads them, and one linear map to all hours ahead.

    Arguments:
        core: maps (n, T, d) to (n, T, d).
        channels, past, ahead: of the windows.
        shared: whether each channel is read by itself, by the same weights, or all together.
        level: whether the mean of a channel's past is taken off before and added after.
        patch: hours in a token; past is a multiple of it.
        d: features of a token.

    Called with (n, channels, past), it returns (n, channels, ahead). Raises ValueError for other
    inputs, and for a past that patches do not fill. Source, for shared channels and patches:
    Y. Nie et al. (2023), arXiv:2211.14730.
    """

    def __init__(
        self,
        core: nn.Module,
        channels: int,
        past: int,
        ahead: int,
        shared: bool = True,
        level: bool = True,
        patch: int = 24,
        d: int = 32,
    ):
        super().__init__()
        if check_count(past, "past") % check_count(patch, "patch"):
            raise ValueError(f"patches of {patch} do not fill a past of {past}")
        self.shape = check_count(channels, "channels"), past, check_count(ahead, "ahead")
        self.patch = patch
        self.shared, self.level = shared, level
        c = 1 if shared else channels  # read at a time
        self.embed, self.core = nn.Linear(c * patch, d), core
        self.head = nn.Linear(past // patch * d, c * ahead)

    def forward(self, X: Tensor) -> Tensor:
        c, past, ahead = self.shape
        check_shape(X, ["n", c, past])
        mean = X.mean(2, keepdim=True) if self.level else X.new_zeros(())
        x = (X - mean).unflatten(2, (-1, self.patch))  # (n, c, T, patch)
        x = x.flatten(0, 1) if self.shared else x.transpose(1, 2).flatten(2)
        h = self.core(self.embed(x))  # (n c or n, T, d)
        return self.head(h.flatten(1)).view(-1, c, ahead) + mean


def conformal_radius(errors: Tensor, miss: float = 0.1) -> Tensor:
    """Return how far from a forecast the truth may be, to be further away in a share `miss`.

    `errors` (n, ...) are absolute errors of forecasts that were not fitted to their targets; the
    radius (...) is the ceil((n + 1) (1 - miss))-th smallest of each column. Raises ValueError if n
    is too small for such a promise, or for a share outside of (0, 1).
    Source: V. Vovk, A. Gammerman, G. Shafer (2005), doi:10.1007/b106715.
    """
    if not 0 < miss < 1:
        raise ValueError(f"miss is a share between 0 and 1, got {miss}")
    check_inputs(errors, where="errors")
    n = len(errors)
    rank = ceil((n + 1) * (1 - miss))
    if rank > n:
        raise ValueError(f"{n} errors are too few to be off in {miss} of all cases")
    return errors.sort(0).values[rank - 1]
