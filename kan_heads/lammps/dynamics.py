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
from kan_heads.lammps.progress import Progress
from kan_heads.lammps.results import Result, Thermo
from kan_heads.lammps.settings import Settings

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

    from kan_heads.lammps.external import ExternalForces

_COLUMNS = "step temp pe ke etotal press vol"


def run(
    model: str | os.PathLike[str] | Calculator,
    atoms: Atoms,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Result:
    """Runs molecular dynamics in LAMMPS, in this process and on one device.

    Args:
        model: file of a model (see :func:`kan_heads.lammps.models.load_calculator`) or a calculator of ASE.
        atoms: where it starts.
        settings: what is run; None stands for the defaults, 1,000 steps of ``nvt`` at 300 K.
        progress: told what happens.

    Returns:
        Thermo output, time per step, memory, and the last structure.

    Raises:
        ConfigError: if a setting makes no sense, a MACE model is a pickle and not trusted, or LAMMPS is not
            installed.
        DataError: if the structure does not fit the model or the settings.
        ModelError: if the model cannot be loaded, or fails at some step; the message names it.
    """
    settings, progress = settings or Settings(), progress or Progress()
    settings.check()
    _check_structure(atoms, settings)
    from kan_heads.lammps.library import open_lammps
    from kan_heads.lammps.models import untrained_elements
    from kan_heads.quiet import quiet

    if settings.threads is not None:
        import torch

        torch.set_num_threads(settings.threads)
    calculator, name = _calculator(model, settings, progress)
    _check_elements(atoms, calculator)
    lmp = open_lammps(settings.log)
    try:
        with quiet(logging.INFO):
            return _Run(lmp, atoms, calculator, name, settings, progress).result()
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
        settings: Settings,
        progress: Progress,
    ) -> None:
        from kan_heads.lammps.external import ExternalForces

        self._lmp, self._settings, self._progress = lmp, settings, progress
        self._model, self._formula, self._n_atoms = model, atoms.get_chemical_formula(), len(atoms)
        self._rows: list[Thermo] = []
        self._stamps: list[float] = []
        start = atoms if settings.keep_velocities else _at_rest(atoms)
        with progress.stage("Evaluating the structure"):
            self._external = ExternalForces(
                lmp, start, calculator, tilted=settings.coupling == "tri", on_step=self._on_step
            )
        if settings.ensemble == "npt" and not self._external.has_pressure:
            raise ModelError(f"{model}: has no stress, which --ensemble npt needs; use nvt or another model")
        self._cuda = _cuda(settings.device)
        self._prepare(self._external, atoms)

    def result(self) -> Result:
        """Runs the steps."""
        settings, external = self._settings, self._external
        self._progress.start(_describe(self._formula, settings), settings.steps)
        began = time.perf_counter()
        external.run(settings.steps)
        self._stamps.append(time.perf_counter())
        self._collect()
        durations = [b - a for a, b in zip(self._stamps, self._stamps[1:], strict=False)][1:]
        rows = self._rows
        return Result(
            formula=self._formula,
            n_atoms=self._n_atoms,
            ensemble=settings.ensemble,
            steps=settings.steps,
            timestep_fs=settings.timestep,
            ms_per_step=1000 * statistics.median(durations) if durations else None,
            seconds=self._stamps[-1] - began,
            peak_memory_bytes=_peak_memory(),
            cuda_peak_memory_bytes=self._cuda.max_memory_allocated() if self._cuda else None,
            drift_meV_per_atom_per_ps=self._drift() if settings.ensemble == "nve" else None,
            mean_temperature_K=statistics.fmean(row.temperature_K for row in rows[len(rows) // 2 :]),
            thermo=tuple(rows),
            versions=_versions(self._lmp),
            settings=settings.as_dict(),
            model=self._model,
            atoms=external.atoms(),
        )

    def _prepare(self, external: ExternalForces, atoms: Atoms) -> None:
        settings = self._settings
        if not settings.keep_velocities and settings.kelvin > 0:
            turning = "no" if atoms.pbc.any() else "yes"
            external.command(
                f"velocity all create {settings.kelvin!r} {settings.seed} mom yes rot {turning} dist gaussian"
            )
        external.command(f"timestep {settings.timestep / 1000!r}")
        external.command(f"fix integrate all {settings.integrator()}")
        external.command(f"thermo_style custom {_COLUMNS}")
        external.command(f"thermo {settings.thermo}")
        if settings.dump is not None:
            external.dump(settings.dump, settings.dump_every)

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
            time_ps=int(values["Step"]) * self._settings.timestep / 1000,
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
    model: str | os.PathLike[str] | Calculator, settings: Settings, progress: Progress
) -> tuple[Calculator, str]:
    if not isinstance(model, str | os.PathLike):
        return model, type(model).__name__
    from kan_heads.lammps.models import check_kind, load_calculator

    path = os.fspath(model)
    options = (settings.dtype, settings.head, settings.trust)
    check_kind(path, *options)
    with progress.stage("Loading the model"):
        return load_calculator(path, settings.device, *options), path


def _check_structure(atoms: Atoms, settings: Settings) -> None:
    from kan_heads.data.structure import check_structure

    check_structure(atoms)
    if len(atoms) < 2:
        raise DataError("the structure has one atom, which has no temperature; repeat its cell")
    if settings.ensemble == "npt" and not atoms.pbc.all():
        raise DataError("--ensemble npt: the structure is not periodic in three directions; use nvt or nve")
    if settings.keep_velocities and not atoms.has("momenta"):
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


def _describe(formula: str, settings: Settings) -> str:
    text = f"{formula}: {settings.steps} steps of {settings.timestep:g} fs, {settings.ensemble}"
    if settings.ensemble == "nve" and settings.keep_velocities:
        return f"{text} from the velocities of the structure"
    text += f" {'from' if settings.ensemble == 'nve' else 'at'} {settings.kelvin:g} K"
    if settings.ensemble == "npt":
        text += f" and {settings.pressure or 0:g} bar ({settings.coupling or 'iso'})"
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
