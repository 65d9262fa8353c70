"""Labelled structures of one element: reading, checking, splitting."""

from __future__ import annotations

import dataclasses
import numbers
import warnings
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kan_heads.data.check import check_frames
from kan_heads.data.labels import find_label, label_names
from kan_heads.data.pools import NAMES, grouped_pools
from kan_heads.data.reading import iter_frames
from kan_heads.eam.grouping import merged_groups
from kan_heads.elastic import GPA
from kan_heads.errors import ConfigError, DataError

if TYPE_CHECKING:
    from ase import Atoms

# Total energies per atom of one element, one code and one set of units differ by less (eV); Ry or
# Hartree among eV, or other pseudopotentials, by far more.
_WIDEST_ENERGIES = 30.0
# eV/Å^3; 1,600 GPa. Matter is rarely labelled beyond, stresses in GPa or kbar nearly always are.
_LARGEST_STRESS = 10.0


@dataclasses.dataclass(frozen=True)
class Frame:
    """One labelled structure.

    Args:
        atoms: the structure.
        energy: eV, of all atoms.
        stress: eV/Å^3, (3, 3), tension positive; None where there is none.
        relax: whether its atoms stand where a relaxation left them is unknown: the model places them.
        group: structures of one group stay on one side of a split.
        number: place in the file.
        is_bound: whether the energy is only what it must not lie below.
        tolerance: the least tolerance of the energy in a fit, eV per atom.
    """

    atoms: Atoms
    energy: float
    stress: np.ndarray | None
    relax: bool
    group: Hashable
    number: int
    is_bound: bool = False
    tolerance: float = 0.0

    @property
    def energy_per_atom(self) -> float:
        """Energy divided by the number of atoms, eV."""
        return self.energy / len(self.atoms)


def lowest_frame(frames: Sequence[Frame]) -> Frame:
    """Returns the structure of lowest energy per atom."""
    return min(frames, key=lambda frame: frame.energy_per_atom)


def read_labelled(
    path: str | Path, group_by: Sequence[str] = (), relax: str | None = None, stress: bool = True
) -> list[Frame]:
    """Reads and checks structures with energies (eV) and stresses (eV/Å^3).

    Args:
        path: any file that ASE reads, e.g. extxyz.
        group_by: keys of the frames' header; frames that share all of them, numbers up to the sign,
            are one group, and so are frames with the same cell and distances.
        relax: ``KEY=VALUE`` of the header; such frames were relaxed at a fixed cell, but their
            positions are not known.
        stress: whether stresses are needed.

    Raises:
        DataError: if the file is missing or unreadable, or labels are missing, not finite, of several
            elements, or in mixed units.
        ConfigError: if a key does not exist.
    """
    structures = list(iter_frames(path))
    have = label_names(structures[0]) if structures else []
    energy = "energy" if "energy" in have or "free_energy" not in have else "free_energy"
    for note in check_frames(structures, str(path), require=(energy,)).notes:
        warnings.warn(f"{path}: {note}", stacklevel=2)
    frames = [_frame(path, k, atoms, energy, group_by, relax) for k, atoms in enumerate(structures)]
    groups = merged_groups([frame.atoms for frame in frames], [frame.group for frame in frames])
    frames = [dataclasses.replace(f, group=group) for f, group in zip(frames, groups, strict=True)]
    if relax is not None and not any(frame.relax for frame in frames):
        raise ConfigError(f"--relax {relax}: no structure of {path} has that in its header")
    _check_elements(path, frames)
    _check_units(path, frames)
    if stress and all(frame.stress is None for frame in frames):
        raise DataError(
            f"{path}: no structure has a stress, and energies alone rarely fix elastic constants; "
            "add stress (eV/Å^3, tension positive) or pass --stress-weight 0"
        )
    return frames


def _frame(
    path: object, number: int, atoms: Atoms, name: str, group_by: Sequence[str], relax: str | None
) -> Frame:
    energy, stress = float(np.asarray(find_label(atoms, name)).item()), find_label(atoms, "stress")
    stress = None if stress is None else _matrix(np.asarray(stress, dtype=float))
    for key in group_by:
        if key not in atoms.info:
            known = ", ".join(sorted(atoms.info)) or "none"
            raise ConfigError(
                f"--group {key}: frame {number} of {path} has no such key in its header; it has: {known}"
            )
    values = tuple(atoms.info[key] for key in group_by)
    # ASE reads a lone T or F as a truth value.
    real = [isinstance(value, numbers.Real) and not isinstance(value, bool) for value in values]
    group = tuple(abs(v) if n else str(v) for v, n in zip(values, real, strict=True)) or number
    return Frame(atoms, energy, stress, _matches(atoms, relax), group, number)


def _matches(atoms: Atoms, relax: str | None) -> bool:
    if relax is None:
        return False
    key, equals, value = relax.partition("=")
    if not equals:
        raise ConfigError(f"--relax {relax}: expected KEY=VALUE of the frames' header")
    return str(atoms.info.get(key)) == value


def _matrix(stress: np.ndarray) -> np.ndarray:
    if stress.size == 6:
        xx, yy, zz, yz, xz, xy = stress.reshape(6)
        stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return stress.reshape(3, 3)


def _check_elements(path: object, frames: Sequence[Frame]) -> None:
    found = sorted({symbol for frame in frames for symbol in frame.atoms.get_chemical_symbols()})
    if len(found) != 1:
        raise DataError(f"{path}: holds {', '.join(found)}; a potential of this kind is of one element")


def _check_units(path: object, frames: Sequence[Frame]) -> None:
    per_atom = np.array([frame.energy_per_atom for frame in frames])
    distance = np.abs(per_atom - np.median(per_atom))
    worst = int(distance.argmax())
    if distance[worst] > _WIDEST_ENERGIES:
        raise DataError(
            f"{path}: frame {worst} has {per_atom[worst]:.6g} eV per atom where most have "
            f"{np.median(per_atom):.6g}; are energies of two units (Ry, Hartree) or two codes mixed?"
        )
    for k, frame in enumerate(frames):
        if frame.stress is not None and np.abs(frame.stress).max() > _LARGEST_STRESS:
            found = np.abs(frame.stress).max()
            raise DataError(
                f"{path}: frame {k} has a stress of {found:.4g}, {found * GPA:,.0f} GPa if it is in "
                f"eV/Å^3; is it in GPa or kbar? Divide GPa by {GPA:.4f}"
            )


def split_by_group(
    frames: Sequence[Frame], fractions: tuple[float, float, float] = (0.6, 0.2, 0.2), seed: int = 0
) -> tuple[list[Frame], list[Frame], list[Frame]]:
    """Splits into training, validation and test set, no group in two of them.

    Args:
        frames: the structures.
        fractions: shares of the structures.
        seed: of the draw.

    Raises:
        DataError: if a set would be empty.
    """
    pools = grouped_pools([frame.group for frame in frames], fractions, seed)
    for name in NAMES:
        if not pools[name]:
            n_groups = len({frame.group for frame in frames})
            raise DataError(
                f"{len(frames)} structures in {n_groups} groups leave none for the set {name!r}; add some"
            )
    train, validation, test = ([frames[k] for k in pools[name]] for name in NAMES)
    return train, validation, test
