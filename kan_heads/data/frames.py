"""Structures from any file that ASE reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

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
