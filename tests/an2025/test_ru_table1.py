"""Table 1: splits, errors and what is shown; the real data only where KAN_HEADS_DATA has them."""

import dataclasses
import json
import os
import pathlib

import numpy as np
import pytest
import torch

pytest.importorskip("lightning", reason="needs the extra [ru]")
pytest.importorskip("ase", reason="needs the extra [ru]")
pytest.importorskip("typer", reason="needs the extra [ru]")

from typer.testing import CliRunner

from benchmarks.an2025 import dataset, rendering, table1
from benchmarks.an2025.__main__ import app
from benchmarks.an2025.published import TABLE_1
from kan_heads.errors import ConfigError, DataError
from kan_heads.global_state import default_dtype


@pytest.fixture(scope="module")
def path():
    found = pathlib.Path(os.environ.get("KAN_HEADS_DATA") or "nowhere") / "ru" / "ru_strain_recovered.extxyz"
    if not found.is_file():
        pytest.skip("needs the ruthenium data: set KAN_HEADS_DATA")
    return found


@pytest.fixture(scope="module")
def structures(path):
    return dataset.read(path)


@pytest.fixture(scope="module")
def rows(path):
    return table1.table1_rows(path, models=["kan"])


def one(rows, protocol, model):
    (row,) = [row for row in rows if (row.protocol, row.model) == (protocol, model)]
    return row


def test_published_split_has_the_test_rows_of_scikit_learn():
    model_selection = pytest.importorskip("sklearn.model_selection")
    split = dataset.published_split(670)
    rest, test = model_selection.train_test_split(np.arange(670), test_size=0.2, random_state=42)
    np.testing.assert_array_equal(split["test"], test)
    assert sorted([*split["train"], *split["val"]]) == sorted(rest)
    assert {name: len(rows) for name, rows in split.items()} == {"train": 402, "val": 134, "test": 134}


def test_a_split_with_a_row_in_two_sets_is_refused():
    split = {"train": np.array([0, 1]), "val": np.array([2]), "test": np.array([1])}
    with pytest.raises(ConfigError, match="exactly one of train, val, test"):
        dataset.check_split(split, 3)


def test_units_are_those_of_the_published_file(path, structures):
    origin = path.parent / "energy_force.json"
    if not origin.is_file():
        pytest.skip("needs energy_force.json beside the structures")
    records = json.loads(origin.read_text())
    energies = np.array([record["outputs"]["energy"] for record in records])  # Ry
    np.testing.assert_allclose(structures.energies, energies, rtol=0, atol=1e-8)
    assert 9e-5 < np.abs(structures.forces).max() < 1e-4  # the relaxation stopped there, Ry/bohr


def test_grouped_split_has_no_structure_in_two_sets(structures):
    keys = dataset.structure_keys(structures)
    for seed in range(3):
        split = dataset.grouped_split(structures, seed)
        dataset.check_split(split, len(structures))
        groups = {name: {structures.groups[i] for i in rows} for name, rows in split.items()}
        seen = {name: {keys[i] for i in rows} for name, rows in split.items()}
        for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
            assert not groups[a] & groups[b]
            assert not seen[a] & seen[b]


def test_half_of_the_published_test_rows_are_known(structures):
    keys = dataset.structure_keys(structures)
    split = dataset.published_split(len(structures))
    assert dataset.duplicates(keys, split) == 69
    same = [
        any(np.abs(structures.positions[i] - structures.positions[j]).max() < 1e-4 for j in split["train"])
        for i in split["test"]
    ]
    assert sum(same) == 69
    # The published code trains on the validation rows too.
    wider = {"train": np.concatenate([split["train"], split["val"]]), "test": split["test"]}
    assert dataset.duplicates(keys, wider) == 81


def test_grouped_protocol_fits_to_training_rows(structures):
    protocol = table1.make_protocol("grouped", structures)
    known = protocol.targets.normalised[protocol.split["train"]]
    np.testing.assert_allclose(known.mean(0), 0.0, atol=1e-9)
    everything = table1.make_protocol("published", structures).targets.normalised
    np.testing.assert_allclose(everything.mean(0), 0.0, atol=1e-9)


