import pathlib

import numpy as np
import pytest

pytest.importorskip("ase", reason="needs the extra [eam]")

from ase import Atoms
from ase.build import bulk
from eam_data import frame, labelled, shaken, strained, write

from kan_heads.eam.data import read_labelled, split_by_group
from kan_heads.elastic import GPA
from kan_heads.errors import ConfigError, DataError

STRESS = np.array([[0.01, 0.002, -0.003], [0.002, -0.02, 0.004], [-0.003, 0.004, 0.03]])


def crystals(n=4):
    return [shaken(seed=k) for k in range(n)]


def file(tmp_path, change=None, n=4, **info):
    """A good file, but for what ``change`` does to its third structure."""
    found = [labelled(a, -9.0 * len(a) - 0.1 * k, STRESS, **info) for k, a in enumerate(crystals(n))]
    if change is not None:
        found[2] = change(found[2])
    return write(tmp_path / "x.extxyz", found)


def test_labels_are_read_as_they_stand(tmp_path):
    frames = read_labelled(file(tmp_path, label="far", amount=0.1), relax="label=far")
    assert [f.number for f in frames] == [0, 1, 2, 3]
    assert [f.energy for f in frames] == pytest.approx([-36.0, -36.1, -36.2, -36.3])
    for k, f in enumerate(frames):
        assert np.allclose(f.stress, STRESS, atol=1e-8)
        assert np.allclose(f.atoms.positions, shaken(seed=k).positions, atol=1e-7)
        assert f.relax
    assert not any(f.relax for f in read_labelled(file(tmp_path, label="far")))


def test_only_the_marked_structures_are_placed_by_the_model(tmp_path):
    def near(atoms):
        atoms.info["label"] = "near"
        return atoms

    frames = read_labelled(file(tmp_path, near, label="far"), relax="label=near")
    assert [f.relax for f in frames] == [False, False, True, False]


def without_stress(atoms):
    return labelled(atoms, atoms.get_potential_energy())


def test_structures_without_stress_are_fine_among_others(tmp_path):
    frames = read_labelled(file(tmp_path, without_stress))
    assert [f.stress is None for f in frames] == [False, False, True, False]


def test_data_without_any_stress(tmp_path):
    found = [labelled(a, -30.0) for a in crystals()]
    path = write(tmp_path / "x.extxyz", found)
    with pytest.raises(DataError, match=r"x\.extxyz: no structure has a stress.*--stress-weight 0"):
        read_labelled(path)
    assert len(read_labelled(path, stress=False)) == 4


def test_free_atom_needs_no_cell(tmp_path):
    atom = labelled(Atoms("Ru"), -1.0)
    frames = read_labelled(file(tmp_path, lambda _: atom))
    assert (len(frames[2].atoms), frames[2].stress, frames[2].energy) == (1, None, -1.0)


def gpa(atoms):
    return labelled(atoms, atoms.get_potential_energy(), 10 * GPA * STRESS)


def rydberg(atoms):
    return labelled(atoms, atoms.get_potential_energy() / 13.6057 - 400.0, STRESS)


def not_finite(atoms):
    return labelled(atoms, np.nan, STRESS)


def stress_not_finite(atoms):
    return labelled(atoms, -36.0, np.full((3, 3), np.inf))


def place_not_finite(atoms):
    atoms.positions[1, 2] = np.nan
    return atoms


def two_elements(atoms):
    atoms.symbols[0] = "Os"
    return atoms


def on_top(atoms):
    atoms.positions[1] = atoms.positions[0] + [0.0, 0.1, 0.2]
    return atoms


def without_energy(atoms):
    atoms.calc = None
    return atoms


