import copy

import numpy as np
import pytest
import torch

pytest.importorskip("ase", reason="needs the extra [eam]")
pytest.importorskip("matscipy", reason="needs the extra [eam]")

from ase import Atoms
from ase.build import bulk
from ase.optimize import BFGS
from eam_data import KINDS, bound, energy_of, frame, random_potential, strained, stress_of

from kan_heads.eam.ase_calculator import EAMCalculator
from kan_heads.eam.labelled import LabelledBatch
from kan_heads.eam.relaxed import equilibrium_hcp, relaxed_energy_and_stress
from kan_heads.eam.training import FitConfig, residuals
from kan_heads.errors import ModelError

SETTINGS = FitConfig(energy_tolerance=0.01, stress_tolerance=0.01)


def hcp():
    return bulk("Cu", "hcp", a=2.6, c=4.3)


def sheared():
    """An hcp crystal in whose cell the second atom does not stand where it would by symmetry."""
    return strained(hcp(), [[0.03, 0.02, 0.01], [0.02, -0.02, 0.015], [0.01, 0.015, 0.01]])


def four_atoms():
    atoms = hcp().repeat((2, 1, 1))
    atoms.rattle(0.03, seed=2)
    return strained(atoms, np.diag([0.01, -0.02, 0.01]))


def frames(relax=True):
    """Structures of several sizes with labels of no potential in particular."""
    structures = (sheared(), hcp(), four_atoms(), strained(hcp(), np.diag([0.02, 0.0, -0.03])))
    labels = (None, np.eye(3) * 0.01, np.ones((3, 3)) * 0.02, np.zeros((3, 3)))
    return [
        frame(atoms, -2.0 * len(atoms) - 0.1 * k, stress, relax=relax and k != 3, group=k, number=k)
        for k, (atoms, stress) in enumerate(zip(structures, labels, strict=True))
    ]


def relaxed_by_ase(potential, atoms):
    """The structure at rest, by another optimiser."""
    found = atoms.copy()
    found.calc = EAMCalculator(potential)
    assert BFGS(found, logfile=None).run(fmax=1e-7, steps=300)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [sheared, four_atoms])
def test_atoms_come_to_rest_where_ase_finds_them(kind, make):
    potential, atoms = bound(kind), make()
    part = LabelledBatch([frame(atoms, relax=True)], potential.config.cutoff)
    assert part.relax(potential, rounds=8) < 1e-8
    batch = part.placed(potential)
    forces = potential.energy_forces_and_virial(batch)[1]
    assert forces.abs().max() < 1e-8
    expected = relaxed_by_ase(potential, atoms)
    energy, stress = potential.energy_and_stress(batch)
    assert float(energy) == pytest.approx(expected.get_potential_energy(), abs=1e-9)
    assert np.allclose(stress[0], expected.get_stress(voigt=False), atol=1e-7)
    # They did move, and it matters.
    assert float(energy) < energy_of(potential, atoms) - 1e-4
    assert np.abs(stress[0].numpy() - stress_of(potential, atoms)).max() > 1e-3


def test_only_structures_that_say_so_are_relaxed():
    potential = bound("eam")
    part = LabelledBatch([frame(sheared()), frame(sheared(), relax=True)], 6.0)
    part.relax(potential, rounds=6)
    energy, _ = potential.energy_and_stress(part.placed(potential))
    assert float(energy[0]) == pytest.approx(energy_of(potential, sheared()), rel=1e-12)
    assert float(energy[1]) < float(energy[0]) - 1e-4
    known = LabelledBatch([frame(sheared())], 6.0)
    assert known.relax(potential) == 0.0
    assert known.placed(potential) is known.structures


