"""Elastic constants of crystals: from stresses of a potential, from labelled energies, and what follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from kan_heads.errors import DataError

if TYPE_CHECKING:
    from ase import Atoms

#: Places of xx, yy, zz, yz, xz, xy in a matrix.
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))

#: GPa in one eV/Å^3.
GPA = 160.21766208

#: The five constants of a hexagonal crystal, in GPa; C66 = (C11 - C12) / 2.
HEXAGONAL = ("C11", "C12", "C13", "C33", "C44")

# A direction of strain is told from another by its unit vector.
_SAME_DIRECTION = 1e-3


def strain_matrix(voigt: Sequence[float]) -> np.ndarray:
    """Turns six strains (shears doubled) into a symmetric matrix, (3, 3)."""
    matrix = np.zeros((3, 3))
    for value, (a, b) in zip(voigt, VOIGT, strict=True):
        matrix[a, b] = matrix[b, a] = value if a == b else value / 2
    return matrix


def deformation(lagrangian: np.ndarray) -> np.ndarray:
    r"""Returns the symmetric :math:`F` with :math:`(F^T F - 1)/2 = \eta`, both (3, 3)."""
    values, vectors = np.linalg.eigh(np.eye(3) + 2.0 * lagrangian)
    return (vectors * np.sqrt(values)) @ vectors.T


def lagrangian_strain(cell: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Returns the Lagrangian strain, (6,), shears doubled, of a cell (rows are vectors) against another."""
    f = np.linalg.solve(reference, cell).T
    eta = 0.5 * (f.T @ f - np.eye(3))
    return np.array([eta[a, b] if a == b else 2.0 * eta[a, b] for a, b in VOIGT])


def elastic_constants(
    stress_of: Callable[[Atoms], np.ndarray], crystal: Atoms, step: float = 2e-3
) -> np.ndarray:
    r"""Differentiates the stress of a potential by strain.

    .. math:: C_{ab} = \frac{\partial S_a}{\partial \eta_b}, \qquad S = \det(F)\,F^{-1} \sigma F^{-T}

    with the Lagrangian strain :math:`\eta`: the second derivatives of the energy per volume, also where
    the crystal is under stress. Errors are of fourth order in the step.

    Args:
        stress_of: returns the stress of a structure, (3, 3), eV/Å^3, its atoms relaxed at that cell.
        crystal: the crystal at rest in the cell of interest.
        step: Lagrangian strain.

    Returns:
        C in GPa, (6, 6), in the order xx, yy, zz, yz, xz, xy, symmetrised.

    Source: Wallace, Thermodynamics of Crystals (1972), section 2; An and Yeo 2025, eq. XII and XIII.
    """
    columns = []
    for b in range(6):
        unit = np.zeros(6)
        unit[b] = 1.0
        at = {h: _second_piola(stress_of, crystal, unit * h * step) for h in (-2, -1, 1, 2)}
        columns.append((8.0 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12.0 * step))
    c = GPA * np.array(columns).T
    return 0.5 * (c + c.T)


def _second_piola(stress_of: Callable[[Atoms], np.ndarray], crystal: Atoms, voigt: np.ndarray) -> np.ndarray:
    f = deformation(strain_matrix(voigt))
    strained = crystal.copy()
    strained.set_cell(crystal.cell.array @ f.T, scale_atoms=True)
    inverse = np.linalg.inv(f)
    piola = np.linalg.det(f) * inverse @ stress_of(strained) @ inverse.T
    return np.array([piola[a, b] for a, b in VOIGT])


def hexagonal(c: np.ndarray) -> dict[str, float]:
    """Averages what a hexagonal crystal (axis along z) has equal.

    Args:
        c: elastic constants, (6, 6), any unit.

    Returns:
        C11, C12, C13, C33, C44 in the same unit.
    """
    # C66 = (C11 - C12) / 2 tells of C11 and C12 as well; an average that keeps the plane isotropic:
    plane, shear = (c[0, 0] + c[1, 1]) / 2 + c[0, 1], ((c[0, 0] + c[1, 1]) / 2 - c[0, 1]) / 2
    shear = 0.5 * (shear + c[5, 5])
    return {
        "C11": float(plane / 2 + shear),
        "C12": float(plane / 2 - shear),
        "C13": float((c[0, 2] + c[1, 2]) / 2),
        "C33": float(c[2, 2]),
        "C44": float((c[3, 3] + c[4, 4]) / 2),
    }


def hexagonal_matrix(constants: dict[str, float]) -> np.ndarray:
    """Builds the (6, 6) matrix of a hexagonal crystal from its five constants."""
    c11, c12, c13, c33, c44 = (constants[name] for name in HEXAGONAL)
    c = np.diag([c11, c11, c33, c44, c44, (c11 - c12) / 2])
    c[0, 1] = c[1, 0] = c12
    c[0, 2] = c[2, 0] = c[1, 2] = c[2, 1] = c13
    return c


