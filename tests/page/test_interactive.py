"""Slider figures: frames in the book, a live widget in a notebook."""

import matplotlib.pyplot as plt
import pytest

from dlbook_utils.page import interactive
from dlbook_utils.page.interactive import explore


def draw(value):
    plt.subplots(figsize=(1, 1))[1].plot([0, value])


@pytest.fixture
def shown(monkeypatch):
    bundles = []
    monkeypatch.setattr(interactive, "display_bundle", bundles.append)
    monkeypatch.setenv("DLBOOK_BUILD", "1")
    plt.close("all")  # other tests of this process may have left figures
    return bundles


def test_the_book_gets_a_frame_and_a_text_per_value(shown):
    explore(draw, "slope", [1, 2, 3], alt="a line of slope {value}", caption="c", name="n")
    content = shown[0][interactive.MIME]
    assert content["values"] == ["1", "2", "3"]
    assert content["alts"] == [f"a line of slope {k}" for k in (1, 2, 3)]
    assert len(set(content["frames"])) == 3
    assert all("<svg" in frame for frame in content["frames"])
    assert plt.get_fignums() == []


def test_tests_and_builds_have_no_live_widgets(monkeypatch):
    bundles = []
    monkeypatch.setattr(interactive, "display_bundle", bundles.append)
    monkeypatch.setattr(interactive, "_widget", lambda *args: pytest.fail("a live widget"))
    monkeypatch.delenv("DLBOOK_BUILD", raising=False)
    monkeypatch.setenv("DLBOOK_STRICT", "1")
    explore(draw, "slope", [1, 2], alt="a line of slope {value}")
    assert len(bundles[0][interactive.MIME]["frames"]) == 2


def test_braces_in_the_text_are_no_fields(shown):
    explore(draw, "slope", [1, 2], alt="the set {1,2}, {value:.1f} and {value}")
    assert shown[0][interactive.MIME]["alts"][1] == "the set {1,2}, 2.0 and 2"


def test_alt_may_be_a_function(shown):
    explore(draw, "slope", [1], alt=lambda value: f"slope {value + 1}")
    assert shown[0][interactive.MIME]["alts"] == ["slope 2"]


@pytest.mark.parametrize(("values", "alt"), [([], "x"), ([1], "")])
def test_without_values_or_a_text_there_is_no_figure(shown, values, alt):
    with pytest.raises(ValueError, match="explore needs values and an alt text"):
        explore(draw, "slope", values, alt=alt)


def test_a_live_notebook_gets_a_widget_that_draws(monkeypatch):
    import ipywidgets

    monkeypatch.delenv("DLBOOK_BUILD", raising=False)
    monkeypatch.delenv("DLBOOK_STRICT", raising=False)
    drawn, widgets = [], []
    monkeypatch.setattr("IPython.display.display", lambda *items: widgets.extend(items))
    explore(drawn.append, "slope", [1, 2], alt="x")
    assert drawn == [1]
    slider = next(item for item in widgets if isinstance(item, ipywidgets.SelectionSlider))
    slider.value = 2
    assert drawn == [1, 2]
