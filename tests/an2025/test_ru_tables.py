"""Tables 2 and 3: the labels' own constants, and what the tables say."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("dscribe", reason="needs the extra [ru]")

from benchmarks.an2025 import mechanics, tables
from benchmarks.an2025.published import NOTE_ON_TABLE_2, TABLE_2, TABLE_3
from kan_heads.errors import DataError

DATA = Path(os.environ.get("KAN_HEADS_DATA", "")) / "ru" / "ru_strain_recovered.extxyz"
RECORDS = Path(__file__).parents[2] / "benchmarks" / "an2025" / "results"

with_data = pytest.mark.skipif(not DATA.is_file(), reason="needs $KAN_HEADS_DATA/ru")


@pytest.fixture(scope="module")
def frames():
    return mechanics.read_frames(DATA)


@pytest.fixture(scope="module")
def record():
    return json.loads((RECORDS / "tables.json").read_text())


@with_data
def test_the_labels_constants_are_those_of_the_design_note(frames):
    found, errors = mechanics.label_constants(frames)
    expected = {"C11": 605, "C12": 199, "C13": 174, "C33": 709, "C44": 206}
    assert found == pytest.approx(expected, rel=0.01)
    assert max(errors.values()) < 1.0


@with_data
def test_unstrained_cells_of_all_modes_are_one_group(frames):
    unstrained = {frame.group for frame in frames if frame.atoms.info["eta"] == 0}
    assert len(unstrained) == 1


@with_data
def test_a_mode_that_reads_as_a_truth_value_stays_apart(frames):
    assert len({str(frame.atoms.info["mode"]) for frame in frames}) == 7
    groups = {frame.group for frame in frames if frame.atoms.info["mode"] is False}
    others = {frame.group for frame in frames if frame.atoms.info["mode"] is not False}
    assert len(groups) > 10
    assert len(groups & others) <= 1, "the unstrained cell at most"


@with_data
def test_positions_of_two_kinds(frames):
    assert sum(frame.relax for frame in frames) == 365
    assert sum(frame.stress is not None for frame in frames) == 578


def test_no_unstrained_cell_is_an_error():
    with pytest.raises(DataError, match="without strain"):
        mechanics.reference_cell([])


def test_moduli_of_the_labels_follow_from_their_constants():
    constants = {"C11": 605.0, "C12": 199.0, "C13": 174.0, "C33": 709.0, "C44": 206.0}
    rows = mechanics.Properties(constants).rows()
    c = np.array([[605, 199, 174], [199, 605, 174], [174, 174, 709]], dtype=float)
    voigt, reuss = c.sum() / 9, 1 / np.linalg.inv(c).sum()
    assert rows["bulk modulus"] == pytest.approx((voigt + reuss) / 2)
    young, shear = rows["Young's modulus"], rows["shear modulus"]
    assert rows["Poisson's ratio"] == pytest.approx(young / (2 * shear) - 1)
    assert rows["thermal expansion"] is None


def test_the_committed_tables_follow_from_the_committed_record(record):
    assert tables.render(record) == (RECORDS / "tables.md").read_text()


def test_published_values_carry_their_note(record):
    text = tables.render(record)
    assert NOTE_ON_TABLE_2 in text
    line = next(line for line in text.splitlines() if line.startswith("| C11 (GPa)"))
    assert line.split("|")[-2].strip() == f"{TABLE_2['C11'][0]:.1f}"


def test_no_published_value_is_measured(record):
    published = {value for row in (*TABLE_2.values(), *TABLE_3.values()) for value in row}
    for found in record["potentials"].values():
        assert not published & {round(value, 1) for value in found["lammps"].values()}


def test_the_embedded_atom_potential_has_what_a_pair_potential_cannot_have(record):
    """The aim of 3 % is for the table to show; here, that C13 < C44 and that nothing is far off."""
    labels = record["labels"]["constants"]
    found = {kind: p["properties"]["constants"] for kind, p in record["potentials"].items()}
    assert found["pair"]["C13"] == pytest.approx(found["pair"]["C44"], rel=1e-6), "Cauchy's relation"
    assert labels["C13"] < 0.9 * labels["C44"]
    assert found["eam"]["C13"] < 0.9 * found["eam"]["C44"]
    assert found["eam"] == pytest.approx(labels, rel=0.05)


def test_lammps_and_autograd_agree(record):
    for found in record["potentials"].values():
        assert found["lammps"] == pytest.approx(found["properties"]["constants"], rel=1e-5)
