"""The records and reports that the checkout ships."""

import base64
import re

import numpy as np
import pytest
from bench_records import BENCHMARKS, CONFIGS

from benchmarks.wang2024 import report
from benchmarks.wang2024.budget import load_budget
from benchmarks.wang2024.record import read_records
from benchmarks.wang2024.table import load_tables

TABLES = load_tables(BENCHMARKS)
BUDGETS = sorted(path.name for path in (BENCHMARKS / "reports").iterdir() if path.name != "smoke")

#: A parameter-matched control, and the row whose readout it matches.
MATCHED = {2: "gaussian", 3: "output", 5: "output", 6: "gaussian", 7: "recommended", 9: "bspline"}


def records_of(budget):
    return read_records(BENCHMARKS / "records" / budget)


def words(text):
    """Takes the lengths of a drawing out of a text, and numbers the names in it that are made of lengths.

    Both depend on the last bit of a product of matrices, and so on the processor.
    """
    names = {}
    text = re.sub(
        r"(?<=image/svg\+xml;base64,)[\w+/=]+", lambda found: base64.b64decode(found[0]).decode(), text
    )
    text = re.sub(
        r"(?<=[\"#])[mp][0-9a-f]{10}\b", lambda found: str(names.setdefault(found[0], len(names))), text
    )
    length = r"-?\d+\.\d{4,6}\b"
    return re.sub(length, "LENGTH", text), [float(found) for found in re.findall(length, text)]


def test_something_is_committed():
    assert "quick" in BUDGETS


@pytest.mark.parametrize("budget", BUDGETS)
def test_the_committed_report_is_that_of_the_committed_records(budget, tmp_path):
    report.write(TABLES, records_of(budget), load_budget(BENCHMARKS, budget), tmp_path, CONFIGS)
    committed = BENCHMARKS / "reports" / budget
    names = sorted(path.name for path in committed.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    for name in names:
        expected, found = (words((folder / name).read_text("utf-8")) for folder in (committed, tmp_path))
        assert found[0] == expected[0], name
        np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("budget", BUDGETS)
def test_committed_runs_are_of_commits_of_one_data_set_and_one_setting_a_row(budget):
    of_row, of_data = {}, {}
    for name, record in records_of(budget).items():
        assert record["job"] == name
        assert record["budget"] == budget
        assert record["git"]["dirty"] is False
        row = (record["kind"], record["config"])
        assert of_row.setdefault(row, record["settings_sha256"]) == record["settings_sha256"], name
        assert of_data.setdefault(record["data"]["name"], record["data"]) == record["data"], name


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("number", MATCHED)
def test_the_parameter_matched_control_has_the_parameters(budget, number):
    rows = {row.id: row.config for row in TABLES[number].rows}
    counts = {r["config"]: r["parameters"] for r in records_of(budget).values() if "parameters" in r}
    if not {rows["matched"], rows[MATCHED[number]]} <= set(counts):
        pytest.skip("not run at this budget")
    control, ours = (counts[rows[name]]["readout"] for name in ("matched", MATCHED[number]))
    assert control == pytest.approx(ours, rel=0.03)
