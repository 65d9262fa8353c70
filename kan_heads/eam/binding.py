"""What is known of metals where a potential has no labels: stretched crystals, open structures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kan_heads.eam.batch import make_batch
from kan_heads.eam.data import Frame
from kan_heads.elastic import GPA
from kan_heads.errors import SettingError

if TYPE_CHECKING:
    from ase import Atoms

# Lengths relative to the crystal at rest; below them there are labels, beyond them hardly any bond.
_STRETCHES = np.linspace(1.06, 1.9, 15)

# Distances of neighbours in open structures, relative to those in the crystal at rest.
_DISTANCES = np.linspace(0.72, 1.3, 15)
_CLOSE_PACKED = 12
_VACUUM = 30.0  # Å
_TOLERANCE = 0.05  # eV per atom; neither is more than a rule


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
        raise SettingError("bulk_modulus", f"{bulk_modulus:g} GPa", "must be above 0")
    n = len(lowest.atoms)
    volume = abs(lowest.atoms.cell.volume) / n
    scale = math.sqrt(cohesive_energy / (9.0 * bulk_modulus / GPA * volume))
    free = lowest.energy_per_atom + cohesive_energy
    frames = []
    for k, stretch in enumerate(_STRETCHES):
        atoms = lowest.atoms.copy()
        atoms.set_cell(lowest.atoms.cell.array * stretch, scale_atoms=True)
        a = (stretch - 1.0) / scale
        energy = n * (free - cohesive_energy * (1.0 + a) * math.exp(-a))
        frames.append(Frame(atoms, energy, None, False, "binding curve", k, tolerance=_TOLERANCE))
    return frames


def floor_frames(lowest: Frame, cohesive_energy: float) -> list[Frame]:
    r"""Makes lower bounds for the energies of structures that no metal takes.

    A potential fitted to strained crystals alone may bind a chain or a molecule of short bonds more than the
    crystal, and dynamics find it. In the second-moment approximation an atom with Z neighbours is bound
    by :math:`E_c \sqrt{Z/12}`; the bound is half way from there to the crystal, at any distance.

    Args:
        lowest: structure of lowest energy.
        cohesive_energy: :math:`E_c`, eV per atom.

    Returns:
        Structures whose energies are bounds.

    Source: Finnis and Sinclair, Philos. Mag. A 50, 45 (1984), for the second moment.
    """
    element, n = lowest.atoms.get_chemical_symbols()[0], len(lowest.atoms)
    free = lowest.energy_per_atom + cohesive_energy
    reach = 1.5 * (abs(lowest.atoms.cell.volume) / n) ** (1 / 3)
    nearest = float(make_batch([lowest.atoms], reach).vectors.norm(dim=-1).min())
    frames = []
    for stretch in _DISTANCES:
        for neighbours, atoms in _open_structures(element, stretch * nearest):
            binding = 0.5 * cohesive_energy * (1.0 + math.sqrt(neighbours / _CLOSE_PACKED))
            energy = len(atoms) * (free - binding)
            place = len(frames)
            frames.append(
                Frame(atoms, energy, None, False, "bound", place, is_bound=True, tolerance=_TOLERANCE)
            )
    return frames


def _open_structures(element: str, d: float) -> list[tuple[int, Atoms]]:
    """Structures with neighbours at a distance in Å, and how many of these each atom has."""
    from ase import Atoms
    from ase.build import bulk

    v, root = _VACUUM, math.sqrt(3.0)
    sheet = [[d * root, 0, 0], [d * root / 2, 1.5 * d, 0], [0, 0, v]]
    return [
        (1, Atoms(f"{element}2", [[0, 0, 0], [d, 0, 0]], cell=[v, v, v], pbc=True)),
        (2, Atoms(element, cell=[d, v, v], pbc=True)),
        (3, Atoms(f"{element}2", [[0, 0, 0], [0, d, 0]], cell=sheet, pbc=True)),
        (4, bulk(element, "diamond", a=4.0 * d / root)),
        (4, Atoms(element, cell=[d, d, v], pbc=True)),
        (6, bulk(element, "sc", a=d)),
    ]
