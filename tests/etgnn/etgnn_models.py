"""Small ETGNN models, the crystals that they are asked about, and how to ask them."""

import numpy as np
import torch
from ase import Atoms
from nequip.data import AtomicDataDict, compute_neighborlist_, from_ase

from kan_heads.etgnn import ETGNNModel

BORN = "born_effective_charges"
TYPES = ["O", "Si"]

# Three cutoffs that differ, so that each can be crossed alone.
SMALL = {
    "seed": 1,
    "type_names": TYPES,
    "r_max": 4.0,
    "angular_r_max": 3.4,
    "triplet_r_max": 2.9,
    "num_layers": 2,
    "num_features": 8,
    "num_triplet_features": 10,
    "projection_width": 6,
    "basis_width": 5,
    "num_bessels": 4,
    "l_max": 3,
    "avg_num_neighbors": 8.0,
    "per_type_shifts": {"O": -1.5, "Si": 3.0},
    "scale": 4.0,
}

KANS = {
    "mlp": None,
    "output-bspline": {"scope": "output", "basis": "bspline"},
    "output-gaussian-1layer": {"scope": "output", "basis": "gaussian", "hidden": []},
    "projections-gaussian": {"scope": "projections", "basis": "gaussian"},
    "all-bspline": {"scope": "all", "basis": "bspline"},
}

#: Names of our own, registered when a model with them is built.
FIELDS = {
    "charges": {},
    "charges-free": {"sum_rule": False},
    "charges-symmetric": {"field": "test_symmetric_charges", "per": "atom", "symmetric": True},
    "dielectric": {"field": "dielectric_tensor"},
    "crystal-any": {"field": "test_crystal_tensor", "per": "crystal", "symmetric": False},
}


def build(kan=None, dtype="float64", perturbed=True, **changes):
    """Builds a small model; ``perturbed`` moves every weight, so that none is zero."""
    if changes.get("preset") == "faithful":
        changes = {"angular_r_max": SMALL["r_max"], **changes}
    model = ETGNNModel(**{**SMALL, **changes}, kan=kan, model_dtype=dtype)
    if perturbed:
        generator = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for parameter in model.parameters():
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.add_(0.2 * noise.to(parameter.dtype))
    return model


def network(model):
    """Returns the module that makes the tensor."""
    return next(module for module in model.modules() if type(module).__name__ == "ETGNN")


def graph(atoms, r_max=SMALL["r_max"]):
    """Turns a structure into what a model reads."""
    data = compute_neighborlist_(from_ase(atoms), r_max=r_max)
    data[AtomicDataDict.ATOM_TYPE_KEY] = torch.tensor([TYPES.index(symbol) for symbol in atoms.symbols])
    return data


def predict(model, atoms, r_max=SMALL["r_max"]):
    """Returns the tensors of a structure, ``(n, 3, 3)``, in the precision of the model."""
    return model(graph(atoms, r_max))[network(model).tensor_field].detach()


def silica(seed=0, amplitude=0.15):
    """Makes Si2O4, stishovite (cell shorter than every cutoff) with a strained cell and displaced atoms."""
    rng = np.random.RandomState(seed)
    u = 0.306
    oxygen = [[u, u, 0], [1 - u, 1 - u, 0], [0.5 + u, 0.5 - u, 0.5], [0.5 - u, 0.5 + u, 0.5]]
    cell = np.diag([4.18, 4.18, 2.67]) @ (np.eye(3) + 0.3 * amplitude * rng.uniform(-1, 1, (3, 3)))
    fractions = [[0, 0, 0], [0.5, 0.5, 0.5], *oxygen]
    atoms = Atoms("Si2O4", scaled_positions=fractions, cell=cell, pbc=True)
    atoms.positions += amplitude * rng.uniform(-1, 1, (6, 3))
    return atoms


def orthogonal(seed, improper):
    """Makes a random rotation, or a random rotation with a reflection."""
    q, _ = np.linalg.qr(np.random.RandomState(seed).normal(size=(3, 3)))
    return q * (-1.0 if (np.linalg.det(q) > 0) == improper else 1.0)


def turned(atoms, matrix):
    """Applies a linear map to positions and cell."""
    copy = atoms.copy()
    copy.set_cell(atoms.cell.array @ matrix.T)
    copy.positions = atoms.positions @ matrix.T
    return copy


def local_tensors(atoms, cutoff=2.7):
    """Computes tensors that a smooth function of the neighbours defines, antisymmetric part included.

    The sum over pairs of neighbours is the product of two vectors that weigh the neighbours differently.
    """
    data = graph(atoms, cutoff)
    center, neighbor = data["edge_index"].numpy()
    vectors = atoms.positions[neighbor] - atoms.positions[center]
    vectors = vectors + data["edge_cell_shift"].numpy() @ atoms.cell.array
    lengths = np.linalg.norm(vectors, axis=1)
    units = vectors / lengths[:, None]
    factor = (1.0 - (lengths / cutoff) ** 2) ** 2 * np.exp(-0.5 * (lengths - 1.8))
    silicon = (atoms.symbols[neighbor] == "Si").astype(float)
    outer = units[:, :, None] * units[:, None, :]
    tensors, first, second = np.zeros((len(atoms), 3, 3)), *np.zeros((2, len(atoms), 3))
    np.add.at(tensors, center, factor[:, None, None] * outer)
    np.add.at(first, center, ((1.0 + silicon) * factor)[:, None] * units)
    np.add.at(second, center, (np.cos(lengths) * factor)[:, None] * units)
    signs = np.where(atoms.symbols == "Si", 1.0, -0.5)[:, None, None]
    tensors = signs * tensors + 12.0 * first[:, :, None] * second[:, None, :]
    return tensors - tensors.mean(axis=0)
