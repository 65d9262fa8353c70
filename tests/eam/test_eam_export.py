import dataclasses
import shlex

import numpy as np
import pytest
import torch

pytest.importorskip("ase", reason="needs the extra [eam]")
pytest.importorskip("matscipy", reason="needs the extra [eam]")

from ase import Atoms
from ase.build import bulk
from eam_md_potentials import SIGNS, copper, random_potential

from kan_heads.eam import EAMConfig, Potential
from kan_heads.eam.ase_calculator import EAMCalculator
from kan_heads.eam.batch import make_batch
from kan_heads.eam.export import check_range, export
from kan_heads.eam.setfl import write_setfl
from kan_heads.eam.table import LennardJones, inconsistency, write_overlay, write_table
from kan_heads.errors import ConfigError, DataError


def read_setfl(path):
    lines = path.read_text().splitlines()
    n_rho, step_rho, n_r, step_r, cutoff = map(float, lines[4].split())
    values = np.array(" ".join(lines[6:]).split(), dtype=float)
    assert len(values) == n_rho + 2 * n_r
    return (step_rho, step_r, cutoff, *np.split(values, [int(n_rho), int(n_rho + n_r)]))


def read_table(path):
    lines = path.read_text().splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("N "))
    return lines[start].split(), np.array([line.split() for line in lines[start + 2 :]], dtype=float)


def test_setfl_holds_the_functions(tmp_path):
    potential = random_potential("eam")
    made = write_setfl(potential, tmp_path / "Ru.eam.fs", 2001, 3001)
    step_rho, step_r, cutoff, embedding, density, r_phi = read_setfl(made.file)
    rho, r = step_rho * np.arange(2001), step_r * np.arange(3001)
    assert cutoff == r[-1] == 6.0
    with torch.no_grad():
        assert np.allclose(embedding, potential.embedding(torch.tensor(rho)), rtol=1e-14)
        assert np.allclose(density, potential.density(torch.tensor(r)), rtol=1e-14)
        assert np.allclose(r_phi[1:] / r[1:], potential.pair(torch.tensor(r[1:])), rtol=1e-12, atol=1e-13)
    # Bare nuclei where they meet.
    assert r_phi[0] == pytest.approx(14.399645 * 44**2, rel=1e-6)
    assert (density[-1], r_phi[-1], embedding[0]) == (0.0, 0.0, 0.0)


def test_embedding_function_of_a_setfl_file_ends_in_a_line(tmp_path):
    potential = random_potential("eam")
    step, *_, embedding, _, _ = read_setfl(write_setfl(potential, tmp_path / "x.fs").file)
    places = step * np.arange(len(embedding))
    upper = potential.config.density_range
    assert np.isclose(places, upper, rtol=1e-12).any()  # a node where the line begins
    tail = embedding[places > upper - 1e-9]
    assert len(tail) > 5
    assert np.allclose(np.diff(tail), tail[1] - tail[0], rtol=1e-9)
    # LAMMPS goes on by the last difference; so do we.
    far = float(potential.embedding(torch.tensor([10.0], dtype=torch.float64)).detach())
    assert far == pytest.approx(tail[-1] + (10.0 - places[-1]) * (tail[-1] - tail[-2]) / step, rel=1e-8)


def test_forces_of_a_table_are_the_slopes_of_its_energies(tmp_path):
    potential = random_potential("pair")
    made = write_table(potential, tmp_path / "Ru.table")
    header, rows = read_table(made.file)
    assert header[:5] == ["N", "10000", "RSQ", "1.0", "6.0"]
    assert (rows[:, 0] == np.arange(1, 10_001)).all()
    r = torch.tensor(rows[:, 1])
    assert np.allclose(np.diff(r**2), 35.0 / 9999, rtol=1e-7)
    inside = (r > 1.001) & (r < 5.999)
    assert inconsistency(potential, r[inside]) < 1e-8
    # The same from the numbers in the file: the work of the forces is the energy that was lost.
    energy, force, place = rows[:, 2], rows[:, 3], rows[:, 1]
    with torch.no_grad():
        assert np.allclose(energy, potential.pair(r), rtol=1e-12, atol=1e-12)
    smooth = place > 2.1
    work = np.concatenate([[0.0], np.cumsum(0.5 * np.diff(place) * (force[1:] + force[:-1]))])
    change = (energy + work)[smooth]
    assert np.ptp(change) < 1e-6


