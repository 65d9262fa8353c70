"""``kan-heads eam train`` as a user meets it."""

import json
import pathlib
import re
import subprocess
import sys

import ase.io
import numpy as np
import pytest

pytest.importorskip("typer", reason="needs the extra [cli]")
pytest.importorskip("matscipy", reason="needs the extra [eam]")

from ase import Atoms
from ase.build import bulk
from eam_data import emt, labelled, strained_copper, write

from kan_heads.cli import app
from kan_heads.eam import load_potential
from kan_heads.eam.ase_calculator import EAMCalculator
from kan_heads.errors import ConfigError, DataError

QUICK = ("--rounds", "2", "--grid-size", "8", "--density-grid-size", "5")
DEPTH = ("--cohesive-energy", "3.51")


def copper(n=30, stress=True):
    """Crystals of copper with labels of ASE's effective medium theory, in which a free atom has 3.51 eV."""
    found = []
    for atoms in strained_copper()[:n]:
        energy, tensor = emt(atoms)
        found.append(labelled(atoms, energy, tensor if stress else None))
    return found


@pytest.fixture
def data(tmp_path):
    return write(tmp_path / "copper.extxyz", copper())


@pytest.fixture
def train(monkeypatch, capsys, tmp_path):
    """Runs the program in this process, in a folder of its own; returns what it prints."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        app.app(["eam", "train", *map(str, arguments)], standalone_mode=False)
        return capsys.readouterr().out

    return call


def program(*arguments, folder):
    """Runs ``kan-heads`` in a process of its own."""
    code = (
        f"import sys\nsys.argv = {['kan-heads', *map(str, arguments)]!r}\nimport kan_heads.cli as c\nc.main()"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=folder
    )


def test_from_a_file_to_a_potential(tmp_path, data):
    done = program("eam", "train", data, *QUICK, *DEPTH, "--out", "cu.json", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "30 structures of Cu: 18 + 6 + 6 for training, validation, test"
    assert [re.match(r"round (\d): loss .*, validation", line)[1] for line in lines[1:3]] == ["1", "2"]
    errors = [
        re.match(r"(\w+) +MAE: energy (\S+) meV/atom \((\d+)\), stress (\S+) GPa", x) for x in lines[3:6]
    ]
    assert [(e[1], e[3]) for e in errors] == [("training", "18"), ("validation", "6"), ("test", "6")]
    assert lines[6:] == ["written: cu.json"]
    # The numbers are those of the file, and small: labels spread over tens of meV and several GPa.
    assert all(float(e[2]) < 2.0 and float(e[4]) < 0.3 for e in errors)
    found = load_potential(tmp_path / "cu.json")
    assert found.config.element == "Cu"
    assert found.history["data"] == "copper.extxyz"
    assert found.history["errors"]["test"]["energy"] == pytest.approx(float(errors[2][2]), abs=6e-4)
    # ... and what a calculator gives on the structures of the file.
    structures = ase.io.read(data, ":")
    calculator = EAMCalculator(tmp_path / "cu.json", reference=True)
    off = [abs(calculator.get_potential_energy(a) - a.get_potential_energy()) for a in structures]
    expected = np.average([float(e[2]) for e in errors], weights=[18, 6, 6])
    assert 1e3 * np.mean(off) == pytest.approx(expected, abs=2e-3)


def test_pair_potential_from_energies_and_a_free_atom(train, tmp_path):
    path = write(tmp_path / "x.extxyz", [*copper(20, stress=False), free_atom()])
    output = train(path, *QUICK, "--kind", "pair", "--stress-weight", "0", "--order", "4", "--cutoff", "5")
    found = load_potential("potential.json")
    assert (found.config.kind, found.config.order, found.config.cutoff) == ("pair", 4, 5.0)
    assert found.history["cohesive_energy_eV"] == pytest.approx(3.51, abs=0.03)
    assert found.reference == pytest.approx(3.51, abs=1e-6)
    assert "stress" not in output
    # The grids start below the shortest distance of the data.
    shortest = min(
        a.repeat(3).get_all_distances()[13, [*range(13), *range(14, 27)]].min() for a in copper(20)
    )
    assert found.config.inner == pytest.approx(0.9 * shortest, abs=0.006)


def free_atom():
    return labelled(Atoms("Cu", cell=[15.0] * 3), 3.51)


def test_free_atom_without_a_cell(train, tmp_path):
    path = write(tmp_path / "x.extxyz", [*copper(20), labelled(Atoms("Cu"), 3.51)])
    train(path, *QUICK, "--kind", "pair")
    assert load_potential("potential.json").reference == pytest.approx(3.51, abs=1e-6)


def test_options_reach_the_fit(train, data):
    train(data, *QUICK, *DEPTH, "--kind", "pair", "--stress-tolerance", "0.5", "--energy-tolerance", "2")
    first = json.loads(pathlib.Path("potential.json").read_text())
    assert first["history"]["settings"]["stress_tolerance"] == pytest.approx(0.5 / 160.21766208)
    assert first["history"]["settings"]["energy_tolerance"] == pytest.approx(0.002)
    assert first["history"]["cohesive_energy_eV"] == 3.51
    train(data, *QUICK, *DEPTH, "--kind", "pair", "--seed", "1", "--out", "b.json")
    assert json.loads(pathlib.Path("b.json").read_text())["state"] != first["state"]


def test_groups_stay_together(train, tmp_path):
    found = copper(30)
    for k, atoms in enumerate(found):
        atoms.info["mode"] = "abcdef"[k % 6]
    path = write(tmp_path / "x.extxyz", found)
    output = train(path, *QUICK, *DEPTH, "--kind", "pair", "--group", "mode")
    assert output.startswith("30 structures of Cu: 20 + 5 + 5 ")


def test_structures_to_be_relaxed(train, tmp_path):
    found = []
    for a in (2.5, 2.55, 2.6, 2.65, 2.7):
        for c in (4.0, 4.1, 4.2):
            atoms = bulk("Cu", "hcp", a=a, c=c)
            energy, stress = emt(atoms)
            found.append(labelled(atoms, energy, stress, positions="unknown" if c == 4.0 else "known"))
    path = write(tmp_path / "x.extxyz", found)
    train(path, *QUICK, *DEPTH, "--kind", "pair", "--relax", "positions=unknown")
    assert load_potential("potential.json").fitted
    with pytest.raises(ConfigError, match=r"--relax positions=lost: no structure of .* has that"):
        train(path, *QUICK, *DEPTH, "--relax", "positions=lost")


REFUSED = {
    "no file": (["none.extxyz"], DataError, r"none\.extxyz: no such file"),
    "kind": (["{data}", "--kind", "eams"], ConfigError, "--kind 'eams' is unknown .did you mean 'eam'"),
    "group": (["{data}", "--group", "mode"], ConfigError, "--group mode: .* no such key"),
    "relax": (["{data}", "--relax", "mode"], ConfigError, "--relax mode: expected KEY=VALUE"),
    "depth": (["{data}"], DataError, "no free atom.* pass --cohesive-energy"),
    "name": (
        ["{data}", *DEPTH, "--out", "cu.txt"],
        ConfigError,
        r"--out cu\.txt: a potential is a JSON file",
    ),
    "folder": (
        ["{data}", *DEPTH, "--out", "no/cu.json"],
        ConfigError,
        "there is no folder no; make it first",
    ),
    "a folder": (
        ["{data}", *DEPTH, "--out", "x.json"],
        ConfigError,
        r"--out x\.json: is a folder; name a file",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_arguments_end_before_the_fit(train, data, tmp_path, name):
    arguments, kind, message = REFUSED[name]
    (tmp_path / "x.json").mkdir()
    with pytest.raises(kind, match=message) as error:
        train(*(data if word == "{data}" else word for word in arguments))
    assert "\n" not in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copper.extxyz", "x.json"]


def test_data_are_not_overwritten(train, tmp_path):
    path = write(tmp_path / "data.json", copper(3))
    before = pathlib.Path(path).read_bytes()
    with pytest.raises(
        ConfigError, match=r"--out data\.json: this is the input, and would be lost; name another file"
    ):
        train(path, *DEPTH, "--out", "data.json")
    assert pathlib.Path(path).read_bytes() == before


def test_too_few_structures(train, tmp_path):
    path = write(tmp_path / "x.extxyz", copper(2))
    with pytest.raises(DataError, match=r"leave none for the .*; add"):
        train(path, *DEPTH)


def test_atoms_out_of_reach_of_each_other_teach_nothing(train, tmp_path):
    far = [labelled(bulk("Cu", a=30.0 + k), -10.0, np.zeros((3, 3))) for k in range(8)]
    with pytest.raises(ConfigError, match="no two atoms of the data are within 16 Å"):
        train(write(tmp_path / "x.extxyz", far), *DEPTH)


def test_error_is_one_line_and_status_2(tmp_path):
    path = write(tmp_path / "x.extxyz", copper(6, stress=False))
    done = program("eam", "train", path, *DEPTH, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("kan-heads: error: ")
    assert done.stderr.count("\n") == 1
    assert "no structure has a stress" in done.stderr
    assert "--stress-weight 0" in done.stderr
    assert not (tmp_path / "potential.json").exists()
