"""Trajectories: LAMMPS moves the atoms as ASE does, and keeps what its ensembles keep."""

import ase.io
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.verlet import VelocityVerlet
from lammps_systems import SYSTEMS, Forceless, alloy, bare, moving

from kan_heads.lammps import DynamicsConfig, run
from kan_heads.lammps.external import ExternalForces

BAR = units.bar


def pressure(atoms):
    """Pressure in bar with the kinetic part, by ASE."""
    stress = atoms.get_stress(include_ideal_gas=True)
    return -stress[:3].mean() / BAR


@pytest.mark.parametrize("name", ["turned", "left-handed", "slab", "isotopes", "molecule"])
def test_nve_is_the_trajectory_of_ase(name):
    start = moving(SYSTEMS[name]())
    result = run(EMT(), start, DynamicsConfig(ensemble="nve", steps=20, thermo=10, keep_velocities=True))
    expected = start.copy()
    expected.calc = EMT()
    VelocityVerlet(expected, 1.0 * units.fs).run(20)
    np.testing.assert_allclose(result.atoms.positions, expected.positions, rtol=0, atol=1e-6)
    velocities = expected.get_velocities()
    scale = np.abs(velocities).max()
    np.testing.assert_allclose(result.atoms.get_velocities(), velocities, rtol=0, atol=1e-6 * scale)
    last = result.thermo[-1]
    assert [row.step for row in result.thermo] == [0, 10, 20]
    assert last.potential_eV == pytest.approx(expected.get_potential_energy(), rel=1e-6)
    assert last.kinetic_eV == pytest.approx(expected.get_kinetic_energy(), rel=1e-6)
    if start.pbc.all():
        assert last.pressure_bar == pytest.approx(pressure(expected), rel=1e-6)
        assert last.volume_A3 == pytest.approx(start.get_volume())
    else:
        assert last.pressure_bar is None
        assert last.volume_A3 is None


def test_nve_keeps_the_energy():
    atoms = bulk("Cu", cubic=True).repeat(2)
    result = run(EMT(), atoms, DynamicsConfig(ensemble="nve", steps=200, thermo=5))
    energies = np.array([row.total_eV for row in result.thermo]) / len(atoms)
    kinetic = np.array([row.kinetic_eV for row in result.thermo]) / len(atoms)
    assert kinetic.std() > 1e-3
    assert np.abs(energies - energies[0]).max() < 2e-4
    assert abs(result.drift_meV_per_atom_per_ps) < 0.5
    slope = 1000 * np.polyfit([row.time_ps for row in result.thermo], energies, 1)[0]
    assert result.drift_meV_per_atom_per_ps == pytest.approx(slope, rel=1e-6)


def test_a_run_goes_on_where_another_ended():
    start = moving(SYSTEMS["turned"]())
    options = {"ensemble": "nve", "keep_velocities": True}
    whole = run(EMT(), start, DynamicsConfig(steps=20, **options)).atoms
    half = run(EMT(), start, DynamicsConfig(steps=10, **options)).atoms
    again = run(EMT(), half, DynamicsConfig(steps=10, **options)).atoms
    np.testing.assert_allclose(again.positions, whole.positions, rtol=0, atol=1e-9)


def test_velocities_are_drawn_at_the_temperature_by_the_seed():
    first, same, other = (
        run(EMT(), alloy(), DynamicsConfig(ensemble="nve", steps=0, temperature=450.0, seed=seed))
        for seed in (3, 3, 4)
    )
    assert first.thermo[0].temperature_K == pytest.approx(450.0)
    momenta = first.atoms.get_momenta()
    np.testing.assert_allclose(momenta.sum(0), 0.0, atol=1e-9)
    np.testing.assert_array_equal(same.atoms.get_momenta(), momenta)
    assert np.abs(other.atoms.get_momenta() - momenta).max() > 1.0
    assert first.ms_per_step is None
    kinetic = (momenta**2 / (2 * first.atoms.get_masses()[:, None])).sum()
    assert kinetic == pytest.approx(1.5 * (len(momenta) - 1) * units.kB * 450.0, rel=1e-5)


def test_nvt_holds_the_temperature():
    atoms = bulk("Cu", cubic=True).repeat(2)
    settings = DynamicsConfig(temperature=600.0, steps=1500, thermo=5, timestep=2.0)
    result = run(EMT(), atoms, settings)
    # Half of it goes into the springs of the lattice; the thermostat brings it back.
    assert min(row.temperature_K for row in result.thermo) < 450.0
    assert result.mean_temperature_K == pytest.approx(600.0, rel=0.15)
    assert result.drift_meV_per_atom_per_ps is None
    assert result.ms_per_step > 0
    assert result.peak_memory_bytes > 1e7
    assert result.cuda_peak_memory_bytes is None


