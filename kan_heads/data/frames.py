"""Structures from any file that ASE reads, and what makes one unfit for a model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kan_heads.errors import ConfigError, DataError, first_line

if TYPE_CHECKING:
    from ase import Atoms


def read_frames(path: str | os.PathLike[str], index: str = "-1") -> list[tuple[int, Atoms]]:
    """Reads structures from any file that ASE reads.

    Args:
        path: POSCAR, CIF, XYZ, ...
        index: which of several, as ASE counts: ``0`` is the first, ``-1`` the last, ``:`` stands for all,
            ``::10`` for every tenth.

    Returns:
        The structures, each with its number in the file.

    Raises:
        ConfigError: if the index is none.
        DataError: if the file is missing, empty, cannot be read or has no such structure.
    """
    import ase.io
    from ase.io.formats import string2index

    try:
        chosen = string2index(index)
    except ValueError:
        chosen = index
    if not isinstance(chosen, (int, slice)):  # ASE takes other words for queries of its data base
        raise ConfigError(f"--index: {index!r} is no index; e.g. -1 (last), 0 (first) or : (all)")
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file; give a structure that ASE reads (POSCAR, CIF, XYZ, ...)")
    if os.path.getsize(path) == 0:
        raise DataError(f"{path} is empty; give a structure that ASE reads (POSCAR, CIF, XYZ, ...)")
    try:
        frames = ase.io.read(path, index=":")
    except Exception as error:  # ASE's parsers raise whatever the damage leads them to
        raise DataError(
            f"{path}: ASE cannot read this file ({first_line(error)}); is its name one of its format "
            "(POSCAR, *.cif, *.xyz, *.extxyz, ...)?"
        ) from error
    if isinstance(chosen, int) and -len(frames) <= chosen < len(frames):
        chosen = slice(chosen, chosen + 1 or None)
    found = list(enumerate(frames))[chosen] if isinstance(chosen, slice) else []
    if not found:
        raise DataError(f"{path}: has {len(frames)} structures, none is --index {index}")
    return found


def check_structure(atoms: Atoms, type_names: Sequence[str] | None = None) -> None:
    """Finds what a model cannot answer to.

    Args:
        atoms: a structure.
        type_names: the elements that the model knows; ``None`` allows all.

    Raises:
        DataError: if there are no atoms, NaN or infinite coordinates, a flat periodic cell or an unknown
            element.
    """
    if len(atoms) == 0:
        raise DataError("the structure has no atoms")
    if not np.isfinite(atoms.cell.array).all():
        raise DataError("the cell has NaN or infinite numbers; correct it")
    bad = ~np.isfinite(atoms.positions).all(axis=1)
    if bad.any():
        first = int(np.argmax(bad))
        raise DataError(f"the position of atom {first + 1} ({atoms.symbols[first]}) is NaN or infinite")
    vectors = atoms.cell.complete().array
    flat = atoms.pbc.any() and abs(np.linalg.det(vectors)) < 1e-6
    if flat or (atoms.cell.lengths()[atoms.pbc] < 1e-6).any():
        raise DataError("the structure is periodic but its cell has no volume; correct the cell")
    strange = [] if type_names is None else sorted(set(atoms.symbols) - set(type_names))
    if strange:
        raise DataError(
            f"the model has not seen {', '.join(strange)}; it knows {', '.join(type_names or ())}: train it "
            "on structures with that element"
        )