@dataclasses.dataclass(frozen=True)
class Moduli:
    """Moduli of a polycrystal, averages of Voigt's and Reuss' bounds.

    Args:
        bulk, shear, young: in the unit of the constants.
        poisson: Poisson's ratio.
    """

    bulk: float
    shear: float
    young: float
    poisson: float


def voigt_reuss_hill(c: np.ndarray) -> Moduli:
    """Averages elastic constants over all directions.

    Args:
        c: elastic constants, (6, 6).

    Raises:
        DataError: if the crystal is unstable: a strain would lower its energy.

    Source: Hill, Proc. Phys. Soc. A 65, 349 (1952).
    """
    lowest = np.linalg.eigvalsh(c)[0]
    if lowest <= 0:
        raise DataError(f"the elastic constants are of no stable crystal (an eigenvalue is {lowest:.4g})")
    s = np.linalg.inv(c)
    normal, cross, shears = _sums(c)
    bulk_v, shear_v = (normal + 2 * cross) / 9, (normal - cross + 3 * shears) / 15
    normal, cross, shears = _sums(s)
    bulk_r, shear_r = 1 / (normal + 2 * cross), 15 / (4 * (normal - cross) + 3 * shears)
    bulk, shear = (bulk_v + bulk_r) / 2, (shear_v + shear_r) / 2
    young = 9 * bulk * shear / (3 * bulk + shear)
    return Moduli(float(bulk), float(shear), float(young), float(young / (2 * shear) - 1))


def _sums(m: np.ndarray) -> tuple[float, float, float]:
    return np.trace(m[:3, :3]), m[0, 1] + m[0, 2] + m[1, 2], np.trace(m[3:, 3:])


def constants_from_energies(
    strains: np.ndarray, energies: np.ndarray, volume: float, degree: int = 6
) -> tuple[dict[str, float], dict[str, float]]:
    r"""Fits the constants of a hexagonal crystal to energies of strained cells.

    .. math:: E = E_0 + V_0 (S \cdot \eta + \tfrac12 \eta C \eta) + \sum_{n=3} a_{dn} |\eta|^n

    with powers of their own, up to ``degree``, for each direction d of strain.

    Args:
        strains: Lagrangian strains, ``(n, 6)``, shears doubled, axis along z.
        energies: eV per cell of ``volume``, ``(n,)``.
        volume: of the reference cell, Å^3.
        degree: highest power of the strain.

    Returns:
        C11, C12, C13, C33, C44 in GPa, and their standard errors.

    Raises:
        DataError: if the strains do not fix all five.
    """
    size = np.linalg.norm(strains, axis=1)
    directions: list[np.ndarray] = []
    columns = [np.ones(len(strains)), strains[:, 0] + strains[:, 1], strains[:, 2]]
    for name in HEXAGONAL:
        unit = hexagonal_matrix({**dict.fromkeys(HEXAGONAL, 0.0), name: 1.0})
        columns.append(0.5 * np.einsum("na,ab,nb->n", strains, unit, strains))
    which = np.full(len(strains), -1)
    signed = np.zeros(len(strains))
    for k in np.flatnonzero(size > 1e-7):
        unit = strains[k] / size[k]
        fits = [d for d, known in enumerate(directions) if abs(abs(unit @ known) - 1) < _SAME_DIRECTION]
        if not fits:
            directions.append(unit)
        which[k] = fits[0] if fits else len(directions) - 1
        signed[k] = size[k] * np.sign(unit @ directions[which[k]])
    for d in range(len(directions)):
        columns += [np.where(which == d, signed**n, 0.0) for n in range(3, degree + 1)]
    design = np.array(columns).T
    scale = np.abs(design).max(axis=0)
    scale[scale == 0] = 1.0
    solution, _, _, _ = np.linalg.lstsq(design / scale, energies, rcond=1e-14)
    if np.linalg.matrix_rank(design / scale, tol=1e-8) < design.shape[1]:
        raise DataError(
            f"the strains do not fix all of C11, C12, C13, C33 and C44 beside powers up to {degree}; "
            "add other directions, or more strains along each, or lower the degree"
        )
    rest = energies - design / scale @ solution
    variance = rest @ rest / max(1, len(energies) - len(solution))
    covariance = variance * np.linalg.pinv((design / scale).T @ (design / scale), rcond=1e-14)
    factor = GPA / volume / scale[3:8]
    values, spread = solution[3:8] * factor, np.sqrt(np.diag(covariance)[3:8]) * factor
    pairs = [(float(value), float(error)) for value, error in zip(values, spread, strict=True)]
    return (
        {name: value for name, (value, _) in zip(HEXAGONAL, pairs, strict=True)},
        {name: error for name, (_, error) in zip(HEXAGONAL, pairs, strict=True)},
    )
