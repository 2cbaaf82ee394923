"""One look for every figure of the book, legible in light and in dark and on a phone.

Figures are drawn once, in sentinel colours. In the book's build (``DLBOOK_BUILD=1``) an SVG
formatter replaces these by CSS variables that follow the reader's colour scheme. In a live
notebook, whose background nobody knows, the same figure stands on a light card.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dlbook_utils.page import palette
from dlbook_utils.page.guards import check_count, check_shape
from dlbook_utils.page.notebook import building

# The light colours are the sentinels in which figures are drawn.
PALETTE = palette.FIGURES
CYCLE = ("blue", "orange", "green", "purple", "gold", "sky")
CONCEPTS = {
    "ours": "blue",
    "reference": "muted",
    "train": "blue",
    "valid": "orange",
    "test": "green",
    "negative": "blue",
    "positive": "orange",
    "broken": "purple",
}
COLORS = {name: color.light for name, color in PALETTE.items()}
COLORS |= {concept: COLORS[name] for concept, name in CONCEPTS.items()}
SEQUENTIAL, DIVERGING = "cividis", "RdBu_r"


def use_style() -> None:
    """Give all figures from here on the book's look; call it once, in the settings cell."""
    plt.rcParams.update(_rc())  # type: ignore[arg-type]  # keys are checked by Matplotlib
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats("svg", bbox_inches="tight", pad_inches=0.04, metadata={"Date": None})
    formatter = shell.display_formatter.formatters["image/svg+xml"]
    draw = formatter.lookup_by_type(Figure)
    if not getattr(draw, "adapted", False) and building():
        formatter.for_type(Figure, _adapted(draw))


def to_svg(fig: Figure) -> str:
    """Return a figure as an SVG document, adapted to light and dark in the book's build."""
    import io

    buffer = io.StringIO()
    options: dict[str, Any] = {
        "bbox_inches": "tight",
        "pad_inches": 0.04,
        "metadata": {"Date": None},
    }
    fig.savefig(buffer, format="svg", **options)
    return adapt(buffer.getvalue()) if building() else buffer.getvalue()


def adapt(svg: str) -> str:
    """Replace the sentinel colours of an SVG by variables that follow the colour scheme.

    Only inside tags: a text that names a colour goes on naming it.
    """
    names = {color.light.lower(): f"var(--{name})" for name, color in PALETTE.items()}
    colours = re.compile("|".join(names), re.IGNORECASE)

    def recoloured(tag: re.Match[str]) -> str:
        return colours.sub(lambda colour: names[colour[0].lower()], tag[0])

    svg = re.sub(r"<!--.*?-->|<[a-zA-Z][^>]*>", _unless_comment(recoloured), svg, flags=re.DOTALL)
    start = svg.index(">", svg.index("<svg")) + 1
    return svg[:start] + palette.scheme(PALETTE) + svg[start:]


def learning_curves(
    histories: Sequence[Sequence[dict[str, float]]],
    keys: Sequence[str] = ("train_loss", "valid_loss"),
    ax: Axes | None = None,
    **labels: str,
) -> Axes:
    """Draw histories of `fit` over epochs: a line for the mean of the runs, a band for their range.

    Arguments:
        histories: one history per run (seed), each a list of dicts with "epoch".
        keys: what to draw; a key starting with train, valid or test gets that concept's colour.
            One that no history has, such as "valid_loss" without validation, is left out.
        labels: how a key is called at the end of its line, if not by its own name.

    Where histories differ in length, an epoch shows those that reached it. Raises ValueError
    without a history, and if none has any of the keys.
    """
    drawn = [key for key in keys if any(key in row for history in histories for row in history)]
    if not drawn:
        raise ValueError(f"expected histories with {', '.join(keys)}, got {histories!r:.200}")
    ax = ax or plt.subplots()[1]
    cycle = iter(CYCLE)
    for key in drawn:
        color = COLORS.get(key.split("_")[0]) or COLORS[next(cycle)]
        reached: dict[float, list[float]] = {}
        for row in (row for history in histories for row in history if key in row):
            reached.setdefault(row["epoch"], []).append(row[key])
        epochs = sorted(reached)
        means = [float(np.mean(reached[epoch])) for epoch in epochs]
        ax.plot(epochs, means, color=color)
        if len(histories) > 1:
            low, high = ([end(reached[epoch]) for epoch in epochs] for end in (min, max))
            ax.fill_between(epochs, low, high, color=color, alpha=0.2, lw=0)
        label_line(ax, epochs[-1], means[-1], labels.get(key, key.replace("_", " ")), color)
    ax.set_xlabel("epoch")
    return ax


