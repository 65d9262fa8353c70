"""Find what would break or silently spoil a training before it starts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kan_heads.data.progress import track
from kan_heads.errors import DataError

if TYPE_CHECKING:
    from ase import Atoms

N_NEIGHBOUR_FRAMES = 32
"""Only so many frames are searched for neighbours: a cutoff that is too small shows at once."""

_FAR = 1000.0

_ASYMMETRY = 0.05
"""Largest asymmetry of a tensor that counts as symmetric, as a share of its largest element."""


@dataclass(frozen=True)
class TensorLabel:
    """What a label that is a 3 x 3 tensor must look like.

    Args:
        per: ``atom`` or ``crystal``.
        symmetric: whether it equals its transpose; such a tensor may be given by six numbers.
    """

    per: str
    symmetric: bool = False


@dataclass(frozen=True)
class Report:
    """What a sound file holds: counts, elements, and how many frames have each label."""

    n_frames: int
    n_atoms_min: int
    n_atoms_max: int
    elements: tuple[str, ...]
    labels: dict[str, int]


def check_file(
    path: str | Path,
    r_max: float | None = None,
    require: Sequence[str] = ("energy", "forces"),
    ase_args: Mapping[str, Any] | None = None,
    tensors: Mapping[str, TensorLabel] | None = None,
    elements: Sequence[str] | None = None,
) -> Report:
    """Check a file of labelled structures that ASE can read.

    Args:
        path: extended XYZ, .traj or another format with labels.
        r_max: cutoff of the model in Angstrom; None skips the search for neighbours.
        require: labels that every frame must have.
        ase_args: more arguments for ``ase.io.iread``, such as ``format``.
        tensors: labels that are 3 x 3 tensors.
        elements: the elements that may occur; None allows all.

    Returns:
        What the file holds.

    Raises:
        DataError: see ``check_frames``; also a missing, unreadable or empty file.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} does not exist; make it with 'kan-heads data prepare', or correct the path")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty; write it again")
    frames = track(_frames(path, ase_args or {}), f"checking {path}")
    return check_frames(frames, str(path), r_max, require, tensors, elements)


def _frames(path: Path, ase_args: Mapping[str, Any]) -> Iterator[Atoms]:
    import ase.io

    count = 0
    try:
        for atoms in ase.io.iread(path, **{"index": ":", **ase_args}):
            yield atoms
            count += 1
    except Exception as e:  # ASE's parsers raise whatever the damage leads them to
        raise DataError(
            f"{path}: frame {count} cannot be read ({type(e).__name__}: {e}); "
            "is it a complete extended XYZ file?"
        ) from e


def check_frames(
    frames: Iterable[Atoms],
    source: str,
    r_max: float | None = None,
    require: Sequence[str] = ("energy", "forces"),
    tensors: Mapping[str, TensorLabel] | None = None,
    elements: Sequence[str] | None = None,
) -> Report:
    """Check frames with their labels.

    Args:
        frames: ASE frames; labels in their calculator, ``arrays`` or ``info``.
        source: name of their file, for the message.
        r_max: cutoff in Angstrom; the first 32 frames must each have a pair of atoms within it.
            Isolated atoms (one atom, no periodicity) are allowed. None skips this.
        require: labels that every frame must have.
        tensors: as for ``check_file``.
        elements: as for ``check_file``.

    Raises:
        DataError: no frames; no atoms, NaN or infinity in positions, cell, energy, forces, stress or
            a required label; a missing label; forces or tensors of another shape or symmetry; a flat
            periodic cell; no neighbours; an element that is not allowed. The message names the source and
            the 0-based frame.
    """
    counts: dict[str, int] = {}
    sizes: list[int] = []
    found: set[str] = set()
    for i, atoms in enumerate(frames):
        where = f"{source}: frame {i}"
        sizes.append(len(atoms))
        found.update(atoms.symbols)
        _check_structure(atoms, where)
        _check_elements(atoms, where, elements)
        _check_labels(atoms, where, require, tensors or {}, counts)
        if r_max is not None and i < N_NEIGHBOUR_FRAMES:
            _check_neighbours(atoms, where, r_max)
    if not sizes:
        raise DataError(f"{source} has no frames; write it again")
    return Report(len(sizes), min(sizes), max(sizes), tuple(sorted(found)), counts)


def _check_structure(atoms: Atoms, where: str) -> None:
    if len(atoms) == 0:
        raise DataError(f"{where} has no atoms; remove it")
    _check_finite("positions", atoms.positions, where)
    _check_finite("cell", atoms.cell.array, where, by_atom=False)
    flat = atoms.pbc.any() and abs(np.linalg.det(atoms.cell.complete().array)) < 1e-6
    if flat or (atoms.cell.lengths()[atoms.pbc] < 1e-6).any():
        raise DataError(f'{where} is periodic but its cell has no volume; set the Lattice or pbc="F F F"')


