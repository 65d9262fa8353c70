"""Structures from any file that ASE reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kan_heads.errors import ConfigError, DataError, first_line

if TYPE_CHECKING:
    from ase import Atoms

_KINDS = "a structure that ASE reads (POSCAR, CIF, XYZ, ...)"

AS_NAMED: dict[str, Any] = {"do_not_split_by_at_sign": True}
"""Argument for ``ase.io``: ``Cu@300K.extxyz`` is the name of a file, not frame ``300K.extxyz`` of ``Cu``."""


def iter_frames(
    path: str | os.PathLike[str], ase_args: Mapping[str, Any] | None = None, index: str | slice = ":"
) -> Iterator[Atoms]:
    """Reads one structure after the other.

    Args:
        path: the file; ``@`` has no meaning in its name.
        ase_args: more arguments for ``ase.io.iread``, such as ``format``.
        index: which of several structures.

    Raises:
        DataError: if the file is missing, empty, cannot be read, or does not say which elements it holds.
    """
    import ase.io

    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file; correct the path, or give {_KINDS}")
    if os.path.getsize(path) == 0:
        raise DataError(f"{path} is empty; write it again, or give {_KINDS}")
    _check_elements_are_named(os.fspath(path), ase_args or {})
    count = 0
    try:
        for atoms in ase.io.iread(path, **{"index": index, **AS_NAMED, **(ase_args or {})}):
            yield atoms
            count += 1
    except GeneratorExit:
        raise
    except Exception as error:  # ASE's parsers raise whatever the damage leads them to
        where = f"{path}: frame {count} cannot be read" if count else f"{path}: ASE cannot read this file"
        raise DataError(
            f"{where} ({first_line(error)}); is it complete, and its name one of its format (POSCAR, *.cif, "
            "*.xyz, *.extxyz, ...)?"
        ) from error


def read_frames(path: str | os.PathLike[str], index: str = "-1") -> list[tuple[int, Atoms]]:
    """Reads some of the structures of a file; from extended XYZ and ASE's ``.traj`` only these.

    Args:
        path: POSCAR, CIF, XYZ, ...; ``@`` has no meaning in its name.
        index: which of several, as ASE counts: ``0`` is the first, ``-1`` the last, ``:`` stands for all,
            ``::10`` for every tenth.

    Returns:
        The structures, each with its number in the file.

    Raises:
        ConfigError: if the index is none.
        DataError: as :func:`iter_frames`; also if there is no such structure.
    """
    from ase.io.formats import string2index

    try:
        chosen = string2index(index)
    except ValueError:
        chosen = index
    if not isinstance(chosen, (int, slice)):  # ASE takes other words for queries of its data base
        raise ConfigError(f"--index: {index!r} is no index; e.g. -1 (last), 0 (first) or : (all)")
    count = _count(os.fspath(path))
    frames = None if count is not None else list(iter_frames(path))
    count = len(frames) if frames is not None else count
    if isinstance(chosen, int):
        chosen = slice(chosen, chosen + 1 or None) if -count <= chosen < count else slice(0, 0)
    numbers = range(count)[chosen]
    if not numbers:
        raise DataError(f"{path}: has {count} structures, none is --index {index}")
    found = iter_frames(path, index=chosen) if frames is None else (frames[i] for i in numbers)
    return list(zip(numbers, found, strict=True))


def _count(path: str) -> int | None:
    """Counts the structures of a file without reading them; ``None`` where that cannot be."""
    if path.lower().endswith(".traj"):
        from ase.io.trajectory import Trajectory

        try:
            with Trajectory(path) as trajectory:
                return len(trajectory)
        except Exception:  # of another kind, or damaged: reading says so
            return None
    if not path.lower().endswith((".xyz", ".extxyz")) or not os.path.isfile(path):
        return None
    count = 0
    try:
        with open(path, encoding="utf-8") as file:
            while (head := file.readline()).strip():
                for _ in range(int(head) + 1):
                    if not file.readline():
                        return None
                count += 1
            return count if count and not file.read(1) else None
    except ValueError:  # lines of cells after the atoms, or no such file at all
        return None


def _check_elements_are_named(path: str, ase_args: Mapping[str, Any]) -> None:
    """Stops where ASE would take LAMMPS' types of atoms 1, 2, ... for hydrogen, helium, ..."""
    from ase.io.formats import UnknownFileTypeError, filetype, open_with_compression

    try:
        kind = ase_args.get("format") or filetype(path)
    except (UnknownFileTypeError, OSError, UnicodeDecodeError):
        return
    if kind not in ("lammps-dump-text", "lammps-data") or {"specorder", "Z_of_type"} & ase_args.keys():
        return
    with open_with_compression(path, "r") as file:
        for line in file:
            if kind == "lammps-dump-text" and line.startswith("ITEM: ATOMS"):
                if not {"element", "mass"} & set(line.split()):
                    raise DataError(
                        f"{path}: this dump has types of atoms but no elements; write it again with "
                        "'element' among its columns and dump_modify ID element ..., or convert it with the "
                        "specorder of ASE"
                    )
                return
            if kind == "lammps-data" and line.strip().startswith(("Masses", "Atom Type Labels")):
                return
            if kind == "lammps-data" and line.strip().split("#")[0].strip() == "Atoms":
                raise DataError(
                    f"{path}: this data file has types of atoms, but neither masses nor names of elements; "
                    "add a section Masses, or convert it with ASE's Z_of_type"
                )
