"""Where a job finds what it needs, and the frame that its dynamics start from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.wang2024.jobs import Job

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms

#: The frame that dynamics starts from has at least so many atoms: carbon has dimers too.
_LEAST_ATOMS = 16


@dataclass(frozen=True)
class Folders:
    """Where things are.

    Args:
        configs: configurations.
        records: records.
        work: checkpoints and logs.
        data: prepared data, by name of the data set.
    """

    configs: Path
    records: Path
    work: Path
    data: dict[str, Path]

    def record(self, job: Job) -> Path:
        """The file of a job's record."""
        return self.records / f"{job.name}.json"

    def lock(self, job: Job) -> Path:
        """The file whose lock the process holds that works at a job."""
        return self.records / ".locks" / job.name


def calm_frame(data: Path) -> Atoms:
    """The test frame (validation frame, if there is no test set) with the smallest forces that is not tiny.

    From a frame far from equilibrium, potential energy would heat the atoms to thousands of kelvin.
    """
    import ase.io
    import numpy as np

    held_out = data / "test.extxyz"
    frames = ase.io.read(held_out if held_out.exists() else data / "val.extxyz", index=":")
    large = [frame for frame in frames if len(frame) >= _LEAST_ATOMS] or frames
    return min(large, key=lambda frame: float(np.square(_labels(frame)).mean()))


def _labels(frame: Atoms) -> np.ndarray:
    """Forces in eV/Angstrom, under nequip's or MACE's name, shape (n_atoms, 3)."""
    return frame.arrays["REF_forces"] if "REF_forces" in frame.arrays else frame.get_forces()
