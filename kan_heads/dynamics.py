"""Dynamics at constant energy, and what they say of a model."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

TIMESTEP_FS = 1.0
TEMPERATURE_K = 300.0
#: Atoms closer than this, in Angstrom, have fallen into each other.
TOO_CLOSE = 0.5
#: No force of a sound model is as strong, in eV/Angstrom.
TOO_STRONG = 1000.0
#: Atoms farther than this from all others, in Angstrom, are alone.
ALONE = 6.0
_CHECK_EVERY = 10


@dataclass(frozen=True)
class Trajectory:
    """Time in fs, total energy in eV/atom and temperature in K at each step, and how it went."""

    time_fs: np.ndarray
    energy_eV_per_atom: np.ndarray  # noqa: N815  units keep their case
    temperature_K: np.ndarray  # noqa: N815
    stable: bool
    min_distance_A: float  # noqa: N815
    ms_per_step: float
    atoms_lost: int | None

    def summary(self) -> dict[str, Any]:
        """The numbers of the report; drift and fluctuation are None where the run broke off at once."""
        drift, rms = drift_and_rms(self.time_fs, self.energy_eV_per_atom)
        return {
            "steps": len(self.time_fs) - 1,
            "timestep_fs": TIMESTEP_FS,
            "stable": self.stable,
            "drift_meV_per_atom_per_ps": drift,
            "rms_fluctuation_meV_per_atom": rms,
            "initial_temperature_K": float(self.temperature_K[0]),
            "mean_temperature_K": float(self.temperature_K.mean()),
            "final_temperature_K": float(self.temperature_K[-1]),
            "min_distance_A": self.min_distance_A,
            "atoms_lost": self.atoms_lost,
            "ms_per_step": self.ms_per_step,
        }


def drift_and_rms(time_fs: np.ndarray, energy: np.ndarray) -> tuple[float | None, float | None]:
    """Slope of a straight line through an energy, and the rms of what is left.

    Args:
        time_fs: times in fs.
        energy: total energy in eV/atom.

    Returns:
        Drift in meV/atom/ps and rms in meV/atom; None for fewer than two points.
    """
    if len(time_fs) < 2:
        return None, None
    t, e = np.asarray(time_fs) / 1000, 1000 * (np.asarray(energy) - np.mean(energy))
    slope, offset = np.polyfit(t, e, 1)
    return float(slope), float(np.sqrt(np.mean((e - slope * t - offset) ** 2)))


def run_nve(calculator: Calculator, start: Atoms, steps: int, seed: int) -> Trajectory:
    """Velocity-Verlet dynamics of 1 fs steps from Maxwell-Boltzmann velocities at 300 K.

    It stops where energy or forces are not finite, a force is above 1,000 eV/Angstrom, or two atoms are
    closer than 0.5 Angstrom; the steps up to there are returned. The time per step leaves out the first step,
    which warms up, and the checks. An atom is lost if it has no neighbour within 6 Angstrom at the end and
    had one at the start.

    Args:
        calculator: the model.
        start: positions and cell.
        steps: number of steps.
        seed: seed of the velocities.
    """
    from ase import units
    from ase.md.verlet import VelocityVerlet

    atoms = start.copy()
    atoms.calc = calculator
    masses = atoms.get_masses()[:, None]
    momenta = np.random.RandomState(seed).normal(size=(len(atoms), 3)) * np.sqrt(
        masses * units.kB * TEMPERATURE_K
    )
    atoms.set_momenta(momenta - masses * momenta.sum(0) / masses.sum())  # the whole stays at rest
    md = VelocityVerlet(atoms, timestep=TIMESTEP_FS * units.fs)
    energies, temperatures, seconds = [_energy(atoms)], [atoms.get_temperature()], []
    closest, stable = _closest(atoms), _sound(atoms)
    for step in range(1, steps + 1):
        if not stable:  # before atoms are moved to where no neighbour list can be built
            break
        began = time.perf_counter()
        md.run(1)
        seconds.append(time.perf_counter() - began)
        stable = _sound(atoms)
        if stable and (step % _CHECK_EVERY == 0 or step == steps):
            closest = min(closest, _closest(atoms))
            stable = closest > TOO_CLOSE
        if not stable:
            break
        energies.append(_energy(atoms))
        temperatures.append(atoms.get_temperature())
    return Trajectory(
        time_fs=TIMESTEP_FS * np.arange(len(energies)),
        energy_eV_per_atom=np.array(energies),
        temperature_K=np.array(temperatures),
        stable=stable,
        min_distance_A=closest,
        ms_per_step=1000 * float(np.median(seconds[1:] or seconds or [0.0])),
        atoms_lost=int((_alone(atoms) & ~_alone(start)).sum()) if stable else None,
    )


def _energy(atoms: Atoms) -> float:
    return float(atoms.get_total_energy()) / len(atoms)


def _sound(atoms: Atoms) -> bool:
    forces = atoms.get_forces()
    return bool(
        np.isfinite(_energy(atoms)) and np.isfinite(forces).all() and np.abs(forces).max() < TOO_STRONG
    )


def _alone(atoms: Atoms) -> np.ndarray:
    """Which atoms have no neighbour that matters, shape (n_atoms,)."""
    from ase.neighborlist import neighbor_list

    return np.bincount(neighbor_list("i", atoms, ALONE), minlength=len(atoms)) == 0


def _closest(atoms: Atoms) -> float:
    """The smallest distance between two atoms, images counted, in Angstrom."""
    from ase.neighborlist import neighbor_list

    cutoff = 3.0
    distances = neighbor_list("d", atoms, cutoff)
    return float(distances.min()) if len(distances) else cutoff
