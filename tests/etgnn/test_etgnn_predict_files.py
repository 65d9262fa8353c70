"""``kan-heads predict``: what it shows, writes and refuses. Real model files: test_etgnn_compile."""

import functools
import io
import os
import re

import ase.io
import numpy as np
import pandas
import pytest
from ase.build import bulk
from etgnn_models import BORN, build, silica

pytest.importorskip("typer")

import etgnn_predictions
from etgnn_predictions import CRYSTAL, labelled, molecule, run, with_nan

from benchmarks.datasets import born_charges
from kan_heads.data.reading import read_frames
from kan_heads.errors import ConfigError, DataError, KanHeadsError
from kan_heads.etgnn.born_file import parse_dielectric, write_born
from kan_heads.etgnn.predict import TensorPredictor


@pytest.fixture
def load(monkeypatch, tmp_path):
    return functools.partial(etgnn_predictions.load, folder=tmp_path, monkeypatch=monkeypatch)


@pytest.fixture
def checkpoint(load, tmp_path):
    load(build())
    return str(tmp_path / "best.ckpt")


def test_the_plain_output_is_a_table_for_programs(checkpoint, tmp_path):
    frames = [labelled(seed)[0] for seed in range(3)]
    ase.io.write(tmp_path / "three.extxyz", frames)
    done = run(checkpoint, tmp_path / "three.extxyz", "--index", "1:")
    assert done.exit_code == 0
    table = pandas.read_csv(io.StringIO(done.stdout), sep=r"\s+", comment="#")
    assert list(table.frame) == [1] * 6 + [2] * 6
    assert list(table.atom) == [1, 2, 3, 4, 5, 6] * 2
    assert "".join(table.element[:6]) == "SiSiOOOO"
    predictor = TensorPredictor(checkpoint)
    expected = np.concatenate([predictor.predict(frame) for frame in frames[1:]])
    np.testing.assert_allclose(table.iloc[:, 3:12].to_numpy().reshape(-1, 3, 3), expected, atol=1e-6)
    np.testing.assert_allclose(table.iso, expected.trace(axis1=1, axis2=2) / 3, atol=1e-6)
    labels = np.concatenate([labelled(seed)[1] for seed in (1, 2)])
    mae = np.abs(expected - labels).mean()
    assert f"# MAE against the labels of 2 structures: {mae:.4f} e\n" in done.stdout
    assert "-0.000000" not in done.stdout


@pytest.mark.parametrize(
    ("index", "numbers"), [("-1", [4]), ("0", [0]), (":", [0, 1, 2, 3, 4]), ("-2:", [3, 4]), ("::3", [0, 3])]
)
def test_an_index_counts_as_in_ase(index, numbers, tmp_path):
    frames = [silica(seed) for seed in range(5)]
    ase.io.write(tmp_path / "five.extxyz", frames)
    found = read_frames(str(tmp_path / "five.extxyz"), index)
    assert [number for number, _ in found] == numbers
    for number, atoms in found:
        np.testing.assert_allclose(atoms.positions, frames[number].positions, atol=1e-7)


def test_what_is_written_is_read_as_tensors_and_keeps_the_labels(checkpoint, tmp_path):
    pairs = [labelled(seed) for seed in range(2)]
    ase.io.write(tmp_path / "in.extxyz", [atoms for atoms, _ in pairs])
    out = tmp_path / "out.extxyz"
    done = run(checkpoint, tmp_path / "in.extxyz", "--index", ":", "--out", out)
    assert done.exit_code == 0
    assert f"# written: {out}" in done.stdout
    assert "frame atom element" not in done.stdout
    predictor = TensorPredictor(checkpoint)
    for found, (atoms, labels) in zip(ase.io.read(out, ":"), pairs, strict=True):
        np.testing.assert_allclose(born_charges(found), predictor.predict(atoms), atol=1e-6)
        np.testing.assert_allclose(found.arrays[f"{BORN}_label"].reshape(6, 3, 3), labels, atol=1e-7)
        assert found.info["predicted_by"] == "best.ckpt"
        assert found.get_potential_energy() == pytest.approx(-3.5)
        np.testing.assert_allclose(found.get_forces(), labels[:, 0], atol=1e-7)
        np.testing.assert_allclose(found.cell.array, atoms.cell.array, atol=1e-7)


