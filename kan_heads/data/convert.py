"""A user's structures in the form that nequip and Allegro, or MACE, read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kan_heads.data.labels import find_label
from kan_heads.data.reading import iter_frames
from kan_heads.errors import DataError
from kan_heads.progress import track
from kan_heads.writing import whole

if TYPE_CHECKING:
    from ase import Atoms

_PREFIX = "REF_"
_LABELS = ("energy", "forces", "stress")


def named(frame: Atoms, mace: bool = False) -> Atoms:
    """Gives the labels of a frame the names that a program reads.

    Args:
        frame: energy, forces and stress under ASE's names or MACE's ``REF_...``; it is changed.
        mace: give them MACE's default names, ``REF_energy``, ``REF_forces`` and ``REF_stress``; otherwise
            ASE's, which nequip reads.

    Returns:
        The frame. Its other labels keep their names, and MACE's files get ``REF_`` before those of the
        calculator.
    """
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

    results: dict[str, Any] = dict(frame.calc.results) if frame.calc else {}
    for label in _LABELS:
        for name in (label, _PREFIX + label):
            if label not in results and (value := find_label(frame, name)) is not None:
                results[label] = value
            for store in (frame.info, frame.arrays):
                store.pop(name, None)
    frame.calc = None
    if not mace:
        if "stress" in results and results["stress"].size == 9:
            results["stress"] = full_3x3_to_voigt_6_stress(results["stress"].reshape(3, 3))
        if results:
            frame.calc = SinglePointCalculator(frame, **results)
        return frame
    for label, value in results.items():
        if label == "forces":
            frame.arrays["REF_forces"] = value
        elif label == "stress":
            frame.info["REF_stress"] = (
                voigt_6_to_full_3x3_stress(value) if value.size == 6 else value.reshape(3, 3)
            )
        else:
            frame.info[_PREFIX + label] = value
    return frame


def convert(source: str | Path, target: Path, index: str = ":", mace: bool = False) -> int:
    """Writes structures as extended XYZ, their labels under the names that a program reads.

    Args:
        source: a file that ASE reads (vasprun.xml, OUTCAR, .traj, .db, CIF, ...).
        target: extended XYZ file; it appears when it is complete.
        index: which of several structures, as ASE counts.
        mace: see :func:`named`.

    Returns:
        How many structures were written.

    Raises:
        DataError: the source cannot be read, or the target cannot be written.
    """
    import ase.io

    frames = [named(frame, mace) for frame in track(iter_frames(source, index=index), f"reading {source}")]
    if not frames:
        raise DataError(f"{source}: there is no structure with --index {index}")
    try:
        with whole(target) as new:
            ase.io.write(new, frames, format="extxyz")
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error.strerror}); choose another file") from error
    return len(frames)
