import dataclasses
import json

import numpy as np
import pytest
import torch

pytest.importorskip("ase", reason="needs the extra [eam]")
pytest.importorskip("matscipy", reason="needs the extra [eam]")

from ase import Atoms
from ase.build import bulk
from eam_data import KINDS, bound, cluster, energy_of, random_potential, shaken, strained, stress_of
from scipy.spatial.transform import Rotation

from kan_heads.eam import EAMConfig, Potential, load_potential
from kan_heads.eam.ase_calculator import EAMCalculator
from kan_heads.eam.batch import make_batch
from kan_heads.errors import ConfigError

ROTATION = Rotation.from_rotvec([0.4, -1.1, 0.8]).as_matrix()


@pytest.fixture(params=KINDS)
def potential(request):
    return random_potential(request.param)


def forces_of(potential, atoms):
    return potential.energy_forces_and_virial(make_batch([atoms], potential.config.cutoff))[1].numpy()


def test_energy_is_that_of_the_formula(potential):
    """Written out, atom by atom."""
    atoms = cluster()
    r = torch.tensor(atoms.get_all_distances())
    expected = 0.0
    with torch.no_grad():
        for i in range(len(atoms)):
            others = r[i][torch.arange(len(atoms)) != i]
            expected += 0.5 * float(potential.pair(others).sum())
            if potential.embedding is not None:
                expected += float(potential.embedding(potential.density(others).sum().reshape(1)))
    assert energy_of(potential, atoms) == pytest.approx(expected, rel=1e-12)


def test_energy_is_extensive(potential):
    atoms = shaken()
    once = energy_of(potential, atoms)
    assert abs(once) > 1.0
    for times in ((2, 1, 1), (1, 3, 2)):
        assert energy_of(potential, atoms.repeat(times)) == pytest.approx(np.prod(times) * once, rel=1e-12)
        assert np.allclose(stress_of(potential, atoms.repeat(times)), stress_of(potential, atoms), atol=1e-11)


def test_atoms_out_of_reach_do_not_feel_each_other(potential):
    for places, box, near in (
        ([[0, 0, 0]], 7.0, False),
        ([[0, 0, 0]], 5.5, True),
        ([[0, 0, 0], [0, 0, 6.0]], 20.0, False),
        ([[0, 0, 0], [0, 0, 5.5]], 20.0, True),
    ):
        atoms = Atoms(f"Ru{len(places)}", places, cell=[box] * 3, pbc=True)
        assert (energy_of(potential, atoms) != 0.0) == near


ATOM, TWO, THREE = [[0, 0, 0]], [[0, 0, 0], [0, 0, 2.4]], [[0, 0, 0], [2, 0, 1], [0, 2, 1.5]]


@pytest.mark.parametrize("places", [ATOM, TWO, THREE])
def test_free_atoms_and_molecules_need_no_cell(potential, places):
    free = Atoms(f"Ru{len(places)}", places)
    boxed = Atoms(f"Ru{len(places)}", places, cell=[30.0] * 3)
    assert energy_of(potential, free) == pytest.approx(energy_of(potential, boxed), abs=1e-12)
    assert np.allclose(forces_of(potential, free), forces_of(potential, boxed), atol=1e-12)


@pytest.mark.parametrize("turn", [ROTATION, -ROTATION], ids=["rotation", "improper rotation"])
def test_turning_the_crystal_turns_forces_and_stress(potential, turn):
    atoms = shaken()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn.T)
    turned.positions = atoms.positions @ turn.T
    assert energy_of(potential, turned) == pytest.approx(energy_of(potential, atoms), rel=1e-12)
    assert np.allclose(forces_of(potential, turned), forces_of(potential, atoms) @ turn.T, atol=1e-10)
    expected = turn @ stress_of(potential, atoms) @ turn.T
    assert np.allclose(stress_of(potential, turned), expected, atol=1e-11)


def test_moving_and_numbering_change_nothing(potential):
    atoms = shaken()
    order = [2, 0, 3, 1]
    other = atoms[order]
    other.positions += [3.1, -7.0, 0.4]
    other.wrap()
    assert energy_of(potential, other) == pytest.approx(energy_of(potential, atoms), rel=1e-12)
    assert np.allclose(forces_of(potential, other), forces_of(potential, atoms)[order], atol=1e-10)


