"""Pair potentials as tables, for LAMMPS' ``pair_style table``, alone or over ``lj/cut``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from kan_heads.eam.lammps_files import Export, check_fitted, origin, save
from kan_heads.eam.potential import Potential
from kan_heads.errors import ConfigError, SettingError

# Å; a central difference of fourth order is then right to about 1e-10 of the energy's size.
_STEP = 1e-4


@dataclasses.dataclass(frozen=True)
class LennardJones:
    r"""Parameters of :math:`4\epsilon[(\sigma/r)^{12} - (\sigma/r)^6]`, cut without a shift.

    Args:
        epsilon: eV.
        sigma: Å.
    """

    epsilon: float
    sigma: float

    def __call__(self, r: Tensor) -> Tensor:
        """Returns energies in eV at distances in Å, shape ``(n,)`` both."""
        sixth = (self.sigma / r) ** 6
        return 4.0 * self.epsilon * (sixth * sixth - sixth)


def write_table(
    potential: Potential,
    path: str | Path,
    inner: float | None = None,
    n: int = 10_000,
    example: bool = True,
) -> Export:
    r"""Writes a pair potential for ``pair_style table spline``: :math:`\phi` and :math:`-d\phi/dr`.

    Distances are evenly spaced in their square, as in LAMMPS' own tables, so that nothing is
    interpolated twice. Forces come from autograd, and the header says how far finite differences of
    the energies are from them.

    Args:
        potential: fitted, of kind ``pair``.
        path: file to write, e.g. ``Ru.table``; folders above it are made.
        inner: where the table starts, Å; LAMMPS stops if two atoms come closer. Default: half of
            where the grids start.
        n: lines.
        example: write an input script ``in.<file>`` beside it.

    Returns:
        The file and the lines of the input script.

    Raises:
        ConfigError: if the potential was never fitted or has a density, the range is empty, or LAMMPS cannot
            read the name.

    Source: LAMMPS manual, ``pair_style table``.
    """
    return _write(potential, Path(path), inner, n, None, example)


def write_overlay(
    potential: Potential,
    folder: str | Path,
    lennard_jones: LennardJones | None = None,
    inner: float | None = None,
    n: int = 10_000,
) -> Export:
    r"""Writes the published form, ``pair_style hybrid/overlay table ... lj/cut ...``.

    The table holds :math:`\phi` minus the Lennard-Jones part, up to the same cutoff, so that the sum
    that LAMMPS forms is the potential itself, whatever the parameters. The paper adds the Lennard-Jones
    part to a table of its own and prints no parameters, so the default is ours: 0.1 eV deep where phi
    is lowest.

    Args:
        potential: fitted, of kind ``pair``.
        folder: gets ``<element>.overlay.table`` and an input script; it is made.
        lennard_jones: parameters.
        inner: see :func:`write_table`.
        n: lines.

    Raises:
        ConfigError: as :func:`write_table`.

    Source: An and Yeo, Int. J. AI Mater. Design 2(1), 21 (2025), sections 2.1 and 3.2.2.
    """
    _check(potential)
    path = Path(folder) / f"{potential.config.element}.overlay.table"
    part = lennard_jones or LennardJones(0.1, _lowest(potential) / 2 ** (1 / 6))
    return _write(potential, path, inner, n, part, example=True)


def energies_and_forces(
    potential: Potential, r: Tensor, without: LennardJones | None = None
) -> tuple[Tensor, Tensor]:
    """Returns a pair's energies in eV and forces in eV/Å, by autograd, at distances in Å, ``(n,)`` each."""
    r = r.detach().clone().requires_grad_()
    with torch.enable_grad():
        energy = potential.pair(r) if without is None else potential.pair(r) - without(r)
        (slope,) = torch.autograd.grad(energy.sum(), r)
    return energy.detach(), -slope


