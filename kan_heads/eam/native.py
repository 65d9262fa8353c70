"""Runs exported potentials by LAMMPS' own pair styles."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kan_heads.eam.lammps_files import Export
from kan_heads.errors import ConfigError, DataError, ModelError, first_line
from kan_heads.lammps.cells import Frame
from kan_heads.lammps.library import open_lammps

if TYPE_CHECKING:
    from ase import Atoms


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What LAMMPS finds for one structure.

    Args:
        energy: eV.
        forces: eV/Å, (n_atoms, 3).
        stress: eV/Å^3, (3, 3), tension positive, as in ASE; NaN unless periodic in three directions.
    """

    energy: float
    forces: np.ndarray
    stress: np.ndarray


@contextlib.contextmanager
def lammps() -> Iterator[Any]:
    """Opens LAMMPS and closes it again; its own errors become one line.

    Raises:
        ConfigError: if LAMMPS is not installed or lacks eam/fs.
        ModelError: if it stops.
    """
    lmp = open_lammps()
    try:
        if not lmp.has_style("pair", "eam/fs"):
            raise ConfigError("this LAMMPS has no eam/fs; install one with the package MANYBODY")
        yield lmp
    except (ConfigError, DataError, ModelError):
        raise
    except Exception as error:  # the wheel's own classes, and plain Exception
        text = first_line(error).replace("ERROR on proc 0: ", "").replace("ERROR: ", "")
        if "table inner" in text:
            text += "; two atoms came closer than the table starts: export it with a smaller --inner"
        raise ModelError(f"LAMMPS stopped ({text})") from error
    finally:
        lmp.close()


def evaluate(export: Export, atoms: Atoms, relax: bool = False) -> Evaluation:
    """Computes energy, forces and stress of a structure in LAMMPS.

    Args:
        export: an exported potential.
        atoms: any structure of its element, in any frame.
        relax: first let the atoms find their places, at fixed cell.

    Raises:
        ModelError: if LAMMPS stops.
    """
    frame = Frame.of(atoms)
    with lammps() as lmp:
        create(lmp, atoms, frame)
        # Bins of a box that shrinks around a flat molecule would be too thin for LAMMPS.
        bins = "neighbor 1.0 bin" if atoms.pbc.all() else "neighbor 1.0 nsq"
        pair = export.commands(export.file.parent)
        fall = ["min_modify line quadratic", "minimize 0 1e-10 1000 10000"] if relax else []
        for command in [bins, *pair, *fall, "run 0 post no"]:
            lmp.command(command)
        n = len(atoms)
        order = np.argsort(lmp.numpy.extract_atom("id", nelem=n).ravel())
        forces = frame.to_ase(lmp.numpy.extract_atom("f", nelem=n)[order])
        stress = np.full((3, 3), np.nan)
        if atoms.pbc.all():
            bar = {name: lmp.get_thermo(name) for name in ("pxx", "pyy", "pzz", "pxy", "pxz", "pyz")}
            p = np.array([[bar["p" + "".join(sorted(a + b))] for b in "xyz"] for a in "xyz"])
            stress = -(frame.rotation.T @ p @ frame.rotation) / lmp.extract_global("nktv2p")
        return Evaluation(float(lmp.get_thermo("pe")), forces, stress)


def create(lmp: Any, atoms: Atoms, frame: Frame | None = None) -> None:
    """Makes a box with the atoms of a structure, all of one type, at rest.

    Args:
        lmp: an instance without a box.
        atoms: the structure; atom ``k`` gets the number ``k + 1``.
        frame: its frame, if that is at hand.
    """
    frame = frame or Frame.of(atoms)
    positions = frame.to_lammps(atoms.positions)
    low, high = frame.bounds(positions)
    ends = " ".join(f"{float(a)!r} {float(b)!r}" for a, b in zip(low, high, strict=True))
    tilted = any(frame.tilts)
    shape = f"prism {ends} " + " ".join(map(repr, frame.tilts)) if tilted else f"block {ends}"
    for command in (
        "units metal",
        "atom_style atomic",
        "atom_modify map array",
        "boundary " + " ".join("p" if periodic else "s" for periodic in frame.pbc),
        "box tilt large",
        f"region cell {shape}",
        "create_box 1 cell",
        f"mass 1 {float(atoms.get_masses()[0])!r}",
        "thermo_style custom step temp pe press vol",
    ):
        lmp.command(command)
    n = len(atoms)
    made = lmp.create_atoms(n, list(range(1, n + 1)), [1] * n, positions.ravel().tolist(), None)
    if made != n:
        raise ModelError(f"LAMMPS took {made} of {n} atoms; please report this structure")


def positions_of(lmp: Any) -> tuple[np.ndarray, np.ndarray]:
    """Returns unwrapped positions in Å by number, ``(n_atoms, 3)``, and the lengths of a block, ``(3,)``."""
    n = lmp.get_natoms()
    order = np.argsort(lmp.numpy.extract_atom("id", nelem=n).ravel())
    low, high, *_ = lmp.extract_box()
    lengths = np.subtract(high, low)
    flags, which = np.unique(lmp.numpy.extract_atom("image", nelem=n).ravel(), return_inverse=True)
    images = np.array([lmp.decode_image_flags(int(flag)) for flag in flags])[which]  # (n_atoms, 3)
    return (lmp.numpy.extract_atom("x", nelem=n) - low + images * lengths)[order], lengths