def label_line(ax: Axes, x: float, y: float, text: str, color: str) -> None:
    """Write a line's name at its right end, in its colour: a direct label instead of a legend."""
    ax.annotate(
        text, (x, y), (5, 0), textcoords="offset points", color=color, va="center", fontsize=9
    )


def image_grid(
    images: torch.Tensor,
    titles: Sequence[str] | None = None,
    columns: int = 8,
    cmap: str = "gray",
    size: float = 0.62,
) -> Figure:
    """Draw images (n, c, h, w), c = 1 or 3, uint8 or float in [0, 1], in a grid with titles."""
    if images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) == 0:
        raise ValueError(f"expected images of shape (n, 1 or 3, h, w), got {tuple(images.shape)}")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"{len(titles)} titles for {len(images)} images")
    columns = min(check_count(columns, "columns"), len(images))
    rows = -(-len(images) // columns)
    height = size * (1.45 if titles is not None else 1.08)
    fig, axes = plt.subplots(rows, columns, figsize=(size * columns * 1.08, height * rows))
    top = 255 if images.dtype == torch.uint8 else 1
    images = images.detach().cpu() if images.dtype == torch.uint8 else images.detach().cpu().float()
    for k, ax in enumerate(np.atleast_1d(axes).flat):
        ax.axis("off")
        if k < len(images):
            ax.imshow(images[k].permute(1, 2, 0).numpy(), cmap=cmap, vmin=0, vmax=top)
            if titles is not None:
                ax.set_title(titles[k], fontsize=8, pad=2)
    return fig


def decision_regions(
    predict: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    y: torch.Tensor,
    ax: Axes | None = None,
    steps: int = 160,
) -> Axes:
    """Draw points (n, 2) coloured by label (n,) over the regions that a classifier assigns.

    `predict` maps points (m, 2), on the device and of the dtype of x, to labels (m,), integers
    from 0. Raises ValueError for other shapes.
    """
    check_shape(x, ["n", 2], "x")
    check_shape(y, [len(x)], "y")
    steps = check_count(steps, "steps", 2)
    ax = ax or plt.subplots(figsize=(3.4, 3.4))[1]
    x, y, place = x.detach().cpu(), y.detach().cpu(), x
    (left, bottom), (right, top) = x.min(0).values.tolist(), x.max(0).values.tolist()
    pad = 0.08 * max(right - left, top - bottom)
    across = torch.linspace(left - pad, right + pad, steps)
    up = torch.linspace(bottom - pad, top + pad, steps)
    grid = torch.cartesian_prod(across, up).to(place)
    with torch.no_grad():
        regions = predict(grid).reshape(steps, steps).T.cpu().numpy()
    names = ("negative", "positive", "green", "purple", "gold", "sky")
    for k in sorted({*regions.ravel().tolist(), *y.tolist()}):
        color = COLORS[names[int(k) % len(names)]]
        here = y == k
        ax.contourf(across, up, regions == k, levels=[0.5, 1.5], colors=[color], alpha=0.18)
        ax.plot(*x[here].float().T, "os^Dv*"[int(k) % 6], color=color, ms=4, mew=0)
    ax.set_xlabel("$x_1$")
    ax.set_ylabel("$x_2$")
    return ax


def heat_map(
    values: Any,
    ax: Axes | None = None,
    *,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    fmt: str | None = None,
    diverging: bool = False,
    label: str = "",
) -> Axes:
    """Draw a matrix (rows, columns) as colours; with `fmt` its numbers stand in the cells.

    A diverging map is centred on 0; any other runs from the least value to the greatest.
    """
    values = np.asarray(torch.as_tensor(values).detach().cpu().double())
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"expected a matrix (rows, columns), got shape {values.shape}")
    ax = ax or plt.subplots(figsize=(4.2, 3.6))[1]
    reach = np.abs(values).max()
    low, high = (-reach, reach) if diverging else (values.min(), values.max())
    cmap = mpl.colormaps[DIVERGING if diverging else SEQUENTIAL]
    image = ax.imshow(values, cmap=cmap, vmin=low, vmax=high)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.spines[:].set_visible(False)
    if fmt:
        for (i, j), value in np.ndenumerate(values):
            r, g, b, _ = cmap(image.norm(value))
            bright = 0.3 * r + 0.6 * g + 0.1 * b > 0.5
            tone = palette.ON_LIGHT if bright else palette.ON_DARK
            ax.text(j, i, format(value, fmt), ha="center", va="center", color=tone, fontsize=8)
    else:
        ax.figure.colorbar(image, ax=ax, label=label, shrink=0.8).outline.set_visible(False)
    return ax


