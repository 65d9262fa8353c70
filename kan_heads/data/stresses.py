"""Stresses that have another unit or sign than nequip, MACE and ASE read: eV/Å^3, tension positive."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from kan_heads.data.labels import find_label, label_names

if TYPE_CHECKING:
    from ase import Atoms

_LARGE = 1.0
"""eV/Å^3, 160 GPa."""

_FACTORS = {
    "GPa (divide them by 160.2177)": 160.2177,
    "kbar (divide them by 1602.177)": 1602.177,
    "GPa with compression positive (divide them by -160.2177)": -160.2177,
    "kbar with compression positive, as VASP prints them (divide them by -1602.177)": -1602.177,
    "eV/Å^3 with compression positive (change their sign)": -1.0,
}
"""What multiplies a stress in eV/Å^3, tension positive, in each other form."""

_AGREEMENT = 0.3
"""Largest relative difference between stresses and the energies of neighbouring volumes that is curvature."""

_NOTABLE = 0.005
"""eV/Å^3; smaller mean stresses tell nothing."""


class StressCheck:
    r"""Compares stresses with energies of the same structure at other volumes.

    Where two frames are the same up to their size, :math:`\mathrm{tr}\,\sigma / 3 = \mathrm{d}E/\mathrm{d}V`,
    which the difference of their energies gives: the mean of both stresses, up to third order.
    """

    def __init__(self) -> None:
        self._large: tuple[int, float] | None = None
        self._virial: tuple[int, str] | None = None
        self._families: dict[bytes, list[tuple[float, float, float]]] = {}

    def add(self, i: int, atoms: Atoms) -> None:
        """Takes frame ``i`` into account; labels have been checked."""
        name = next((n for n in ("stress", "REF_stress") if find_label(atoms, n) is not None), None)
        if name is None:
            virials = [n for n in label_names(atoms) if n.lower() in ("virial", "virials")]
            if virials and self._virial is None:
                self._virial = i, virials[0]
            return
        stress = np.asarray(find_label(atoms, name), dtype=float).ravel()
        largest = float(np.abs(stress).max())
        if largest > max(_LARGE, self._large[1] if self._large else 0.0):
            self._large = i, largest
        energy = find_label(atoms, name.replace("stress", "energy"))
        if energy is None or not atoms.pbc.all():
            return
        mean = float(stress[[0, 4, 8] if stress.size == 9 else [0, 1, 2]].mean())
        volume = atoms.get_volume()
        family = self._families.setdefault(_shape(atoms, volume), [])
        family.append((volume, float(np.asarray(energy).ravel()[0]), mean))

    def notes(self) -> Iterator[str]:
        """Says what looks wrong."""
        form = self._contradiction()
        if form is not None:
            yield form
        elif self._large is not None:
            i, largest = self._large
            yield (
                f"frame {i} has a stress of {largest:.4g}, {160.2177 * largest:,.0f} GPa if it is in eV/Å^3; "
                "is it in GPa (divide by 160.2177), kbar (divide by 1602.177), or a virial (divide by "
                "minus the volume)?"
            )
        if self._virial is not None:
            i, name = self._virial
            yield (
                f"frame {i} has {name!r} and no stress; nequip trains on stress = -virial / volume, MACE on "
                "--virials_key"
            )

    def _contradiction(self) -> str | None:
        found, expected, volumes = [], [], []
        for family in self._families.values():
            for (v0, e0, s0), (v1, e1, s1) in zip(sorted(family), sorted(family)[1:], strict=False):
                if v1 - v0 > 1e-3 * v0:
                    expected.append((e1 - e0) / (v1 - v0))
                    found.append(0.5 * (s0 + s1))
                    volumes.append(0.5 * (v0 + v1))
        size = float(np.abs(expected).max()) if expected else 0.0
        if size < _NOTABLE or _differ(found, expected) < _AGREEMENT:
            return None
        forms = {name: factor * np.array(expected) for name, factor in _FACTORS.items()}
        forms["virials (divide them by minus the volume)"] = -np.array(volumes) * expected
        name = min(forms, key=lambda form: _differ(found, forms[form]))
        text = "stresses contradict the energies of the same structures at other volumes"
        if _differ(found, forms[name]) < _AGREEMENT:
            return f"{text}: they seem to be in {name}"
        return f"{text}; they should be in eV/Å^3, tension positive, and of the same calculations"


def _differ(found: list[float], expected: object) -> float:
    """Returns how far values are from others, relative to these."""
    difference = np.abs(np.array(found) - np.array(expected))
    return float(np.median(difference) / max(np.median(np.abs(expected)), 1e-12))


def _shape(atoms: Atoms, volume: float) -> bytes:
    """Returns what structures share that differ in their size only."""
    cell = np.round(atoms.cell.array / volume ** (1.0 / 3.0), 3) + 0.0
    places = np.round(atoms.get_scaled_positions(), 3) % 1.0 + 0.0
    parts = (np.ascontiguousarray(part).tobytes() for part in (atoms.numbers, cell, places))
    return hashlib.sha256(b"".join(parts)).digest()
