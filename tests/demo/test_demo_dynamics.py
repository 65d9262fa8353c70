import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT

from kan_heads import dynamics


def test_drift_is_the_slope_and_rms_the_rest():
    t = np.arange(2001.0)
    wave = np.sin(2 * np.pi * t / 2001)
    wave -= np.polyval(np.polyfit(t, wave, 1), t)
    drift, rms = dynamics.drift_and_rms(t, -9.7 + 1e-3 * (0.25 * t / 1000 + wave))
    assert drift == pytest.approx(0.25, abs=1e-6)
    assert rms == pytest.approx(np.sqrt(np.mean(wave**2)), rel=1e-6)


def test_one_point_has_no_drift():
    assert dynamics.drift_and_rms(np.zeros(1), np.ones(1)) == (None, None)


def test_energy_is_conserved_and_the_seed_decides():
    start = bulk("Cu", cubic=True) * (2, 2, 2)
    first, again, other = (dynamics.run_nve(EMT(), start, 30, seed) for seed in (1, 1, 2))
    assert first.stable
    assert np.ptp(first.energy_eV_per_atom) < 1e-4
    assert np.ptp(first.temperature_K) > 1
    assert first.temperature_K[0] == pytest.approx(300, rel=0.3)
    np.testing.assert_array_equal(first.energy_eV_per_atom, again.energy_eV_per_atom)
    assert first.temperature_K[0] != other.temperature_K[0]
    assert first.summary()["steps"] == 30
    assert start.calc is None


class _Attraction(Calculator):
    """Two atoms that fall into each other; the energy turns into NaN after some calls if asked to."""

    implemented_properties = ("energy", "forces")

    def __init__(self, nan_after=None):
        super().__init__()
        self.nan_after, self.calls = nan_after, 0

    def calculate(self, atoms, properties, system_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        d = atoms.positions[1] - atoms.positions[0]
        broken = self.nan_after is not None and self.calls > self.nan_after
        self.results = {
            "energy": float("nan") if broken else 50 * d @ d / 2,
            "forces": np.array([50 * d, -50 * d]),
        }


def test_atoms_that_meet_stop_the_run():
    start = Atoms("H2", positions=[[0, 0, 0], [2.0, 0, 0]])
    run = dynamics.run_nve(_Attraction(), start, 500, 1)
    assert not run.stable
    assert run.min_distance_A < dynamics.TOO_CLOSE
    assert run.summary()["steps"] < 500


def test_nan_stops_the_run_and_stays_out_of_the_numbers():
    start = Atoms("H2", positions=[[0, 0, 0], [2.9, 0, 0]])
    run = dynamics.run_nve(_Attraction(nan_after=4), start, 50, 1)
    assert not run.stable
    assert np.isfinite(run.energy_eV_per_atom).all()
    assert 0 < run.summary()["steps"] < 50


class _Pull(Calculator):
    """Pulls the first atom away from the others."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms, properties, system_changes):
        super().calculate(atoms, properties, system_changes)
        forces = np.zeros((len(atoms), 3))
        forces[0, 0] = -50.0
        self.results = {"energy": 50.0 * atoms.positions[0, 0], "forces": forces}


def test_an_atom_that_leaves_the_others_is_counted():
    start = Atoms("H4", positions=[[0, 0, 0], [2, 0, 0], [4, 0, 0], [90, 0, 0]])  # the last was alone before
    assert dynamics.run_nve(_Pull(), start, 2, 1).atoms_lost == 0
    assert dynamics.run_nve(_Pull(), start, 60, 1).atoms_lost == 1


class _Broken(Calculator):
    """Has weights of NaN, and hangs, here: raises, where positions are not finite."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms, properties, system_changes):
        super().calculate(atoms, properties, system_changes)
        assert np.isfinite(atoms.positions).all()
        self.results = {"energy": self.value, "forces": np.full((len(atoms), 3), self.value)}


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e9])
def test_a_diverged_model_moves_no_atom(value):
    calculator = _Broken()
    calculator.value = value
    run = dynamics.run_nve(calculator, Atoms("H2", positions=[[0, 0, 0], [2.0, 0, 0]]), 10, 1)
    assert not run.stable
    assert run.summary()["steps"] == 0
    assert run.atoms_lost is None
