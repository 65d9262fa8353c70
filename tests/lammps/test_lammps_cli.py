"""``kan-heads lammps run`` as a user meets it."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import ase.io
import numpy as np
import pytest
from ase import units
from lammps_systems import alloy, moving, run

from kan_heads.cli import app
from kan_heads.errors import ConfigError, DataError, ModelError

BAR = units.bar


@pytest.fixture
def program(monkeypatch, capsys, tmp_path):
    """Runs the program in this process, in a folder of its own; returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        app.app(["lammps", "run", *map(str, arguments)], standalone_mode=False)
        return capsys.readouterr()

    return call


def columns(output):
    """The rows of the table, as numbers."""
    lines = [line.split() for line in output.splitlines() if not line.startswith("#") and "step" not in line]
    return np.array([[float(word) for word in line] for line in lines if line[0].isdigit()])


def calculator(checkpoint):
    from kan_heads.lammps.models import load_calculator

    return load_calculator(str(checkpoint))


def test_end_to_end(program, checkpoint, silver):
    output, stages = program(
        *(checkpoint, silver / "val.extxyz", "--index", "1", "--ensemble", "nve", "--steps", "20"),
        *("--thermo", "5", "--dump", "t.lammpstrj", "--dump-every", "10", "--final", "final.extxyz"),
        *("--json", "r.json", "--log", "log.lammps"),
    )
    assert stages.splitlines() == ["Loading the model ...", "Evaluating the structure ..."]
    lines = output.splitlines()
    assert lines[0] == "# Ag71: 20 steps of 1 fs, nve from 300 K"
    assert lines[1].split() == ["step", "T(K)", "E_pot(eV)", "E_kin(eV)", "E_total(eV)", "P(bar)", "V(A^3)"]
    assert max(map(len, lines[1:7])) < 80
    assert "ms per step (median); peak memory" in lines[7]
    assert lines[8].startswith("drift of the total energy: ")
    assert lines[9] == "written: t.lammpstrj, final.extxyz, r.json, log.lammps"
    rows = columns(output)
    assert rows[:, 0].tolist() == [0, 5, 10, 15, 20]
    assert rows[0, 1] == 300.0
    record = json.loads(pathlib.Path("r.json").read_text())
    assert record["model"] == str(checkpoint)
    assert record["structure"] == str(silver / "val.extxyz")
    np.testing.assert_allclose([row["total_eV"] for row in record["thermo"]], rows[:, 4], atol=1e-6)
    # Energy and pressure of the first and the last structure are ASE's, with the kinetic part.
    first, last = ase.io.read(silver / "val.extxyz", index=1), ase.io.read("final.extxyz")
    for atoms, row in ((first, record["thermo"][0]), (last, record["thermo"][-1])):
        atoms.calc = calculator(checkpoint)
        assert row["potential_eV"] == pytest.approx(atoms.get_potential_energy(), rel=1e-6)
        ideal = 2 * row["kinetic_eV"] / (3 * atoms.get_volume())
        pressure = (ideal - atoms.get_stress()[:3].mean()) / BAR
        assert row["pressure_bar"] == pytest.approx(pressure, rel=1e-6)
    frames = ase.io.read("t.lammpstrj", index=":")
    assert len(frames) == 3
    np.testing.assert_allclose(frames[0].positions, first.positions, atol=1e-8)
    np.testing.assert_allclose(frames[-1].positions, last.positions, atol=1e-7)
    np.testing.assert_allclose(frames[-1].get_forces(), last.get_forces(), atol=1e-6)
    assert last.get_temperature() == pytest.approx(rows[-1, 1] * (3 * 71 - 3) / (3 * 71), rel=1e-4)


def test_json_on_standard_output_is_nothing_else(program, checkpoint, silver):
    output, rest = program(checkpoint, silver / "val.extxyz", "--steps", "4", "--json", "-")
    assert json.loads(output)["steps"] == 4
    assert "E_total" in rest


