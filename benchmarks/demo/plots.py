"""The four pictures of the demonstration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from benchmarks.demo.evaluation import Functions, Prediction
    from kan_heads.dynamics import Trajectory

#: Two colours of Okabe and Ito that differ for every kind of colour vision, and in grey.
COLOURS = {"mlp": "#0072B2", "kan": "#D55E00"}
MARKERS = {"mlp": "o", "kan": "s"}
LABELS = {"mlp": "MLP readout", "kan": "KAN readout"}
_DPI = 150
_GREY = "0.45"


def learning_curves(results: dict[str, Any], path: Path) -> None:
    """Validation errors against epochs, and against the time spent in them."""
    figure, axes = _figure(2, 2, (9.0, 6.6))
    quantities = ("validation_force_mae_eV_per_A", "validation_energy_mae_meV_per_atom")
    names = ("validation force MAE (eV/Å)", "validation energy MAE (meV/atom)")
    for column, (quantity, name) in enumerate(zip(quantities, names, strict=True)):
        for key, model in results["models"].items():
            history = model["history"]
            y = history[quantity]
            for row, x in enumerate((np.arange(1, len(y) + 1), np.cumsum(history["epoch_seconds"]))):
                axes[row, column].plot(x, y, color=COLOURS[key], marker=MARKERS[key], ms=4, label=LABELS[key])
        for row, label in enumerate(("epoch", "time in training (s)")):
            axis = axes[row, column]
            axis.set(xlabel=label, ylabel=name, yscale="log")
            _plain_log_ticks(axis)
        axes[0, column].xaxis.get_major_locator().set_params(integer=True)
        axes[1, column].set_xlim(left=0)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    _legend_above(figure, handles, labels, results)
    _save(figure, path)


def parity(
    results: dict[str, Any], reference: Prediction, predictions: dict[str, Prediction], path: Path
) -> None:
    """Predictions against labels on the test frames."""
    figure, axes = _figure(1, 2, (9.0, 5.5))
    mean = reference.energies.mean()
    energy = {key: 1000 * (p.energies - mean) for key, p in predictions.items()}
    force = {key: p.forces.ravel() for key, p in predictions.items()}
    small, large = {"s": 4, "alpha": 0.4}, {"s": 22, "alpha": 0.75}
    _cloud(axes[0], reference.forces.ravel(), force, small)
    _cloud(axes[1], 1000 * (reference.energies - mean), energy, large)
    parts = (
        ("force component", "eV/Å", "test_force_mae_eV_per_A", ".3f"),
        ("energy - mean", "meV/atom", "test_energy_mae_meV_per_atom", ".1f"),
    )
    for axis, (what, unit, mae, digits) in zip(axes, parts, strict=True):
        low, high = min(axis.get_xlim()[0], axis.get_ylim()[0]), max(axis.get_xlim()[1], axis.get_ylim()[1])
        axis.plot([low, high], [low, high], color=_GREY, lw=1, zorder=0)
        axis.locator_params(nbins=6)
        axis.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        axis.set(xlabel=f"reference {what} ({unit})", ylabel=f"predicted {what} ({unit})")
        for key in predictions:
            text = f"{LABELS[key]}, MAE {results['models'][key][mae]:{digits}} {unit}"
            axis.plot([], [], ls="", marker="o", color=COLOURS[key], label=text)
        axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    figure.suptitle(_title(results), fontsize=10)
    _save(figure, path)


def _cloud(axis: Axes, x: np.ndarray, ys: dict[str, np.ndarray], style: dict[str, Any]) -> None:
    """Draws the points of both models in mixed order, so that neither hides the other."""
    order = np.random.RandomState(0).permutation(len(x) * len(ys))
    colours = np.repeat([COLOURS[key] for key in ys], len(x))
    y = np.concatenate(list(ys.values()))
    axis.scatter(np.tile(x, len(ys))[order], y[order], c=colours[order], linewidths=0, **style)


def functions(results: dict[str, Any], learned: Functions, path: Path) -> None:
    """The learned functions over the inputs that occur."""
    figure, axes = _figure(3, 4, (11.0, 7.6))
    for axis in axes.ravel()[len(learned.names) :]:
        axis.axis("off")
    for i, (axis, name) in enumerate(zip(axes.ravel(), learned.names, strict=False)):
        x, y, (low, high) = learned.x[i], learned.y[i], learned.ranges[i]
        _shade(axis, learned.inputs[:, i], x[0], x[-1])
        axis.axhline(0, color=_GREY, lw=0.6)
        for knot in learned.knots[i]:
            axis.axvline(knot, color=_GREY, lw=0.8, ls=":")
        met = (x >= low) & (x <= high)
        axis.plot(x, y, color=COLOURS["kan"], lw=1, ls="--")
        axis.plot(x[met], y[met], color=COLOURS["kan"], lw=2)
        axis.plot(0, 0, "o", color="black", ms=4.5)
        # Where no input comes, the function may go anywhere; it does not set the scale.
        pad = 0.12 * (np.ptp(y[met]) or 1.0)
        axis.set(xlim=(x[0], x[-1]), ylim=(min(y[met].min(), 0) - pad, max(y[met].max(), 0) + pad))
        axis.set_title(f"{name}, spread {learned.spread[i]:.2g}", fontsize=9)
        axis.tick_params(labelsize=8)
        axis.locator_params(nbins=5)
    figure.supxlabel("input $x_i$ of the readout (dimensionless)", fontsize=10)
    figure.supylabel(r"$\varphi_i(x_i)$, contribution to the readout (dimensionless)", fontsize=10)
    _legend_above(figure, *_function_legend(), results)
    _save(figure, path)


def _shade(axis: Axes, inputs: np.ndarray, low: float, high: float) -> None:
    """Draws how often inputs occur, on a logarithmic scale: most edges are long and give almost 0."""
    counts, edges = np.histogram(inputs, bins=np.linspace(low, high, 51))
    height = np.log1p(counts) / np.log1p(counts.max() or 1)
    # Heights as shares of the panel, so that they need no second axis.
    axis.stairs(0.9 * height, edges, fill=True, color="0.87", transform=axis.get_xaxis_transform(), zorder=0)


def _function_legend() -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], color=COLOURS["kan"], lw=2),
        Line2D([], [], color=COLOURS["kan"], lw=1, ls="--"),
        Patch(color="0.87"),
        Line2D([], [], color="black", marker="o", ms=4.5, ls=""),
        Line2D([], [], color=_GREY, ls=":", lw=0.8),
    ]
    names = ["learned function", "beyond 99.9 % of the inputs", "inputs on test frames (log scale)"]
    return handles, [*names, r"$\varphi(0) = 0$", "knots of the grid"]


def dynamics(results: dict[str, Any], trajectory: Trajectory, path: Path) -> None:
    """Total energy and temperature against time."""
    figure, axes = _figure(2, 1, (8.0, 6.0), sharex=True)
    t = trajectory.time_fs
    energy = 1000 * (trajectory.energy_eV_per_atom - trajectory.energy_eV_per_atom[0])
    axes[0].plot(t, energy, color=COLOURS["kan"], lw=1, label="total energy")
    drift = results["dynamics"]["drift_meV_per_atom_per_ps"]
    if drift is not None:
        line = energy.mean() + drift * (t - t.mean()) / 1000
        axes[0].plot(t, line, color="black", lw=1.2, ls="--", label=f"fit: {drift:+.3f} meV/atom/ps")
    axes[0].set(ylabel="total energy - start (meV/atom)")
    axes[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    axes[1].plot(t, trajectory.temperature_K, color=COLOURS["mlp"], lw=1)
    axes[1].set(xlabel="time (fs)", ylabel="temperature (K)", xlim=(0, max(t[-1], 1.0)))
    figure.suptitle(_title(results), fontsize=10)
    _save(figure, path)


def _figure(n_rows: int, n_columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, Any]:
    # Without pyplot: nothing global, and no display is looked for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(n_rows, n_columns, **options)


def _plain_log_ticks(axis: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_ylim()
    decades = np.log10(high / low)
    subs = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8) if decades < 0.7 else (1, 2, 3, 5) if decades < 1.5 else (1,)
    axis.yaxis.set_major_locator(LogLocator(subs=subs))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.grid(True, which="major", color="0.9", lw=0.6)


def _legend_above(figure: Figure, handles: list[Any], labels: list[str], results: dict[str, Any]) -> None:
    # As the legend's title: the layout would draw a title of the figure over the legend.
    title = _title(results)
    figure.legend(handles, labels, title=title, loc="outside upper center", ncols=len(labels), frameon=False)


def _title(results: dict[str, Any]) -> str:
    s = results["settings"]
    return f"{s['system_name']}; {s['train']} training frames, {s['epochs']} epochs, seed {s['seed']}"


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=_DPI)
