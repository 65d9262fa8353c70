"""Pictures of heating and of coexistence (Figure 7 of An and Yeo 2025)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Melting points of elements in K that are drawn: label and value. Published: An and Yeo 2025,
#: section 3.2.2; experiment: CRC Handbook of Chemistry and Physics (2334 °C).
MARKS = {"Ru": (("published heating run, 2416 K", 2416.0, "--"), ("experiment, 2607 K", 2607.0, ":"))}

# Colours of Okabe and Ito.
_COLOURS = {"hcp": "#0072B2", "fcc": "#009E73", "bcc": "#CC79A7", "other": "#E69F00"}
_NAMES = {"other": "none of them"}
# What happens in the stages of a coexistence run; the atoms that wait are at instantaneous places.
_STAGES = {
    "crystal": "crystal",
    "melt": "half melts, half waits",
    "cool": "half cools",
    "join": "joined",
    "coexist": "constant enthalpy",
}
_ENERGY, _GREY = "black", "0.45"
_DPI = 150


def heating(result: dict[str, Any], path: str | Path) -> None:
    """Draws potential energy and shares of crystal structures against temperature.

    Args:
        result: what :func:`kan_heads.eam.heating.heat` returned.
        path: file to write.
    """
    figure, axes = _figure(2, 1, (8.0, 7.0), sharex=True)
    samples = result["samples"]
    ramp = np.array(samples["stage"]) == "heat"
    kelvin = np.array(samples["target_K"])[ramp]
    energy = np.array(samples["energy_eV"])[ramp]
    axes[0].plot(kelvin, energy, color=_GREY, lw=0.6, alpha=0.7, label="samples")
    width = max(1, len(energy) // 40)
    if len(energy) > 2 * width:
        middle = _running_mean(kelvin, width), _running_mean(energy, width)
        axes[0].plot(*middle, color=_ENERGY, lw=1.8, label=f"mean of {width}")
    axes[0].set(ylabel="potential energy (eV/atom)")
    for name, colour in _COLOURS.items():
        share = np.array(samples[name])[ramp]
        if share.max() > 0.02:
            label = _NAMES.get(name, name)
            axes[1].plot(kelvin, share, color=colour, lw=1.6, label=label)
    axes[1].set(xlabel="temperature of the thermostat (K)", ylabel="share of atoms", ylim=(-0.03, 1.03))
    if len(kelvin) > 1:
        axes[1].set_xlim(kelvin[0], kelvin[-1])
    _mark(axes, result["element"], (kelvin[0], kelvin[-1]))
    if result["melting_K"] is not None:
        for axis in axes:
            axis.axvline(result["melting_K"], color="#D55E00", lw=1.4)
        axes[0].plot([], [], color="#D55E00", lw=1.4, label=f"melts here at {result['melting_K']:.0f} K")
    for axis in axes:
        _legend_above(axis)
    rate = result["settings"]["rate"]
    figure.suptitle(f"{result['element']}: {result['n_atoms']} atoms heated at {rate:g} K/ps", fontsize=11)
    figure.savefig(path, dpi=_DPI)


def distributions(result: dict[str, Any], path: str | Path) -> None:
    """Draws radial distribution functions with bands of one standard deviation of five blocks.

    Args:
        result: what :func:`kan_heads.eam.heating.heat` returned.
        path: file to write.
    """
    rdf = result["rdf"]
    rows = rdf["at"]
    figure, axes = _figure(
        max(1, len(rows)), 1, (7.0, 1.2 + 2.0 * max(1, len(rows))), sharex=True, squeeze=False
    )
    r = np.array(rdf["r_A"])
    for axis, row in zip(axes[:, 0], rows, strict=False):
        g, std = np.array(row["g"], dtype=float), np.array(row["std"], dtype=float)
        axis.fill_between(r, g - std, g + std, color="#56B4E9", alpha=0.6, lw=0)
        axis.plot(r, g, color="#0072B2", lw=1.4)
        axis.axhline(1.0, color=_GREY, lw=0.6)
        text = f"{row['target_K']:g} ± {rdf['window_K']:g} K, {row['n_samples']} samples"
        axis.text(0.98, 0.9, text, transform=axis.transAxes, ha="right", va="top", fontsize=9)
        axis.set(ylabel="g(r)", ylim=(0, None))
    axes[-1, 0].set(xlabel="r (Å)", xlim=(1.5, r[-1]))
    figure.suptitle(
        f"{result['element']}: radial distribution, band: standard deviation of blocks", fontsize=11
    )
    figure.savefig(path, dpi=_DPI)


def coexistence(result: dict[str, Any], path: str | Path) -> None:
    """Draws temperature and crystalline share against time, and the box in slices, of the last attempt.

    Args:
        result: what :func:`kan_heads.eam.coexistence.melt` returned.
        path: file to write.
    """
    attempt = result["attempts"][-1]
    samples = attempt["samples"]
    time = 1e-3 * result["settings"]["timestep"] * np.array(samples["step"])
    figure, axes = _figure(3, 1, (8.0, 8.5), sharex=True)
    axes[0].plot(time, samples["temperature_K"], color="black", lw=0.8)
    stage = np.array(samples["stage"])
    together = time[stage == "coexist"]
    if attempt["outcome"] == "coexistence":
        text = f"{attempt['temperature_K']:.0f} ± {attempt['error_K']:.0f} K"
        span = [together[len(together) // 2], together[-1]]
        axes[0].plot(span, [attempt["temperature_K"]] * 2, color="#D55E00", lw=2, label=text)
    for label, value, style in MARKS.get(result["element"], ()):
        axes[0].axhline(value, color=_GREY, ls=style, lw=1.2, label=label)
    axes[0].set(ylabel="temperature (K)")
    axes[1].plot(time, samples["crystalline"], color="#0072B2", lw=1.2, label="all atoms")
    axes[1].plot(time, samples["crystalline_hot"], color="#E69F00", lw=1.0, label="middle of the melted half")
    axes[1].set(ylabel="crystalline share", ylim=(-0.03, 1.03))
    for axis in axes[:2]:
        _legend_above(axis)
    profile = np.array(samples["profile"]).T  # (n_bins, n_samples)
    image = axes[2].pcolormesh(time, (np.arange(len(profile)) + 0.5) / len(profile), profile, vmin=0, vmax=1)
    figure.colorbar(image, ax=axes[2], label="crystalline share", location="bottom", shrink=0.5)
    axes[2].set(xlabel="time (ps)", ylabel="place along z", xlim=(time[0], time[-1]))
    starts = [0, *(np.flatnonzero(stage[1:] != stage[:-1]) + 1)]
    for k in starts:
        for axis in axes:
            axis.axvline(time[k], color="0.8", lw=0.8)
        name = _STAGES.get(str(stage[k]), str(stage[k]))
        axes[1].text(time[k], 0.93, " " + name, rotation=90, va="top", ha="left", fontsize=8, color="0.3")
    title = f"{result['element']}: crystal and liquid, {result['n_atoms']} atoms; {attempt['outcome']}"
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=_DPI)


def _mark(axes: np.ndarray, element: str, span: tuple[float, float]) -> None:
    for label, value, style in MARKS.get(element, ()):
        if span[0] <= value <= span[1]:
            for axis in axes:
                axis.axvline(value, color=_GREY, ls=style, lw=1.2)
            axes[0].plot([], [], color=_GREY, ls=style, lw=1.2, label=label)


def _legend_above(axis: Axes) -> None:
    n = len(axis.get_legend_handles_labels()[0])
    place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}
    axis.legend(**place, ncols=n if n <= 4 else 3, frameon=False, fontsize=8.5)


def _running_mean(values: np.ndarray, width: int) -> np.ndarray:
    return np.convolve(values, np.full(width, 1.0 / width), mode="valid")


def _figure(n_rows: int, n_columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, Axes]:
    # Without pyplot: nothing global, and no display is looked for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(n_rows, n_columns, **options)