def test_npt_and_a_start_from_a_file(program, checkpoint, silver):
    start = moving(ase.io.read(silver / "val.extxyz"), kelvin=150.0)
    ase.io.write("start.extxyz", start, columns=["symbols", "positions", "momenta"])
    output, _ = program(
        *(checkpoint, "start.extxyz", "--keep-velocities", "--ensemble", "npt", "--coupling", "aniso"),
        *("--temperature", "150", "--pressure", "1000", "--pdamp", "100", "--steps", "20", "--thermo", "20"),
    )
    assert output.startswith("# Ag71: 20 steps of 1 fs, npt at 150 K and 1000 bar (aniso)\n")
    rows = columns(output)
    assert rows[0, 3] == pytest.approx(start.get_kinetic_energy(), abs=1e-4)
    assert rows[-1, -1] != rows[0, -1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["no.ckpt", "s.extxyz"], ModelError, "^no.ckpt: no such file; give a compiled model"),
        (["s.extxyz", "s.extxyz"], ModelError, "^s.extxyz: the name says no kind of model"),
        (["m.ckpt", "no.cif"], DataError, "^no.cif: no such file"),
        (["m.ckpt", "s.extxyz", "--index", "7"], DataError, "has 2 structures, none is --index 7"),
        (["m.ckpt", "s.extxyz", "--index", ":"], ConfigError, "chooses 2 structures, a run starts from one"),
        (["m.ckpt", "s.extxyz", "--final", "s.extxyz"], ConfigError, "--final s.extxyz: this is the input"),
        (["m.ckpt", "s.extxyz", "--json", "m.ckpt"], ConfigError, "--json m.ckpt: this is the input"),
        (["m.ckpt", "s.extxyz", "--final", "f.cif"], ConfigError, r"call it \*.extxyz"),
        (["m.ckpt", "s.extxyz", "--json", "a", "--log", "./a"], ConfigError, "--json writes there already"),
        (["m.ckpt", "s.extxyz", "--json", "no/r.json"], ConfigError, "there is no folder no; make it first"),
        (["m.ckpt", "s.extxyz", "--dtype", "float64"], ConfigError, "--dtype: is about a MACE .model"),
        (["m.ckpt", "s.extxyz", "--device", "gpu"], ConfigError, "--device: 'gpu' is no device of torch"),
        (["m.ckpt", "s.extxyz", "--pressure", "1"], ConfigError, "--pressure: nvt has no barostat"),
    ],
)
def test_what_is_wrong_with_a_call(program, arguments, error, message):
    ase.io.write("s.extxyz", [alloy(), alloy()])
    pathlib.Path("m.ckpt").touch()
    with pytest.raises(error, match=message):
        program(*arguments)
    assert sorted(os.listdir()) == ["m.ckpt", "s.extxyz"]


def test_an_element_that_the_model_does_not_know(program, checkpoint):
    ase.io.write("s.extxyz", alloy())
    with pytest.raises(DataError, match="holds Au, Cu, which the model does not know; it knows Ag"):
        program(checkpoint, "s.extxyz")


def test_an_error_is_one_line_and_status_2(checkpoint, silver, tmp_path):
    _, errors = run("kan-heads", "lammps", "run", "x.pt", silver / "val.extxyz", cwd=tmp_path, expect=2)
    assert errors.startswith("kan-heads: error: x.pt: no such file; give a compiled model")
    assert errors.count("\n") == 1


def test_ctrl_c(checkpoint, silver, tmp_path):
    program = pathlib.Path(sys.executable).parent / "kan-heads"
    command = [program, "lammps", "run", checkpoint, silver / "val.extxyz"]
    options = ["--steps", "1000000", "--thermo", "1", "--dump", "d.lammpstrj", "--dump-every", "1"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*map(str, command), *options],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.split()[0] == "3":
            process.send_signal(signal.SIGINT)
            break
    process.stdout.read()
    errors = process.stderr.read()
    assert process.wait(timeout=30) == 130
    assert "; d.lammpstrj holds the frames up to there" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("dtype", [None, "float32"])
def test_a_mace_model(program, mace_file, dtype):
    from mace.calculators import MACECalculator

    start = alloy()
    ase.io.write("s.extxyz", start)
    options = () if dtype is None else ("--dtype", dtype)
    program(mace_file, "s.extxyz", "--trust", "--steps", "2", "--json", "r.json", *options)
    row = json.loads(pathlib.Path("r.json").read_text())["thermo"][0]
    start.calc = MACECalculator(str(mace_file), device="cpu", default_dtype=dtype or "float64")
    assert row["potential_eV"] == pytest.approx(start.get_potential_energy(), rel=1e-6)
    ideal = 2 * row["kinetic_eV"] / (3 * start.get_volume())
    assert row["pressure_bar"] == pytest.approx((ideal - start.get_stress()[:3].mean()) / BAR, rel=1e-6)


def test_what_does_not_fit_a_mace_model(program, mace_file):
    ase.io.write("s.extxyz", alloy())
    with pytest.raises(ConfigError, match=r"--head dft: .*kan\.model has no such head; it has Default"):
        program(mace_file, "s.extxyz", "--trust", "--head", "dft")
    strange = alloy()
    strange.symbols[0] = "Pt"
    ase.io.write("s.extxyz", strange)
    with pytest.raises(DataError, match="holds Pt, which the model does not know; it knows Cu, Ag, Au"):
        program(mace_file, "s.extxyz", "--trust")
