"""Digits learned from sums: the log-probability of a sum, exactly, from those of its digits.

As built in the chapter on neuro-symbolic learning. What a network says of a digit are
log-probabilities (..., K) of 0..K-1. Numbers have K as their base; their digits stand units first.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dlbook_utils.page.guards import check_between, check_count, check_inputs, check_shape
from dlbook_utils.sequences.speech import NEVER


def log_sums(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Return the log-probabilities (..., 2K - 1) of the sums 0..2K-2 of two independent digits.

    log_p and log_q (..., K) are those of the two digits, in float32 or wider. Raises ValueError for
    other shapes, and for numbers whose exponentials do not add up to 1.
    """
    check_inputs(check_shape(log_p, [..., "K"], "log_p"), where="log_p")
    check_inputs(check_shape(log_q, log_p.shape, "log_q"), where="log_q")
    for name, x in ("log_p", log_p), ("log_q", log_q):
        check_between(x.detach().exp().sum(-1), 0.99, 1.01, f"the sums of exp({name})")
    K = log_p.shape[-1]
    joint = log_p[..., :, None] + log_q[..., None, :]  # (..., K, K)
    # Behind each row K times nothing, then rows of one less: row k moves right by k places.
    row = F.pad(joint, (0, K), value=NEVER).flatten(-2)[..., : K * (2 * K - 1)]
    return row.unflatten(-1, (K, 2 * K - 1)).logsumexp(-2)


def log_total(log_p: Tensor, log_q: Tensor, total: Tensor) -> Tensor:
    """Return the log-probability (n,) that two numbers of T digits add up to `total`.

    log_p and log_q (n, T, K) are the log-probabilities of the numbers' digits, units first; total
    int64 (n, T + 1) holds the digits of the sum, the last of them 0 or 1. The recursion goes over
    the carry; a total that no two such numbers have, such as 19 of two digits, has NEVER. Raises
    TypeError for totals of another type, ValueError for shapes and for what is no digit.
    """
    n, T, K = check_shape(log_p, ["n", "T", "K"], "log_p").shape
    check_count(T, "T")
    check_shape(total, [n, T + 1], "total")
    if total.dtype != torch.int64:
        raise TypeError(f"total must be int64, not {total.dtype}")
    if n and (total.min() < 0 or total.max() >= K or total[:, -1].max() > 1):
        raise ValueError(f"total must hold 0..{K - 1}, and 0 or 1 at last, got {total.tolist()}")
    sums = F.pad(log_sums(log_p, log_q), (1, 1), value=NEVER)  # of -1..2K-1
    carry = torch.tensor([0, 1], device=total.device)
    log_a = log_p.new_tensor([0.0, NEVER]).expand(n, 2)  # no carry into the units
    for t in range(T):
        place = total[:, t, None, None] + K * carry - carry[:, None]  # (n, from, to)
        ways = sums[:, t].gather(1, place.flatten(1) + 1).view(n, 2, 2)
        log_a = (log_a[:, :, None] + ways).logsumexp(1)  # (n, to)
    return log_a.gather(1, total[:, -1:])[:, 0]
