"""Thermal expansion in the quasi-harmonic approximation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kan_heads.eam.ase_calculator import EAMCalculator
from kan_heads.eam.batch import make_batch
from kan_heads.eam.potential import Potential
from kan_heads.errors import ModelError

if TYPE_CHECKING:
    from ase import Atoms

_STRAINS = (-0.03, -0.02, -0.01, 0.0, 0.01, 0.02, 0.03, 0.04)  # of the volume
_SUPERCELL = (4, 4, 3)
_MESH = 15
_SILENT = 1e-3  # THz; the crystal moving as a whole
_IMAGINARY = -0.05  # THz; above it is rounding


@dataclasses.dataclass(frozen=True)
class Expansion:
    """Thermal expansion of a crystal without pressure.

    Args:
        temperatures: K, ``(n,)``.
        linear: a third of the volume's coefficient, 1/K, ``(n,)``.
        volumes: Å^3 per atom, ``(n,)``.
    """

    temperatures: np.ndarray
    linear: np.ndarray
    volumes: np.ndarray

    def at(self, temperature: float) -> float:
        """Returns the linear coefficient at a temperature in K, 1/K."""
        return float(np.interp(temperature, self.temperatures, self.linear))


def hcp_expansion(potential: Potential, crystal: Atoms, highest: float = 1000.0) -> Expansion:
    """Expands an hcp crystal: at each volume c/a at rest and phonons from displaced atoms (phonopy).

    Args:
        potential: potential.
        crystal: the two atoms of the crystal at rest.
        highest: temperature in K.

    Raises:
        ModelError: if the crystal is unstable at one of the volumes.

    Source: Togo and Tanaka, Scr. Mater. 108, 1 (2015), for phonopy.
    """
    from phonopy import PhonopyQHA

    cells = [_at_volume(potential, crystal, 1.0 + strain) for strain in _STRAINS]
    temperatures = np.arange(0.0, highest + 20.0, 10.0)
    thermal = [_thermal(potential, cell, temperatures) for cell in cells]
    free, entropy, capacity = (np.array([row[k] for row in thermal]) for k in range(3))
    found = PhonopyQHA(
        volumes=[cell.cell.volume for cell in cells],
        electronic_energies=[_energy(potential, cell) for cell in cells],
        temperatures=temperatures,
        free_energy=free.T,
        cv=capacity.T,
        entropy=entropy.T,
        eos="vinet",
        t_max=highest,
        verbose=False,
    )
    expansion = np.array(found.thermal_expansion)
    n = len(expansion)
    volumes = np.array(found.volume_temperature)[:n] / len(crystal)
    return Expansion(temperatures[:n], expansion / 3.0, volumes)


def _energy(potential: Potential, crystal: Atoms) -> float:
    return float(potential(make_batch([crystal], potential.config.cutoff)).detach())


def _at_volume(potential: Potential, crystal: Atoms, factor: float) -> Atoms:
    """Scales the volume and lets c/a come to rest."""
    from scipy.optimize import minimize_scalar

    def stretched(log: float) -> Atoms:
        wide = factor ** (1 / 3) * np.exp([-log / 3, -log / 3, 2 * log / 3])
        scaled = crystal.copy()
        scaled.set_cell(crystal.cell.array * wide, scale_atoms=True)
        return scaled

    best = minimize_scalar(lambda x: _energy(potential, stretched(x)), bounds=(-0.1, 0.1), method="bounded")
    return stretched(best.x)


def _thermal(potential: Potential, crystal: Atoms, temperatures: Sequence[float]) -> tuple:
    """Returns free energy (kJ/mol), entropy and heat capacity (J/K/mol) of the phonons."""
    from ase import Atoms as Structure
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    unit = PhonopyAtoms(
        symbols=crystal.get_chemical_symbols(),
        cell=crystal.cell.array,
        scaled_positions=crystal.get_scaled_positions(),
    )
    phonons = Phonopy(unit, np.diag(_SUPERCELL), primitive_matrix="P", log_level=0)
    phonons.generate_displacements(distance=0.01)
    calculator, forces = EAMCalculator(potential), []
    for cell in phonons.supercells_with_displacements:
        atoms = Structure(cell.symbols, scaled_positions=cell.scaled_positions, cell=cell.cell, pbc=True)
        forces.append(calculator.get_forces(atoms))
    phonons.forces = forces
    phonons.produce_force_constants()
    phonons.symmetrize_force_constants()
    phonons.run_mesh([_MESH] * 3)
    lowest = float(phonons.mesh.frequencies.min())
    if lowest < _IMAGINARY:
        volume = crystal.cell.volume / len(crystal)
        raise ModelError(
            f"the crystal is unstable at {volume:.2f} Å^3 per atom (a phonon of {lowest:.2f} THz)"
        )
    phonons.run_thermal_properties(temperatures=temperatures, cutoff_frequency=_SILENT)
    found = phonons.thermal_properties
    return found.free_energy, found.entropy, found.heat_capacity
