"""Diffusion models: noise schedules, steps back, and a small U-Net that denoises, as built in
"Diffusion".

A schedule is a float64 tensor `abar` (T + 1,): abar[t] is the share of the variance that is still
signal at level t, 1 at t = 0 and almost 0 at t = T (if the schedule suits T). Data are (n, ...) of
order 1, levels t int64, one for all or one for each example (n,).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from math import log, pi

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from dlbook_utils.foundations.optimisation import cosine, warm_up
from dlbook_utils.page.devices import generator
from dlbook_utils.page.guards import (
    check_between,
    check_count,
    check_finite,
    check_inputs,
    check_loss,
    check_shape,
    check_sides,
    progress,
)


def linear_schedule(T: int = 1000, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """Return abar (T + 1,) where the variance added per step rises in a straight line.

    `first` and `last` suit T = 1000, where 0.00004 of the signal is left; after T = 50 steps as
    small as these it is still 0.60. For another T multiply both by 1000 / T.

    Source: J. Ho, A. Jain, P. Abbeel (2020), arXiv:2006.11239.
    """
    check_count(T, "T")
    beta = torch.linspace(first, last, T, dtype=torch.float64)
    return F.pad((1 - beta).cumprod(0), (1, 0), value=1.0)


def cosine_schedule(T: int = 1000, offset: float = 0.008) -> Tensor:
    """Return abar (T + 1,) as the square of a cosine; no step adds more than 0.999 of variance.

    Source: A. Nichol, P. Dhariwal (2021), arXiv:2102.09672.
    """
    u = torch.arange(check_count(T, "T") + 1, dtype=torch.float64) / T
    f = torch.cos((u + offset) / (1 + offset) * pi / 2) ** 2
    beta = (1 - f[1:] / f[:-1]).clamp(max=0.999)
    return F.pad((1 - beta).cumprod(0), (1, 0), value=1.0)


def column(a: Tensor, x: Tensor) -> Tensor:
    """Give a (n,), or one number, the dtype, device and axes of x, so that they multiply.

    Raises TypeError unless x holds floating-point numbers: a share in bytes is 0.
    """
    check_inputs(x, where="data")
    return a.to(x).reshape(-1, *[1] * (x.ndim - 1))


def add_noise(x0: Tensor, eps: Tensor, a: Tensor) -> Tensor:
    """Return data x0 mixed with noise eps, both (n, ...), where the share a stays signal."""
    return a.sqrt() * x0 + (1 - a).sqrt() * eps


def target_of(target: str, x0: Tensor, eps: Tensor, a: Tensor) -> Tensor:
    """Return what a network learns to say: the "noise", the "data" or the "velocity".

    Raises KeyError for another target. Source of the velocity: T. Salimans, J. Ho (2022),
    arXiv:2202.00512.
    """
    velocity = a.sqrt() * eps - (1 - a).sqrt() * x0
    return {"noise": eps, "data": x0, "velocity": velocity}[target]


def data_from(target: str, out: Tensor, x: Tensor, a: Tensor) -> Tensor:
    """Return the estimate of the data that an output means, given noisy x; all (n, ...)."""
    signal, noise = a.sqrt(), (1 - a).sqrt()
    return {
        "noise": (x - noise * out) / signal,
        "data": out,
        "velocity": signal * x - noise * out,
    }[target]


class Mixture:
    """Gaussians of one round spread, for which the best denoiser is known at every noise level.

    Arguments:
        means: centres (parts, d), floating point.
        weights: of the parts, (parts,), positive; they need not sum to 1.
        spread: standard deviation of each part, in every direction.

    Raises ValueError for other shapes.

    A share a of signal is a 0-d tensor, 1 for the clean data.
    """

    def __init__(self, means: Tensor, weights: Tensor, spread: float):
        check_shape(means, ["parts", "d"], "means")
        check_shape(weights, [len(means)], "weights")
        self.means, self.spread = means, float(spread)
        self.log_w = (weights / weights.sum()).log()

    def sample(self, n: int, g: Generator) -> Tensor:
        """Draw n points (n, d), on the CPU."""
        k = self.log_w.exp().multinomial(n, True, generator=g)
        noise = torch.randn(n, self.means.shape[1], generator=g)
        return self.means[k] + self.spread * noise

    def log_parts(self, x: Tensor, a: Tensor) -> Tensor:
        """Return log(weight x density) of each part at x (n, d), (n, parts), at share a."""
        d, var = self.means.shape[1], a * self.spread**2 + 1 - a
        far = torch.cdist(x, a.sqrt() * self.means.to(x)) ** 2
        log_n = -far / (2 * var) - d / 2 * (2 * pi * var).log()
        return self.log_w.to(x) + log_n  # (n, parts)

    def denoise(self, x: Tensor, a: Tensor) -> Tensor:
        """Return the mean of the clean points that may have become x (n, d), given the share a."""
        var = a * self.spread**2 + 1 - a
        m = self.log_parts(x, a).softmax(-1) @ self.means.to(x)
        return m + a.sqrt() * self.spread**2 / var * (x - a.sqrt() * m)


def step_back(
    x: Tensor, x0: Tensor, a: Tensor, b: Tensor, eta: float = 0.0, z: Tensor | float = 0.0
) -> Tensor:
    """Go from x at signal share a to the share b, given an estimate x0 of the data.

    With eta = 1 and z standard normal this draws from q(x_s | x_t, x0), the step of DDPM. With
    eta = 0 it is DDIM's, without chance, and the way may also lead to more noise, b < a. Source:
    J. Song, C. Meng, S. Ermon (2020), arXiv:2010.02502, equations 12 and 16.
    """
    eps = (x - a.sqrt() * x0) / (1 - a).sqrt()
    sigma = eta * ((1 - b) / (1 - a) * (1 - a / b)).clamp(min=0).sqrt()
    kept = (1 - b - sigma**2).clamp(min=0).sqrt()
    return b.sqrt() * x0 + kept * eps + sigma * z


def top_level(abar: Tensor) -> int:
    """Return T of a schedule abar (T + 1,). Raises like `check_shape` for anything else."""
    check_inputs(check_shape(abar, ["T + 1"], "abar"), where="abar")
    check_between(abar, 0, 1, "abar")
    return check_count(len(abar) - 1, "T")


@torch.no_grad()
def go_back(
    denoise: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    abar: Tensor,
    steps: int,
    eta: float = 0.0,
    draw: Generator | None = None,
) -> Tensor:
    """Take noise x (n, ...) at level T back to level 0 in `steps` steps, at most T.

    `denoise` maps (x, t) to an estimate of the data, t being a level (0-d, int64). The generator
    `draw` is used where eta > 0. Raises ValueError unless steps is in 1..T.
    """
    T = top_level(abar)
    check_count(steps, "steps", 1, T)
    times = torch.linspace(T, 0, steps + 1).round().long()
    for t, s in zip(times[:-1], times[1:]):
        z: Tensor | float = 0.0
        if eta > 0:
            z = torch.randn(x.shape, generator=draw).to(x)
        a, b = column(abar[t], x), column(abar[s], x)
        x = step_back(x, denoise(x, t), a, b, eta, z)
    return x


def sliced_distance(a: Tensor, b: Tensor, g: Generator, lines: int = 64) -> float:
    """Return the sliced Wasserstein distance (order 1) of two clouds (n, d) of equally many points.

    Both are projected on `lines` directions drawn by g, on the CPU, sorted, and compared in order.
    """
    check_shape(a, ["n", "d"], "a")
    check_shape(b, a.shape, "b")
    along = F.normalize(torch.randn(a.shape[1], lines, generator=g), dim=0)
    sorted_a, sorted_b = ((x @ along).sort(0).values for x in (a, b))
    return (sorted_a - sorted_b).abs().mean().item()


def wave_features(u: Tensor, d: int) -> Tensor:
    """Return sines and cosines (n, d) of numbers u (n,) in [0, 1], from fast waves to slow ones."""
    if d < 2 or d % 2:
        raise ValueError(f"sines and cosines come in pairs, got d = {d}")
    rates = torch.exp(-log(10_000) * torch.arange(0, d, 2) / d).to(u)
    angles = 1000 * u[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], 1)


class MLPsSideBySide(nn.Module):
    """Networks of one shape that learn at once, as batches of matrices; they share no weight.

    Arguments:
        count: how many networks.
        sizes: features of the inputs, of each hidden layer and of the outputs.

    Called with h (count, n, sizes[0]), returns (count, n, sizes[-1]); SiLU between the layers.
    """

    def __init__(self, count: int, sizes: Sequence[int]):
        super().__init__()
        pairs = list(zip(sizes, sizes[1:]))
        self.W = nn.ParameterList(torch.randn(count, d, m) * (2 / d) ** 0.5 for d, m in pairs)
        self.b = nn.ParameterList(torch.zeros(count, 1, m) for _, m in pairs)

    def forward(self, h: Tensor) -> Tensor:
        for i, (W, b) in enumerate(zip(self.W, self.b)):
            h = torch.baddbmm(b, F.silu(h) if i else h, W)
        return h


def with_level(x: Tensor, t: Tensor) -> Tensor:
    """Append to points x (nets, n, d) 16 waves that tell their levels t (nets, n), 0 to 1000."""
    waves = wave_features(t.flatten() / 1000, 16).to(x)
    return torch.cat([x, waves.view(*t.shape, 16)], -1)


class TimedBlock(nn.Module):
    """A residual block of two convolutions that is told the noise level.

    Arguments:
        c, m: channels before and after, multiples of 8.
        d: length of the vector e that says which level (and class) it is.

    Called with h (n, c, h, w) and e (n, d); returns (n, m, h, w). The second convolution starts
    at 0, so that a fresh block only passes its input on.
    """

    def __init__(self, c: int, m: int, d: int):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, c), nn.GroupNorm(8, m)
        self.conv1 = nn.Conv2d(c, m, 3, padding=1)
        self.conv2 = nn.Conv2d(m, m, 3, padding=1)
        self.tell = nn.Linear(d, m)
        self.skip = nn.Conv2d(c, m, 1) if c != m else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        r = self.conv1(F.silu(self.norm1(h)))
        r = r + self.tell(e)[:, :, None, None]
        r = self.conv2(F.silu(self.norm2(r)))
        return self.skip(h) + r


class DenoisingUNet(nn.Module):
    """A U-Net with two resolutions that looks at noisy images and is told their noise level.

    Arguments:
        c: channels of the images; their height and width are even.
        width: channels at full resolution, a multiple of 8; twice as many at half resolution.
        classes: 0, or how many labels there are. Label number `classes` means "not told".
        T: the highest level.
        d: length of the vector that holds level and class.

    Called with x (n, c, h, w), levels t (n,) or one for all, and labels y (n,) or None for "not
    told"; returns (n, c, h, w). Raises ValueError for odd sides. Source of the design:
    O. Ronneberger et al. (2015), arXiv:1505.04597; J. Ho et al. (2020), arXiv:2006.11239, made
    smaller and without attention.
    """

    def __init__(self, c: int = 1, width: int = 24, classes: int = 0, T: int = 1000, d: int = 64):
        super().__init__()
        self.classes, self.T, self.d = classes, check_count(T, "T"), d
        self.level = nn.Sequential(nn.Linear(d, d), nn.SiLU(), nn.Linear(d, d))
        self.label = nn.Embedding(check_count(classes, "classes", 0) + 1, d)
        self.start = nn.Conv2d(c, width, 3, padding=1)
        self.down = TimedBlock(width, width, d)
        self.shrink = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.bottom1 = TimedBlock(2 * width, 2 * width, d)
        self.bottom2 = TimedBlock(2 * width, 2 * width, d)
        self.grow = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.up = TimedBlock(2 * width, width, d)
        self.norm = nn.GroupNorm(8, width)
        self.end = nn.Conv2d(width, c, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        check_sides(x, 2)
        if y is None:
            y = torch.full((len(x),), self.classes, device=x.device)
        check_between(t, 0, self.T, "levels")
        u = (t.to(x.device) / self.T).expand(len(x))  # not in half
        e = self.level(wave_features(u, self.d).to(x)) + self.label(y)
        e = F.silu(e)  # (n, d)
        fine = self.down(self.start(x), e)  # (n, width, h, w)
        h = self.shrink(fine)  # (n, 2 width, h / 2, w / 2)
        h = self.bottom2(self.bottom1(h, e), e)
        h = torch.cat([fine, self.grow(h)], 1)  # (n, 2 width, h, w)
        h = self.up(h, e)  # (n, width, h, w)
        return self.end(F.silu(self.norm(h)))


def fit_diffusion(
    net: nn.Module,
    x: Tensor,
    y: Tensor | None = None,
    *,
    abar: Tensor,
    steps: int,
    target: str = "velocity",
    size: int = 64,
    lr: float = 4e-3,
    drop: float = 0.1,
    decay: float = 0.99,
    seed: int = 0,
) -> tuple[nn.Module, list[float]]:
    """Train a network to denoise; return the running average of its weights, and the losses.

    Arguments:
        net: maps (noisy x, t (n,), y (n,) or None) to what `target` says; knows `classes`.
        x: (n, ...) of order 1, on the network's device, left as they are; labels y (n,) or None.
        abar: schedule.
        target: "noise", "data" or "velocity".
        drop: share of the labels that are hidden from the network.
        decay: how much of the average stays at each step, less in the beginning.
        seed: of batches, levels, noise and hidden labels.

    Raises TrainingFailed as soon as a loss is not finite, TypeError for x that is not floating
    point (images in bytes: use .inputs()), ValueError for no data or another number of labels.
    """
    check_inputs(x, y)
    T, g, losses = top_level(abar), generator(seed), []
    adam = torch.optim.Adam(net.parameters(), lr, fused=True)
    average = copy.deepcopy(net).requires_grad_(False)
    for step in progress(range(1, steps + 1), "steps"):
        idx = torch.randint(len(x), (size,), generator=g)
        t = torch.randint(1, T + 1, (size,), generator=g)
        x0, told = x[idx], None if y is None else y[idx]
        eps = torch.randn(x0.shape, generator=g).to(x0)
        hidden = torch.rand(size, generator=g) < drop
        if told is not None:
            told = told.masked_fill(hidden.to(y.device), net.classes)  # type: ignore
        a = column(abar[t], x0)
        out = net(add_noise(x0, eps, a), t, told)
        loss = F.mse_loss(out, target_of(target, x0, eps, a))
        losses.append(check_loss(loss, 1, step))
        adam.param_groups[0]["lr"] = lr * warm_up(step, 50) * cosine(step, steps)
        adam.zero_grad()
        loss.backward()
        adam.step()
        follow(average, net, min(decay, step / (step + 10)))
    return average.eval(), losses


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, decay: float) -> None:
    """Move weights and buffers of `average` towards those of `net` by the share 1 - decay."""
    for p, q in zip(average.state_dict().values(), net.state_dict().values()):
        if p.is_floating_point():  # weights, and what batch norm remembers
            p.lerp_(q, 1 - decay)


def denoiser(
    net: nn.Module,
    abar: Tensor,
    target: str = "velocity",
    y: Tensor | None = None,
    scale: float = 1.0,
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function (x, t) -> estimate of the data that asks the network.

    With labels y (n,), `scale` says how far to go from what the network says without a label
    (0) to what it says with it (1), and beyond. Source: J. Ho, T. Salimans (2022),
    arXiv:2207.12598, where scale is 1 + w. Raises ValueError for a scale without labels.
    """
    if y is None and scale != 1:
        raise ValueError(f"scale {scale} needs labels y to go towards")

    def denoise(x: Tensor, t: Tensor) -> Tensor:
        out = net(x, t, y)
        if scale != 1:
            free = net(x, t, None)
            out = free + scale * (out - free)
        return data_from(target, out, x, column(abar[t], x))

    return denoise


