"""The smallest cell of a crystal: the same energies per atom and stresses for less work."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

# Å; below the last digit that files of structures hold, far below what an energy notices.
_TOLERANCE = 1e-6
# Atoms on which every translation is tried before any is tried on all.
_PROBES = 4


def primitive(atoms: Atoms) -> tuple[Atoms, np.ndarray]:
    """Cuts a crystal down to one cell of its exact translations, without turning it.

    Only translations that map the crystal onto itself within 1e-6 Å count, so that nothing is idealised.
    The time is nearly proportional to the number of atoms, unless steps that are within the tolerance add
    up to translations that are not; these are then tried one by one.

    Args:
        atoms: a structure of one element; one that is not periodic in all directions comes back as it is.

    Returns:
        The small crystal, and which atoms of the large one it holds, ``(n_small,)``.
    """
    everything = np.arange(len(atoms))
    if not atoms.pbc.all() or len(atoms) < 2:
        return atoms, everything
    translations = _Translations(atoms)
    sites = translations.sites()
    found = np.flatnonzero(sites == sites[0])
    cell = _shortest_cell(atoms, translations.vectors(found))
    if cell is not None and not _is_even(atoms, cell, sites):
        found = np.array([k for k in found if translations.images(k)[1].max() < _TOLERANCE])
        cell = _shortest_cell(atoms, translations.vectors(found))
    if cell is None:
        return atoms, everything
    inside = _scaled(atoms, cell) % 1.0  # (n_atoms, 3)
    kept: list[int] = []
    for k in everything:
        away = inside[k] - inside[kept]
        if not len(away) or not (np.abs((away - np.round(away)) @ cell).max(axis=1) < 1e-4).any():
            kept.append(int(k))
    small = atoms[kept]
    small.set_cell(cell, scale_atoms=False)
    return small, np.array(kept)


class _Translations:
    """The translations that take the first atom to any other, called by the number of that atom."""

    def __init__(self, atoms: Atoms) -> None:
        from scipy.spatial import cKDTree

        self._inside = atoms.get_scaled_positions(wrap=False)  # (n_atoms, 3)
        self._shifts = self._inside - self._inside[0]
        self._cell = atoms.cell.array
        self._tree = cKDTree(_wrapped(self._inside), boxsize=1.0)
        self._fractional_tolerance = _TOLERANCE * float(np.linalg.norm(np.linalg.inv(self._cell), 2))

    def vectors(self, which: np.ndarray) -> np.ndarray:
        """Returns translations, fractional, (n, 3)."""
        return self._shifts[which] - np.round(self._shifts[which])

    def images(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Looks where a translation takes the atoms.

        Returns:
            The nearest atoms there, and how far away they are in Å, both ``(n_atoms,)``.
        """
        places = self._inside + self._shifts[k]
        nearest = self._tree.query(_wrapped(places))[1]
        away = places - self._inside[nearest]
        return nearest, np.linalg.norm((away - np.round(away)) @ self._cell, axis=-1)

    def sites(self) -> np.ndarray:
        """Numbers the atoms, (n_atoms,), such that translations of the crystal take those of a number around.

        Those of the first atom's number are the translations of the crystal. They form a group: what takes
        the crystal onto itself brings all its multiples along, and what does not rules out everything that
        differs from it by one that does. So few have to be tried on all atoms.
        """
        n = len(self._inside)
        sites, left = np.arange(n), np.arange(1, n)
        for atom in np.linspace(0, n - 1, _PROBES, dtype=int):
            left = self._not_ruled_out(left, self._inside[atom])
        permutations: list[np.ndarray] = []
        while len(left):
            k = left[0]
            nearest, off = self.images(k)
            if off.max() < _TOLERANCE:
                permutations.append(nearest)
                sites = _components(permutations)
                left = left[sites[left] != sites[0]]
                continue
            left = left[sites[left] != sites[k]]
            # The atom that has no image, or the gap where it should be, rules out most of the others too.
            atom = off.argmax()
            for place in (self._inside[atom], self._inside[atom] + self._shifts[k]):
                left = self._not_ruled_out(left, place)
        return sites

    def _not_ruled_out(self, which: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Returns those of the translations that take a place to one as far from the nearest atom, (n,)."""
        before, after = (self._tree.query(_wrapped(x))[0] for x in (place, place + self._shifts[which]))
        return which[np.abs(after - before) < self._fractional_tolerance]


def _wrapped(places: np.ndarray) -> np.ndarray:
    """Takes fractional positions into the cell; what is rounded up to 1 counts as 0."""
    inside = places - np.floor(places)
    return np.where(inside < 1.0, inside, 0.0)


def _components(permutations: list[np.ndarray]) -> np.ndarray:
    """Numbers atoms, (n_atoms,): the same for those that the permutations take to each other."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(permutations[0])
    first, second = np.tile(np.arange(n), len(permutations)), np.concatenate(permutations)
    return connected_components(coo_matrix((np.ones(len(first)), (first, second)), shape=(n, n)))[1]


def _scaled(atoms: Atoms, cell: np.ndarray) -> np.ndarray:
    """Returns positions in units of other cell vectors, (n_atoms, 3)."""
    return np.linalg.solve(cell.T, atoms.positions.T).T


def _is_even(atoms: Atoms, cell: np.ndarray, sites: np.ndarray) -> bool:
    """Tells whether all multiples of a small cell's vectors take atoms to others within the tolerance."""
    repeats = np.round(atoms.cell.array @ np.linalg.inv(cell))
    exact = np.linalg.solve(repeats, atoms.cell.array)  # the small cell without the noise of single atoms
    inside = _scaled(atoms, exact)
    off = inside - inside[np.unique(sites, return_index=True)[1]][sites]
    # Four atoms take part: the first one, another, and the images of both.
    return 4.0 * np.linalg.norm((off - np.round(off)) @ exact, axis=1).max() < _TOLERANCE


def _shortest_cell(atoms: Atoms, shifts: np.ndarray) -> np.ndarray | None:
    """Three short lattice vectors that span one of ``len(shifts)`` parts of the cell, (3, 3), or None.

    The shortest vectors in three independent directions span the lattice: true up to three dimensions.
    """
    if len(shifts) == 1:
        return None
    around = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    vectors = (shifts[:, None] + around[None]).reshape(-1, 3) @ atoms.cell.array
    lengths = np.linalg.norm(vectors, axis=1)
    vectors = vectors[np.argsort(lengths, kind="stable")]
    vectors = vectors[np.linalg.norm(vectors, axis=1) > 0.1]
    areas = np.cross(vectors[0], vectors)  # (n, 3)
    sines = np.linalg.norm(areas, axis=1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[0])
    second = int((sines > 0.1).argmax())
    volumes = vectors @ areas[second]
    volume = abs(atoms.cell.volume) / len(shifts)
    fits = np.abs(np.abs(volumes) - volume) < 1e-3 * volume
    if not fits.any():
        return None
    third = int(fits.argmax())
    return np.sign(volumes[third]) * vectors[[0, second, third]]
