"""Recurrent networks with gates: LSTM, GRU, and two networks that read in opposite directions.

As built in the chapter on LSTMs. The calling convention is that of `rnn.RNN`: inputs (n, T, d) and
a state or None give all states (n, T, m) and the last one. Rows of the weights are ordered as in
PyTorch, so that they can be copied.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlbook_utils.page.guards import check_state


def zero_state(X: Tensor, d: int, m: int) -> Tensor:
    """Return a first state (n, m) of zeros for inputs X (n, T, d); ValueError for other inputs."""
    if X.ndim != 3 or X.shape[2] != d:
        raise ValueError(f"expected inputs (n, T, {d}), got {tuple(X.shape)}")
    return X.new_zeros(len(X), m)


class LSTM(nn.Module):
    """Long short-term memory with input, forget and output gate.

    Arguments:
        d: features of an input.
        m: units, the length of the state h and of the cells c.
        forget: what the bias of the forget gate starts at; sigmoid(forget) of a cell is kept in
            each step, about.

    Called with X (n, T, d) and, if need be, a first state (h, c), both (n, m), it returns all
    states h (n, T, m) and the last pair (h, c). The rows of the weights belong to the input gate,
    the forget gate, the candidate and the output gate, m each, as in nn.LSTM (whose two biases
    are one here). Weights start uniform in ±1/sqrt(m), biases at 0 but for the forget gate's.
    Raises ValueError for other inputs.
    Source: S. Hochreiter, J. Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735; the forget gate:
    F. A. Gers, J. Schmidhuber, F. Cummins (2000), doi:10.1162/089976600300015015.
    """

    def __init__(self, d: int, m: int, forget: float = 1.0):
        super().__init__()
        r = m**-0.5
        self.W_xh = nn.Parameter(torch.empty(4 * m, d).uniform_(-r, r))
        self.W_hh = nn.Parameter(torch.empty(4 * m, m).uniform_(-r, r))
        b = torch.zeros(4, m)
        b[1] = forget
        self.b = nn.Parameter(b.flatten())

    def gates(self, a: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return i, f, g and o, (..., m) each, from scores a (..., 4 m)."""
        i, f, g, o = a.chunk(4, dim=-1)
        return i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()

    def forward(
        self, X: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h = c = zero_state(X, self.W_xh.shape[1], self.W_hh.shape[1])
        if state is not None:
            h, c = check_state(state, h, c)
        states = []
        for from_x in (X @ self.W_xh.T + self.b).unbind(1):
            i, f, g, o = self.gates(from_x + h @ self.W_hh.T)
            c = f * c + i * g
            h = o * c.tanh()
            states.append(h)
        return torch.stack(states, dim=1), (h, c)


class GRU(nn.Module):
    """The gated recurrent unit, in the variant of PyTorch and cuDNN.

    The reset gate multiplies W h + b_n; in the paper it multiplies h, before the product.

    Arguments:
        d: features of an input.
        m: units, the length of the state h.

    Called with X (n, T, d) and, if need be, a first state h (n, m), it returns all states
    (n, T, m) and the last one (n, m). The rows of the weights belong to the reset gate, the update
    gate and the candidate, m each, as in nn.GRU. b holds the sums of nn.GRU's two biases but for
    the candidate's second one, b_n, which the reset gate multiplies. Raises ValueError for other
    inputs. Source: K. Cho et al. (2014), arXiv:1406.1078.
    """

    def __init__(self, d: int, m: int):
        super().__init__()
        r = m**-0.5
        self.W_xh = nn.Parameter(torch.empty(3 * m, d).uniform_(-r, r))
        self.W_hh = nn.Parameter(torch.empty(3 * m, m).uniform_(-r, r))
        self.b = nn.Parameter(torch.zeros(3 * m))
        self.b_n = nn.Parameter(torch.zeros(m))

    def forward(self, X: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        zeros = zero_state(X, self.W_xh.shape[1], self.W_hh.shape[1])
        h = zeros if h is None else check_state(h, zeros)
        states = []
        for from_x in (X @ self.W_xh.T + self.b).unbind(1):
            x_r, x_z, x_n = from_x.chunk(3, dim=-1)
            h_r, h_z, h_n = (h @ self.W_hh.T).chunk(3, dim=-1)
            r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
            g = (x_n + r * (h_n + self.b_n)).tanh()
            h = (1 - z) * g + z * h
            states.append(h)
        return torch.stack(states, dim=1), h


class Bidirectional(nn.Module):
    """Two recurrent networks side by side: one reads ahead, the other from the end.

    Arguments:
        forwards, backwards: networks called as `rnn.RNN` is, with m and m' units.

    Called with X (n, T, d) it returns states (n, T, m + m'), at each place what the first network
    has read up to it, it included, beside what the second has read from the end down to it; and
    the pair of their last states. It takes no first state: there is no reading on from here.
    Source: M. Schuster, K. K. Paliwal (1997), doi:10.1109/78.650093.
    """

    def __init__(self, forwards: nn.Module, backwards: nn.Module):
        super().__init__()
        self.forwards, self.backwards = forwards, backwards

    def forward(self, X: Tensor) -> tuple[Tensor, tuple]:
        left, last = self.forwards(X)
        right, first = self.backwards(X.flip(1))
        return torch.cat([left, right.flip(1)], dim=-1), (last, first)
