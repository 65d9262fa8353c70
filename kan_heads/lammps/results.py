"""What came out of a run."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase import Atoms


@dataclasses.dataclass(frozen=True)
class Thermo:
    """LAMMPS' thermo output at one step.

    Args:
        step: number of the step.
        time_ps: time in ps.
        temperature_K: of 3N - 3 degrees of freedom (ASE counts 3N).
        potential_eV: energy of the model.
        kinetic_eV: kinetic energy.
        total_eV: their sum.
        pressure_bar: kinetic part included; None unless the structure is periodic in three directions and the
            model has a stress.
        volume_A3: volume of the cell; None unless the structure is periodic in three directions.
    """

    step: int
    time_ps: float
    temperature_K: float  # noqa: N815  units keep their case
    potential_eV: float  # noqa: N815
    kinetic_eV: float  # noqa: N815
    total_eV: float  # noqa: N815
    pressure_bar: float | None
    volume_A3: float | None  # noqa: N815


@dataclasses.dataclass(frozen=True)
class Result:
    """What :func:`kan_heads.lammps.run` returns.

    Args:
        formula: of the structure, e.g. ``Ag32``.
        n_atoms: number of atoms.
        ensemble: ``nvt``, ``nve`` or ``npt``.
        steps: steps that were run.
        timestep_fs: length of a step in fs.
        ms_per_step: median wall time of a step in ms, everything included, without the first evaluation;
            None for fewer than one step.
        seconds: wall time of all steps.
        peak_memory_bytes: largest resident set of the process so far, model and libraries included.
        cuda_peak_memory_bytes: largest memory of torch on the GPU, model included; None on a CPU. What a
            compiled model allocates past torch is not in it.
        drift_meV_per_atom_per_ps: slope of the total energy over the rows of ``thermo``; None unless ``nve``.
        mean_temperature_K: mean over the second half of the rows of ``thermo``.
        thermo: rows of the thermo output, first and last step included.
        versions: of the programs that took part.
        settings: what was asked for.
        model: file of the model, or class of the calculator.
        atoms: last structure, in the frame of the input, with momenta.
    """

    formula: str
    n_atoms: int
    ensemble: str
    steps: int
    timestep_fs: float
    ms_per_step: float | None
    seconds: float
    peak_memory_bytes: int
    cuda_peak_memory_bytes: int | None
    drift_meV_per_atom_per_ps: float | None  # noqa: N815  units keep their case
    mean_temperature_K: float  # noqa: N815
    thermo: tuple[Thermo, ...]
    versions: dict[str, str]
    settings: dict[str, Any]
    model: str
    atoms: Atoms = dataclasses.field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Everything but the last structure, as JSON takes it."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del fields["atoms"]
        return {**fields, "thermo": [dataclasses.asdict(row) for row in self.thermo]}
