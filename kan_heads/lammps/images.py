"""In which image of LAMMPS' box each atom is, however far away."""

from __future__ import annotations

from typing import Any

import numpy as np


class Images:
    """Counts the boxes between each atom and the first one, along each cell vector.

    LAMMPS wraps atoms into its box and counts in 10 bits (21 in a large build) how often: after 511 comes
    -512. This counts on, if it looks again before an atom has crossed half as many boxes as LAMMPS can count.

    Args:
        lmp: an instance of LAMMPS with the atoms in its box, numbered from 1 on; it is told of the counts.
        places: where the atoms are before they are wrapped, by number, in LAMMPS' frame, Å, ``(n_atoms, 3)``.
        box: cell vectors as rows, Å, ``(3, 3)``.
    """

    def __init__(self, lmp: Any, places: np.ndarray, box: np.ndarray) -> None:
        self._lmp, self._n = lmp, len(places)
        bits = 10 if lmp.extract_setting("imageint") == 4 else 21
        self._period, self._shifts = 1 << bits, bits * np.arange(3)
        order = self._order()
        counts = np.rint((places[order] - self._array("x")) @ np.linalg.inv(box)).astype(np.int64)
        self._counts = np.empty_like(counts)
        self._counts[order] = counts
        self._array("image").ravel()[:] = np.sum(
            ((counts + self._period // 2) % self._period) << self._shifts, axis=1
        )

    def follow(self) -> np.ndarray:
        """Looks how LAMMPS has counted since; returns the counts by number, ``(n_atoms, 3)``."""
        half = self._period // 2
        fields = self._array("image").reshape(-1, 1).astype(np.int64) >> self._shifts
        seen = np.empty_like(self._counts)
        seen[self._order()] = fields % self._period - half
        self._counts += (seen - self._counts + half) % self._period - half
        return self._counts

    def _order(self) -> np.ndarray:
        return self._array("id").ravel() - 1

    def _array(self, name: str) -> np.ndarray:
        return self._lmp.numpy.extract_atom(name, nelem=self._n)
