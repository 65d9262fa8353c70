import numpy as np
import pytest

pytest.importorskip("ase", reason="needs the extra [ru]")
pytest.importorskip("matscipy", reason="needs the extra [ru]")

from ase import Atoms
from ase.build import bulk, fcc111, hcp0001, make_supercell
from eam_data import bound, cluster, energy_of, random_potential, strained, stress_of

from kan_heads.eam.primitive import primitive

SHEAR = [[0.01, 0.02, -0.03], [0.0, -0.015, 0.025], [0.0, 0.0, 0.02]]


def hcp():
    return bulk("Ru", "hcp", a=2.7, c=4.28)


def wrapped():
    """Atoms pushed along, some across the border, and numbered anew."""
    atoms = hcp().repeat(2)
    atoms.positions += [0.7, -1.3, 2.9]
    atoms.wrap()
    return atoms[np.random.default_rng(0).permutation(len(atoms))]


def left_handed():
    atoms = hcp().repeat((2, 2, 1))
    atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    return atoms


def basis_of_no_symmetry():
    """Four atoms at random places, repeated: nothing to find but the translations."""
    cell = [[4.1, 0.0, 0.0], [0.9, 4.4, 0.0], [-0.7, 0.5, 4.8]]
    places = [[0, 0, 0], [2.1, 0.3, 0.2], [0.4, 2.3, 2.0], [1.6, 2.6, 3.9]]
    return Atoms("Ru4", places, cell=cell, pbc=True).repeat((2, 1, 3))


SKEW = [[2, 1, 0], [-1, 1, 1], [0, 1, 3]]

CRYSTALS = {
    "hcp 2x2x2": (lambda: hcp().repeat(2), 2),
    "strained": (lambda: strained(hcp().repeat(2), np.diag([0.03, -0.02, 0.01])), 2),
    "sheared": (lambda: strained(hcp().repeat(2), SHEAR), 2),
    "fcc cube": (lambda: bulk("Ru", "fcc", a=3.8, cubic=True), 1),
    "sheared fcc cubes": (lambda: strained(bulk("Ru", "fcc", a=3.8, cubic=True).repeat(2), SHEAR), 1),
    "bcc cube": (lambda: bulk("Ru", "bcc", a=3.0, cubic=True), 1),
    "diamond cube": (lambda: bulk("Ru", "diamond", a=5.6, cubic=True), 2),
    "skew supercell": (lambda: make_supercell(hcp(), SKEW), 2),
    "skew and sheared": (lambda: strained(make_supercell(hcp(), SKEW), SHEAR), 2),
    "wrapped": (wrapped, 2),
    "left-handed": (left_handed, 2),
    "needle": (lambda: hcp().repeat((1, 1, 12)), 2),
    "plate": (lambda: hcp().repeat((6, 1, 1)), 2),
    "no symmetry": (basis_of_no_symmetry, 4),
}


@pytest.mark.parametrize("name", CRYSTALS)
def test_small_cell_has_the_same_energy_and_stress(name):
    make, n_atoms = CRYSTALS[name]
    atoms = make()
    before = atoms.copy()
    found, kept = primitive(atoms)
    assert len(found) == len(kept) == n_atoms
    assert atoms == before
    assert np.array_equal(found.positions, atoms.positions[kept])
    assert found.get_volume() / n_atoms == pytest.approx(atoms.get_volume() / len(atoms), rel=1e-8)
    potential = random_potential("eam")
    per_atom = [energy_of(potential, a) / len(a) for a in (found, atoms)]
    assert per_atom[0] == pytest.approx(per_atom[1], abs=1e-10)
    # Component by component: the crystal was not turned.
    stress = stress_of(potential, atoms)
    assert np.abs(stress).max() > 1e-3
    assert np.allclose(stress_of(potential, found), stress, atol=1e-10)


def slab(periodic):
    atoms = hcp0001("Ru", (2, 2, 3), a=2.7, c=4.28, vacuum=6.0)
    atoms.pbc = [True, True, periodic]
    return atoms


def test_slab_keeps_its_layers():
    found, _ = primitive(slab(True))
    assert len(found) == 3
    potential = bound("eam")
    assert energy_of(potential, found) / 3 == pytest.approx(energy_of(potential, slab(True)) / 12, rel=1e-10)


def moved(atoms, size):
    atoms.positions[5] += [size, 0.0, 0.0]
    return atoms


def one_layer_moved():
    """A translation of half a cell is lost, another one is kept."""
    atoms = fcc111("Ru", (2, 2, 3), a=3.8, vacuum=None, periodic=True)
    atoms.positions[0:4, 2] += 0.05
    return atoms


@pytest.mark.parametrize(
    "atoms",
    [slab(False), cluster(), Atoms("Ru"), bulk("Ru", "fcc", a=3.8), hcp(), moved(hcp().repeat(2), 1e-4)],
    ids=["slab", "molecule", "atom", "one atom of a crystal", "two atoms", "one atom moved"],
)
def test_structures_without_translations_stay_as_they_are(atoms):
    found, kept = primitive(atoms)
    assert found == atoms
    assert np.array_equal(kept, np.arange(len(atoms)))


def test_shaken_crystal_stays_as_it_is():
    atoms = hcp().repeat(2)
    atoms.rattle(1e-3, seed=0)
    found, _ = primitive(atoms)
    assert found == atoms


def test_remaining_translations_are_used():
    atoms = one_layer_moved()
    found, _ = primitive(atoms)
    assert len(found) == 3
    potential = bound("pair")
    assert energy_of(potential, found) / 3 == pytest.approx(energy_of(potential, atoms) / 12, rel=1e-10)
    assert np.allclose(stress_of(potential, found), stress_of(potential, atoms), atol=1e-10)
