"""Crystals at rest in a potential."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kan_heads.eam.batch import make_batch
from kan_heads.eam.data import Frame
from kan_heads.eam.labelled import LabelledBatch
from kan_heads.eam.potential import Potential
from kan_heads.errors import ModelError

if TYPE_CHECKING:
    from ase import Atoms

_FORCE = 1e-6  # eV/Å
_ROUNDS = 20
_STRESS = 1e-8  # eV/Å^3
_FARTHEST = 0.1  # logarithm of a lattice constant


def relaxed_energy_and_stress(potential: Potential, crystal: Atoms) -> tuple[float, np.ndarray]:
    """Lets the atoms of a crystal come to rest at its cell.

    Args:
        potential: potential.
        crystal: the crystal; it is not changed.

    Returns:
        Energy per atom in eV, without the reference, and stress in eV/Å^3, (3, 3).

    Raises:
        ModelError: if the atoms do not come to rest.
    """
    part = LabelledBatch([Frame(crystal, 0.0, None, True, "", 0)], potential.config.cutoff)
    for _ in range(_ROUNDS):
        if part.relax(potential) < _FORCE:
            energy, stress = potential.energy_and_stress(part.placed(potential))
            return float(energy) / int(part.structures.counts), stress[0].numpy()
    raise ModelError(
        f"the atoms of the crystal do not come to rest in a cell of {np.round(crystal.cell.cellpar(), 3)}: "
        "the potential has no minimum there"
    )


def equilibrium_hcp(potential: Potential, a: float, c: float) -> Atoms:
    """Finds the hcp crystal without stress, from a guess of its lattice constants in Å.

    Raises:
        ModelError: if there is none near the guess.
    """
    from ase.build import bulk
    from scipy.optimize import root

    element, cutoff = potential.config.element, potential.config.cutoff

    def crystal(logs: np.ndarray) -> Atoms:
        return bulk(element, "hcp", a=a * np.exp(logs[0]), c=c * np.exp(logs[1]))

    def stresses(logs: np.ndarray) -> np.ndarray:
        stress = potential.energy_and_stress(make_batch([crystal(logs)], cutoff))[1][0].numpy()
        return np.array([stress[0, 0] + stress[1, 1], stress[2, 2]])

    found = root(stresses, np.zeros(2), tol=1e-12)
    bound = float(potential(make_batch([crystal(found.x)], cutoff)).detach()) < 0.0
    if not bound or np.abs(stresses(found.x)).max() > _STRESS or np.abs(found.x).max() > _FARTHEST:
        raise ModelError(f"there is no hcp crystal at rest near a = {a:.3f} Å, c = {c:.3f} Å")
    return crystal(found.x)
