"""Convolution and pooling with their gradients, and a small network of them, as built in
"Convolutional networks".

Images are (n, c, h, w): examples, channels, rows, columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlbook_utils.page.guards import check_shape


def output_size(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Return at how many places a window fits along an axis of `size` pixels.

    `padding` pixels are added at both ends; `dilation` is the distance of neighbouring weights in
    pixels of the input. Raises ValueError if the window does not fit once, and for a kernel,
    stride or dilation below 1 or a padding below 0.
    """
    if min(kernel, stride, dilation) < 1 or padding < 0:
        raise ValueError(
            f"kernel {kernel}, stride {stride}, dilation "
            f"{dilation} or padding {padding} is too small"
        )
    reach = dilation * (kernel - 1) + 1
    room = size + 2 * padding - reach
    if room < 0:
        raise ValueError(f"a window of {reach} does not fit in {size} + 2 * {padding} pixels")
    return room // stride + 1


def unfold(
    x: Tensor,
    kernel: tuple[int, int],
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    fill: float = 0.0,
) -> Tensor:
    """Return every window of the images: (n, c, h, w) becomes (n, c, a, b, h_out, w_out).

    `kernel` is (a, b), and [..., i, j, p, q] is pixel (i, j) of the window at place (p, q). What
    lies outside the image is `fill`. Also called im2col.
    """
    check_shape(x, ["n", "c", "h", "w"], "images")
    index = []
    for size, k in zip(x.shape[2:], kernel):
        places = stride * torch.arange(output_size(size, k, stride, padding, dilation))
        index.append(dilation * torch.arange(k)[:, None] + places)  # (k, places)
    rows, columns = index
    x = F.pad(x, [padding] * 4, value=fill)
    return x[:, :, rows[:, None, :, None], columns[None, :, None, :]]


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
) -> Tensor:
    """Cross-correlate images (n, c, h, w) with kernels (m, c, a, b): (n, m, h_out, w_out).

    The same numbers as F.conv2d, by one matrix product. Raises ValueError for other shapes.
    """
    check_shape(weight, ["m", "c", "a", "b"], "weight")
    m, c, *kernel = weight.shape
    check_shape(x, ["n", c, "h", "w"], "images")
    patches = unfold(x, kernel, stride, padding, dilation)  # type: ignore[arg-type]
    columns = patches.flatten(4).flatten(1, 3)  # (n, c a b, places)
    z = weight.reshape(m, -1) @ columns  # (n, m, places)
    if bias is not None:
        z = z + check_shape(bias, [m], "bias")[:, None]
    return z.reshape(len(x), m, *patches.shape[4:])


def spread(g: Tensor, stride: int) -> Tensor:
    """Put stride - 1 zeros between neighbouring pixels of (n, c, h, w), in both directions."""
    n, c, h, w = check_shape(g, ["n", "c", "h", "w"], "g").shape
    wide = g.new_zeros(n, c, stride * (h - 1) + 1, stride * (w - 1) + 1)
    wide[:, :, ::stride, ::stride] = g
    return wide


def conv2d_backward(
    g: Tensor, x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of a loss with respect to x, weight and bias of `conv2d`.

    `g` (n, m, h_out, w_out) is the gradient with respect to what `conv2d` returned, for
    dilation 1. Raises ValueError for other shapes.
    """
    check_shape(weight, ["m", "c", "a", "b"], "weight")
    a, b = weight.shape[2:]
    out = [output_size(side, k, stride, padding) for side, k in zip(x.shape[2:], (a, b))]
    g = spread(check_shape(g, [len(x), len(weight), *out], "g"), stride)
    padded = F.pad(x, [padding] * 4)
    at_weight = conv2d(padded.transpose(0, 1), g.transpose(0, 1))
    at_weight = at_weight.transpose(0, 1)[:, :, :a, :b]
    flipped = weight.flip(2, 3).transpose(0, 1)  # (c, m, a, b)
    full = conv2d(F.pad(g, [b - 1, b - 1, a - 1, a - 1]), flipped)
    at_x = torch.zeros_like(padded)  # a stride may leave a rest that no window saw
    at_x[:, :, : full.shape[2], : full.shape[3]] = full
    h, w = x.shape[2:]
    at_x = at_x[:, :, padding : padding + h, padding : padding + w]
    return at_x, at_weight, g.sum((0, 2, 3))


def pool_windows(x: Tensor, kernel: int, stride: int | None, padding: int, fill: float) -> Tensor:
    """Return the square windows of a pooling, (n, c, kernel, kernel, h_out, w_out)."""
    if 2 * padding > kernel:
        raise ValueError(f"padding {padding} is over half of kernel {kernel}")
    stride = kernel if stride is None else stride
    return unfold(x, (kernel, kernel), stride, padding, fill=fill)


def max_pool2d(x: Tensor, kernel: int, stride: int | None = None, padding: int = 0) -> Tensor:
    """Return the largest value in each window, channel by channel; stride is `kernel` if None.

    Raises ValueError for a padding of more than half the window.
    """
    windows = pool_windows(x, kernel, stride, padding, -torch.inf)
    return windows.flatten(2, 3).max(2).values


def avg_pool2d(x: Tensor, kernel: int, stride: int | None = None, padding: int = 0) -> Tensor:
    """Return the mean of each window, padding counted as zeros; stride is `kernel` if None.

    Raises ValueError for a padding of more than half the window.
    """
    windows = pool_windows(x, kernel, stride, padding, 0.0)
    return windows.mean((2, 3))


def receptive_field(layers: Sequence[tuple[int, int, int]]) -> int:
    """Return how many pixels of the input, along one axis, one unit of the last layer sees.

    `layers` are (kernel, stride, dilation) from the first to the last; pooling counts as a layer.
    """
    seen, step = 1, 1
    for kernel, stride, dilation in layers:
        seen += dilation * (kernel - 1) * step
        step *= stride
    return seen


class ConvNet(nn.Module):
    """Convolutions with ReLU, 2 × 2 max pooling between them, a maximum over all places, a head.

    Arguments:
        channels: of the images, then of each convolution: [1, 16, 32] has two.
        classes: number of scores.
        kernel: odd; sides of the windows. The images are padded with zeros, so that a convolution
            keeps their size.

    Inputs (n, channels[0], h, w) of any size that survives the pooling; scores (n, classes).
    Raises ValueError for an even kernel or without a convolution.
    """

    def __init__(self, channels: Sequence[int], classes: int, kernel: int = 3):
        if kernel % 2 == 0 or len(channels) < 2:
            raise ValueError(f"expected an odd kernel and 2 channels or more: {kernel}, {channels}")
        super().__init__()
        layers = [nn.Conv2d(c, m, kernel, padding=kernel // 2) for c, m in pairwise(channels)]
        self.layers = nn.ModuleList(layers)
        self.head = nn.Linear(channels[-1], classes)

    def maps(self, x: Tensor) -> Tensor:
        """Return the feature maps of the last convolution, (n, channels[-1], h_out, w_out)."""
        h = torch.relu(self.layers[0](x))
        for layer in self.layers[1:]:
            h = torch.relu(layer(F.max_pool2d(h, 2)))
        return h

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.maps(x).amax((2, 3)))