def test_kan_comes_near_the_published_errors(rows):
    row = one(rows, "published", "kan")
    assert row.published == TABLE_1["kan"]
    np.testing.assert_allclose(row.mae, row.published.mae, atol=0.12)
    constant = one(rows, "published", "mean")
    assert row.mse[2] < constant.mse[2]
    assert row.energy_mae[2] < 0.6 * constant.energy_mae[2]


def test_constants_are_the_best_ones(rows):
    for protocol in table1.PROTOCOLS:
        mean, median = one(rows, protocol, "mean"), one(rows, protocol, "median")
        assert mean.mse[0] < median.mse[0]
        assert median.mae[0] < mean.mae[0]
        assert mean.published is None
    # Normalised by the training rows, their variance is 1.
    assert one(rows, "grouped", "mean").mse[0] == pytest.approx(1.0)


def test_published_values_stand_only_beside_the_published_protocol(rows):
    text = rendering.as_markdown(rows)
    published, grouped = text.split("Whole strains")
    assert "| published MAE |" in published
    assert "0.36 / 0.30 / 0.31" in published
    assert "published" not in grouped.split("\n\n")[1]
    assert "0.36 / 0.30 / 0.31" not in grouped
    assert "69 of 134 test rows have an exact duplicate" in published


def test_tables_fit_a_hundred_columns(rows):
    from rich.console import Console

    long = [dataclasses.replace(row, label="GNN given forces", note="x") for row in rows]
    long = [dataclasses.replace(row, energy_mae=(326.4, 326.4, 326.4)) for row in long]
    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    for table in rendering.terminal(long):
        assert console.measure(table).minimum <= 100
        console.print(table)
    assert "…" not in console.export_text()


def test_command_line_writes_rows(path, tmp_path):
    file = tmp_path / "rows.json"
    arguments = ["table1", "--models", "calhousnet", "--epochs", "2", "--data", str(path)]
    result = CliRunner().invoke(app, [*arguments, "--json", str(file)])
    assert result.exit_code == 0, result.output
    assert "CalHousNet" in result.output
    found = json.loads(file.read_text())
    assert [(row["protocol"], row["model"]) for row in found] == [
        (protocol, model) for protocol in table1.PROTOCOLS for model in ("calhousnet", "mean", "median")
    ]
    assert found[0]["published"]["mae"] == [0.34, 0.27, 0.29]
    assert found[0]["mae"] != found[0]["published"]["mae"]


def test_torch_s_default_precision_changes_nothing(path):
    errors = []
    for dtype in (torch.float32, torch.float64):
        with default_dtype(dtype):
            rows = table1.table1_rows(path, models=["kan", "calhousnet"], epochs=2)
        errors.append([row.mae for row in rows])
    assert errors[0] == errors[1]


def test_unknown_models_and_protocols_are_named(structures):
    with pytest.raises(ConfigError, match=r"model 'kann' is unknown .*did you mean 'kan'"):
        table1.table1_rows(models=["kann"])
    with pytest.raises(ConfigError, match="protocol 'random' is unknown; valid: published, grouped"):
        table1.make_protocol("random", structures)


def test_missing_data_say_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"does not exist; name the file ru_strain_recovered.extxyz"):
        dataset.read(tmp_path / "nothing.extxyz")
    monkeypatch.delenv("KAN_HEADS_DATA", raising=False)
    monkeypatch.setenv("KAN_HEADS_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="set KAN_HEADS_DATA to the folder that holds ru/"):
        dataset.read()


def test_figures_are_drawn(path, tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks.an2025 import figures

    files = figures.draw(tmp_path / "pictures", path)
    assert [file.name[:8] for file in files] == ["figure-2", "figure-3", "figure-4", "figure-5"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ConfigError, match=r"--out .* cannot be made"):
        figures.draw(blocked / "pictures", path)
