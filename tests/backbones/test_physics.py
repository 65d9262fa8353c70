"""What molecular dynamics relies on: smooth decay at the cutoff, isolated atoms, conserved energy."""

import ase.build
import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from models import KAN_MODELS, build
from nequip.data import compute_neighborlist_, from_ase

from kan_heads.kan import basis_names

R_MAX = 4.0


def evaluate(model, atoms):
    data = compute_neighborlist_(from_ase(atoms), r_max=R_MAX)
    data["atom_types"] = torch.full((len(atoms),), 3)
    out = model(data)
    return float(out["total_energy"]), out["forces"].detach().numpy(), out


def trimer(distance):
    return Atoms("Cu3", [[0, 0, 0], [2.3, 0, 0], [2.3, distance, 0]])


def jump(model):
    """Change of the energy as the third atom's nearest neighbour crosses the cutoff."""
    inside, outside = trimer(R_MAX - 1e-7), trimer(R_MAX + 1e-7)
    return abs(evaluate(model, inside)[0] - evaluate(model, outside)[0])


@pytest.mark.parametrize("backbone", ["nequip", "allegro"])
@pytest.mark.parametrize("basis", basis_names())
@pytest.mark.parametrize("scope", ["output", "all"])
def test_energy_is_continuous_at_the_cutoff(backbone, basis, scope):
    assert jump(build(KAN_MODELS[backbone], {"scope": scope, "basis": basis})) < 1e-6


@pytest.mark.parametrize("basis", ["bspline", "gaussian"])
def test_without_phi_of_zero_the_energy_jumps(basis):
    kan = {"scope": "output", "basis": basis, "zero_at_origin": False, "spline_fraction": 1.0}
    assert jump(build(KAN_MODELS["allegro"], kan)) > 1e-4


@pytest.mark.parametrize("backbone", ["nequip", "allegro"])
@pytest.mark.parametrize("basis", basis_names())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_isolated_atoms_have_exactly_the_reference_energy(backbone, basis, dtype):
    shifts = {"H": -1.25, "C": -2.5, "O": -3.75, "Cu": -1234.567}
    kan = {"scope": "all", "basis": basis, "grid_range": [-0.7, 2.1], "grid_size": 5}
    model = build(KAN_MODELS[backbone], kan, dtype=dtype, per_type_energy_shifts=shifts)
    lonely = Atoms("Cu2", [[0, 0, 0], [0, 0, 50.0]])
    _, forces, out = evaluate(model, lonely)
    assert (out["atomic_energy"] == shifts["Cu"]).all()
    assert (forces == 0.0).all()


class ModelCalculator(Calculator):
    implemented_properties = ("energy", "forces")

    def __init__(self, model):
        super().__init__()
        self.model = model

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        energy, forces, _ = evaluate(self.model, atoms)
        self.results = {"energy": energy, "forces": forces}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "kan"),
    [("allegro", {"hidden": []}), ("nequip", {"scope": "all", "basis": "gaussian"})],
)
def test_energy_is_conserved_over_a_thousand_steps(backbone, kan):
    model = build(KAN_MODELS[backbone], kan, per_type_energy_scales=0.3)
    atoms = ase.build.bulk("Cu", cubic=True) * (2, 1, 1)
    atoms.calc = ModelCalculator(model)
    rng = np.random.RandomState(0)
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=rng)
    energies, potential = [], []

    def record():
        energies.append(atoms.get_total_energy() / len(atoms))
        potential.append(atoms.get_potential_energy() / len(atoms))

    dynamics = VelocityVerlet(atoms, 1.0 * units.fs)
    dynamics.attach(record, interval=10)
    dynamics.run(1000)
    drift = abs(np.polyfit(np.arange(len(energies)) * 0.01, energies, 1)[0])  # eV per atom and ps
    assert np.ptp(potential) > 1e-3, "the atoms do not feel the model; the test would prove nothing"
    assert drift < 1e-4
    assert np.isfinite(atoms.positions).all()