@pytest.mark.parametrize("make", [shaken, lambda: shaken("fcc"), cluster], ids=["hcp", "fcc", "cluster"])
def test_forces_are_the_slopes_of_the_energy(potential, make):
    atoms, step = make(), 1e-4
    found = forces_of(potential, atoms)
    assert np.abs(found.sum(axis=0)).max() < 1e-10
    expected = np.zeros_like(found)
    for atom, axis in np.ndindex(*found.shape):
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            expected[atom, axis] -= sign * energy_of(potential, moved) / (2 * step)
    assert np.abs(found).max() > 0.1
    assert np.allclose(found, expected, atol=2e-6)


def by_strain(energy, atoms, step=1e-5):
    """Stress by differences of the energy, (3, 3)."""
    found = np.zeros((3, 3))
    for a, b in np.ndindex(3, 3):
        for sign in (1, -1):
            strain = np.zeros((3, 3))
            strain[a, b] = sign * step
            found[a, b] += sign * energy(strained(atoms, strain)) / (2 * step * atoms.get_volume())
    return found


def test_stress_is_the_slope_of_the_energy_by_strain(potential):
    atoms = shaken()
    found = stress_of(potential, atoms)
    assert np.abs(found).max() > 0.01
    assert np.allclose(found, found.T, atol=1e-14)
    assert np.allclose(found, by_strain(lambda a: energy_of(potential, a), atoms), atol=1e-7)


def test_stress_of_ases_calculator_is_that_slope_too(potential):
    def energy(atoms):
        return EAMCalculator(potential).get_potential_energy(atoms)

    atoms = shaken()
    atoms.calc = EAMCalculator(potential)
    assert np.allclose(atoms.get_stress(voigt=False), by_strain(energy, atoms), atol=1e-7)


def test_tension_is_positive():
    """As in ASE: a crystal pulled apart pulls back."""
    near, far = (stress_of(bound("eam"), bulk("Cu", a=a)) for a in (3.4, 4.0))
    assert np.diag(near).max() < 0 < np.diag(far).min()


def test_structures_do_not_meet_in_a_batch(potential):
    several = [shaken(), cluster(), shaken("fcc", seed=2)]
    together = potential(make_batch(several, 6.0)).detach().numpy()
    assert np.allclose(together, [energy_of(potential, a) for a in several], rtol=1e-12)
    _, stress = potential.energy_and_stress(make_batch(several[::2], 6.0))
    assert np.allclose(stress, [stress_of(potential, a) for a in several[::2]], atol=1e-13)


def test_parameters_of_its_own_for_each_structure():
    """One pass gives each structure the energy and stress of its own potential."""
    for kind in KINDS:
        potentials = [random_potential(kind, seed) for seed in (0, 1)]
        atoms = shaken()
        names = [name for name, _ in potentials[0].named_parameters()]
        own = {n: torch.stack([p.get_parameter(n).detach() for p in potentials]) for n in names}
        energy, stress = potentials[0].energy_and_stress(make_batch([atoms, atoms], 6.0), own=own)
        for k, one in enumerate(potentials):
            assert float(energy[k]) == pytest.approx(energy_of(one, atoms), rel=1e-11)
            assert np.allclose(stress[k], stress_of(one, atoms), atol=1e-11)
        assert abs(float(energy[0] - energy[1])) > 1e-3


def test_saved_and_read_to_the_last_bit(potential, tmp_path):
    potential.reference, potential.history = -3302.123456789012345, {"errors": {"test": [1e-3, 0.1]}}
    potential.save(tmp_path / "a.json")
    found = load_potential(tmp_path / "a.json")
    assert found.config == potential.config
    assert (found.reference, found.history) == (potential.reference, potential.history)
    assert found.fitted
    expected = potential.state_dict()
    assert list(found.state_dict()) == list(expected)
    assert all(torch.equal(value, expected[name]) for name, value in found.state_dict().items())
    assert energy_of(found, shaken()) == energy_of(potential, shaken())
    found.save(tmp_path / "b.json")
    assert (tmp_path / "b.json").read_bytes() == (tmp_path / "a.json").read_bytes()