def test_tensors_of_crystals_keep_their_rows(load, tmp_path):
    predictor = load(build(**CRYSTAL))
    atoms = silica()
    atoms.info[CRYSTAL["field"]] = np.arange(9.0).reshape(3, 3)
    ase.io.write(tmp_path / "in.extxyz", atoms)
    out = tmp_path / "out.extxyz"
    done = run(tmp_path / "best.ckpt", tmp_path / "in.extxyz", "--out", out)
    expected = predictor.predict(atoms)
    assert np.abs(expected - expected.T).max() > 1e-3
    found = ase.io.read(out)
    np.testing.assert_allclose(found.info[CRYSTAL["field"]], expected, atol=1e-6)
    np.testing.assert_allclose(found.info[CRYSTAL["field"] + "_label"], np.arange(9.0).reshape(3, 3))
    table = pandas.read_csv(io.StringIO(done.stdout), sep=r"\s+", comment="#")
    np.testing.assert_allclose(table[["xy", "yx"]].to_numpy()[0], [expected[0, 1], expected[1, 0]], atol=1e-6)
    mae = np.abs(expected - np.arange(9.0).reshape(3, 3)).mean()
    assert f"labels of 1 structure: {mae:.4f}\n" in done.stdout


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("changes", [{}, CRYSTAL])
def test_a_terminal_shows_whole_numbers(columns, changes, load, tmp_path, monkeypatch):
    predictor = load(build(**changes))
    atoms = silica() * (2, 1, 1)
    ase.io.write(tmp_path / "POSCAR", atoms)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    text = re.sub(r"\x1b\[[0-9;]*m", "", run(tmp_path / "best.ckpt", tmp_path / "POSCAR").stdout)
    assert "…" not in text
    digits = 3 if predictor.per == "atom" else 4
    numbers = [float(number) for number in re.findall(rf"-?\d+\.\d{{{digits}}}\b", text)]
    tensors = predictor.predict(ase.io.read(tmp_path / "POSCAR")).reshape(-1, 3, 3)
    isotropic = tensors.trace(axis1=1, axis2=2) / 3
    expected = np.concatenate([tensors.reshape(-1, 9), isotropic[:, None]], axis=1).ravel()
    np.testing.assert_allclose(numbers, expected, atol=0.6 * 10**-digits)
    tables = [line for line in text.splitlines() if line.startswith(("atom", " 1 Si", "12 O", "x"))]
    assert len(tables) == (3 if predictor.per == "atom" else 1)
    assert max(map(len, tables)) <= 80


def crystal(kind):
    atoms = {
        "rutile": silica(amplitude=0.0),
        "rocksalt": bulk("MgO", "rocksalt", 4.2, cubic=True),
        "wurtzite": bulk("MgO", "wurtzite", 3.2, 5.1),
    }[kind]
    atoms.symbols[atoms.symbols == "Mg"] = "Si"
    return atoms


def test_a_second_prediction_is_compared_with_the_labels_and_not_with_the_first(checkpoint, tmp_path):
    ase.io.write(tmp_path / "in.extxyz", labelled(0)[0])
    first = run(checkpoint, tmp_path / "in.extxyz", "--out", tmp_path / "first.extxyz")
    second = run(checkpoint, tmp_path / "first.extxyz", "--out", tmp_path / "second.extxyz")
    mae = re.search(r"MAE .*", first.stdout).group()
    assert float(re.search(r"([\d.]+) e", mae).group(1)) > 0.0
    assert mae in second.stdout
    files = [ase.io.read(tmp_path / f"{name}.extxyz") for name in ("first", "second")]
    np.testing.assert_array_equal(*(atoms.arrays[f"{BORN}_label"] for atoms in files))


