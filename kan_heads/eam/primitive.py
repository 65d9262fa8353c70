"""The smallest cell of a crystal: the same energies per atom and stresses for less work."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

# Å; below the last digit that files of structures hold, far below what an energy notices.
_TOLERANCE = 1e-6


def primitive(atoms: Atoms) -> tuple[Atoms, np.ndarray]:
    """Cuts a crystal down to one cell of its exact translations, without turning it.

    Only translations that map the crystal onto itself within 1e-6 Å count, so that nothing is idealised.

    Args:
        atoms: a structure of one element; one that is not periodic in all directions comes back as it is.

    Returns:
        The small crystal, and which atoms of the large one it holds, ``(n_small,)``.
    """
    everything = np.arange(len(atoms))
    if not atoms.pbc.all() or len(atoms) < 2:
        return atoms, everything
    shifts = _translations(atoms)
    if len(shifts) == 1:
        return atoms, everything
    cell = _shortest_cell(atoms, shifts)
    small = np.linalg.solve(cell.T, atoms.positions.T).T % 1.0  # (n_atoms, 3)
    kept: list[int] = []
    for k in everything:
        away = small[k] - small[kept]
        if not len(away) or not (np.abs((away - np.round(away)) @ cell).max(axis=1) < 1e-4).any():
            kept.append(int(k))
    found = atoms[kept]
    found.set_cell(cell, scale_atoms=False)
    return found, np.array(kept)


def _translations(atoms: Atoms) -> np.ndarray:
    """Fractional translations that map the crystal onto itself, the identity among them, (n, 3)."""
    inside = atoms.get_scaled_positions(wrap=False)
    cell, found = atoms.cell.array, []
    for shift in inside - inside[0]:
        away = (inside + shift)[:, None] - inside[None]  # (n, n, 3)
        distance = np.linalg.norm((away - np.round(away)) @ cell, axis=-1).min(axis=1)
        if distance.max() < _TOLERANCE:
            found.append(shift - np.round(shift))
    return np.array(found)


def _shortest_cell(atoms: Atoms, shifts: np.ndarray) -> np.ndarray:
    """Three short lattice vectors that span one of ``len(shifts)`` parts of the cell, (3, 3)."""
    around = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    vectors = (shifts[:, None] + around[None]).reshape(-1, 3) @ atoms.cell.array
    lengths = np.linalg.norm(vectors, axis=1)
    vectors = vectors[np.argsort(lengths, kind="stable")]
    vectors = vectors[np.linalg.norm(vectors, axis=1) > 0.1]
    volume = abs(atoms.cell.volume) / len(shifts)
    for triple in itertools.combinations(vectors[:40], 3):
        found = np.linalg.det(triple)
        if abs(abs(found) - volume) < 1e-3 * volume:
            return np.array(triple) if found > 0 else -np.array(triple)
    return atoms.cell.array
