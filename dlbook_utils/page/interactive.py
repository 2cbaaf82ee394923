"""Figures with a slider: live in a notebook, and still alive in the static page.

In a notebook the figure is an ipywidget and drawn anew for each value. In the book's build, and in
its tests (``DLBOOK_STRICT=1``), every frame is drawn once and put under the page's own slider,
which needs neither a kernel nor a widget library: live widgets may hang a notebook that nobody
watches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt

from dlbook_utils.page.notebook import building, display_bundle, strict
from dlbook_utils.page.plotting import to_svg

MIME = "application/vnd.dlbook.frames+json"


def explore(
    draw: Callable[[Any], Any],
    label: str,
    values: Sequence[Any],
    *,
    alt: str | Callable[[Any], str],
    caption: str = "",
    name: str = "",
) -> None:
    """Show a figure with a slider over `values`.

    Arguments:
        draw: draws the figure for one value with pyplot (and leaves it as the current figure).
        label: what the slider sets, such as "learning rate".
        values: what it can be set to, in order; shown by ``str``.
        alt: what the picture shows: a function of the value, or a text in which ``{value}``
            stands for it.
        caption, name: of the figure in the book.

    Raises ValueError without values or without a text for readers who cannot see the picture.
    """
    if len(values) == 0 or not alt:
        raise ValueError(f"explore needs values and an alt text, got {values!r} and {alt!r}")
    describe = alt if callable(alt) else lambda value: _filled(alt, value)
    if building() or strict():
        frames = [_frame(draw, value) for value in values]
        texts = [describe(value) for value in values]
        content = {"label": label, "values": [str(value) for value in values], "frames": frames}
        display_bundle({"text/plain": texts[0], MIME: content | _words(texts, caption, name)})
    else:
        _widget(draw, label, values)


def _filled(alt: str, value: Any) -> str:
    """Return a text with the value, as in ``{value:.1f}``, and other braces as they are."""
    return re.sub(r"\{value(?::([^{}]*))?\}", lambda match: format(value, match[1] or ""), alt)


def _words(alts: list[str], caption: str, name: str) -> dict[str, Any]:
    return {"alts": alts, "caption": caption, "name": name}


def _frame(draw: Callable[[Any], Any], value: Any) -> str:
    """Return the figure for one value as SVG, and close it."""
    draw(value)
    fig = plt.gcf()
    svg = to_svg(fig)
    plt.close(fig)
    return svg


def _widget(draw: Callable[[Any], Any], label: str, values: Sequence[Any]) -> None:
    import ipywidgets
    from IPython.display import display

    def show(value: Any) -> None:
        draw(value)
        plt.show()

    options = [(str(value), value) for value in values]
    slider = ipywidgets.SelectionSlider(
        options=options, description=label, style={"description_width": "initial"}
    )
    display(slider, ipywidgets.interactive_output(show, {"value": slider}))
