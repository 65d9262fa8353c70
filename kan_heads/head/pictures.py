"""The trade-off between energies and forces as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kan_heads.errors import ConfigError
from kan_heads.head.solving import Solution
from kan_heads.writing import whole

_GREY, _BLUE, _ORANGE, _BLACK = "0.75", "#0072B2", "#D55E00", "black"  # colours of Okabe and Ito


def draw(solution: Solution, path: Path) -> None:
    """Draws all solutions by their held-out errors of energies and forces.

    Args:
        solution: what :func:`kan_heads.head.solve` has returned.
        path: picture to write, PNG.

    Raises:
        ConfigError: if no held-out frame has forces.
    """
    if "forces" not in solution.before.rmse:
        raise ConfigError("--picture: no held-out frame has forces, so there is no trade-off to draw")
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    before = solution.before.rmse
    # Solutions with hardly any penalty can be off by orders of magnitude, and hide the rest.
    near = [p.rmse for p in solution.points if p.rmse["forces"] < 1.5 * before["forces"]]
    axis.plot(*_places(near), "o", color=_GREY, ms=4, label="solutions")
    line = [p.rmse for p in solution.front() if p.rmse["forces"] < 1.5 * before["forces"]]
    axis.plot(*_places(line), "o-", color=_BLUE, ms=4, lw=1.2, label="best trade-offs")
    axis.plot(*_places([before]), "s", color=_BLACK, ms=7, label="before")
    if solution.chosen is not None:
        axis.plot(*_places([solution.chosen.rmse]), "D", color=_ORANGE, ms=8, label="chosen")
    axis.set(xscale="log", xlabel="energy error (meV/atom)", ylabel="force error (meV/Å)")
    axis.set_title("root mean squared errors of held-out frames", fontsize=10)
    axis.grid(True, which="both", color="0.92", lw=0.6)
    axis.set_axisbelow(True)
    axis.legend(frameon=False)
    with whole(path) as place:
        figure.savefig(place, dpi=150)


def _places(errors: list[dict[str, float]]) -> tuple[list[float], list[float]]:
    return [1e3 * e["energy"] for e in errors], [1e3 * e["forces"] for e in errors]
