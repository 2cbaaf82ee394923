"""Figures: colours that everyone can tell apart, and one picture for light and dark."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from dlbook_utils.page import plotting

# Machado, Oliveira & Fernandes (2009), doi:10.1109/TVCG.2009.113, severity 1.0, on linear RGB
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
PAPER = {"light": "#ffffff", "dark": "#14181e"}


def linear(color):
    rgb = np.array(to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(color, matrix):
    """CIELAB coordinates of a colour as seen through a colour-vision deficiency."""
    seen = np.clip(np.array(matrix) @ linear(color), 0, 1)
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    x, y, z = np.cbrt(np.maximum(to_xyz @ seen / np.array([0.9505, 1, 1.089]), 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(a, b):
    """WCAG contrast ratio of two colours."""
    one, two = (float(np.array([0.2126, 0.7152, 0.0722]) @ linear(c)) + 0.05 for c in (a, b))
    return max(one, two) / min(one, two)


@pytest.mark.parametrize("kind", DEFICIENCIES)
@pytest.mark.parametrize("mode", [0, 1])
def test_the_colours_keep_apart_for_everyone(kind, mode):
    colors = [plotting.PALETTE[name][mode] for name in plotting.CYCLE]
    seen = [lab(color, DEFICIENCIES[kind]) for color in colors]
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    assert min(apart) > 11, (kind, [round(d) for d in apart])


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_colours_stand_out_from_the_page(mode):
    k = ["light", "dark"].index(mode)
    for name, pair in plotting.PALETTE.items():
        needed = {"ink": 7, "muted": 4.5, "faint": 1.2, "sky": 2.8, "gold": 3.0}.get(name, 4.0)
        assert contrast(pair[k], PAPER[mode]) >= needed, (name, contrast(pair[k], PAPER[mode]))


@pytest.fixture
def building(monkeypatch):
    monkeypatch.setenv("DLBOOK_BUILD", "1")
    with plt.rc_context():
        plotting.use_style()
        yield
    plt.close("all")


def test_one_svg_serves_light_and_dark(building):
    fig, ax = plt.subplots()
    ax.plot([1, 2, 3], label="a")
    svg = plotting.to_svg(fig)
    drawing = svg[svg.index("</style>") :]
    assert "prefers-color-scheme:dark" in svg
    assert "var(--blue)" in drawing
    assert "var(--ink)" in drawing
    for light, dark, *_ in plotting.PALETTE.values():
        assert light not in drawing.lower()
        assert dark not in drawing.lower()


def test_the_same_figure_has_the_same_bytes(building):
    def draw():
        fig, ax = plt.subplots()
        ax.plot([1, 3, 2])
        return plotting.to_svg(fig)

    assert draw() == draw()


def test_a_live_notebook_gets_a_light_card(monkeypatch):
    monkeypatch.delenv("DLBOOK_BUILD", raising=False)
    with plt.rc_context():
        plotting.use_style()
        fig, ax = plt.subplots()
        svg = plotting.to_svg(fig)
    plt.close(fig)
    assert "var(--" not in svg
    assert "#fdfdfc" in svg


def test_sentinel_colours_are_distinct():
    lights = [color.light for color in plotting.PALETTE.values()]
    assert len(set(lights)) == len(lights)


def test_learning_curves_show_the_mean_and_range_of_runs():
    histories = [
        [{"epoch": e, "train_loss": e + k, "valid_loss": 2.0} for e in (1, 2)] for k in (0, 2)
    ]
    ax = plotting.learning_curves(histories)
    assert [list(line.get_ydata()) for line in ax.lines] == [[2, 3], [2, 2]]
    assert len(ax.collections) == 2
    assert [text.get_text() for text in ax.texts] == ["train loss", "valid loss"]
    plt.close("all")


def test_image_grid_takes_only_images():
    fig = plotting.image_grid(torch.zeros(10, 1, 8, 8, dtype=torch.uint8), columns=4)
    assert sum(bool(ax.images) for ax in fig.axes) == 10
    plt.close(fig)
    with pytest.raises(ValueError, match=r"got \(10, 8, 8\)"):
        plotting.image_grid(torch.zeros(10, 8, 8))


def test_decision_regions_colour_the_plane_as_predicted():
    x, y = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([0, 1])
    ax = plotting.decision_regions(lambda p: (p[:, 0] > 0.5).long(), x, y)
    assert len(ax.lines) == 2
    plt.close("all")


def test_heat_map_writes_numbers_and_centres_a_diverging_map():
    ax = plotting.heat_map(torch.tensor([[1.0, -3.0]]), fmt=".0f", diverging=True)
    assert [text.get_text() for text in ax.texts] == ["1", "-3"]
    assert ax.images[0].get_clim() == (-3, 3)
    plt.close("all")


def test_intervals_take_half_widths_and_pairs():
    ax = plotting.intervals(["a", "b"], [1, 2], [0.5, (0.1, 0.2)])
    segments = ax.collections[0].get_segments()
    np.testing.assert_allclose([s[:, 0] for s in segments], [[0.5, 1.5], [1.9, 2.2]])
    plt.close("all")


def test_a_text_that_names_a_colour_keeps_it():
    light = plotting.PALETTE["blue"][0]
    svg = f'<svg><!-- {light} --><text style="fill: {light}">{light}</text></svg>'
    drawing = plotting.adapt(svg).split("</style>")[1]
    assert drawing == f'<!-- {light} --><text style="fill: var(--blue)">{light}</text></svg>'


def test_colours_in_capitals_are_replaced_too():
    light = plotting.PALETTE["ink"][0].upper()
    assert 'stroke="var(--ink)"' in plotting.adapt(f'<svg><path stroke="{light}"/></svg>')


def test_learning_curves_without_validation_and_of_unequal_lengths():
    histories = [
        [{"epoch": e, "train_loss": float(e + k)} for e in range(1, last + 1)]
        for k, last in ((0, 3), (2, 2))
    ]
    ax = plotting.learning_curves(histories)
    assert [list(line.get_ydata()) for line in ax.lines] == [[2, 3, 3]]
    assert [text.get_text() for text in ax.texts] == ["train loss"]
    plt.close("all")
    with pytest.raises(ValueError, match="expected histories with train_loss, valid_loss, got"):
        plotting.learning_curves([])


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_images_with_a_gradient_are_drawn(kind):
    fig = plotting.image_grid(torch.rand(2, 3, 4, 4).to(kind).requires_grad_())
    assert sum(bool(ax.images) for ax in fig.axes) == 2
    plt.close(fig)


def test_titles_belong_to_images():
    with pytest.raises(ValueError, match="1 titles for 2 images"):
        plotting.image_grid(torch.zeros(2, 1, 4, 4), titles=["a"])
    with pytest.raises(ValueError, match="columns must be 1 or more, got 0"):
        plotting.image_grid(torch.zeros(2, 1, 4, 4), columns=0)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_decision_regions_ask_with_points_like_the_given_ones(kind):
    x = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=kind).requires_grad_()
    asked = []

    def predict(points):
        asked.append((points.dtype, points.device))
        return (points[:, 0] > 0.5).long()

    plotting.decision_regions(predict, x, torch.tensor([0, 1]), steps=9)
    assert asked == [(x.dtype, x.device)]
    plt.close("all")


def test_decision_regions_put_their_grid_where_the_points_are():
    """Points on "meta" stand for those on a GPU: the grid is there before anything is drawn."""

    class Seen(Exception):
        pass

    class Elsewhere(torch.Tensor):
        """Points on the CPU that say they are on another device."""

    class Grid:
        def to(self, place):
            raise Seen(type(place))

    x = torch.rand(3, 2).as_subclass(Elsewhere)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plotting.torch, "cartesian_prod", lambda *axes: Grid())
        with pytest.raises(Seen, match="Elsewhere"):
            plotting.decision_regions(lambda p: p, x, torch.tensor([0, 1, 0]))
    plt.close("all")


@pytest.mark.parametrize("shape", [(0, 2), (4,), (2, 2, 2)])
def test_a_heat_map_is_of_a_matrix(shape):
    with pytest.raises(ValueError, match="expected a matrix"):
        plotting.heat_map(torch.zeros(shape))


def test_heat_map_draws_half_precision_with_a_gradient():
    ax = plotting.heat_map(torch.ones(2, 2, dtype=torch.bfloat16).requires_grad_(), fmt=".0f")
    assert len(ax.texts) == 4
    plt.close("all")


def test_intervals_need_as_many_of_each():
    with pytest.raises(ValueError, match="2 names, 1 means, 1 errors"):
        plotting.intervals(["a", "b"], [1], [0.1])