def test_a_wrong_force_would_be_noticed(monkeypatch):
    import kan_heads.eam.table as module

    potential, r = random_potential("pair"), torch.linspace(2.5, 5.5, 50, dtype=torch.float64)
    true = module.energies_and_forces
    monkeypatch.setattr(module, "energies_and_forces", lambda *a: (true(*a)[0], true(*a)[1] + 1e-6))
    assert inconsistency(potential, r) == pytest.approx(1e-6, rel=0.1)


def test_overlay_and_lennard_jones_add_up_to_the_potential(tmp_path):
    potential, part = random_potential("pair"), LennardJones(0.3, 2.2)
    made = write_overlay(potential, tmp_path / "new" / "folder", part)
    _, rows = read_table(made.file)
    sixth = (2.2 / rows[:, 1]) ** 6
    with torch.no_grad():
        phi = potential.pair(torch.tensor(rows[:, 1])).numpy()
    assert np.allclose(rows[:, 2] + 4 * 0.3 * (sixth**2 - sixth), phi, atol=1e-10)
    assert "pair_style hybrid/overlay table spline 10000 lj/cut 6.0" in made.commands()
    assert "pair_coeff * * lj/cut 0.3 2.2" in made.commands()


@pytest.mark.parametrize(("style", "kind"), [("eam/fs", "eam"), ("table", "pair"), ("overlay", "pair")])
def test_each_form_comes_with_an_example_and_stays_small(tmp_path, style, kind):
    made = export(random_potential(kind), style, tmp_path / "out")
    text = made.example.read_text()
    for line in made.commands():
        assert f"#     {line}\n" in text
        assert f"\n{line}\n" in text
    assert "-sf kk" in text
    assert made.file.stat().st_size < 2e6
    assert "UNITS: metal" in made.file.read_text().splitlines()[0]


@pytest.mark.parametrize("style", ["table", "overlay"])
def test_density_does_not_fit_a_table(tmp_path, style):
    with pytest.raises(ConfigError, match="use --format eam/fs"):
        export(random_potential("eam"), style, tmp_path / "out")


def test_a_refused_export_leaves_nothing(tmp_path):
    potential, new = random_potential("eam"), tmp_path / "new"
    for style, options, text in (
        ("eam", {}, "--format"),
        ("eam/fs", {"inner": 1.0}, "--inner: .* starts at 0"),
        ("eam/fs", {"n": 20}, "must be at least 100"),
    ):
        with pytest.raises(ConfigError, match=text):
            export(potential, style, new / "Ru", **options)
    assert not new.exists()
    with pytest.raises(ConfigError, match="is a folder; name a file in it"):
        export(potential, "eam/fs", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file; overlay writes a folder"):
        export(random_potential("pair"), "overlay", tmp_path / "file")


@pytest.mark.parametrize("name", SIGNS)
@pytest.mark.parametrize(("style", "kind"), [("eam/fs", "eam"), ("table", "pair")])
def test_the_example_tells_a_shell_its_own_name(tmp_path, name, style, kind):
    made = export(random_potential(kind), style, tmp_path / name)
    lines = [line for line in made.example.read_text().splitlines() if " -in " in line]
    assert len(lines) == 4
    for line in lines:
        assert shlex.split(line.partition(": ")[2])[-1] == made.example.name


@pytest.mark.parametrize("name", ["Rü", 'Ru"2', "Ru\n2", "Ru\t2", "Ru\u00a02"])
def test_names_that_lammps_cannot_read_are_refused_before_anything_is_written(tmp_path, name):
    eam, pair, new = random_potential("eam"), random_potential("pair"), tmp_path / "new"
    for write in (
        lambda: export(eam, "eam/fs", new / name),
        lambda: export(pair, "table", new / name),
        lambda: write_setfl(eam, new / name),
        lambda: write_table(pair, new / name, example=False),
    ):
        with pytest.raises(ConfigError, match=r"LAMMPS takes no .* in a name; use another name") as error:
            write()
        assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
    # The files of an overlay have names of their own, and are read where they lie.
    made = write_overlay(pair, tmp_path / name)
    assert "pair_coeff * * table Ru.overlay.table KAN_Ru" in made.commands()
    with pytest.raises(ConfigError, match="LAMMPS takes no"):
        made.commands(made.file.parent)


def test_whoever_reads_while_a_potential_is_written_anew_reads_the_old_one(tmp_path):
    first, second = random_potential("pair", seed=0), random_potential("pair", seed=1)
    made = write_table(first, tmp_path / "Ru.table")
    with made.file.open() as reader:
        write_table(second, made.file)
        _, before = reader.readline(), reader.read()
    assert before.count("\n") == 10_006
    assert before not in made.file.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Ru.table", "in.Ru.table"]


def test_unfitted_and_unknown_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"never fitted.*kan-heads eam train"):
        export(Potential(EAMConfig(element="Ru")), "eam/fs", tmp_path / "out")
    with pytest.raises(ConfigError, match="valid: eam/fs, overlay, table"):
        export(random_potential("pair"), "meam", tmp_path / "out")
    with pytest.raises(ConfigError, match="must lie between 0 and the cutoff"):
        write_table(random_potential("pair"), tmp_path / "out", inner=7.0)
    assert list(tmp_path.iterdir()) == []


