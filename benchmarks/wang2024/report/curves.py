"""Learning curves: validation errors against epochs, and against the time spent in them."""

from __future__ import annotations

import math
import textwrap
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.wang2024.report.canvas import COLOURS, new_figure, plain_log
from benchmarks.wang2024.report.runs import RowRuns, TableRuns, curve_column, curve_metrics, epoch_times

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(runs: TableRuns) -> Figure:
    """A column of panels for each curve; lines are means over the seeds, bands reach from least to most."""
    metrics = curve_metrics(runs)
    lines = -(-sum(bool(row.records) for row in runs.rows) // 2)
    figure, axes = new_figure(5.4 + 0.17 * lines, 2, len(metrics))
    for column, metric in enumerate(metrics):
        shown = curve_column(runs.table, metric)
        for index, row in enumerate(runs.rows):
            found = mean_curve(row, metric)
            if found is None:
                continue
            seconds, values = found
            style = {
                "color": COLOURS[index % len(COLOURS)],
                "ls": "--" if row.row.control else "-",
                "marker": "osD^vPX"[index % 7],
                "ms": 3,
                "markevery": max(1, values.shape[1] // 12),
                "lw": 1.3,
                "label": textwrap.fill(row.caption, 56),
            }
            for axis, x in zip(axes[:, column], (np.arange(1, values.shape[1] + 1), seconds), strict=True):
                axis.plot(x, values.mean(axis=0), **style)
                axis.fill_between(
                    x, values.min(axis=0), values.max(axis=0), color=style["color"], alpha=0.13, lw=0
                )
        for axis, x_label in zip(axes[:, column], ("epoch", _time_label(runs)), strict=True):
            axis.set(xlabel=x_label, ylabel=f"{shown.label}\n({shown.unit})")
            plain_log(axis)
        axes[0, column].xaxis.get_major_locator().set_params(integer=True)
        axes[1, column].set_xlim(left=0)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure


def _time_label(runs: TableRuns) -> str:
    return f"{'CPU' if runs.clock == 'cpu' else 'wall'} time in the epochs (s)"


def mean_curve(row: RowRuns, metric: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean seconds and the errors of each seed, over the epochs that all seeds have.

    Returns:
        Seconds (n_epochs,) and errors (n_seeds, n_epochs), NaN where a run diverged; ``None`` without curves.
    """
    seconds, values = [], []
    for record in row.records.values():
        curve = (record.get("curves") or {}).get(metric) or []
        times = list(accumulate(epoch_times(record, row.clock)))
        n = min(len(curve), len(times))
        if n:
            seconds.append(times[:n])
            values.append([math.nan if v is None else v for v in curve[:n]])
    if not values:
        return None
    n = min(map(len, values))
    return np.mean([s[:n] for s in seconds], axis=0), np.array([v[:n] for v in values])
