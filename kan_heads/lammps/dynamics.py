"""Runs dynamics in LAMMPS and keeps the record."""

from __future__ import annotations

import logging
import os
import platform
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from kan_heads.errors import DataError, ModelError, NoNumberError
from kan_heads.lammps.config import DynamicsConfig
from kan_heads.lammps.progress import Progress
from kan_heads.lammps.results import Result, Thermo

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from kan_heads.lammps.external import ExternalForces

_COLUMNS = "step temp pe ke etotal press vol"


def run(
    model: str | os.PathLike[str] | Calculator,
    atoms: Atoms,
    config: DynamicsConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """Runs molecular dynamics in LAMMPS, in this process and on one device.

    Args:
        model: file of a model (see :func:`kan_heads.lammps.models.load_calculator`) or a calculator of ASE.
        atoms: where it starts.
        config: what is run; None stands for the defaults, 1,000 steps of ``nvt`` at 300 K.
        progress: told what happens.

    Returns:
        Thermo output, time per step, memory, and the last structure.

    Raises:
        ConfigError: if a setting makes no sense, a MACE model is a pickle and not trusted, or LAMMPS is not
            installed.
        DataError: if the structure does not fit the model or what is to be run.
        ModelError: if the model cannot be loaded, or fails at some step; the message names it.
    """
    config, progress = config or DynamicsConfig(), progress or Progress()
    config.check()
    _check_structure(atoms, config)
    from kan_heads.lammps.library import open_lammps
    from kan_heads.lammps.models import untrained_elements
    from kan_heads.quiet import quiet

    if config.threads is not None:
        import torch

        torch.set_num_threads(config.threads)
    calculator, name = _calculator(model, config, progress)
    _check_elements(atoms, calculator)
    lmp = open_lammps(config.log)
    try:
        with quiet(logging.INFO):
            return _Run(lmp, atoms, calculator, name, config, progress).result()
    except NoNumberError as error:
        if lost := untrained_elements(calculator, sorted(set(atoms.symbols))):
            raise ModelError(
                f"{name}: the model was not trained on {', '.join(lost)}: it answers NaN for two atoms of it"
            ) from error
        raise
    finally:
        lmp.close()


class _Run:
    """One run: the clock, the rows of the thermo output, and the result."""

    def __init__(
        self,
        lmp: Any,
        atoms: Atoms,
        calculator: Calculator,
        model: str,
        config: DynamicsConfig,
        progress: Progress,
    ) -> None:
        from kan_heads.lammps.external import ExternalForces

        self._lmp, self._config, self._progress = lmp, config, progress
        self._model, self._formula, self._n_atoms = model, atoms.get_chemical_formula(), len(atoms)
        self._rows: list[Thermo] = []
        self._stamps: list[float] = []
        start = atoms if config.keep_velocities else _at_rest(atoms)
        with progress.stage("Evaluating the structure"):
            self._external = ExternalForces(
                lmp, start, calculator, tilted=config.coupling == "tri", on_step=self._on_step
            )
        if config.ensemble == "npt" and not self._external.has_pressure:
            raise ModelError(f"{model}: has no stress, which --ensemble npt needs; use nvt or another model")
        self._cuda = _cuda(config.device)
        self._prepare(self._external, atoms)

    def result(self) -> Result:
        """Runs the steps."""
        config, external = self._config, self._external
        with self._progress.stage(_describe(self._formula, config), config.steps):
            began = time.perf_counter()
            external.run(config.steps)
        self._stamps.append(time.perf_counter())
        self._collect()
        durations = [b - a for a, b in zip(self._stamps, self._stamps[1:], strict=False)][1:]
        rows = self._rows
        return Result(
            formula=self._formula,
            n_atoms=self._n_atoms,
            ensemble=config.ensemble,
            steps=config.steps,
            timestep_fs=config.timestep,
            ms_per_step=1000 * statistics.median(durations) if durations else None,
            seconds=self._stamps[-1] - began,
            peak_memory_bytes=_peak_memory(),
            cuda_peak_memory_bytes=self._cuda.max_memory_allocated() if self._cuda else None,
            drift_meV_per_atom_per_ps=self._drift() if config.ensemble == "nve" else None,
            mean_temperature_K=statistics.fmean(row.temperature_K for row in rows[len(rows) // 2 :]),
            thermo=tuple(rows),
            versions=_versions(self._lmp),
            settings=config.as_dict(),
            model=self._model,
            atoms=external.atoms(),
        )

    def _prepare(self, external: ExternalForces, atoms: Atoms) -> None:
        config = self._config
        if not config.keep_velocities and config.kelvin > 0:
            turning = "no" if atoms.pbc.any() else "yes"
            external.command(
                f"velocity all create {config.kelvin!r} {config.seed} mom yes rot {turning} dist gaussian"
            )
        external.command(f"timestep {config.timestep / 1000!r}")
        external.command(f"fix integrate all {config.integrator()}")
        external.command(f"thermo_style custom {_COLUMNS}")
        external.command(f"thermo {config.thermo}")
        if config.dump is not None:
            external.dump(config.dump, config.dump_every)

    def _on_step(self, step: int) -> None:
        self._stamps.append(time.perf_counter())
        self._collect()
        self._progress.step(step)

    def _collect(self) -> None:
        """Takes over the last row of the thermo output, if it is new; LAMMPS writes it after the callback."""
        step = self._lmp.last_thermo_step
        if step < 0 or (self._rows and self._rows[-1].step >= step):
            return
        values = self._lmp.last_thermo()
        if values is None:
            return
        periodic = self._external.frame.pbc.all()
        row = Thermo(
            step=int(values["Step"]),
            time_ps=int(values["Step"]) * self._config.timestep / 1000,
            temperature_K=float(values["Temp"]),
            potential_eV=float(values["PotEng"]),
            kinetic_eV=float(values["KinEng"]),
            total_eV=float(values["TotEng"]),
            pressure_bar=float(values["Press"]) if self._external.has_pressure else None,
            volume_A3=float(values["Volume"]) if periodic else None,
        )
        self._rows.append(row)
        self._progress.thermo(row)

    def _drift(self) -> float | None:
        import numpy as np

        from kan_heads.dynamics import drift_and_rms

        times = 1000 * np.array([row.time_ps for row in self._rows])
        return drift_and_rms(times, np.array([row.total_eV / self._n_atoms for row in self._rows]))[0]


def _calculator(
    model: str | os.PathLike[str] | Calculator, config: DynamicsConfig, progress: Progress
) -> tuple[Calculator, str]:
    if not isinstance(model, str | os.PathLike):
        return model, type(model).__name__
    from kan_heads.lammps.models import check_kind, load_calculator

    path = os.fspath(model)
    options = (config.dtype, config.head, config.trust)
    check_kind(path, *options)
    with progress.stage("Loading the model"):
        return load_calculator(path, config.device, *options), path


def _check_structure(atoms: Atoms, config: DynamicsConfig) -> None:
    from kan_heads.data.structure import check_structure

    check_structure(atoms)
    if len(atoms) < 2:
        raise DataError("the structure has one atom, which has no temperature; repeat its cell")
    if config.ensemble == "npt" and not atoms.pbc.all():
        raise DataError("--ensemble npt: the structure is not periodic in three directions; use nvt or nve")
    if config.keep_velocities and not atoms.has("momenta"):
        raise DataError("--keep-velocities: the structure has none; leave it out, and they are drawn")


def _check_elements(atoms: Atoms, calculator: Calculator) -> None:
    from kan_heads.data.structure import check_elements
    from kan_heads.lammps.models import known_elements

    known = known_elements(calculator)
    if known is not None:
        check_elements(atoms, known)


def _at_rest(atoms: Atoms) -> Atoms:
    atoms = atoms.copy()
    atoms.set_velocities(0 * atoms.positions)
    return atoms


def _describe(formula: str, config: DynamicsConfig) -> str:
    text = f"{formula}: {config.steps} steps of {config.timestep:g} fs, {config.ensemble}"
    if config.ensemble == "nve" and config.keep_velocities:
        return f"{text} from the velocities of the structure"
    text += f" {'from' if config.ensemble == 'nve' else 'at'} {config.kelvin:g} K"
    if config.ensemble == "npt":
        text += f" and {config.pressure or 0:g} bar ({config.coupling or 'iso'})"
    return text


def _cuda(device: str) -> Any:
    """torch.cuda with its peak reset, or None."""
    if not device.startswith("cuda"):
        return None
    import torch

    torch.cuda.reset_peak_memory_stats()
    return torch.cuda


def _peak_memory() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _versions(lmp: Any) -> dict[str, str]:
    import ase
    import torch

    from kan_heads._version import __version__

    return {
        "kan_heads": __version__,
        "lammps": str(lmp.version()),
        "torch": torch.__version__,
        "ase": ase.__version__,
        "python": platform.python_version(),
    }