def test_distances_below_the_table_are_named(tmp_path):
    made = write_table(random_potential("pair"), tmp_path / "t", inner=1.2)
    close = Atoms("Ru2", [[0, 0, 0], [0, 0, 1.1]])
    with pytest.warns(UserWarning, match=r"1\.1 Å apart, and the table starts at 1\.2 Å"):
        assert check_range(made, close) is not None
    with pytest.warns(UserWarning, match="fitted from 2 Å on"):
        check_range(random_potential("eam"), close)
    assert check_range(1.0, close) is None
    assert check_range(made, bulk("Ru")) is None


@pytest.mark.parametrize("kind", ["eam", "pair"])
def test_calculator_agrees_with_the_potential_and_with_differences(kind):
    potential = random_potential(kind)
    potential.reference = -100.0
    atoms = bulk("Ru").repeat((2, 2, 1))
    atoms.rattle(0.1, seed=3)
    atoms.calc = EAMCalculator(potential)
    energy, stress = potential.energy_and_stress(make_batch([atoms], potential.config.cutoff))
    assert atoms.get_potential_energy() == pytest.approx(float(energy), rel=1e-12)
    assert np.allclose(atoms.get_stress(voigt=False), stress[0], atol=1e-12)
    expected = atoms.get_forces()
    for atom, axis in ((0, 0), (3, 2)):
        energies = []
        for step in (1e-4, -1e-4):
            moved = atoms.copy()
            moved.positions[atom, axis] += step
            moved.calc = EAMCalculator(potential)
            energies.append(moved.get_potential_energy())
        assert (energies[1] - energies[0]) / 2e-4 == pytest.approx(expected[atom, axis], abs=1e-6)
    whole = EAMCalculator(potential, reference=True)
    assert whole.get_potential_energy(atoms) == pytest.approx(float(energy) - 800.0, rel=1e-12)


def test_calculator_refuses_other_elements_and_unfitted_files(tmp_path):
    with pytest.raises(DataError, match="Cu; the potential is of Ru"):
        EAMCalculator(random_potential("eam")).get_potential_energy(bulk("Cu"))
    Potential(EAMConfig(element="Ru")).save(tmp_path / "new.json")
    with pytest.raises(ConfigError, match="never fitted"):
        EAMCalculator(tmp_path / "new.json")


def test_copper_of_these_tests_is_bound():
    """The dynamics below need a crystal that holds together."""
    energies = []
    for a in (3.5, 3.6, 3.7, 3.8, 3.9):
        atoms = bulk("Cu", a=a)
        atoms.calc = EAMCalculator(copper())
        energies.append(atoms.get_potential_energy())
    assert -6.0 < min(energies) < -1.0
    assert 0 < int(np.argmin(energies)) < 4
    assert dataclasses.asdict(copper().config)["kind"] == "pair"
