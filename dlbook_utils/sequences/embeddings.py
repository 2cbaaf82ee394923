"""Words as vectors: counts of neighbours, pointwise mutual information, negative sampling.

As built in the chapter on word embeddings. A text is a row of word numbers (T,), in which -1 is
no word: the end of a sentence, or a word left out.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from dlbook_utils.page.guards import check_count, check_finite, check_inputs, check_shape


def cooccurrences(ids: Tensor, size: int, window: int) -> Tensor:
    """Return how often word j stands at most `window` places from word i, (size, size).

    Arguments:
        ids: the text (T,), numbers below `size`; whatever is negative is no word.
        size: number of words.
        window: how far to look, to both sides.

    Raises ValueError for a number that is no word's, and for a text that is not int64.
    """
    check_shape(ids, ["T"], "ids")
    window = check_count(window, "window", 1, len(ids) - 1)
    if ids.dtype != torch.int64 or ids.max() >= check_count(size, "size"):
        raise ValueError(f"ids must be int64 below {size}, got {ids.dtype} up to {ids.max()}")
    N = torch.zeros(size * size, device=ids.device)
    for apart in range(1, window + 1):
        one, other = ids[:-apart], ids[apart:]
        words = (one >= 0) & (other >= 0)
        cells = one[words] * size + other[words]
        N.index_add_(0, cells, torch.ones_like(cells, dtype=N.dtype))
    N = N.view(size, size)
    return N + N.T


def pmi(N: Tensor, power: float = 1.0) -> Tensor:
    """Return log p_ij / (p_i q_j) of counts N (n, m), where q_j is proportional to a column's sum
    to `power`, which lies in 0..1.

    It is minus infinity where nothing was counted, and nan in a row or column without any count.
    Raises ValueError for a negative or infinite count, if there is none at all, and for another
    power.
    Source: K. W. Church, P. Hanks (1990), https://aclanthology.org/J90-1003.
    """
    check_shape(N, ["n", "m"], "N")
    check_inputs(check_finite(N, "counts"), where="counts")
    if not 0 <= power <= 1:
        raise ValueError(f"a power lies in 0..1, got {power}")
    if not N.min() >= 0 or not N.sum() > 0:
        raise ValueError(f"counts are 0 or more and not all 0, got {N.min()} to {N.max()}")
    p = N / N.sum()
    q = N.sum(0) ** power
    chance = p.sum(1, keepdim=True) * (q / q.sum())  # (n, m)
    return (p / chance).log_()


def negative_sampling_loss(u: Tensor, v: Tensor, noise: Tensor) -> Tensor:
    """Return the mean over pairs of -log s(u v) - sum of log s(-u n) over the noise n.

    Arguments:
        u, v: vectors of words and of their contexts, (B, d) each.
        noise: vectors of k contexts drawn at random for each pair, (B, k, d).

    Raises ValueError for shapes that do not fit, and for no pair at all.
    Source: T. Mikolov et al. (2013), arXiv:1310.4546.
    """
    check_inputs(check_shape(u, ["B", "d"], "u"), where="words")
    check_shape(v, [*u.shape], "v")
    check_shape(noise, [len(u), "k", u.shape[1]], "noise")
    near = F.logsigmoid((u * v).sum(1))  # (B,)
    far = F.logsigmoid(-(noise @ u[:, :, None]).squeeze(2))  # (B, k)
    return -(near + far.sum(1)).mean()
