"""Files with which LAMMPS runs a potential by its own pair styles."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from kan_heads.data.structure import neighbours
from kan_heads.eam.lammps_files import Export
from kan_heads.eam.potential import Potential
from kan_heads.eam.setfl import write_setfl
from kan_heads.eam.table import write_overlay, write_table
from kan_heads.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from ase import Atoms

#: What ``kan-heads eam export`` writes.
FORMATS = ("eam/fs", "table", "overlay")


def export(
    potential: Potential, style: str, path: str | Path, inner: float | None = None, n: int = 10_000
) -> Export:
    """Writes a potential in one of LAMMPS' forms, with an example input beside it.

    Args:
        potential: a fitted potential.
        style: one of ``eam/fs``, ``table`` and ``overlay``.
        path: the file; for ``overlay`` the folder. Folders above it are made.
        inner: where a table starts, Å; see :func:`kan_heads.eam.table.write_table`.
        n: points of a table; intervals of ``eam/fs``.

    Raises:
        ConfigError: if the style is unknown or does not fit the potential or the options, a folder stands
            where a file is to be written or the reverse, LAMMPS cannot read the name, or nothing was fitted.
        OSError: if nothing can be written there.
    """
    if style not in FORMATS:
        raise unknown_name("--format", style, FORMATS)
    if style == "eam/fs" and inner is not None:
        raise ConfigError("--inner: a file for eam/fs starts at 0; leave it out")
    path = Path(path)
    if style == "overlay" and path.is_file():
        raise ConfigError(f"--out {path}: is a file; overlay writes a folder")
    if style != "overlay" and path.is_dir():
        raise ConfigError(f"--out {path}: is a folder; name a file in it")
    if style == "eam/fs":
        return write_setfl(potential, path, n + 1, n + 1)
    write = write_table if style == "table" else write_overlay
    return write(potential, path, inner=inner, n=n)


def check_range(table: Potential | Export | float, atoms: Atoms) -> str | None:
    """Warns where atoms come closer than a table or a fit reaches.

    Args:
        table: what is to be run, or where its table starts in Å. Of a potential, where its grids start.
        atoms: the structure.

    Returns:
        The warning, which names the shortest distance; None if there is none.
    """
    if isinstance(table, Potential):
        inner, what = table.config.inner, "was fitted from {inner:g} Å on; below, it is extrapolated"
    else:
        inner = table.inner if isinstance(table, Export) else float(table)
        what = "starts at {inner:g} Å, where LAMMPS would stop; write it with a smaller inner"
    if inner <= 0:
        return None
    distances = neighbours(atoms, inner)[2]
    if not len(distances):
        return None
    name = "the potential" if isinstance(table, Potential) else "the table"
    text = f"two atoms are {distances.min():.4g} Å apart, and {name} {what.format(inner=inner)}"
    warnings.warn(text, stacklevel=2)
    return text