@pytest.mark.parametrize("numbers", [6, 5])
def test_labels_of_another_shape_are_kept_and_six_numbers_are_understood(numbers, checkpoint, tmp_path):
    atoms = silica(0)
    rows = np.arange(float(numbers * len(atoms))).reshape(len(atoms), numbers)
    atoms.set_array(BORN, rows)
    ase.io.write(tmp_path / "in.extxyz", atoms)
    done = run(checkpoint, tmp_path / "in.extxyz", "--out", tmp_path / "out.extxyz")
    assert done.exit_code == 0, done.stderr
    found = ase.io.read(tmp_path / "out.extxyz")
    kept = np.asarray({**found.arrays, **found.info}[f"{BORN}_label"]).reshape(len(atoms), -1)
    if numbers == 6:
        assert "MAE" in done.stdout
        np.testing.assert_array_equal(kept, rows[:, [0, 5, 4, 5, 1, 3, 4, 3, 2]])
    else:
        assert "MAE" not in done.stdout
        np.testing.assert_array_equal(kept, rows)


@pytest.mark.parametrize(("kind", "independent"), [("rutile", 2), ("rocksalt", 2), ("wurtzite", 2)])
def test_phonopy_reads_the_charges_of_all_atoms_from_born(kind, independent, checkpoint, tmp_path):
    phonopy = pytest.importorskip("phonopy")
    from phonopy.file_IO import parse_BORN
    from phonopy.structure.atoms import PhonopyAtoms

    atoms = crystal(kind)
    ase.io.write(tmp_path / "in.extxyz", atoms)
    out = tmp_path / "BORN"
    done = run(checkpoint, tmp_path / "in.extxyz", "--out", out, "--dielectric", "2.0,2.0,2.5")
    assert done.exit_code == 0
    assert "note" not in done.stdout
    assert len(out.read_text().splitlines()) == 2 + independent
    cell = PhonopyAtoms(
        symbols=list(atoms.symbols), cell=atoms.cell[:], scaled_positions=atoms.get_scaled_positions()
    )
    phonon = phonopy.Phonopy(cell, np.eye(3), primitive_matrix="auto", log_level=0)
    found = parse_BORN(phonon.primitive, filename=out)
    expected = TensorPredictor(checkpoint).predict(atoms)
    # A translation turns nothing, so that the atoms of the primitive cell have the charges of their images.
    np.testing.assert_allclose(found["born"], expected[phonon.primitive.p2s_map], atol=2e-6)
    assert np.abs(expected).max() > 0.1
    trace = 2.0 * 2 + 2.5
    assert found["dielectric"].trace() == pytest.approx(trace, abs=1e-6)


def test_born_says_when_symmetry_moved_the_charges(checkpoint, tmp_path):
    pytest.importorskip("phonopy")
    ase.io.write(tmp_path / "in.extxyz", silica(amplitude=0.1))
    options = ("--out", tmp_path / "x.born", "--dielectric", "2.4")
    exact = run(checkpoint, tmp_path / "in.extxyz", *options)
    assert "atoms 1 2 3 4 5 6 stand for all 6" in exact.stdout
    assert "note" not in exact.stdout
    loose = run(checkpoint, tmp_path / "in.extxyz", *options, "--symprec", "0.5")
    change = float(re.search(r"# note: .* changed charges by up to ([0-9.]+) e", loose.stdout)[1])
    assert change > 0.05


def test_born_is_for_crystals(checkpoint, tmp_path):
    pytest.importorskip("phonopy")
    charges = np.zeros((3, 3, 3))
    with pytest.raises(DataError, match="not periodic"):
        write_born(str(tmp_path / "BORN"), molecule(), charges, np.eye(3))
    assert os.listdir(tmp_path) == ["best.ckpt"]


@pytest.mark.parametrize(
    ("text", "tensor"),
    [
        ("2.5", np.diag([2.5, 2.5, 2.5])),
        ("2 3, 4", np.diag([2.0, 3.0, 4.0])),
        ("2 .1 0 .1 3 0 0 0 4", [[2, 0.1, 0], [0.1, 3, 0], [0, 0, 4]]),
    ],
)
def test_a_dielectric_tensor_is_1_3_or_9_numbers(text, tensor):
    np.testing.assert_array_equal(parse_dielectric(text), tensor)