def test_npt_finds_the_pressure():
    atoms = bulk("Cu").repeat(2)
    atoms.set_cell(1.02 * atoms.cell, scale_atoms=True)
    settings = DynamicsConfig(
        ensemble="npt", temperature=100.0, pressure=20e3, steps=1500, thermo=5, timestep=2.0, pdamp=200.0
    )
    result = run(EMT(), atoms, settings)
    rows = result.thermo
    assert rows[0].pressure_bar < -30e3
    late = np.mean([row.pressure_bar for row in rows[len(rows) // 2 :]])
    assert late == pytest.approx(20e3, abs=3e3)
    assert rows[-1].volume_A3 < 0.98 * rows[0].volume_A3
    lengths, angles = result.atoms.cell.lengths(), result.atoms.cell.angles()
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-12)
    np.testing.assert_allclose(angles, 60.0)


@pytest.mark.parametrize("coupling", ["iso", "aniso", "tri"])
@pytest.mark.parametrize("name", ["cubic", "turned"])
def test_the_model_sees_the_changing_cell(name, coupling):
    start = SYSTEMS[name]()
    settings = DynamicsConfig(
        ensemble="npt", coupling=coupling, steps=40, thermo=10, tdamp=20.0, pdamp=50.0, timestep=2.0
    )
    result = run(EMT(), start, settings)
    last = result.atoms
    last.calc = EMT()
    row = result.thermo[-1]
    assert row.volume_A3 == pytest.approx(last.get_volume(), rel=1e-9)
    assert abs(row.volume_A3 / result.thermo[0].volume_A3 - 1) > 1e-4
    assert row.potential_eV == pytest.approx(last.get_potential_energy(), rel=1e-6)
    assert row.pressure_bar == pytest.approx(pressure(last), rel=1e-6)
    before, after = start.cell.cellpar(), last.cell.cellpar()
    ratios = after[:3] / before[:3]
    if coupling == "iso":
        np.testing.assert_allclose(ratios, ratios[0], rtol=1e-9)
    else:
        assert np.ptp(ratios) > 1e-5
    if coupling == "tri":
        assert np.abs(after[3:] - before[3:]).max() > 1e-3
    else:
        np.testing.assert_allclose(after[3:], before[3:], atol=1e-9)


@pytest.mark.parametrize("name", ["cubic", "turned"])
def test_the_dump_is_what_ase_reads(name, tmp_path):
    start = moving(SYSTEMS[name]())
    dump = tmp_path / "with blanks" / "d.lammpstrj"
    dump.parent.mkdir()
    settings = DynamicsConfig(
        ensemble="nve",
        keep_velocities=True,
        steps=20,
        dump=str(dump),
        dump_every=5,
        log=str(tmp_path / "log"),
    )
    result = run(EMT(), start, settings)
    frames = ase.io.read(dump, index=":")
    assert len(frames) == 5
    last, expected = frames[-1], result.atoms
    assert last.get_chemical_symbols() == expected.get_chemical_symbols()
    # A dump is in LAMMPS' frame, which is the structure's for a cell along the axes.
    np.testing.assert_allclose(last.cell.cellpar(), expected.cell.cellpar(), rtol=1e-9)
    scaled = (frame.get_scaled_positions(wrap=False) for frame in (last, expected))
    np.testing.assert_allclose(*scaled, atol=1e-8)
    expected.calc = EMT()
    if name == "cubic":
        np.testing.assert_allclose(last.positions, expected.positions, atol=1e-8)
        np.testing.assert_allclose(last.get_forces(), expected.get_forces(), atol=1e-8)
        np.testing.assert_allclose(last.get_velocities(), expected.get_velocities(), atol=1e-6)
    lengths = (np.linalg.norm(a.get_forces(), axis=1) for a in (last, expected))
    np.testing.assert_allclose(*lengths, atol=1e-8)
    assert "Loop time" in (tmp_path / "log").read_text()


def test_atoms_may_leave_the_cell():
    start = bare()  # which flies away, turning
    start.set_velocities([[0.3, 0.0, 0.01], [0.3, 0.1, 0.0]])
    result = run(EMT(), start, DynamicsConfig(ensemble="nve", keep_velocities=True, steps=300))
    expected = start.copy()
    expected.calc = EMT()
    VelocityVerlet(expected, 1.0 * units.fs).run(300)
    assert expected.positions[1, 0] > 8.0
    np.testing.assert_allclose(result.atoms.positions, expected.positions, rtol=0, atol=1e-4)


def far(atoms, seed=0):
    """Moves atoms by whole cells, further than LAMMPS can count: in 10 bits."""
    counts = np.random.RandomState(seed).randint(-5000, 5000, size=(len(atoms), 3))
    counts[:4, 0] = [511, 512, -513, 100_000_000]
    atoms.positions += counts * atoms.pbc @ atoms.cell.array
    return atoms


@pytest.mark.parametrize("name", ["turned", "left-handed", "slab"])
def test_atoms_may_start_any_number_of_cells_away(name):
    near, start = moving(SYSTEMS[name]()), far(moving(SYSTEMS[name]()))
    settings = DynamicsConfig(ensemble="nve", steps=20, keep_velocities=True)
    expected = run(EMT(), near, settings).atoms.positions - near.positions
    found = run(EMT(), start, settings).atoms.positions - start.positions
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def flying():
    """Two atoms without forces in a cell that leans; they cross nearly a third of it in each step."""
    cell = [[3.0, 0.0, 0.0], [1.0, 3.0, 0.0], [0.5, 0.3, 3.0]]
    atoms = Atoms("Cu2", [[0, 0, 0], [1.5, 1.5, 1.5]], cell=cell, pbc=True)
    atoms.set_velocities(np.array([[0.9, -0.5, 0.4], [-0.8, 0.4, 0.9]]) / units.fs)
    return atoms


def test_atoms_may_cross_any_number_of_cells():
    start = flying()
    result = run(
        Forceless(), start, DynamicsConfig(ensemble="nve", keep_velocities=True, steps=3000, thermo=3000)
    )
    expected = start.positions + 3000 * units.fs * start.get_velocities()
    assert np.abs(start.cell.scaled_positions(expected)).max() > 1000
    np.testing.assert_allclose(result.atoms.positions, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("coupling", ["none", "iso", "tri"])
def test_a_trajectory_ends_where_the_last_structure_is(lmp, tmp_path, coupling):
    start = far(moving(SYSTEMS["turned"]()))
    external = ExternalForces(lmp, start, EMT(), tilted=coupling == "tri")
    ensemble = "nve" if coupling == "none" else "npt"
    settings = DynamicsConfig(
        ensemble=ensemble, coupling=None if coupling == "none" else coupling, pdamp=None
    )
    external.command(f"fix integrate all {settings.integrator()}")
    dump = tmp_path / "d #1's $x.lammpstrj"
    external.dump(str(dump), 10)
    external.run(20)
    frames, last = ase.io.read(dump, index=":"), external.atoms()
    assert len(frames) == 3
    assert frames[0].get_chemical_symbols() == start.get_chemical_symbols()
    for frame, expected in ((frames[0], start), (frames[-1], last)):
        places = (frame.positions - frame.get_celldisp().T) @ external.frame.rotation
        np.testing.assert_allclose(places, expected.positions, rtol=1e-9, atol=1e-4)
    assert (ensemble == "npt") == (not np.allclose(last.cell.lengths(), start.cell.lengths(), rtol=1e-7))


def test_a_trajectory_follows_atoms_over_any_number_of_cells(lmp, tmp_path):
    start = flying()
    external = ExternalForces(lmp, start, Forceless())
    external.command("fix integrate all nve")
    external.command("timestep 0.001")
    external.dump(str(tmp_path / "d.lammpstrj"), 700)
    external.run(2800)
    frames = ase.io.read(tmp_path / "d.lammpstrj", index=":")
    assert len(frames) == 5
    for k, frame in enumerate(frames):
        expected = start.positions + 700 * k * units.fs * start.get_velocities()
        np.testing.assert_allclose(frame.positions, expected, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("coupling", ["iso", "tri"])
def test_a_cell_that_leans_is_not_exchanged_for_another_one_of_the_same_crystal(coupling):
    start = SYSTEMS["skewed"]()
    settings = DynamicsConfig(ensemble="npt", coupling=coupling, temperature=50.0, steps=5, pdamp=500.0)
    last = run(EMT(), start, settings).atoms
    np.testing.assert_allclose(last.cell.angles(), start.cell.angles(), atol=5.0)  # by 30 where it is
    assert not np.allclose(last.cell.lengths(), start.cell.lengths(), rtol=1e-7)


def test_the_record_is_json():
    import json

    result = run(EMT(), alloy(), DynamicsConfig(steps=4, thermo=2))
    record = json.loads(json.dumps(result.as_dict()))
    assert record["formula"] == alloy().get_chemical_formula()
    assert [row["step"] for row in record["thermo"]] == [0, 2, 4]
    assert record["settings"]["steps"] == record["steps"] == 4
    assert record["settings"]["temperature"] == 300.0
    assert record["settings"]["tdamp"] == 100.0
    assert record["settings"]["pressure"] is None
    assert {"lammps", "torch", "ase", "kan_heads", "python"} <= set(record["versions"])
    assert record["model"] == "EMT"
    assert "atoms" not in record
