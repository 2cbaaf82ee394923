"""Linear recurrences taken side by side: scans, state spaces, selection and the Mamba block.

Sequences are (n, T, d), states (n, T, d, N): N numbers for each feature. Decays `a` and inputs `b`
of a scan are (n, T, ...), of one shape; the state before the first place is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import log, pi
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.foundations.gradient_flow import RMSNorm
from dlbook_utils.page.guards import check_count, check_inputs, check_shape

PARTS = ("step", "write", "read")
STEP_SIZES = (0.01, 1.0)  # between which steps start
Pair = tuple[Tensor, Tensor]


def combine(early: Pair, late: Pair) -> Pair:
    """Return the map h → a h + b that applies `early` and then `late`, each a pair (a, b)."""
    (a, b), (a_late, b_late) = early, late
    return a_late * a, a_late * b + b_late


def scan_by_steps(a: Tensor, b: Tensor) -> Tensor:
    """Return all states h_t = a_t h_{t-1} + b_t, place by place: T rounds."""
    check_shape(a, check_shape(b, [..., "n", "T"], "b").shape, "a")
    h, states = torch.zeros_like(b[:, 0]), []
    for t in range(b.shape[1]):
        h = a[:, t] * h + b[:, t]
        states.append(h)
    return torch.stack(states, 1)


def scan_by_doubling(a: Tensor, b: Tensor) -> Tensor:
    """Return the same states in about log2(T) rounds, each over all places at once.

    Source: W. D. Hillis, G. L. Steele (1986), doi:10.1145/7902.7903.
    """
    check_shape(a, check_shape(b, [..., "n", "T"], "b").shape, "a")
    reach = 1
    while reach < b.shape[1]:
        early = a[:, :-reach], b[:, :-reach]
        late = a[:, reach:], b[:, reach:]
        a_new, b_new = combine(early, late)
        a = torch.cat([a[:, :reach], a_new], 1)
        b = torch.cat([b[:, :reach], b_new], 1)
        reach *= 2
    return b


def scan_by_chunks(a: Tensor, b: Tensor, size: int) -> Tensor:
    """Return the same states: all chunks of `size` places at once, then from chunk to chunk.

    Raises ValueError unless the chunks fill the T places.
    """
    check_shape(a, check_shape(b, [..., "n", "T"], "b").shape, "a")
    if b.shape[1] % check_count(size, "size"):
        raise ValueError(f"chunks of {size} do not fill {b.shape[1]} places")
    a, b = a.unflatten(1, (-1, size)), b.unflatten(1, (-1, size))
    inside = [(a[:, :, 0], b[:, :, 0])]
    for t in range(1, size):
        inside.append(combine(inside[-1], (a[:, :, t], b[:, :, t])))
    a, b = (torch.stack(part, 2) for part in zip(*inside))
    h, before = torch.zeros_like(b[:, 0, 0]), []
    for j in range(b.shape[1]):  # h is the state that chunk j starts from
        before.append(h)
        h = a[:, j, -1] * h + b[:, j, -1]
    h = torch.stack(before, 1)[:, :, None]  # (n, chunks, 1, ...)
    return (a * h + b).flatten(1, 2)


class LinearScan(torch.autograd.Function):
    """The recurrence, and its gradient by the same recurrence from right to left."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        h = torch.empty_like(b)
        h[:, 0] = b[:, 0]
        for t in range(1, b.shape[1]):
            torch.addcmul(b[:, t], a[:, t], h[:, t - 1], out=h[:, t])
        ctx.save_for_backward(a, h)
        return h

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor]:
        a, h = ctx.saved_tensors
        h_bar, a_bar = torch.empty_like(h), torch.zeros_like(h)
        h_bar[:, -1] = slope[:, -1]
        for t in reversed(range(h.shape[1] - 1)):
            torch.addcmul(slope[:, t], a[:, t + 1], h_bar[:, t + 1], out=h_bar[:, t])
        a_bar[:, 1:] = h_bar[:, 1:] * h[:, :-1]
        return a_bar, h_bar


def linear_scan(a: Tensor, b: Tensor) -> Tensor:
    """Return the states of `scan_by_steps` for real numbers, with a quicker gradient."""
    check_shape(a, check_shape(b, [..., "n", "T"], "b").shape, "a")
    if a.dtype != b.dtype or not b.is_floating_point():
        raise TypeError(f"a and b must be real, of one type: {a.dtype}, {b.dtype}")
    return LinearScan.apply(a, b)


def convolve_by_fft(x: Tensor, kernel: Tensor) -> Tensor:
    """Return y_t, the sum of kernel_s x_{t-s} over s = 0 to t, for x (n, T, d), kernel (T, d)."""
    check_shape(kernel, check_shape(x, ["n", "T", "d"]).shape[1:], "kernel")
    check_inputs(x, where="what is convolved")
    T = x.shape[1]
    waves = torch.fft.rfft(x, 2 * T, dim=1)
    waves = waves * torch.fft.rfft(kernel, 2 * T, dim=0)
    return torch.fft.irfft(waves, 2 * T, dim=1)[:, :T]


