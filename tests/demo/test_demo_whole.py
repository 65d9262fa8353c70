import json
import os
import subprocess
import sys

import pytest

from benchmarks.demo import report

PICTURES = ("learning-curves.png", "parity.png", "functions.png", "dynamics.png")


def _demo(out, *options):
    # One thread: threads that wait for each other on a busy machine would take minutes.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, "-m", "benchmarks.demo", "--out", str(out), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_demo_from_data_to_pictures(tmp_path):
    pytest.importorskip("allegro")
    small = ("--train", "8", "--val", "4", "--epochs", "1", "--steps", "20")
    done = _demo(tmp_path / "demo", *small)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "demo/results.json").read_text())
    assert all((tmp_path / "demo" / name).stat().st_size > 10_000 for name in PICTURES)

    table = (tmp_path / "demo/table.md").read_text()
    lines = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")][2:]
    models = [results["models"]["mlp"], results["models"]["kan"]]
    for cells, model in zip(lines, models, strict=True):
        assert float(cells[1]) == pytest.approx(model["validation_force_mae_eV_per_A"], abs=6e-5)
        assert float(cells[2]) == pytest.approx(model["validation_energy_mae_meV_per_atom"], abs=6e-3)
        assert float(cells[3]) == pytest.approx(model["test_force_mae_eV_per_A"], abs=6e-5)
        assert float(cells[4]) == pytest.approx(model["test_energy_mae_meV_per_atom"], abs=6e-3)
        assert int(cells[6].replace(",", "")) == model["total_parameters"]
    assert float(lines[1][8]) == pytest.approx(results["dynamics"]["drift_meV_per_atom_per_ps"], abs=6e-4)
    assert table == report.markdown(results)

    assert results["dynamics"]["stable"]
    assert results["dynamics"]["steps"] == 20
    assert results["compiled_against_eager"]["force_max_difference_eV_per_A"] < 1e-3
    assert results["models"]["kan"]["readout_parameters"] == 64 * 12
    if results["settings"]["stand_in"]:
        assert "stand-in: silver labelled with ASE's EMT" in table
    assert not results["models"]["kan"]["reused"]


def test_missing_configs_end_in_one_line(tmp_path):
    done = _demo(tmp_path / "demo", "--configs", str(tmp_path), "--system", "hfo2")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "benchmarks.demo: error:" in done.stderr
    assert "--configs" in done.stderr
