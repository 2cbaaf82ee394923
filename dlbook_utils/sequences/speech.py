"""From sound to words: spectrograms, dynamic time warping, connectionist temporal classification.

As built in the chapter on speech. Sounds are rows of samples; features are (n, T, d), a row of d
numbers for each of T frames. Of K classes of a frame the last one, K - 1, is the blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from dlbook_utils.page.guards import (
    check_count,
    check_finite,
    check_inputs,
    check_lengths,
    check_shape,
)

NEVER = -1e30  # the logarithm of no chance at all; of -inf no gradient comes back


def spectrogram(x: Tensor, width: int, hop: int) -> Tensor:
    """Return the power (n, T, width // 2 + 1) of each frequency in each frame of sounds x (n, L).

    A frame is `width` samples under Hann's window, the next one begins `hop` samples later, and
    samples that fill no frame are left out. Bin k is k / width of the sampling rate. Raises
    ValueError for sounds shorter than a frame.
    """
    check_inputs(check_shape(x, ["n", "L"]), where="sounds")
    width = check_count(width, "width", 2, x.shape[1])
    frames = x.unfold(1, width, check_count(hop, "hop"))  # (n, T, width)
    window = torch.hann_window(width, dtype=x.dtype, device=x.device)
    S = torch.view_as_real(torch.fft.rfft(frames * window))
    return S.square().sum(-1)


def mel_filters(bands: int, width: int, rate: float) -> Tensor:
    """Return overlapping triangles (bands, width // 2 + 1) over the bins of a spectrogram.

    Their corners are equally far apart in mel, 2595 log10(1 + f / 700), from 0 to half of `rate`,
    in hertz. Raises ValueError for a rate that is not positive, or infinite.
    """
    bands = check_count(bands, "bands")
    width = check_count(width, "width", 2)
    if not 0 < rate < float("inf"):
        raise ValueError(f"a rate is positive and finite, got {rate}")
    top = torch.tensor(1 + rate / 1400).log10()
    corners = 700 * (10 ** (top * torch.linspace(0, 1, bands + 2)) - 1)
    left, peak, right = corners.unfold(0, 3, 1).T[..., None]  # (bands, 1)
    f = torch.arange(width // 2 + 1) * rate / width
    up, down = (f - left) / (peak - left), (right - f) / (right - peak)
    return torch.minimum(up, down).clamp(min=0)


def warp_costs(A: Tensor, a: Tensor, B: Tensor, b: Tensor) -> Tensor:
    """Return the cost (p, q) of warping each of p sequences onto each of q, for each frame.

    A (p, S, d) are sequences whose first a (p,) frames count, B (q, R, d) and b (q,) likewise. The
    cost is the least sum of distances along a path that steps one frame further in one sequence
    or in both, divided by the sum of both lengths. Raises ValueError for other shapes or lengths.
    Source: H. Sakoe, S. Chiba (1978), doi:10.1109/TASSP.1978.1163055, where a step in both counts
    twice, so that all paths weigh the same; here it counts once.
    """
    p, S, d = check_shape(A, ["p", "S", "d"], "A").shape
    q, R, _ = check_shape(B, ["q", "R", d], "B").shape
    check_lengths(a, p, S, "a")
    check_lengths(b, q, R, "b")
    C = torch.cdist(  # by differences: products of matrices lose small ones
        A.flatten(0, 1), B.flatten(0, 1), compute_mode="donot_use_mm_for_euclid_dist"
    )
    C = C.view(p, S, q, R).permute(1, 3, 0, 2).contiguous()  # (S, R, p, q)
    for i in range(S):
        for j in range(R):
            before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
            costs = [C[cell] for cell in before if min(cell) >= 0]
            if costs:
                C[i, j] += reduce(torch.minimum, costs)
    a, b = a.to(C.device)[:, None], b.to(C.device)
    rows, columns = (torch.arange(n, device=C.device) for n in (p, q))
    return C[a - 1, b - 1, rows[:, None], columns] / (a + b)


def collapse(path: Sequence[int], blank: int) -> list[int]:
    """Return what a path of labels, one for each frame, spells: repeats are merged first, and
    blanks left out then.
    """
    return [k for k, _ in groupby(path) if k != blank]


def ctc_alphas(log_p: Tensor, line: Tensor) -> Tensor:
    """Return, for each time and place, the log-probability (n, T, S) of all paths that lead there.

    log_p (n, T, K) are log-probabilities of the classes, line (n, S) the labels with blanks
    before, between and behind. A path begins at one of the first two places and stays, goes on
    by one, or by two if that leaves out a blank between different labels. That the probabilities
    of a frame sum to 1 is not asked for: with zeros for log_p the paths are counted. Raises
    ValueError for numbers that are not finite: of minus infinity no gradient comes back.
    Source: A. Graves et al. (2006), doi:10.1145/1143844.1143891.
    """
    n, T, K = check_shape(log_p, ["n", "T", "K"], "log_p").shape
    check_finite(log_p, "log_p")
    check_shape(line, [n, "S"], "line")
    if line.dtype != torch.int64 or line.shape[1] < 3 or line.min() < 0 or line.max() >= K:
        got = f"{line.dtype} {tuple(line.shape)} {line.tolist()}"
        raise ValueError(f"line must be int64 (n, 3 or more) in 0..{K - 1}, got {got}")
    emitted = log_p.gather(2, line[:, None].expand(-1, T, -1))  # (n, T, S)
    shut = F.pad(line[:, 2:] == line[:, :-2], (2, 0), value=True)
    bar = F.pad(NEVER * shut.to(log_p)[..., None], (0, 2))  # (n, S, 3)
    a = F.pad(emitted[:, 0, :2], (0, line.shape[1] - 2), value=NEVER)
    alphas = [a]
    for t in range(1, T):
        ways = F.pad(a, (2, 0), value=NEVER).unfold(1, 3, 1) + bar
        a = ways.logsumexp(2) + emitted[:, t]
        alphas.append(a)
    return torch.stack(alphas, 1)


def ctc_loss(log_p: Tensor, frames: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    """Return minus the log-probability (n,) of targets under all paths that spell them.

    Arguments:
        log_p: (n, T, K) log-probabilities, not raw scores; the last class is the blank.
        frames: (n,) how many of the T frames count.
        targets: int64 (n, U), classes 0..K-2; those beyond a length are not read.
        lengths: (n,) how many of the U targets count, one at least.

    Raises TypeError for targets of another type, ValueError where no path is long enough: each
    label takes a frame, and a blank stands between equal ones. Source: as `ctc_alphas`.
    """
    n, T, K = check_shape(log_p, ["n", "T", "K"], "log_p").shape
    check_lengths(frames, n, T, "frames")
    U = check_shape(targets, [n, "U"], "targets").shape[1]
    if targets.dtype != torch.int64:
        raise TypeError(f"targets must be int64, not {targets.dtype}")
    check_lengths(lengths, n, U)
    beyond = torch.arange(U, device=targets.device) >= lengths[:, None]
    targets = targets.masked_fill(beyond, 0)
    twice = (targets[:, 1:] == targets[:, :-1]) & ~beyond[:, 1:]
    if targets.max() > K - 2 or (frames < lengths + twice.sum(1)).any():
        got = f"{frames.tolist()} frames for {targets.tolist()}, of lengths {lengths.tolist()}"
        raise ValueError(f"no path spells the targets below {K - 1}: {got}")
    line = targets.new_full((n, 2 * U + 1), K - 1)
    line[:, 1::2] = targets
    row = torch.arange(n, device=line.device)
    alphas = ctc_alphas(log_p[:, : frames.max()], line)
    last = alphas[row, frames - 1]  # (n, S)
    return -torch.logaddexp(last[row, 2 * lengths], last[row, 2 * lengths - 1])


def edit_distance(a: Sequence, b: Sequence) -> int:
    """Return how few insertions, deletions and replacements make a into b.

    Source: V. I. Levenshtein (1966).
    """
    above = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (x != y)))
        above = row
    return above[-1]
