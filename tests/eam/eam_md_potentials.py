"""Potentials and structures for the tests of export and of dynamics."""

import functools

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, fcc111

from kan_heads.eam import EAMConfig, Potential
from kan_heads.eam.functions import envelope, zbl

#: Names that LAMMPS reads otherwise where they stand without quotes.
SIGNS = [
    "Ru v2",
    "Ru#2",
    "Ru$1",
    "Ru${x}$(1+1)",
    "Ru&",
    "Ru's",
    "Ru*%",
    "Ru (1)",
    "-Ru",
    "Ru;`x`",
    "Ru\\",
    " Ru ",
]


def random_potential(kind, seed=0):
    """Functions of no particular shape, all terms of similar size."""
    potential = Potential(EAMConfig(element="Ru", kind=kind))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for function in (potential.pair, potential.density, potential.embedding):
            if function is not None:
                shape = function.edge.coefficients.shape
                noise = torch.randn(shape, generator=generator, dtype=torch.float64)
                function.edge.coefficients.add_(0.5 * noise)
        if kind == "eam":
            potential.density.scale(0.3)
            potential.embedding.strength.fill_(6.0)
    potential.history = {"test": True}
    return potential


@functools.lru_cache
def copper():
    """A pair potential close to Morse's for copper (Girifalco and Weizer, Phys. Rev. 114, 687 (1959))."""
    potential = Potential(EAMConfig(element="Cu", kind="pair", cutoff=6.0, inner=1.8))
    edge, config = potential.pair.edge, potential.config
    r = torch.linspace(1.81, 5.9, 400, dtype=torch.float64)
    decay = torch.exp(-1.3588 * (r - 2.866))
    morse = 0.3429 * (decay**2 - 2 * decay)
    with torch.no_grad():
        columns = []
        for k in range(edge.coefficients.shape[-1]):
            edge.coefficients.zero_()
            edge.coefficients[..., k] = 1.0
            columns.append(envelope(r, config.cutoff) * edge(r.unsqueeze(-1)).squeeze(-1))
        wanted = morse * envelope(r, 7.0) / envelope(torch.tensor(2.866), 7.0)
        rest = (wanted - zbl(r, 29, config.inner)).unsqueeze(-1)
        found = torch.linalg.lstsq(torch.stack(columns, dim=1), rest).solution
        edge.coefficients.copy_(found.reshape(edge.coefficients.shape))
    potential.history = {"test": "Morse"}
    return potential


def structures():
    """Twenty structures: strained and shaken crystals, turned ones, slabs and clusters."""
    random = np.random.default_rng(0)
    found = []
    for name, a in (("hcp", 2.7), ("fcc", 3.8), ("bcc", 3.0)):
        for k in range(5):
            atoms = bulk("Ru", name, a=a, c=1.58 * a if name == "hcp" else None).repeat(
                (3, 3, 2) if k % 2 else 2
            )
            atoms.set_cell(
                atoms.cell.array @ (np.eye(3) + 0.05 * random.normal(size=(3, 3))), scale_atoms=True
            )
            atoms.rattle(0.1, seed=k)
            if k == 4:
                atoms.rotate(73.0, (1.0, 2.0, -0.5), rotate_cell=True)
            found.append(atoms)
    slab = fcc111("Ru", (3, 3, 4), a=3.8, vacuum=8.0)
    slab.rattle(0.1, seed=1)
    periodic = slab.copy()
    periodic.pbc = True
    three = Atoms("Ru3", [[0, 0, 0], [2.3, 0, 0], [0.5, 2.5, 0.3]], cell=[20.0] * 3, pbc=True)
    free = Atoms("Ru3", [[0, 0, 0], [2.3, 0, 0], [0.5, 2.5, 0.3]])
    pair = Atoms("Ru2", [[0, 0, 0], [2.3, 0, 0]])
    return [*found, slab, periodic, three, free, pair]
