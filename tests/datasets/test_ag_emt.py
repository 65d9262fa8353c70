import json

import ase.io
import numpy as np
import pytest
from ase.calculators.emt import EMT

from benchmarks.datasets import ag_emt, prepare


@pytest.fixture(scope="module")
def frames():
    return ag_emt.generate(n_frames=80, seed=3, equilibration=100)


def test_the_same_seed_gives_the_same_frames():
    a, b = (ag_emt.generate(n_frames=2, seed=5, equilibration=3) for _ in range(2))
    other = ag_emt.generate(n_frames=2, seed=6, equilibration=3)
    for x, y, z in zip(a, b, other, strict=True):
        assert np.array_equal(x.positions, y.positions)
        assert not np.array_equal(x.positions, z.positions)
        assert x.get_potential_energy() == y.get_potential_energy()


def test_it_is_warm_silver_with_a_vacancy(frames):
    assert all(str(a.symbols) == "Ag71" and a.pbc.all() for a in frames)
    # One frame fluctuates by 300 K * sqrt(2 / 213) = 29 K.
    assert abs(np.mean([a.info["temperature"] for a in frames]) - 300) < 25
    assert all(a.info["stand_in"] == "ASE-EMT" for a in frames)


def test_forces_are_minus_the_gradient_of_the_energy(frames):
    a = frames[40].copy()
    a.calc = EMT()
    step, numeric = 1e-3, []
    for axis in range(3):
        energies = []
        for sign in (1, -1):
            b = a.copy()
            b.calc = EMT()
            b.positions[7, axis] += sign * step
            energies.append(b.get_potential_energy())
        numeric.append(-(energies[0] - energies[1]) / (2 * step))
    np.testing.assert_allclose(frames[40].get_forces()[7], numeric, atol=1e-4)
    assert frames[40].get_potential_energy() == pytest.approx(a.get_potential_energy(), abs=1e-9)


def test_successive_frames_are_mostly_decorrelated(frames):
    forces = np.array([a.get_forces() for a in frames])
    assert (forces[1:] * forces[:-1]).mean() / (forces**2).mean() < 0.5


def test_prepare_says_stand_in_everywhere_and_generates_once(frames, tmp_path, cache, monkeypatch):
    monkeypatch.delenv("KAN_HEADS_DATA", raising=False)
    calls = []

    def quick():
        calls.append(1)
        return (frames * 13)[:1000]

    monkeypatch.setattr(ag_emt, "generate", quick)
    said = []
    assert prepare("ag-emt", tmp_path / "a", say=said.append).sizes == {"train": 950, "val": 50, "test": 0}
    prepare("ag-emt", tmp_path / "b", train=20, val=5)
    assert len(calls) == 1
    record = json.loads((tmp_path / "a/split.json").read_text())
    assert record["stand_in"] is True
    assert record["paper_data"] is False
    assert record["sources"][0]["sha256"]
    assert any("stand-in" in line for line in said)
    read = ase.io.read(tmp_path / "a/train.extxyz", ":")
    assert all(a.info["stand_in"] == "ASE-EMT" and "stress" in a.calc.results for a in read)
    small = json.loads((tmp_path / "b/split.json").read_text())["indices"]
    assert small["train"] == record["indices"]["train"][:20]
    assert small["val"] == record["indices"]["val"][:5]