@pytest.mark.parametrize("kind", KINDS)
def test_large_cells_count_as_their_smallest(kind):
    """Energies per atom and stresses of a supercell are those of the cell, relaxed or not."""
    potential = bound(kind)
    big = strained(hcp().repeat((2, 2, 2)), [[0.03, 0.02, 0.01], [0.02, -0.02, 0.015], [0.01, 0.015, 0.01]])
    for relax in (False, True):
        part = LabelledBatch([frame(big, -32.0, relax=relax), frame(sheared(), -4.0, relax=relax)], 6.0)
        part.relax(potential, rounds=6)
        energy, stress = potential.energy_and_stress(part.placed(potential))
        assert part.structures.counts.tolist() == [2, 2]
        assert part.energies.tolist() == [-2.0, -2.0]
        assert float(energy[0]) == pytest.approx(float(energy[1]), abs=1e-9)
        assert np.allclose(stress[0], stress[1], atol=1e-8)


def test_relaxed_energy_and_stress_of_a_crystal():
    potential, atoms = bound("eam"), sheared()
    energy, stress = relaxed_energy_and_stress(potential, atoms)
    expected = relaxed_by_ase(potential, atoms)
    assert energy == pytest.approx(expected.get_potential_energy() / 2, abs=1e-10)
    assert np.allclose(stress, expected.get_stress(voigt=False), atol=1e-7)
    assert atoms == sheared()


def test_crystal_without_a_minimum_is_refused():
    """Two atoms far out of reach of the place where they would be bound."""
    potential = bound("pair")
    with torch.no_grad():
        potential.pair.edge.coefficients.mul_(-1.0)
    with pytest.raises(ModelError, match=r"do not come to rest .* no minimum") as error:
        relaxed_energy_and_stress(potential, four_atoms())
    assert "\n" not in str(error.value)


def test_hcp_crystal_at_rest():
    potential = bound("eam")
    crystal = equilibrium_hcp(potential, 2.7, 4.1)
    assert np.abs(stress_of(potential, crystal)).max() < 1e-5
    energies = [energy_of(potential, strained(crystal, np.diag([x, x, z]))) for x, z in ((0, 0), (0.01, 0))]
    energies.append(energy_of(potential, strained(crystal, np.diag([0, 0, -0.01]))))
    assert energies[0] < min(energies[1:])


@pytest.mark.parametrize(("a", "c"), [(4.0, 6.5), (9.0, 15.0)], ids=["too wide", "out of reach"])
def test_hcp_crystal_that_is_not_there_is_refused(a, c):
    with pytest.raises(ModelError, match=f"no hcp crystal at rest near a = {a:.3f} Å"):
        equilibrium_hcp(bound("eam"), a, c)


def parameters(potential):
    return torch.nn.utils.parameters_to_vector(potential.parameters()).detach()


def moved_by(potential, k, step):
    """The potential with its parameter of that number moved."""
    x = parameters(potential)
    x[k] += step
    torch.nn.utils.vector_to_parameters(x, potential.parameters())


def differences(potential, rows, step=1e-4, every=1):
    """Derivatives of rows() by the parameters, (n_rows, n_parameters), by central differences."""
    columns = []
    for k in range(0, len(parameters(potential)), every):
        at = []
        for sign in (1, -1):
            moved_by(potential, k, sign * step)
            at.append(rows())
            moved_by(potential, k, -sign * step)
        columns.append((at[0] - at[1]) / (2 * step))
    return torch.stack(columns, dim=1)