def legs_matrix(N: int) -> tuple[Tensor, Tensor]:
    """Return A (N, N) and b (N,) of HiPPO-LegS, float64.

    Source: A. Gu et al. (2020), arXiv:2008.07669.
    """
    k = torch.arange(check_count(N, "N"), dtype=torch.float64)
    b = (2 * k + 1).sqrt()
    return -(b[:, None] * b).tril(-1) - torch.diag(k + 1), b


def start_steps(d: int) -> Tensor:
    """Return d step sizes, spread evenly over the logarithms between STEP_SIZES."""
    least, most = STEP_SIZES
    steps = torch.empty(check_count(d, "d"))
    return steps.uniform_(log(least), log(most)).exp()


class DiagonalSSM(nn.Module):
    """A state space that treats all places alike: S4D, computed as a convolution.

    Arguments:
        d, N: features, and complex numbers of state for each.

    Called with x (n, T, d), it returns (n, T, d). Rates start as S4D-Lin's. Source: A. Gu et al.
    (2022), arXiv:2206.11893.
    """

    def __init__(self, d: int, N: int):
        super().__init__()
        decay = torch.full((check_count(d, "d"), check_count(N, "N")), 0.5)
        self.log_decay = nn.Parameter(decay.log())
        self.turn = nn.Parameter(pi * torch.arange(N).repeat(d, 1))
        self.read = nn.Parameter(torch.randn(d, N, 2) / 2**0.5)
        self.log_step = nn.Parameter(start_steps(d).log())
        self.skip = nn.Parameter(torch.ones(d))

    def kernel(self, T: int) -> Tensor:
        """Return the answers (T, d) to a 1 that came so many places ago."""
        check_count(T, "T")
        rate = torch.complex(-self.log_decay.exp(), self.turn)  # (d, N)
        z = rate * self.log_step.exp()[:, None]
        write = torch.view_as_complex(self.read) * (z.exp() - 1) / rate
        ages = torch.arange(T, device=z.device)[:, None, None]
        return 2 * (write * (z * ages).exp()).sum(-1).real

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, ["n", "T", len(self.skip)])
        return convolve_by_fft(x, self.kernel(x.shape[1])) + self.skip * x


class SelectiveSSM(nn.Module):
    """A state space whose step, write and read vectors depend on what is read: S6.

    Arguments:
        d, N: features, and real numbers of state for each.
        selects: which of PARTS depend on the input; the others are learned constants.

    Called with x (n, T, d), it returns (n, T, d). Source: A. Gu, T. Dao (2023), arXiv:2312.00752.
    """

    def __init__(self, d: int, N: int, selects: Iterable[str] = PARTS):
        super().__init__()
        self.selects = tuple(selects)
        if not set(self.selects) <= set(PARTS):
            raise ValueError(f"selects are of {PARTS}, got {self.selects}")
        rates = torch.arange(1.0, check_count(N, "N") + 1)
        rates = rates.log().repeat(check_count(d, "d"), 1)
        self.log_rates = nn.Parameter(rates)
        self.step = nn.Linear(d, d)
        nn.init.normal_(self.step.weight, std=0.5 * d**-0.5)
        with torch.no_grad():  # softplus of the bias is a step size
            self.step.bias.copy_(start_steps(d).expm1().log())
        self.write, self.read = nn.Linear(d, N), nn.Linear(d, N)
        self.skip = nn.Parameter(torch.ones(d))

    def parts(self, x: Tensor) -> list[Tensor]:
        """Return step sizes (n, T, d), what writes and what reads (n, T, N)."""
        blank = torch.zeros_like(x)
        seen = [x if part in self.selects else blank for part in PARTS]
        step = F.softplus(self.step(seen[0]))
        return [step, self.write(seen[1]), self.read(seen[2])]

    def forward(self, x: Tensor) -> Tensor:
        check_shape(x, ["n", "T", len(self.skip)])
        step, write, read = self.parts(x)
        a = torch.exp(-step[..., None] * self.log_rates.exp())
        b = (step * x)[..., None] * write[:, :, None]
        h = linear_scan(a, b)  # (n, T, d, N)
        return (h * read[:, :, None]).sum(-1) + self.skip * x


class MambaBlock(nn.Module):
    """Widen, look back four places, scan, gate, and come back: all around a way past it.

    Arguments:
        d: features; inside there are 2 d.
        make: called with 2 d, gives the layer that mixes the places.

    Called with x (n, T, d), it returns (n, T, d). Source: A. Gu, T. Dao (2023), arXiv:2312.00752.
    """

    def __init__(self, d: int, make: Callable[[int], nn.Module]):
        super().__init__()
        self.norm, self.up = RMSNorm(d), nn.Linear(d, 4 * d, bias=False)
        self.near = nn.Conv1d(2 * d, 2 * d, 4, groups=2 * d, padding=3)
        self.layer, self.down = make(2 * d), nn.Linear(2 * d, d, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        u, gate = self.up(self.norm(x)).chunk(2, -1)  # (n, T, 2 d) each
        u = self.near(u.mT)[..., : x.shape[1]].mT  # no place sees a later one
        return x + self.down(self.layer(F.silu(u)) * F.silu(gate))
