"""Read each data set's own format into ASE frames with uniform labels.

Every reader returns a ``Source`` that builds frames one by one, so that a small draw of a large set
costs little. Labels go to a ``SinglePointCalculator`` (``energy`` eV, ``forces`` eV/Angstrom, ``stress``
eV/Angstrom^3 in ASE's sign); ``info`` keeps what tells frames apart.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.datasets.unpack import unpack_zip
from kan_heads.data.labels import stores
from kan_heads.data.reading import AS_NAMED
from kan_heads.errors import DataError, first_line

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class Source:
    """The frames of a data set.

    Args:
        n_frames: how many there are.
        build: makes frame i, 0-based.
        index_of: what the index counts, for ``split.json``.
        groups: group of each frame that a split must keep together, or None.
    """

    n_frames: int
    build: Callable[[int], Atoms]
    index_of: str
    groups: list[Hashable] | None = None


def labelled(atoms: Atoms, energy: Any = None, forces: Any = None, stress: Any = None, **info: Any) -> Atoms:
    """A clean copy of ``atoms`` that carries only these labels and this ``info``.

    Args:
        atoms: structure (numbers, positions in Angstrom, cell, pbc are kept).
        energy: eV per cell, or None.
        forces: (n_atoms, 3) eV/Angstrom, or None.
        stress: (3, 3) or Voigt (6,), eV/Angstrom^3, tension positive, or None.
        info: further items of the frame.
    """
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.stress import full_3x3_to_voigt_6_stress

    clean = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=info)
    results: dict[str, Any] = {}
    if energy is not None:
        results["energy"] = float(energy)
    if forces is not None:
        results["forces"] = np.asarray(forces, dtype=float).reshape(-1, 3)
    if stress is not None:
        stress = np.asarray(stress, dtype=float)
        voigt = stress.shape == (6,)
        results["stress"] = stress if voigt else full_3x3_to_voigt_6_stress(stress.reshape(3, 3))
    if results:
        clean.calc = SinglePointCalculator(clean, **results)
    return clean


def _label(atoms: Atoms, *names: str) -> Any:
    """The first of these labels that a frame has, wherever its file format put it."""
    for store in stores(atoms):
        for name in names:
            if store.get(name) is not None:
                return store[name]
    return None


def _read(path: Path, expected: int) -> list[Atoms]:
    import ase.io

    try:
        frames = ase.io.read(path, index=":", **AS_NAMED)
    except Exception as e:  # ASE's parsers raise whatever the damage leads them to
        raise DataError(f"{path} cannot be read ({type(e).__name__}: {e}); fetch it again") from e
    if len(frames) != expected:
        raise DataError(f"{path} has {len(frames)} frames, expected {expected}; the origin has changed")
    return frames


def _from_files(paths: list[Path], counts: list[int]) -> Source:
    frames = [a for p, n in zip(paths, counts, strict=True) for a in _read(p, n)]

    def build(i: int) -> Atoms:
        a = frames[i]
        energy = _label(a, "REF_energy", "energy", "free_energy")
        forces = _label(a, "REF_forces", "forces", "force")
        virial, stress = _label(a, "REF_virial", "virial"), _label(a, "stress")
        if stress is None and virial is not None and np.size(virial) == 9:
            # GAP and deepmd virials are positive under compression, ASE's stress under tension.
            stress = -np.reshape(virial, (3, 3)) / a.get_volume()
        info = {k: a.info[k] for k in ("config_type", "stand_in") if k in a.info}
        return labelled(a, energy, forces, stress, **info)

    return Source(len(frames), build, "frame of " + " followed by ".join(p.name for p in paths))


def read_ag(paths: list[Path], work: Path) -> Source:
    """Silver: one extended XYZ file; used for ``ag`` and ``ag-emt``."""
    return _from_files(paths, [1000])


def read_carbon(paths: list[Path], work: Path) -> Source:
    """GAP-17 carbon: 408 training frames followed by 450 test frames, extended XYZ or ASE's .traj."""
    return _from_files(paths, [408, 450])


def read_hfo2(paths: list[Path], work: Path) -> Source:
    """Hafnia: npz blocks in float32; stress = -virial / volume."""
    from ase import Atoms

    keys = ("coord", "box", "energy", "force", "virial", "group")
    blocks = []
    for p in paths:
        with np.load(p, allow_pickle=False) as z:
            numbers = z["numbers"]
            blocks.append({k: z[k] for k in keys})
    data = {k: np.concatenate([b[k] for b in blocks]) for k in keys}

    def build(i: int) -> Atoms:
        box = data["box"][i].astype(float)
        atoms = Atoms(numbers=numbers, positions=data["coord"][i].astype(float), cell=box, pbc=True)
        stress = -data["virial"][i].astype(float) / atoms.get_volume()
        group = int(data["group"][i])
        return labelled(atoms, data["energy"][i], data["force"][i], stress, hfo2_group=group)

    return Source(len(data["energy"]), build, "frame of " + " followed by ".join(p.name for p in paths))