@pytest.mark.parametrize("make", [bound, random_potential], ids=["bound", "random"])
@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_of_the_errors_where_the_atoms_are_known(kind, make):
    potential = make(kind)
    part = LabelledBatch(frames(relax=False), 6.0)
    rows, slopes = residuals(potential, part, SETTINGS, jacobian=True)
    expected = differences(potential, lambda: residuals(potential, part, SETTINGS)[0])
    assert slopes.shape == (len(rows), len(parameters(potential)))
    assert torch.isfinite(slopes).all()
    assert (slopes - expected).abs().max() < 1e-6 * expected.abs().max()


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_know_that_the_atoms_follow_the_potential(kind):
    """Against relaxing the atoms to the end with every changed parameter."""
    potential = bound(kind)
    part = LabelledBatch(frames(), 6.0)
    assert part.relax(potential, rounds=8) < 1e-9
    _, slopes = residuals(potential, part, SETTINGS, jacobian=True)

    def rows():
        again = copy.deepcopy(part)
        assert again.relax(potential, rounds=4) < 1e-9
        return residuals(potential, again, SETTINGS)[0]

    expected = differences(potential, rows, step=1e-3, every=4)
    error = (slopes[:, ::4] - expected).abs().max()
    assert error < 1e-4 * expected.abs().max()
    # Atoms nailed where they are would give other derivatives: the test can fail.
    nailed = LabelledBatch(frames(), 6.0)
    nailed.structures = part.placed(potential)
    nailed._movable = nailed._movable[:0]
    _, wrong = residuals(potential, nailed, SETTINGS, jacobian=True)
    assert (wrong[:, ::4] - expected).abs().max() > 30 * error


def test_first_order_step_is_near_the_full_relaxation():
    """Its error is of second order in a change of the potential, and that of the energy of fourth."""
    potential = bound("eam")
    errors = []
    for step in (0.04, 0.02):
        part = LabelledBatch(frames()[:3], 6.0)
        part.relax(potential, rounds=8)
        moved_by(potential, 6, step)
        quick = potential(part.placed(potential)).detach()
        force = potential.energy_forces_and_virial(part.placed(potential))[1].abs().max()
        part.relax(potential, rounds=8)
        full = potential(part.placed(potential)).detach()
        moved_by(potential, 6, -step)
        assert (quick >= full - 1e-12).all()
        errors.append((float((quick - full).max()), float(force)))
    assert errors[0][1] > 2.5 * errors[1][1] > 0
    assert errors[0][0] > 6.0 * errors[1][0] > 0


def test_errors_are_counted_in_tolerances():
    """Written out for two structures, one with a stress."""
    potential = bound("eam")
    potential.reference = -1.5
    one, two = hcp(), sheared()
    wrong = np.arange(9).reshape(3, 3) / 100
    stress = stress_of(potential, one) + 0.5 * (wrong + wrong.T)
    energies = [energy_of(potential, a) - 3.0 for a in (one, two)]
    part = LabelledBatch([frame(one, energies[0] + 0.02, stress), frame(two, energies[1] + 0.3)], 6.0)
    settings = FitConfig(energy_tolerance=0.005, stress_tolerance=0.01, stress_weight=2.0, softening=0.1)
    loss = float(residuals(potential, part, settings)[0].square().sum())
    above = (energies[1] + 0.3 - energies[0] - 0.02) / 2
    weights = 1 / (1 + np.array([max(0.0, -above), max(0.0, above)]) / 0.1)
    expected = np.mean((weights * [0.01, 0.15] / 0.005) ** 2)
    expected += 2.0 * np.mean((weights[0] * 0.5 * (wrong + wrong.T) / 0.01) ** 2)
    assert loss == pytest.approx(expected, rel=1e-7)


def test_molecules_without_stress_can_be_fitted_along():
    """They have no volume, so no stress: not even one of weight zero."""
    boxed = Atoms("Cu3", [[0, 0, 0], [2.4, 0, 0], [1, 2.2, 0.3]], cell=[20.0, 20.0, 20.0])
    free = Atoms("Cu3", boxed.positions)
    expected = residuals(
        bound("eam"), LabelledBatch([*frames(False), frame(boxed, -4.0)], 6.0), SETTINGS, True
    )
    found = residuals(bound("eam"), LabelledBatch([*frames(False), frame(free, -4.0)], 6.0), SETTINGS, True)
    for a, b in zip(found, expected, strict=True):
        assert torch.isfinite(a).all()
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-9)
