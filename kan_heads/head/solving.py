"""Solves a head: sums rows over data, tries penalties and energy weights, and never makes it worse."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kan_heads.errors import ConfigError, DataError, KanHeadsError
from kan_heads.head.ends import LinearEnd, linear_ends
from kan_heads.head.rows import rows_of
from kan_heads.head.sums import KINDS, Sums
from kan_heads.progress import track

if TYPE_CHECKING:
    from ase import Atoms

    from kan_heads.swap import Adapter

ENERGY_WEIGHTS = (1.0, 3.0, 10.0, 30.0, 100.0)
PENALTIES = tuple(10.0**power for power in range(-8, 1))
_RIDGE = 1e-4
"""The light ridge towards the present coefficients, in units of the penalty on curvature."""
_EXCESS = 0.02
"""Rows are drawn until the error that p unknowns add, p / (rows - p), is below this."""


_HELD_OUT_ROWS = 5000
"""Directions of forces of all held-out frames: enough to compare errors to a per cent."""


@dataclasses.dataclass(frozen=True)
class Point:
    """One solution on the trade-off between energies and forces, judged by held-out frames.

    Args:
        energy_weight: weight of energies against forces; ``None`` for the head before.
        penalty: strength of the penalty; ``None`` for the head before.
        rmse: root mean squared error by kind of label: eV per atom, eV/Å, eV/Å^3.
    """

    energy_weight: float | None
    penalty: float | None
    rmse: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Solution:
    """What solving has found.

    Args:
        before: the head as it was.
        points: all solutions.
        chosen: the best that is accepted; ``None`` where none is, and the model stays as it was.
        unknowns: number of coefficients.
        rows: number of rows.
        n_directions: directions of forces for each frame.
    """

    before: Point
    points: tuple[Point, ...]
    chosen: Point | None
    unknowns: int
    rows: int
    n_directions: int

    def front(self) -> list[Point]:
        """Returns the points that none beats in energies and forces alike, lowest energy error first."""
        found: list[Point] = []
        for point in sorted(self.points, key=lambda p: (p.rmse["energy"], p.rmse.get("forces", 0.0))):
            if not found or point.rmse.get("forces", 0.0) < found[-1].rmse.get("forces", 0.0):
                found.append(point)
        return found


def solve(
    model: torch.nn.Module,
    frames: Sequence[Atoms],
    val: Sequence[Atoms],
    *,
    directions: int | None = None,
    energy_weight: float | None = None,
    allow: float = 0.01,
    seed: int = 0,
) -> Solution:
    r"""Gives a trained model the best head for some data, in place.

    It minimises over the coefficients :math:`\theta` of the last maps of all readouts

    .. math:: \sum_\kappa \frac{v_\kappa}{s_\kappa}\, \overline{(b - A \theta)^2_\kappa}
              + \lambda \left( \theta^T C\, \theta + 10^{-4} |\theta - \theta_0|^2 \right)

    over kinds of labels :math:`\kappa` (energies per atom, forces, stresses), with :math:`s_\kappa` the mean
    squared error before, :math:`v` the square of the energy weight for energies and 1 for the others, and
    :math:`C` the mean square of second derivatives. For each penalty and energy weight of a list there is one
    solution; of those that lower the held-out energy error while raising no other one by more than ``allow``,
    the one with the lowest energy error is taken. If there is none, the model stays as it was.

    Args:
        model: a trained model, e.g. from :func:`kan_heads.load`.
        frames: labelled structures, by ASE's names or MACE's.
        val: others, which choose. Frames that nothing chose on must judge the result.
        directions: directions of forces for each frame; as many as keep the excess error below 2 % if
            ``None``.
        energy_weight: one weight instead of a list.
        allow: how much the errors of forces and stresses may grow, as a share.
        seed: of the directions.

    Returns:
        All solutions with their held-out errors, and the chosen one.

    Raises:
        ConfigError: if an option is out of range, or there are fewer rows than unknowns.
        DataError: if a structure does not fit the model, or has no energy.
        ModelError: if the model has no linear end.
    """
    from kan_heads.swap import adapter_of

    _check(frames, val, directions, energy_weight, allow)
    adapter = adapter_of(model)
    ends = linear_ends(model, adapter)
    size = sum(end.size for end in ends)
    per_frame = _n_directions(frames, size) if directions is None else directions
    generator = torch.Generator().manual_seed(seed)
    data = sum_rows(model, adapter, ends, frames, per_frame, generator, "training frames")
    enough = math.ceil(_HELD_OUT_ROWS / len(val))
    held_out = sum_rows(model, adapter, ends, val, enough, generator, "held-out frames")
    rows = sum(part.rows for part in data.values())
    if rows <= size:
        raise ConfigError(
            f"solve: {rows} rows for {size} unknowns; give more frames, or more --directions of forces"
        )
    before = Point(None, None, _errors(held_out, None))
    weights = ENERGY_WEIGHTS if energy_weight is None else (energy_weight,)
    solved = [
        (Point(weight, penalty, _errors(held_out, change)), change)
        for weight, penalty, change in _candidates(ends, data, weights)
    ]
    good = [(point, change) for point, change in solved if _is_better(point, before, allow)]
    chosen, change = min(good, key=lambda pair: pair[0].rmse["energy"], default=(None, None))
    if chosen is not None:
        thetas = (torch.cat([end.read() for end in ends]) + change).split([end.size for end in ends])
        for end, theta in zip(ends, thetas, strict=True):
            end.write(theta)
    return Solution(before, tuple(point for point, _ in solved), chosen, size, rows, per_frame)


def sum_rows(
    model: torch.nn.Module,
    adapter: Adapter,
    ends: Sequence[LinearEnd],
    frames: Sequence[Atoms],
    n_directions: int,
    generator: torch.Generator,
    what: str,
) -> dict[str, Sums]:
    """Sums the rows of frames by kind of label; memory does not grow with their number."""
    size = sum(end.size for end in ends)
    sums = {kind: Sums.empty(size) for kind in KINDS}
    for i, atoms in enumerate(track(frames, f"rows of {what}", len(frames))):
        try:
            found = rows_of(model, adapter, ends, atoms, n_directions, generator)
        except KanHeadsError as error:
            raise type(error)(f"{what}: frame {i}: {error}") from error
        if not found:
            raise DataError(f"{what}: frame {i} has no label; it needs energy, forces or stress")
        for kind, part in found.items():
            sums[kind].add(part.rows, part.residuals, part.labels)
    if not sums["energy"].labels:
        raise DataError(f"{what}: no frame has an energy")
    return sums


def _candidates(
    ends: Sequence[LinearEnd], data: dict[str, Sums], weights: Iterable[float]
) -> Iterable[tuple[float, float, Tensor]]:
    """Yields energy weight, penalty and the change of the coefficients that solves for them."""
    theta = torch.cat([end.read() for end in ends])
    curvature = torch.block_diag(*(end.curvature().cpu() for end in ends))
    # Features differ in size, and so do their functions' bends: one scale for all of them.
    bent = curvature.diagonal().mean().clamp_min(torch.finfo(torch.float64).tiny)
    shape = curvature / bent + _RIDGE * torch.eye(len(theta), dtype=torch.float64)
    pull = -(curvature @ theta) / bent  # of the straight lines on the present functions
    for weight in weights:
        gram, rhs = torch.zeros_like(curvature), torch.zeros_like(theta)
        for kind, part in data.items():
            if part.labels and part.square:
                scale = (weight**2 if kind == "energy" else 1.0) / part.square
                gram.add_(part.gram, alpha=scale)
                rhs.add_(part.rhs, alpha=scale)
        size = gram.diagonal().mean()
        for penalty in PENALTIES:
            matrix = gram + penalty * size * shape
            factor, info = torch.linalg.cholesky_ex(matrix)
            if int(info):
                continue
            change = torch.cholesky_solve((rhs + penalty * size * pull)[:, None], factor)[:, 0]
            if bool(change.isfinite().all()):
                yield weight, penalty, change


def _errors(sums: dict[str, Sums], change: Tensor | None) -> dict[str, float]:
    return {kind: math.sqrt(part.mse(change)) for kind, part in sums.items() if part.labels}


def _is_better(point: Point, before: Point, allow: float) -> bool:
    others = [kind for kind in before.rmse if kind != "energy"]
    return point.rmse["energy"] < before.rmse["energy"] and all(
        point.rmse[kind] <= (1.0 + allow) * before.rmse[kind] for kind in others
    )


def _n_directions(frames: Sequence[Atoms], size: int) -> int:
    """Returns how many directions of each frame keep the excess error of all unknowns small."""
    return math.ceil(size * (1.0 + 1.0 / _EXCESS) / len(frames))


def _check(
    frames: Sequence[Atoms],
    val: Sequence[Atoms],
    directions: int | None,
    energy_weight: float | None,
    allow: float,
) -> None:
    if not len(frames) or not len(val):
        raise DataError("solve: there are no frames to solve with, or none to choose by")
    if directions is not None and directions < 1:
        raise ConfigError(f"solve: directions {directions} must be at least 1")
    if energy_weight is not None and not 0.0 < energy_weight < math.inf:
        raise ConfigError(f"solve: energy_weight {energy_weight} must be a positive number")
    if not 0.0 <= allow < math.inf:
        raise ConfigError(f"solve: allow {allow} must be a share of at least 0, e.g. 0.01")