def inconsistency(potential: Potential, r: Tensor, without: LennardJones | None = None) -> float:
    """Returns how far forces are from finite differences of energies, eV/Å, relative where they exceed 1.

    The distance where the grid starts is left out: the second derivative jumps there, which finite
    differences do not forgive.

    Args:
        potential: of any kind; its pair function is looked at.
        r: distances in Å, ``(n,)``, away from 0 and from the cutoff by more than 2e-4.
        without: what is taken off.
    """

    def energy(x: Tensor) -> Tensor:
        return energies_and_forces(potential, x, without)[0]

    h = _STEP
    r = r[(r - potential.config.inner).abs() > 3 * h]
    near, far = energy(r + h) - energy(r - h), energy(r + 2 * h) - energy(r - 2 * h)
    force = energies_and_forces(potential, r, without)[1]
    wrong = (force + (8.0 * near - far) / (12.0 * h)).abs() / force.abs().clamp_min(1.0)
    return float(wrong.max())


def _check(potential: Potential) -> None:
    check_fitted(potential)
    if potential.config.kind != "pair":
        raise ConfigError(
            "an embedded-atom potential is no function of distances alone, so no table holds it; "
            "use --format eam/fs"
        )


def _write(
    potential: Potential, path: Path, inner: float | None, n: int, without: LennardJones | None, example: bool
) -> Export:
    _check(potential)
    config = potential.config
    inner = 0.5 * config.inner if inner is None else inner
    if not 0.0 < inner < config.cutoff:
        problem = f"must lie between 0 and the cutoff, {config.cutoff:g} Å: there a table starts"
        raise SettingError("inner", f"{inner:g} Å", problem)
    if n < 100:
        raise SettingError("n", str(n), "must be at least 100, the lines of a table")
    r = torch.linspace(inner**2, config.cutoff**2, n, dtype=torch.float64).sqrt()  # (n,)
    energy, force = energies_and_forces(potential, r, without)  # (n,), (n,)
    ends = torch.tensor([inner, config.cutoff - 1e-9], dtype=torch.float64)
    near = 1e-6
    forces = [energies_and_forces(potential, ends + d, without)[1] for d in (-near, near)]
    slopes = (forces[1] - forces[0]) / (2 * near)  # (2,)
    off = inconsistency(potential, r[1:-1].clamp(inner + 3 * _STEP, config.cutoff - 3 * _STEP), without)
    keyword = f"KAN_{config.element}"
    what = "phi" if without is None else f"phi - lj/cut(epsilon {without.epsilon!r}, sigma {without.sigma!r})"
    lines = [
        f"# UNITS: metal CONTRIBUTOR: kan-heads; {origin(potential)}",
        f"# Columns: index, r (A), {what} (eV), -d/dr of it (eV/A); evenly spaced in r^2.",
        f"# Forces by autograd; finite differences of the energies differ by {off:.1e} eV/A at most.",
        "",
        keyword,
        f"N {n} RSQ {inner!r} {config.cutoff!r} FPRIME {float(slopes[0])!r} {float(slopes[1])!r}",
        "",
    ]
    columns = zip(r.tolist(), energy.tolist(), force.tolist(), strict=True)
    lines += [f"{k} {x:.15g} {e:.16e} {f:.16e}" for k, (x, e, f) in enumerate(columns, 1)]
    if without is None:
        templates = (f"pair_style table spline {n}", f"pair_coeff * * {{file}} {keyword}")
    else:
        templates = (
            f"pair_style hybrid/overlay table spline {n} lj/cut {config.cutoff!r}",
            f"pair_coeff * * table {{file}} {keyword}",
            f"pair_coeff * * lj/cut {without.epsilon!r} {without.sigma!r}",
        )
    return save(potential, Export(path, templates, inner), "\n".join(lines) + "\n", example)


def _lowest(potential: Potential) -> float:
    """Returns where the pair function is lowest, Å."""
    config = potential.config
    r = torch.linspace(config.inner, config.cutoff, 2001, dtype=torch.float64)
    with torch.no_grad():
        return float(r[potential.pair(r).argmin()])
