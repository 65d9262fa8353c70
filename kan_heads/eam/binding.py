"""The binding curve that metals follow, where a potential has no labels."""

from __future__ import annotations

import math

import numpy as np

from kan_heads.eam.data import Frame
from kan_heads.elastic import GPA
from kan_heads.errors import ConfigError

# Lengths relative to the crystal at rest; below them there are labels, beyond them hardly any bond.
_STRETCHES = np.linspace(1.06, 1.9, 15)


def rose_frames(lowest: Frame, cohesive_energy: float, bulk_modulus: float) -> list[Frame]:
    r"""Makes labels of the stretched crystal from the universal binding curve.

    .. math:: E(a^*) = -E_c (1 + a^*) e^{-a^*}, \qquad a^* = (a/a_0 - 1) / \sqrt{E_c / 9 B \Omega}

    Labels near equilibrium leave a potential free to have other, deeper minima far away.

    Args:
        lowest: structure of lowest energy, taken to be at rest.
        cohesive_energy: :math:`E_c`, eV per atom.
        bulk_modulus: B, GPa.

    Returns:
        Structures stretched evenly, with energies and without stresses.

    Raises:
        ConfigError: if the bulk modulus is not positive.

    Source: Rose, Smith, Guinea and Ferrante, PRB 29, 2963 (1984); as used by Foiles, Baskes and Daw,
        PRB 33, 7983 (1986).
    """
    if not 0.0 < bulk_modulus < math.inf:
        raise ConfigError(f"bulk modulus: {bulk_modulus:g} GPa must be above 0")
    n = len(lowest.atoms)
    volume = abs(lowest.atoms.cell.volume) / n
    scale = math.sqrt(cohesive_energy / (9.0 * bulk_modulus / GPA * volume))
    free = lowest.energy / n + cohesive_energy
    frames = []
    for k, stretch in enumerate(_STRETCHES):
        atoms = lowest.atoms.copy()
        atoms.set_cell(lowest.atoms.cell.array * stretch, scale_atoms=True)
        a = (stretch - 1.0) / scale
        energy = n * (free - cohesive_energy * (1.0 + a) * math.exp(-a))
        frames.append(Frame(atoms, energy, None, False, "binding curve", k))
    return frames
