"""Find what would break or silently spoil a training before it starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kan_heads.data.labels import KNOWN_TENSORS, TensorLabel, check_labels, label_names
from kan_heads.data.reading import iter_frames
from kan_heads.data.stresses import StressCheck
from kan_heads.data.structure import check_structure, neighbours
from kan_heads.errors import DataError
from kan_heads.progress import track

if TYPE_CHECKING:
    from ase import Atoms

N_NEIGHBOUR_FRAMES = 32
"""Only so many frames are searched for neighbours: a cutoff that is too small shows at once."""

_APART = 6.0
"""Å; no solid or liquid has its nearest neighbours farther apart, so such atoms are isolated on purpose."""

_FAR = 1000.0


@dataclass(frozen=True)
class Report:
    """What a sound file holds.

    Args:
        n_frames: number of structures.
        n_atoms_min: of the smallest.
        n_atoms_max: of the largest.
        elements: that occur.
        labels: how many frames have each label.
        present: how many frames have each of all that frames have beside their atoms.
        notes: what is no error, but worth a look, a sentence each.
    """

    n_frames: int
    n_atoms_min: int
    n_atoms_max: int
    elements: tuple[str, ...]
    labels: dict[str, int]
    present: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def partial(self, names: Iterable[str]) -> dict[str, str]:
        """Returns those of some names that some frames have and others lack, each with words on it."""
        counts = {name: self.present.get(name, 0) for name in names}
        return {
            name: f"{name} is on {count} of {self.n_frames} frames"
            for name, count in counts.items()
            if 0 < count < self.n_frames
        }


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
    frames = track(iter_frames(path, ase_args), f"checking {path}")
    return check_frames(frames, str(path), r_max, require, tensors, elements)


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
        r_max: cutoff in Angstrom; a pair of atoms must lie within it in one of the first 32 frames. Frames
            of isolated atoms may stand beside them, periodic or not. None skips this.
        require: labels that every frame must have.
        tensors: as for ``check_file``.
        elements: as for ``check_file``.

    Raises:
        DataError: no frames; no atoms, NaN or infinity in positions, cell or labels; text for a label; a
            missing label; energies, forces, stresses or tensors of another shape or symmetry; a flat
            periodic cell; atoms on one another; sites that are not one atom; no neighbours; an element that
            is not allowed. The message names the source and the 0-based frame.
    """
    found = _Found(source, r_max)
    for i, atoms in enumerate(frames):
        where = f"{source}: frame {i}"
        check_structure(atoms, where, elements)
        found.add(i, atoms, check_labels(atoms, where, require, tensors or {}))
    return found.report()


@dataclass
class _Found:
    """What all frames of a file have in common, and what some of them have not."""

    source: str
    r_max: float | None
    _labels: Counter[str] = field(default_factory=Counter)
    _present: Counter[str] = field(default_factory=Counter)
    _sizes: list[int] = field(default_factory=list)
    _elements: set[str] = field(default_factory=set)
    _alone: dict[int, float | None] = field(default_factory=dict)
    _is_crowd_alone: bool = False
    _stresses: StressCheck = field(default_factory=StressCheck)

    def add(self, i: int, atoms: Atoms, labels: Sequence[str]) -> None:
        """Takes a sound frame with its labels into account."""
        self._labels.update(labels)
        self._present.update(label_names(atoms))
        self._sizes.append(len(atoms))
        self._elements.update(atoms.symbols)
        self._stresses.add(i, atoms)
        if self.r_max is None or i >= N_NEIGHBOUR_FRAMES or len(neighbours(atoms, self.r_max)[0]):
            return
        self._alone[i] = _shortest(atoms, self.r_max)
        self._is_crowd_alone |= len(atoms) > 2

    def report(self) -> Report:
        """Judges the file as a whole.

        Raises:
            DataError: if there are no frames, or none of them has neighbours.
        """
        if not self._sizes:
            raise DataError(f"{self.source} has no frames; write it again")
        notes = list(self._stresses.notes())
        if self._alone:
            self._check_cutoff()
            numbers = ", ".join(map(str, self._alone))
            notes.append(f"frames of isolated atoms, without a pair within {self.r_max:g} Å: {numbers}")
        sizes, elements = self._sizes, tuple(sorted(self._elements))
        counts = dict(self._labels), dict(self._present)
        return Report(len(sizes), min(sizes), max(sizes), elements, *counts, tuple(notes))

    def _check_cutoff(self) -> None:
        """Tells a cutoff that is too small, and a wrong unit of length, from isolated atoms."""
        if len(self._alone) < min(len(self._sizes), N_NEIGHBOUR_FRAMES):
            return
        i, shortest = min(self._alone.items(), key=lambda item: item[1] or _FAR)
        if shortest is None and max(self._sizes) == 1:
            return
        where = f"{self.source}: no frame has two atoms within r_max = {self.r_max:g} Å"
        if shortest is None:
            raise DataError(f"{where}, nor within {_FAR:g} Å; check the units of positions and cell")
        if shortest <= _APART:
            raise DataError(
                f"{where}; the shortest distance is {shortest:.3f} Å (frame {i}): use a larger r_max (more "
                f"than {shortest:.2f}) or check the units of positions and cell"
            )
        if self._is_crowd_alone:
            raise DataError(
                f"{where}; the shortest distance is {shortest:.3f} Å (frame {i}), too much for matter: check "
                "the units of positions and cell"
            )


def _shortest(atoms: Atoms, r_max: float) -> float | None:
    """Returns the shortest distance of two atoms in Å, ``None`` where it is a micrometre or so."""
    reach = 2.0 * r_max
    while reach < 2.0 * _FAR and len(atoms) + atoms.pbc.any() > 1:
        found = neighbours(atoms, reach)[2]
        if len(found):
            return float(found.min())
        reach *= 2.0
    return None


def purpose_of(path: str | Path) -> tuple[tuple[str, ...], dict[str, TensorLabel]]:
    """Looks at the first frame of a file for what it was made.

    Args:
        path: the file.

    Returns:
        The labels that every frame should have, and those among them that are tensors: ``energy`` and
        ``forces``, MACE's ``REF_energy`` and ``REF_forces``, or what ETGNN learns.
    """
    for atoms in iter_frames(path, index="0"):
        have = set(label_names(atoms))
        tensors = {name: tensor for name, tensor in KNOWN_TENSORS.items() if name in have}
        if "energy" not in have and "REF_energy" in have:
            return ("REF_energy", "REF_forces"), {}
        if not have & {"energy", "forces"} and tensors:
            return tuple(tensors), tensors
    return ("energy", "forces"), {}
