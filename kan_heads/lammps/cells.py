"""LAMMPS' frame: the first cell vector along x, the second in the plane of x and y."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.cell import Cell

# Angstrom around the atoms where the structure is not periodic; LAMMPS fits its box itself afterwards.
_PADDING = 1.0
# Tilts below this part of the cell's length are rounding.
_NO_TILT = 1e-12


@dataclass(frozen=True)
class Frame:
    """A cell in LAMMPS' frame, and the way there and back.

    Args:
        box: cell vectors as rows, lower triangular with a positive diagonal, shape (3, 3), in Angstrom. Where
            the structure is not periodic, a vector of length 1 at right angles to the periodic ones.
        rotation: orthogonal matrix, shape (3, 3); a row vector ``v`` of the structure is ``v @ rotation.T``
            in LAMMPS, one of LAMMPS ``v @ rotation`` in the structure. For a left-handed cell it reflects.
        pbc: which directions are periodic, shape (3,).
    """

    box: np.ndarray
    rotation: np.ndarray
    pbc: np.ndarray

    @classmethod
    def of(cls, atoms: Atoms) -> Frame:
        """The frame of a structure."""
        vectors = atoms.cell.array.copy()
        vectors[~atoms.pbc] = 0.0
        vectors = Cell(vectors).complete().array
        q, r = np.linalg.qr(vectors.T)
        signs = np.where(np.diag(r) < 0, -1.0, 1.0)
        box = r.T * signs
        box[np.abs(box) < _NO_TILT * np.abs(box).max()] = 0.0
        return cls(box, (q * signs).T, atoms.pbc.copy())

    @property
    def tilts(self) -> tuple[float, float, float]:
        """The tilts xy, xz and yz in Angstrom."""
        return float(self.box[1, 0]), float(self.box[2, 0]), float(self.box[2, 1])

    def to_lammps(self, vectors: np.ndarray) -> np.ndarray:
        """Turns vectors of the structure, shape (n, 3)."""
        return vectors @ self.rotation.T

    def to_ase(self, vectors: np.ndarray) -> np.ndarray:
        """Turns vectors of LAMMPS, shape (n, 3)."""
        return vectors @ self.rotation

    def virial(self, stress: np.ndarray, volume: float) -> list[float]:
        r"""The virial :math:`-V \sigma` that LAMMPS expects.

        Args:
            stress: ASE's stress in eV/Angstrom^3 (positive under tension), shape (3, 3).
            volume: volume in Angstrom^3.

        Returns:
            Its elements xx, yy, zz, xy, xz, yz in eV.
        """
        w = -volume * self.rotation @ stress @ self.rotation.T
        return [float(w[i, j]) for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]

    def bounds(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends of the box, shape (3,) each.

        Args:
            positions: in LAMMPS' frame, shape (n, 3).
        """
        low = np.where(self.pbc, 0.0, positions.min(0) - _PADDING)
        high = np.where(self.pbc, np.diag(self.box), positions.max(0) + _PADDING)
        return low, high


def box_matrix(low: list[float], high: list[float], xy: float, yz: float, xz: float) -> np.ndarray:
    """The cell vectors, as rows, of the numbers that LAMMPS gives of its box."""
    length = np.subtract(high, low)
    return np.array([[length[0], 0.0, 0.0], [xy, length[1], 0.0], [xz, yz, length[2]]])