def precision_coverage(fake: Tensor, real: Tensor, k: int = 5) -> tuple[float, float]:
    """Return how many fakes look real, and how many real ones are met; shares in [0, 1].

    Around each real feature vector (row of (n, d)) lies a ball that reaches to its k-th nearest
    real neighbour. Precision is the share of fakes (m, d) that lie in a ball at least, coverage
    the share of balls with a fake in them. Raises ValueError unless k is in 1..n - 1, and for
    features that are not finite. Sources:
    T. Kynkäänniemi et al. (2019), arXiv:1904.06991; M. F. Naeem et al. (2020), arXiv:2002.09797.
    """
    check_count(k, "k", 1, len(real) - 1)
    for name, features in (("fake", fake), ("real", real)):
        check_inputs(check_shape(features, ["n", "d"], name), where=name)
        check_finite(features, name)
    radius = torch.cdist(real, real).kthvalue(k + 1, dim=1).values  # itself is the first
    inside = torch.cdist(fake, real) <= radius  # (m, n)
    met = inside.any(1), inside.any(0)
    return tuple(share.cpu().double().mean().item() for share in met)  # type: ignore[return-value]


def class_mixtures(images: Tensor, y: Tensor, n: int, parts: int, seed: int = 0) -> Tensor:
    """Draw n pictures in [0, 1] from Gaussians fitted to the pixels of each class: the rivals.

    One Gaussian a class has a full covariance matrix, several have diagonal ones. Images are
    (m, c, h, w) with labels y (m,) from 0 to 9; the draws are (n, c, h, w), sorted by class.
    Raises ValueError unless n is a multiple of 10.
    """
    from sklearn.mixture import GaussianMixture

    if n % 10:
        raise ValueError(f"n must be a multiple of 10, got {n}")
    g, rows = generator(seed), []
    for k in range(10):
        model = GaussianMixture(
            parts,
            covariance_type="full" if parts == 1 else "diag",
            reg_covar=1e-4,
            random_state=int(torch.randint(2**31, (), generator=g)),
        )
        model.fit(images[y == k].flatten(1).cpu().numpy())
        rows.append(torch.tensor(model.sample(n // 10)[0]))
    drawn = torch.cat(rows).to(images).clamp(0, 1)
    return drawn.view(-1, *images.shape[1:])