def _check_elements(atoms: Atoms, where: str, elements: Sequence[str] | None) -> None:
    strange = [] if elements is None else sorted(set(atoms.symbols) - set(elements))
    if strange:
        raise DataError(
            f"{where} holds {', '.join(strange)}, the model knows {', '.join(elements or ())} only; "
            "add it to type_names or remove the frame"
        )


def _check_labels(
    atoms: Atoms,
    where: str,
    require: Sequence[str],
    tensors: Mapping[str, TensorLabel],
    counts: dict[str, int],
) -> None:
    stores: list[dict[str, Any]] = [atoms.calc.results if atoms.calc else {}, atoms.arrays, atoms.info]
    for name in dict.fromkeys(("energy", "forces", "stress", *require)):
        value = next((s[name] for s in stores if s.get(name) is not None), None)
        if value is None:
            if name in require:
                structure = {"numbers", "positions"}
                have = sorted({k for s in stores for k in s} - structure)
                found = ", ".join(have) or "no labels"
                raise DataError(f"{where} has no '{name}' (it has {found}); add or rename it")
            continue
        if name == "forces" and np.shape(value) != (len(atoms), 3):
            raise DataError(f"{where}: forces have shape {np.shape(value)}, expected ({len(atoms)}, 3)")
        tensor = tensors.get(name)
        if tensor is not None:
            _check_shape(name, np.shape(value), tensor, len(atoms), where)
        _check_finite(name, value, where, by_atom=tensor is None or tensor.per == "atom")
        if tensor is not None and tensor.symmetric:
            _check_symmetric(name, np.asarray(value), where)
        counts[name] = counts.get(name, 0) + 1


def _check_shape(name: str, shape: tuple[int, ...], tensor: TensorLabel, n_atoms: int, where: str) -> None:
    tails = [(9,), (3, 3), (6,)] if tensor.symmetric else [(9,), (3, 3)]
    shapes = {"atom": [(n_atoms, *tail) for tail in tails], "crystal": tails}
    if shape not in shapes[tensor.per]:
        wanted = "nine numbers (xx, xy, xz, yx, ... zz)"
        wanted += " or six (xx, yy, zz, yz, xz, xy)" if tensor.symmetric else ""
        other = "crystal" if tensor.per == "atom" else "atom"
        remedy = f"set per: {other}" if shape in shapes[other] else "correct the file or remove the frame"
        raise DataError(
            f"{where}: {name} has shape {shape}, expected {wanted} per {tensor.per}, "
            f"shape {shapes[tensor.per][0]}; {remedy}"
        )


def _check_symmetric(name: str, value: np.ndarray, where: str) -> None:
    if value.shape[-1] == 6:
        return
    matrices = value.reshape(-1, 3, 3)
    asymmetry = np.abs(matrices - matrices.swapaxes(1, 2)).max()
    if asymmetry > _ASYMMETRY * np.abs(matrices).max():
        raise DataError(
            f"{where}: {name} differs from its transpose by {asymmetry:.3g}, but is declared symmetric; "
            "set symmetric: false under a name of your own, or correct the file"
        )


def _check_finite(name: str, values: Any, where: str, by_atom: bool = True) -> None:
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise DataError(f"{where}: {name} is not a number but {array.dtype}; correct or remove the frame")
    bad = ~np.isfinite(array)
    if bad.any():
        atom = f" of atom {np.argwhere(bad)[0][0]}" if by_atom and array.ndim > 1 else ""
        raise DataError(f"{where}: {name}{atom} is NaN or infinite; correct or remove the frame")


def _check_neighbours(atoms: Atoms, where: str, r_max: float) -> None:
    from ase.neighborlist import neighbor_list

    if len(atoms) == 1 and not atoms.pbc.any():
        return
    if len(neighbor_list("d", atoms, r_max)):
        return
    reach = r_max
    while not len(found := neighbor_list("d", atoms, reach)):
        reach *= 2
        if reach > _FAR:
            raise DataError(f"{where}: no two atoms are within {_FAR:g} Angstrom; check the units")
    shortest = float(found.min())
    raise DataError(
        f"{where}: no atom has a neighbour within r_max = {r_max:g} Angstrom; the shortest distance is "
        f"{shortest:.3f} Angstrom: use a larger r_max (more than {shortest:.2f}) or check the units"
    )