@pytest.mark.parametrize("text", ["", "2 3", "two", "-1", "nan", "2 1 0 0 2 0 0 0 2", "1 2 0 2 1 0 0 0 1"])
def test_other_dielectric_tensors_are_refused(text):
    with pytest.raises(ConfigError, match="--dielectric"):
        parse_dielectric(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in.extxyz", "--out", "none/out.extxyz"], "there is no folder"),
        (["in.extxyz", "--out", "."], "the name says no format"),
        (["in.extxyz", "--out", "folder.xyz"], "is a folder"),
        (["in.extxyz", "--out", "out.cif"], "the name says no format"),
        (["in.extxyz", "--out", "out.cif", "--format", "extxys"], "did you mean 'extxyz'"),
        (["in.extxyz", "--format", "extxyz"], "name it by --out"),
        (["in.extxyz", "--out", "in.extxyz"], "this is the input"),
        (["in.extxyz", "--out", "best.ckpt", "--format", "extxyz"], "this is the input"),
        (["in.extxyz", "--out", "BORN"], "needs the dielectric tensor; add e.g. --dielectric"),
        (["in.extxyz", "--out", "BORN", "--dielectric", "1 2"], "give 1, 3"),
        (["in.extxyz", "--out", "BORN", "--dielectric", "2", "--symprec", "0"], "--symprec: 0 must be"),
        (["in.extxyz", "--out", "BORN", "--dielectric", "2", "--index", ":"], "BORN is of one"),
        (["in.extxyz", "--dielectric", "2"], "only a BORN file"),
        (["in.extxyz", "--index", "first"], "is no index"),
        (["in.extxyz", "--index", "7"], "has 2 structures, none is --index 7"),
        (["in.extxyz", "--device", "gpu0"], "no device of torch"),
        (["none.cif"], "no such file; correct the path, or give a structure"),
        (["empty.xyz"], "is empty"),
        (["junk.cif"], "ASE cannot read this file"),
    ],
)
def test_bad_options_are_one_line_and_write_nothing(arguments, message, checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ase.io.write("in.extxyz", [silica(0), silica(1)])
    (tmp_path / "empty.xyz").touch()
    (tmp_path / "junk.cif").write_text("hello\n")
    (tmp_path / "folder.xyz").mkdir()
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    done = run("best.ckpt", *arguments)
    assert isinstance(done.exception, KanHeadsError)
    assert message in str(done.exception)
    assert "\n" not in str(done.exception)
    assert done.stdout == ""
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_born_of_a_tensor_of_the_crystal_is_refused(load, tmp_path):
    load(build(**CRYSTAL))
    ase.io.write(tmp_path / "in.extxyz", silica())
    done = run(
        tmp_path / "best.ckpt", tmp_path / "in.extxyz", "--out", tmp_path / "BORN", "--dielectric", "2"
    )
    assert "of the crystal; BORN holds charges of atoms" in str(done.exception)


def test_a_bad_frame_among_many_is_named_and_the_old_file_stays(checkpoint, tmp_path):
    ase.io.write(tmp_path / "in.extxyz", [silica(0), with_nan()])
    out = tmp_path / "out.extxyz"
    out.write_text("old")
    done = run(checkpoint, tmp_path / "in.extxyz", "--index", ":", "--out", out)
    assert f"{tmp_path / 'in.extxyz'}, frame 1: the structure: the position of atom 3" in str(done.exception)
    assert out.read_text() == "old"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(checkpoint, tmp_path, monkeypatch):
    ase.io.write(tmp_path / "in.extxyz", silica())
    out = tmp_path / "out.extxyz"
    out.write_text("old")

    def full(path, *_, **__):
        with open(path, "w") as file:
            file.write("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ase.io.write", full)
    done = run(checkpoint, tmp_path / "in.extxyz", "--out", out)
    assert "cannot be written (No space left on device)" in str(done.exception)
    assert out.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["best.ckpt", "in.extxyz", "out.extxyz"]