def born_charges(atoms: Atoms) -> np.ndarray:
    """Born effective charges of a prepared frame.

    ASE's extended XYZ reader moves a column of this name from ``arrays`` to the calculator; this
    finds it in either.

    Args:
        atoms: a frame of the prepared ``sio2`` set.

    Returns:
        ``(n_atoms, 3, 3)`` in units of e.

    Raises:
        DataError: the frame has no such labels, or they are not nine for each atom.
    """
    charges = _label(atoms, "born_effective_charges")
    remedy = "make it with 'python -m benchmarks.datasets prepare sio2'"
    if charges is None:
        raise DataError(f"a frame has no 'born_effective_charges'; {remedy}")
    if np.shape(charges) not in ((len(atoms), 9), (len(atoms), 3, 3)):
        shape = np.shape(charges)
        raise DataError(
            f"a frame of {len(atoms)} atoms has 'born_effective_charges' of shape {shape}; {remedy}"
        )
    return np.reshape(charges, (len(atoms), 3, 3))


_AGAIN = "fetch both files again with 'python -m benchmarks.datasets get sio2'"


def read_sio2(paths: list[Path], work: Path) -> Source:
    """SiO2: POSCARs from the zip, Born effective charges (n_atoms, 9) in e from the headerless csv.

    Raises:
        DataError: a table or an archive that cannot be read, no rows; a row with too few numbers, one that is
            no finite number, a name that occurred before, or no structure in the archive; a structure
            that cannot be read or has other than six atoms.
    """
    archive, table = paths
    charges = _born_table(table)
    folder = unpack_zip(archive, work / "sio2") / "SiO2_prim"
    files = [folder / f"{name}.vasp" for name in charges]
    for path in files:
        if not path.is_file():
            raise DataError(f"{archive} has no {path.name}, which {table} lists; {_AGAIN}")
    rows = list(charges.items())

    def build(i: int) -> Atoms:
        import ase.io

        name, values = rows[i]
        try:
            atoms = labelled(ase.io.read(files[i], format="vasp"), structure=name)
        except Exception as e:  # ASE's parsers raise whatever the damage leads them to
            raise DataError(f"{archive}: {name}.vasp cannot be read ({first_line(e)}); {_AGAIN}") from e
        if len(atoms) != len(values):
            raise DataError(
                f"{archive}: {name}.vasp has {len(atoms)} atoms, its row in {table} is for {len(values)}; "
                f"{_AGAIN}"
            )
        atoms.set_array("born_effective_charges", values)
        return atoms

    return Source(len(rows), build, f"row of {table.name}")


def _born_table(table: Path) -> dict[str, np.ndarray]:
    """The charges, (6, 9), by name of the structure, in the order of the rows."""
    charges: dict[str, np.ndarray] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as f:
            rows = [(r[0], r[1:]) for r in csv.reader(f) if r]
    except (csv.Error, UnicodeDecodeError) as e:
        raise DataError(f"{table} cannot be read ({first_line(e)}); {_AGAIN}") from e
    for number, (name, fields) in enumerate(rows):
        where = f"{table}: row {number} ({name})"
        if len(fields) != 54:
            raise DataError(f"{where} has {len(fields)} numbers, expected 9 for each of 6 atoms; {_AGAIN}")
        if name in charges:
            raise DataError(f"{where} has the name of an earlier row; {_AGAIN}")
        try:
            values = np.array(fields, dtype=float)
        except ValueError as e:
            raise DataError(f"{where} holds what is not a number ({e}); {_AGAIN}") from e
        if not np.isfinite(values).all():
            raise DataError(f"{where} holds NaN or an infinite number; {_AGAIN}")
        charges[name] = values.reshape(-1, 9)
    if not charges:
        raise DataError(f"{table} has no rows; {_AGAIN}")
    return charges


def read_ru(paths: list[Path], work: Path) -> Source:
    """Ruthenium: energy, and stress where it could be restored.

    The forces of the file are residuals of a relaxation (below 1e-4 Ry/bohr), and 365 of the structures
    are affine approximations of the relaxed ones: training on such forces would teach noise, so they
    are left out.
    """
    frames = _read(paths[0], 670)

    def mode(i: int) -> str:
        # The extended XYZ parser reads the modes 'F' and 'T' as booleans.
        value = frames[i].info["mode"]
        return {True: "T", False: "F"}[bool(value)] if isinstance(value, bool | np.bool_) else str(value)

    def group(i: int) -> Hashable:
        eta = round(abs(float(frames[i].info["eta"])), 6)
        # Unstrained, all modes are the same structure.
        return ("none" if eta == 0 else mode(i), eta)

    def build(i: int) -> Atoms:
        a = frames[i]
        kept = {"eta": float(a.info["eta"]), "geometry": str(a.info["positions"])}
        kept["record"] = int(a.info["record"])
        return labelled(
            a, _label(a, "energy"), stress=_label(a, "stress"), strain_mode=f"mode-{mode(i)}", **kept
        )

    groups = [group(i) for i in range(len(frames))]
    return Source(len(frames), build, f"frame of {paths[0].name}", groups)


READERS: dict[str, Callable[[list[Path], Path], Source]] = {
    "ag": read_ag,
    "ag-emt": read_ag,
    "hfo2": read_hfo2,
    "carbon": read_carbon,
    "sio2": read_sio2,
    "ru": read_ru,
}