def intervals(
    names: Sequence[str],
    means: Sequence[float],
    errors: Sequence[Any],
    ax: Axes | None = None,
    label: str = "",
    color: str = COLORS["blue"],
) -> Axes:
    """Draw a mean with its interval per name, names on the left, the first on top.

    An error is a half-width, or a pair (below, above) of distances from the mean. Raises
    ValueError unless there are as many means and errors as names, one at least.
    """
    if not len(names) == len(means) == len(errors) or len(names) == 0:
        counts = f"{len(names)} names, {len(means)} means, {len(errors)} errors"
        raise ValueError(f"expected as many of each, got {counts}")
    ax = ax or plt.subplots(figsize=(5.2, 0.42 * len(names) + 0.7))[1]
    pairs = [error if isinstance(error, (tuple, list)) else (error, error) for error in errors]
    places = range(len(names))[::-1]
    ax.errorbar(means, places, xerr=np.array(pairs).T, fmt="o", color=color, ms=5, capsize=0, lw=2)
    ax.set_yticks(places, names)
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_xlabel(label)
    return ax


def _unless_comment(change: Callable[[re.Match[str]], str]) -> Callable[[re.Match[str]], str]:
    return lambda match: match[0] if match[0].startswith("<!") else change(match)


def _adapted(draw: Callable[[Figure], str]) -> Callable[[Figure], str]:
    def formatter(fig: Figure) -> str:
        return adapt(draw(fig))

    formatter.adapted = True  # type: ignore[attr-defined]
    return formatter


def _rc() -> dict[str, Any]:
    """Return the settings of the book's look."""
    ink, muted, faint = (COLORS[name] for name in ("ink", "muted", "faint"))
    card = "none" if building() else palette.CARD
    return {
        "figure.figsize": (5.2, 3.0),
        "figure.dpi": 96,
        "figure.facecolor": card,
        "figure.constrained_layout.use": True,
        "savefig.facecolor": card,
        "axes.facecolor": "none",
        "axes.edgecolor": muted,
        "axes.labelcolor": ink,
        "axes.titlecolor": ink,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.labelsize": 10,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.prop_cycle": plt.cycler(color=[COLORS[name] for name in CYCLE]),
        "text.color": ink,
        "xtick.color": muted,
        "ytick.color": muted,
        "xtick.labelcolor": ink,
        "ytick.labelcolor": ink,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "grid.color": faint,
        "grid.linewidth": 0.7,
        "lines.linewidth": 1.8,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "font.size": 10,
        "font.family": "sans-serif",
        "mathtext.fontset": "cm",
        "svg.fonttype": "path",
        "svg.hashsalt": "dlbook",
        "image.interpolation": "nearest",
    }
