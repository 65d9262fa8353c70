"""Pictures as SVG, the same bytes each time: no pyplot, and matplotlib's style, not the user's."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Width of a picture in inches: that of a page.
WIDTH = 9.0
#: Okabe and Ito: differ for every kind of colour vision. The baseline's comes first.
COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREY = "0.45"

#: Labelled places of a decade on axes of fewer decades than the first number.
_PLACES = (
    (0.5, (1, 1.2, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9)),
    (1.5, (1, 2, 3, 5, 7)),
    (3, (1, 3)),
    (math.inf, (1,)),
)

_STYLE = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # labels are what they are
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.6,
}


def svg(draw: Callable[[], Figure], name: str) -> bytes:
    """Draws a figure.

    Args:
        draw: makes it.
        name: its name, from which the ids inside are made.
    """
    import matplotlib.style

    with matplotlib.style.context(["default", {**_STYLE, "svg.hashsalt": name}]):
        figure = draw()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def new_figure(height: float, rows: int, columns: int, **options: Any) -> tuple[Figure, Any]:
    """A figure and the array of its panels."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def plain_log(axis: Axes) -> None:
    """A logarithmic y axis with plain numbers at a few places of each decade, if anything is above 0."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.grid(True, which="major", color="0.9", lw=0.6)
    if not math.isfinite(axis.dataLim.minposy):
        return
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    decades = math.log10(high / low)
    places = next(p for most, p in _PLACES if decades < most)
    axis.yaxis.set_major_locator(LogLocator(subs=places))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
