"""Potentials, crystals and labelled files for the tests of fitting."""

import functools

import ase.io
import numpy as np
import torch
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from eam_md_potentials import copper, random_potential

from kan_heads.eam import EAMConfig, Potential
from kan_heads.eam.batch import make_batch
from kan_heads.eam.data import Frame

KINDS = ("eam", "pair")


def bound(kind):
    """A potential in which copper is bound: Morse's pair function, and with ``eam`` a weak density."""
    potential = Potential(EAMConfig(element="Cu", kind=kind, cutoff=6.0, inner=1.8))
    with torch.no_grad():
        potential.pair.edge.coefficients.copy_(copper().pair.edge.coefficients)
        if kind == "eam":
            crystal = make_batch([bulk("Cu", a=3.7)], 6.0)
            potential.density.scale(1.0 / float(potential.densities(crystal)))
            potential.embedding.strength.fill_(1.0)
    potential.history = {"test": "bound"}
    return potential


def energy_of(potential, atoms):
    """Energy in eV."""
    with torch.no_grad():
        return float(potential(make_batch([atoms], potential.config.cutoff)))


def stress_of(potential, atoms):
    """Stress in eV/Å^3, (3, 3)."""
    return potential.energy_and_stress(make_batch([atoms], potential.config.cutoff))[1][0].numpy()


def strained(atoms, strain):
    """The structure in a cell deformed by 1 + strain, (3, 3)."""
    found = atoms.copy()
    found.set_cell(atoms.cell.array @ (np.eye(3) + np.asarray(strain)).T, scale_atoms=True)
    return found


def cluster():
    """Nine atoms in no order, in a box that is not periodic."""
    atoms = bulk("Ru").repeat((3, 3, 1))[:9]
    atoms.rattle(0.2, seed=1)
    atoms.pbc, atoms.cell = False, [30.0] * 3
    return atoms


def shaken(kind="hcp", seed=0, size=0.1):
    """A crystal without any symmetry left."""
    atoms = bulk("Ru", kind, a=2.7 if kind == "hcp" else 3.8).repeat((2, 1, 1))
    atoms = strained(atoms, 0.05 * np.random.default_rng(seed).normal(size=(3, 3)))
    atoms.rattle(size, seed=seed)
    return atoms


def labelled(atoms, energy, stress=None, **info):
    """A copy with labels, as ASE reads them from a file; stress (3, 3) in eV/Å^3."""
    found = atoms.copy()
    found.info.update(info)
    voigt = None if stress is None else np.asarray(stress, float).flatten()[[0, 4, 8, 5, 2, 1]]
    labels = {"energy": energy} if voigt is None else {"energy": energy, "stress": voigt}
    found.calc = SinglePointCalculator(found, **labels)
    return found


def frame(atoms, energy=0.0, stress=None, relax=False, group="a", number=0):
    """A frame as reading a file makes it."""
    return Frame(atoms, energy, stress, relax, group, number)


def frames_of(label, structures):
    """Frames with energies and stresses of ``label(atoms) -> (eV, (3, 3) eV/Å^3)``, each its own group."""
    return [frame(atoms, *label(atoms), group=k, number=k) for k, atoms in enumerate(structures)]


def write(path, structures):
    """Writes extxyz and returns its name."""
    ase.io.write(path, structures, format="extxyz")
    return str(path)


def emt(atoms):
    """Energy and stress of ASE's effective medium theory."""
    from ase.calculators.emt import EMT

    structure = atoms.copy()
    structure.calc = EMT()
    return structure.get_potential_energy(), structure.get_stress(voigt=False)


@functools.lru_cache
def strained_copper(n=40, size=0.04, a=3.6, seed=0):
    """Crystals of copper, one atom each, in random cells around that at rest."""
    random = np.random.default_rng(seed)
    found = [bulk("Cu", a=a)]
    for _ in range(n - 1):
        noise = size * random.normal(size=(3, 3))
        found.append(strained(bulk("Cu", a=a), 0.5 * (noise + noise.T)))
    return tuple(found)


__all__ = [
    "KINDS",
    "bound",
    "cluster",
    "copper",
    "emt",
    "energy_of",
    "frame",
    "frames_of",
    "labelled",
    "random_potential",
    "shaken",
    "strained",
    "strained_copper",
    "stress_of",
    "write",
]