BAD = {
    "GPa": (gpa, r"frame 2 has a stress of 48\.07.* GPa if .*in GPa or kbar\? Divide GPa by 160\.2177"),
    "Ry": (rydberg, r"frame 2 has -100\.\d+ eV per atom where most have -9\.\d+.*\(Ry, Hartree\)"),
    "energy is NaN": (not_finite, "frame 2: energy is NaN or infinite; correct or remove"),
    "stress is not finite": (stress_not_finite, "frame 2: stress is NaN or infinite"),
    "place is NaN": (place_not_finite, r"frame 2: the position of atom 1 \(Ru; .*\) is NaN or infinite"),
    "two elements": (two_elements, "holds Os, Ru; .* of one element"),
    "on top of each other": (on_top, r"frame 2: atoms 0 \(Ru\) and 1 .* are 0\.224 Å apart"),
    "no energy": (without_energy, r"frame 2 has no 'energy'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_labels_are_refused_in_one_line(tmp_path, name):
    change, message = BAD[name]
    with pytest.raises(DataError, match=message) as error:
        read_labelled(file(tmp_path, change))
    assert "\n" not in str(error.value)
    assert "x.extxyz" in str(error.value)


def test_an_atom_on_top_of_its_own_image_is_refused(tmp_path):
    """A cell in other units than Å, e.g. in nm."""

    def small(atoms):
        return labelled(bulk("Ru", "fcc", a=0.38), -9.0, STRESS)

    with pytest.raises(DataError, match=r"frame 2: .*periodic image are 0\.269 Å apart"):
        read_labelled(file(tmp_path, small))


def test_energies_that_are_words_are_refused(tmp_path):
    path = file(tmp_path)
    text = pathlib.Path(path).read_text()
    assert "energy=-36.2" in text
    (tmp_path / "x.extxyz").write_text(text.replace("energy=-36.2", "energy=low"))
    with pytest.raises(DataError, match=r"x\.extxyz"):
        read_labelled(path)


def test_stress_of_wrong_length_is_refused(tmp_path):
    path = file(tmp_path)
    text = pathlib.Path(path).read_text()
    start = text.index('stress="') + len('stress="')
    end = text.index('"', start)
    (tmp_path / "x.extxyz").write_text(text[:start] + "0.1 0.2 0.3 0.4" + text[end:])
    with pytest.raises(DataError, match=r"x\.extxyz"):
        read_labelled(path)


@pytest.mark.parametrize("text", [None, "", "not a structure\n", "4\nno lattice\nRu 0 0\n"])
def test_missing_and_unreadable_files(tmp_path, text):
    path = tmp_path / "x.extxyz"
    if text is not None:
        path.write_text(text)
    expected = ": no such file" if text is None else ": ASE cannot read this file| is empty"
    with pytest.raises(DataError, match=rf"x\.extxyz({expected})") as error:
        read_labelled(path)
    assert "\n" not in str(error.value)


def test_keys_that_do_not_exist(tmp_path):
    path = file(tmp_path, mode="a", eta=0.1)
    with pytest.raises(ConfigError, match=r"--group way: .* no such key in its header; it has: eta, mode"):
        read_labelled(path, group_by=["mode", "way"])
    with pytest.raises(ConfigError, match=r"--relax mode=z: no structure of .*x\.extxyz has that"):
        read_labelled(path, relax="mode=z")
    with pytest.raises(ConfigError, match="--relax mode: expected KEY=VALUE"):
        read_labelled(path, relax="mode")


@pytest.mark.parametrize("amounts", [[-0.02, 0.02, 0.04], [-1, 1, 2]], ids=["fractions", "whole numbers"])
def test_groups_are_keys_up_to_the_sign(tmp_path, amounts):
    found = [
        labelled(shaken(seed=10 * m + k), -36.0, STRESS, mode=mode, eta=amounts[k])
        for m, mode in enumerate("ab")
        for k in range(3)
    ]
    frames = read_labelled(write(tmp_path / "x.extxyz", found), group_by=["mode", "eta"])
    groups = [f.group for f in frames]
    assert groups[0] == groups[1]
    assert groups[3] == groups[4]
    assert len(set(groups)) == 4


def turned(atoms, seed):
    """The same crystal in another orientation, its atoms moved together and numbered anew."""
    found = atoms.copy()
    found.rotate(50.0 + seed, (1, seed, 2), rotate_cell=True)
    found.positions += 0.3 * seed
    found.wrap()
    return found[np.random.default_rng(seed).permutation(len(found))]


def test_same_structure_is_one_group_however_it_is_turned(tmp_path):
    found = [labelled(turned(a, k), -36.0, STRESS) for a in crystals() for k in range(4)]
    groups = [f.group for f in read_labelled(write(tmp_path / "x.extxyz", found))]
    assert len(set(groups)) == 4
    for k in range(0, 16, 4):
        assert len(set(groups[k : k + 4])) == 1


def test_rounding_does_not_tear_a_group_apart(tmp_path):
    """A lattice constant that ends in a 5, as files have, lies where rounding is by chance."""
    crystal = bulk("Ru", "hcp", a=2.70785, c=4.26815)
    found = [labelled(turned(crystal, k), -18.0, STRESS) for k in range(8)]
    groups = {f.group for f in read_labelled(write(tmp_path / "x.extxyz", found))}
    assert len(groups) == 1


def test_structures_that_two_keys_share_join_these_groups(tmp_path):
    """The crystal at rest stands in every series of strains."""
    rest, others = shaken(seed=0), crystals(3)[1:]
    found = [labelled(rest, -36.0, STRESS, mode=m) for m in "abc"]
    found += [labelled(a, -36.0, STRESS, mode=m) for a, m in zip(others, "ad", strict=True)]
    groups = [f.group for f in read_labelled(write(tmp_path / "x.extxyz", found), group_by=["mode"])]
    assert len(set(groups[:4])) == 1
    assert groups[4] != groups[0]


def in_groups(n_groups, each):
    atoms = bulk("Ru")
    return [frame(atoms, group=(k % n_groups,), number=k) for k in range(n_groups * each)]


def test_split_keeps_groups_together_and_loses_nothing():
    frames = in_groups(25, 4)
    parts = split_by_group(frames, seed=3)
    assert [len(part) for part in parts] == [60, 20, 20]
    assert sorted(f.number for part in parts for f in part) == list(range(100))
    groups = [{f.group for f in part} for part in parts]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]


def test_split_is_the_same_for_the_same_seed():
    frames = in_groups(25, 4)

    def numbers(frames, seed):
        return [sorted(f.number for f in part) for part in split_by_group(frames, seed=seed)]

    assert numbers(frames, 0) == numbers(frames, 0)
    assert numbers(frames, 0) != numbers(frames, 1)


def test_sets_have_the_sizes_that_were_asked_for():
    parts = split_by_group(in_groups(20, 3), (0.8, 0.1, 0.1))
    assert [len(part) for part in parts] == [48, 6, 6]


@pytest.mark.parametrize("n_groups", [1, 2])
def test_too_few_groups_for_three_sets(n_groups):
    with pytest.raises(DataError, match=rf"{n_groups} groups .*leave none for the .*; add"):
        split_by_group(in_groups(n_groups, 10))


def test_split_of_strained_crystals_has_no_twins(tmp_path):
    """Equal crystals in other orientations have equal labels, which one set must not give away to another."""
    found = []
    for k in range(12):
        atoms = strained(bulk("Ru"), np.diag([0.01 * k, 0.0, 0.005]))
        found += [labelled(a, -18.0 + 0.01 * k, STRESS) for a in (atoms, turned(atoms, k), atoms.repeat(1))]
    parts = split_by_group(read_labelled(write(tmp_path / "x.extxyz", found)))
    energies = [{f.energy for f in part} for part in parts]
    assert not energies[0] & (energies[1] | energies[2])
    assert not energies[1] & energies[2]