def test_potential_never_fitted_is_not_read(tmp_path):
    new = Potential(EAMConfig(element="Ru"))
    assert not new.fitted
    new.save(tmp_path / "new.json")
    with pytest.raises(ConfigError, match=r"new\.json: .*never fitted; run kan-heads eam train"):
        load_potential(tmp_path / "new.json")


FOREIGN = {
    "text": b"pair_coeff * * Ru.eam.fs Ru\n",
    "empty": b"",
    "bytes": bytes(range(256)),
    "list": b"[1, 2, 3]",
    "other json": b'{"format": "kan-heads record 1"}',
}


@pytest.mark.parametrize("name", FOREIGN)
def test_other_files_are_refused_in_one_line(tmp_path, name):
    path = tmp_path / "x.json"
    path.write_bytes(FOREIGN[name])
    with pytest.raises(ConfigError, match=r"x\.json: is no potential of kan-heads eam train") as error:
        load_potential(path)
    assert "\n" not in str(error.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.json: there is no such file; kan-heads eam train"):
        load_potential(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="is no potential of kan-heads eam train"):
        load_potential(tmp_path)


def cut(record):
    return json.dumps(record)[:400]


def without(*keys):
    def damage(record):
        part = record
        for key in keys[:-1]:
            part = part[key]
        del part[keys[-1]]
        return json.dumps(record)

    return damage


def with_value(value, *keys):
    def damage(record):
        part = record
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value
        return json.dumps(record)

    return damage


DAMAGES = {
    "cut off": cut,
    "no config": without("config"),
    "no element": without("config", "element"),
    "no state": without("state"),
    "no history": without("history"),
    "no reference": without("reference_eV_per_atom"),
    "no coefficients": without("state", "pair.edge.coefficients"),
    "other coefficients": with_value([[[1.0, 2.0]]], "state", "pair.edge.coefficients"),
    "words for numbers": with_value("many", "state", "embedding.strength"),
    "config is a list": with_value([1], "config"),
    "other grid": with_value(7, "config", "grid_size"),
    "unknown option": with_value(1, "config", "colour"),
    "word for a cutoff": with_value("long", "config", "cutoff"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_files_are_refused_in_one_line(tmp_path, name):
    path = tmp_path / "x.json"
    random_potential("eam").save(path)
    path.write_text(DAMAGES[name](json.loads(path.read_text())))
    with pytest.raises(ConfigError) as error:
        load_potential(path)
    assert "\n" not in str(error.value)


WRONG = {
    "element": [("Xx", "element: 'Xx' is not a chemical symbol"), ("ruthenium", "not a chemical symbol")],
    "kind": [("meam", "valid: eam, pair"), ("eams", "did you mean 'eam'")],
    "cutoff": [(1.5, "cutoff: 1.5 Å must lie beyond inner: 2 Å"), (float("nan"), "cutoff"), (-1.0, "cutoff")],
    "inner": [(0.0, "inner: 0 must be above 0"), (6.0, "inner: 6 Å")],
    "order": [(2, "order: 2 must be 3, 4 or 5"), (6, "order: 6")],
    "grid_size": [(0, "grid_size: 0 must be a whole number"), (8.5, r"grid_size: 8\.5")],
    "density_grid_size": [(0, "density_grid_size: 0"), ("12", "density_grid_size: '12'")],
    "density_range": [(1.0, "density_range: 1 must be above 1"), (float("inf"), "density_range: inf")],
}


@pytest.mark.parametrize(("name", "value", "message"), [(k, *case) for k, v in WRONG.items() for case in v])
def test_wrong_options_are_named(name, value, message):
    with pytest.raises(ConfigError, match=message):
        EAMConfig(**{"element": "Ru", name: value})


def test_unknown_options_are_named():
    options = dataclasses.asdict(EAMConfig(element="Ru", order=4))
    assert EAMConfig.from_dict(options) == EAMConfig(element="Ru", order=4)
    with pytest.raises(ConfigError, match=r"'cutof' is unknown \(did you mean 'cutoff'\?\); valid: cutoff, "):
        EAMConfig.from_dict({"element": "Ru", "cutof": 5.0})


def test_periodic_structure_needs_a_cell():
    with pytest.raises(ConfigError, match="structure 1: is periodic and has no cell; give it a Lattice"):
        make_batch([shaken(), Atoms("Ru2", [[0, 0, 0], [0, 0, 2.5]], pbc=True)], 6.0)
