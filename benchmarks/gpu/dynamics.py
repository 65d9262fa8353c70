"""Dynamics in ASE with models that AOTInductor has compiled for the device."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.compare import MLP, compare
from benchmarks.gpu.log import Log
from benchmarks.gpu.silver import Silver
from kan_heads.writing import whole

SECTION = "aotinductor"
#: Models by the name of their file: which model, and whether its splines become polynomials.
DEPLOYED: dict[str, tuple[str, bool]] = {
    MLP: (MLP, False),
    "bspline [in, 1], frozen": ("bspline [in, 1]", True),
    "bspline [in, 1]": ("bspline [in, 1]", False),
    "gaussian [in, 1]": ("gaussian [in, 1]", False),
    "all gaussian": ("all gaussian", False),
}
# Cells of four atoms along each side, and steps of dynamics.
_SIZES = ((4, 300), (10, 60))
_TIMESTEP_FS, _TEMPERATURE_K = 4.0, 300.0
_LEAST_SECONDS = 45.0  # without which no model is compiled here


def file_of(folder: Path, name: str) -> Path:
    """The file of a compiled model."""
    plain = "".join(c if c.isalnum() else "-" for c in name)
    return folder / f"{plain}.nequip.pt2"


def failure_of(folder: Path, name: str) -> Path:
    """The file that says why a model could not be compiled."""
    return file_of(folder, name).with_suffix(".failed")


def export(silver: Silver, folder: Path, name: str) -> None:
    """Compiles a model, unless it is there."""
    path = file_of(folder, name)
    if path.exists():
        return
    with whole(path) as new:
        silver.export(DEPLOYED[name][0], new, DEPLOYED[name][1])


def run(log: Log, silver: Silver, folder: Path, small: bool) -> None:
    """Moves silver with each model, and times a call of the model alone.

    Args:
        log: takes the rows.
        silver: makes the models that are not in ``folder``.
        folder: of compiled models.
        small: only the first models, a few steps.
    """
    calculators: dict[str, Any] = {}
    for name in list(DEPLOYED)[: 2 if small else None]:
        seconds = 10.0 if file_of(folder, name).exists() else _LEAST_SECONDS
        if failure_of(folder, name).exists():
            status, trace = failure_of(folder, name).read_text().split("\n", 1)
            log.row(SECTION, name, status, phase="compile", trace=trace)
            continue
        began = time.perf_counter()
        made = log.attempt(
            SECTION, name, lambda n=name: _load(log, silver, folder, n), seconds, phase="compile"
        )
        if made is not None:
            log.row(SECTION, name, phase="compile or load", seconds=time.perf_counter() - began)
            calculators[name] = made
    for cells, steps in _SIZES[: 1 if small else None]:
        speeds: dict[str, float] = {}
        for name, calculator in calculators.items():
            given = (calculator, cells, 5 if small else steps)
            about = {"atoms": 4 * cells**3, "phase": "dynamics"}
            speed = log.attempt(SECTION, name, lambda g=given: _move(*g), **about)
            if speed is None:
                continue
            speeds[name] = speed
            ratio = speeds[MLP] / speed if MLP in speeds else None
            figures = {"median_ms": 1e3 / speed, "mlp_ms": 1e3 / speeds.get(MLP, speed), "ratio": ratio}
            log.row(SECTION, name, **about, **figures, steps_per_s=speed)
        calls = {name: _call(calculator, cells) for name, calculator in calculators.items()}
        compare(log, SECTION, calls, {"atoms": 4 * cells**3, "phase": "call"}, 3 if small else 25)


def _load(log: Log, silver: Silver, folder: Path, name: str) -> Any:
    from nequip.integrations.ase import NequIPCalculator

    export(silver, folder, name)
    return NequIPCalculator.from_compiled_model(str(file_of(folder, name)), device=log.device)


def _crystal(cells: int) -> Any:
    from ase.build import bulk

    from benchmarks.datasets.ag_emt import LATTICE

    atoms = bulk("Ag", "fcc", a=LATTICE, cubic=True) * (cells, cells, cells)
    atoms.rattle(0.05, seed=0)
    return atoms


def _move(calculator: Any, cells: int, steps: int) -> float:
    """Steps of dynamics per second, after a few that do not count."""
    from ase import units
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
    from ase.md.verlet import VelocityVerlet
    from numpy.random import default_rng

    atoms = _crystal(cells)
    MaxwellBoltzmannDistribution(atoms, temperature_K=_TEMPERATURE_K, rng=default_rng(0))
    atoms.calc = calculator
    dynamics = VelocityVerlet(atoms, _TIMESTEP_FS * units.fs)
    dynamics.run(5)
    began = time.perf_counter()
    dynamics.run(steps)  # forces come back to the processor in each step, so nothing is pending
    return steps / (time.perf_counter() - began)


def _call(calculator: Any, cells: int) -> Any:
    """A call of the model on the device, without the neighbour list."""
    data = calculator.atoms_to_data(_crystal(cells))

    def call() -> None:
        with torch.no_grad():
            calculator.call_model(dict(data))

    return call
