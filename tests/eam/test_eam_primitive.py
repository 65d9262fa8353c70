import time

import numpy as np
import pytest

pytest.importorskip("ase", reason="needs the extra [eam]")
pytest.importorskip("matscipy", reason="needs the extra [eam]")

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


def eight_decimals():
    """As a file holds it: atoms of the same kind stand at slightly different places in their cells."""
    atoms = strained(hcp().repeat((3, 2, 2)), SHEAR)
    atoms.positions = atoms.positions.round(8)
    return atoms


def wide_slab():
    """Its height is far from being one of its forty shortest translations."""
    return hcp0001("Ru", (6, 6, 3), a=2.7, c=4.28, vacuum=6.0, periodic=True)


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
    "eight decimals": (eight_decimals, 2),
    "wide slab": (wide_slab, 3),
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
    rounding = 1e-6 if name == "eight decimals" else 1e-10
    assert per_atom[0] == pytest.approx(per_atom[1], abs=rounding)
    # Component by component: the crystal was not turned.
    stress = stress_of(potential, atoms)
    assert np.abs(stress).max() > 1e-3
    assert np.allclose(stress_of(potential, found), stress, atol=rounding)


def by_trying_all(atoms):
    """The translations that take every atom to within 1e-6 Å of one."""
    inside, found = atoms.get_scaled_positions(wrap=False), []
    for k, shift in enumerate(inside - inside[0]):
        away = (inside + shift)[:, None] - inside[None]
        off = np.linalg.norm((away - np.round(away)) @ atoms.cell.array, axis=-1).min(axis=1)
        if off.max() < 1e-6:
            found.append(k)
    return found


def half_shaken():
    atoms = hcp().repeat((3, 2, 2))
    atoms.positions[12:] += 0.1 * np.random.default_rng(0).normal(size=(12, 3))
    return atoms


def vacancies(*missing, repeat=(4, 2, 2)):
    """Atoms taken out of a perfect crystal: all others stand at its places."""
    atoms = hcp().repeat(repeat)
    del atoms[list(missing)]
    return atoms


SEVERAL = {
    **{name: make for name, (make, _) in CRYSTALS.items() if name not in ("wide slab", "needle")},
    "vacancy": lambda: vacancies(5),
    "an ordered pair of vacancies": lambda: vacancies(0, 16),
    "two vacancies": lambda: vacancies(0, 5),
    "half shaken": half_shaken,
    "one atom moved": lambda: moved(hcp().repeat(2), 2e-6),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_the_translations_are_those_that_one_finds_by_trying_all(name):
    atoms = SEVERAL[name]()
    expected = by_trying_all(atoms)
    assert len(atoms) / len(primitive(atoms)[0]) == len(expected)
    # From whichever atom one looks.
    assert len(primitive(atoms[::-1])[0]) == len(atoms) // len(expected)


def test_translations_within_the_tolerance_that_add_up_to_more_do_not_count():
    """Layers whose distance grows evenly: each one fits on the next, but the first does not on the last."""
    atoms = hcp().repeat((1, 1, 12))
    layer = np.arange(len(atoms)) // 2
    atoms.positions[:, 2] += 3e-7 * np.minimum(layer, 12 - layer)
    assert 2 < len(by_trying_all(atoms)) < 12
    assert len(primitive(atoms)[0]) > 2


def shaken_slightly(n_cells):
    atoms = hcp().repeat(n_cells)
    atoms.rattle(0.05, seed=0)
    return atoms


LARGE = {
    "perfect": (lambda: hcp().repeat((20, 10, 10)), 2),
    "shaken": (lambda: shaken_slightly((20, 10, 10)), 4000),
    "vacancy": (lambda: vacancies(1333, repeat=(20, 10, 10)), 3999),
    "one atom moved": (lambda: moved(hcp().repeat((20, 10, 10)), 1e-4), 4000),
}


@pytest.mark.parametrize("name", LARGE)
def test_four_thousand_atoms_take_less_than_seconds(name):
    make, n_atoms = LARGE[name]
    atoms = make()
    start = time.process_time()
    found, _ = primitive(atoms)
    assert time.process_time() - start < 3.0  # 0.3 s here; trying all takes an hour
    assert len(found) == n_atoms


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
