"""The learned functions of a potential, drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from kan_heads.eam.potential import Potential

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _ORANGE, _GREY = "#2166ac", "#d6604d", "#777777"


def equilibrium_distance(potential: Potential) -> tuple[float, float]:
    """Returns where the pair function is lowest, Å, and its value there, eV."""
    r = torch.linspace(0.8 * potential.config.inner, potential.config.cutoff, 20001, dtype=torch.float64)
    with torch.no_grad():
        phi = potential.pair(r)
    k = int(phi.argmin())
    return float(r[k]), float(phi[k])


def draw_functions(potential: Potential, path: str | Path) -> None:
    """Draws pair function and force, and density and embedding if there are any, as PNG.

    The distance of the lowest pair energy is marked, as in Figure 6 of An and Yeo 2025.

    Args:
        potential: potential.
        path: file to write.
    """
    from matplotlib.figure import Figure

    config = potential.config
    eam = potential.density is not None
    figure = Figure(figsize=(9.0, 6.4 if eam else 3.4), layout="constrained")
    axes = figure.subplots(2 if eam else 1, 2, squeeze=False)
    r = torch.linspace(0.95 * config.inner, config.cutoff, 1000, dtype=torch.float64, requires_grad=True)
    phi = potential.pair(r)
    (slope,) = torch.autograd.grad(phi.sum(), r)
    x = r.detach().numpy()
    place, depth = equilibrium_distance(potential)
    _line(axes[0, 0], x, phi.detach().numpy(), r"pair energy $\phi(r)$ (eV)", _BLUE)
    _line(axes[0, 1], x, -slope.numpy(), r"pair force $-\phi^\prime(r)$ (eV/Å)", _BLUE)
    for axis in axes[0]:
        axis.axvline(place, color=_GREY, linestyle="--", linewidth=1.0)
        axis.set_xlabel("r (Å)")
    axes[0, 0].set_ylim(1.3 * min(depth, -0.01), 3.0 * max(-depth, 0.01))
    axes[0, 1].set_ylim(*_around(-slope.numpy()))
    axes[0, 0].annotate(
        rf"$r_0$ = {place:.2f} Å", (place, axes[0, 0].get_ylim()[1]), (4, -12), textcoords="offset points"
    )
    if eam:
        with torch.no_grad():
            f = potential.density(r).numpy()
            rho = torch.linspace(0.0, config.density_range, 1000, dtype=torch.float64)
            embedded = potential.embedding(rho).numpy()
        _line(axes[1, 0], x, f, "density $f(r)$", _ORANGE)
        axes[1, 0].set_xlabel("r (Å)")
        axes[1, 0].set_yscale("log")
        axes[1, 0].set_ylim(1e-5 * f.max(), 2.0 * f.max())
        _line(axes[1, 1], rho.numpy(), embedded, r"embedding energy $F(\rho)$ (eV)", _ORANGE)
        axes[1, 1].set_xlabel(r"$\rho$")
    kind = "embedded-atom" if eam else "pair"
    figure.suptitle(f"{config.element}: the functions of the KAN {kind} potential")
    figure.savefig(path, dpi=150)


def _around(values: np.ndarray) -> tuple[float, float]:
    lowest = float(values.min())
    return 1.3 * min(lowest, -0.01), 3.0 * max(-lowest, 0.01)


def _line(axis: Axes, x: np.ndarray, y: np.ndarray, label: str, color: str) -> None:
    axis.plot(x, y, color=color, linewidth=1.8)
    axis.axhline(0.0, color="black", linewidth=0.6)
    axis.set_ylabel(label)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
