"""Bar charts: measured values above, published ones below, each with axes of their own that start at zero."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.wang2024.report.canvas import GREY, new_figure
from benchmarks.wang2024.report.numbers import plus_minus
from benchmarks.wang2024.report.runs import SETS, TableRuns, published, quantity_label, split_metric
from benchmarks.wang2024.report.samples import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {"train": "#B9D9EB", "val": "#0072B2", "test": "#E69F00", "": "#0072B2"}
_LABEL_WIDTH = 26
# Times the median of a panel; longer bars are cut and say their value, or nobody could see the others.
_TOO_LONG = 20.0


@dataclass(frozen=True)
class Bar:
    """A bar: its row, its set, its values, and what stands there if it has none."""

    label: str
    which: str
    sample: Sample | None
    instead: str


def draw(runs: TableRuns) -> Figure:
    """The chart of a table: a column of panels for each quantity."""
    quantities: dict[str, list[str]] = {}
    titles = {}
    for column in runs.table.columns:
        quantity = split_metric(column.metric)[1]
        quantities.setdefault(quantity, []).append(column.metric)
        titles[quantity] = quantity_label(column)
    upper = [{q: _measured(runs, metrics) for q, metrics in quantities.items()}]
    lower = [{q: _published(runs, metrics) for q, metrics in quantities.items()}]
    panels = upper + [bars for bars in lower if any(bars.values())]
    heights = [max(_height(bars) for bars in panel.values()) for panel in panels]
    figure, axes = new_figure(
        sum(heights) + 0.9, len(panels), len(quantities), sharey="row", height_ratios=heights
    )
    for line, (panel, kind) in enumerate(zip(panels, ("measured", "published"), strict=False)):
        for axis, (quantity, bars) in zip(axes[line], panel.items(), strict=True):
            _panel(axis, bars, hatched=kind == "published")
            axis.set(title=kind, xlabel=titles[quantity])
    _legend(figure, [split_metric(column.metric)[0] for column in runs.table.columns])
    return figure


def _measured(runs: TableRuns, metrics: list[str]) -> list[Bar]:
    bars = []
    for row in runs.rows:
        for metric in metrics:
            sample = row.sample(metric)
            instead = (
                "diverged" if sample and sample.diverged else "not measured" if row.records else "not run"
            )
            bars.append(Bar(row.caption, split_metric(metric)[0], sample, instead))
    return bars


def _published(runs: TableRuns, metrics: list[str]) -> list[Bar]:
    names = {row.row.id: row.row.label for row in runs.rows if row.row.id in runs.table.published}
    printed = [m for m in metrics if any(published(runs.table, key, m) for key in names)]
    return [
        Bar(name, split_metric(metric)[0], published(runs.table, key, metric), "not published")
        for key, name in names.items()
        for metric in printed
    ]


def _height(bars: list[Bar]) -> float:
    rows = list(dict.fromkeys(bar.label for bar in bars))
    lines = max((len(textwrap.wrap(row, _LABEL_WIDTH)) for row in rows), default=1)
    return 0.75 + len(rows) * max(0.17 * len(bars) / max(len(rows), 1) + 0.12, 0.16 * lines + 0.08)


def _panel(axis: Axes, bars: list[Bar], hatched: bool) -> None:
    rows = list(dict.fromkeys(bar.label for bar in bars))
    sets = list(dict.fromkeys(bar.which for bar in bars))
    size = min(0.55, 0.8 / max(len(sets), 1))
    end = right_end(bars)
    for bar in bars:
        y = rows.index(bar.label) + (sets.index(bar.which) - (len(sets) - 1) / 2) * size
        if bar.sample is None or bar.sample.mean is None:
            axis.annotate(
                bar.instead, (0, y), (3, 0), textcoords="offset points", va="center", fontsize=6.5, color=GREY
            )
            continue
        style = {"color": _COLOURS[bar.which], "edgecolor": "black", "linewidth": 0.5}
        cut = end is not None and bar.sample.mean > end
        axis.barh(y, end if cut else bar.sample.mean, size, hatch="////" if hatched else None, **style)
        if cut:
            box = {"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none"}
            text = {"ha": "right", "va": "center", "fontsize": 6.5, "bbox": box}
            value = f"{plus_minus(bar.sample, 1)} →"
            axis.annotate(value, (end, y), (-3, 0), textcoords="offset points", **text)
            continue
        if bar.sample.sd is not None:
            axis.errorbar(bar.sample.mean, y, xerr=bar.sample.sd, color="black", lw=1, capsize=2)
        if bar.sample.n > 1:
            y_all = [y] * bar.sample.n
            axis.plot(bar.sample.finite, y_all, "o", ms=2.6, mfc="white", mec="black", mew=0.5, zorder=3)
    axis.set_yticks(range(len(rows)), [textwrap.fill(row, _LABEL_WIDTH) for row in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.set_xlim(0, end)
    axis.locator_params(axis="x", nbins=6)
    axis.tick_params(axis="y", length=0)
    axis.grid(True, axis="x", color="0.9", lw=0.6)
    axis.set_axisbelow(True)


def right_end(bars: list[Bar]) -> float | None:
    """Where an axis must end for bars to be seen beside one that is far too long; None if none is."""
    samples = [bar.sample for bar in bars if bar.sample is not None and bar.sample.mean is not None]
    if not samples:
        return None
    longest = _TOO_LONG * median(sample.mean for sample in samples)
    kept = [sample for sample in samples if sample.mean <= longest]
    if not longest or len(kept) == len(samples):
        return None
    return 1.1 * max(max(sample.mean + (sample.sd or 0.0), *sample.finite) for sample in kept)


def _legend(figure: Figure, sets: list[str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [Patch(fc=_COLOURS[s], ec="black", lw=0.5, label=SETS[s]) for s in dict.fromkeys(sets) if s]
    handles.append(Line2D([], [], color="black", marker="|", lw=1, label="± standard deviation"))
    handles.append(
        Line2D([], [], ls="", marker="o", ms=3.5, mfc="white", mec="black", mew=0.5, label="one seed")
    )
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
