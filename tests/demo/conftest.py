import copy
import json
import sys

import pytest

from benchmarks import programs

_MACHINE = {
    "cpu": "A Processor",
    "cores": 2,
    "torch_threads": 2,
    "load_average_1min": 0.1,
    "device": "cpu",
    "torch_version": "2.13.0",
    "python_version": "3.11.7",
}
_MODEL = {
    "machine": _MACHINE,
    "config": "demo/hfo2-mlp",
    "reused": False,
    "training_seconds": 100.0,
    "median_seconds_per_epoch": 7.654,
    "validation_force_mae_eV_per_A": 0.31239,
    "validation_energy_mae_meV_per_atom": 12.345,
    "test_force_mae_eV_per_A": 0.32239,
    "test_energy_mae_meV_per_atom": 13.345,
    "readout_parameters": 2080,
    "total_parameters": 8816,
    "history": {
        "epoch_seconds": [9.0, 8.0, 7.0],
        "validation_force_mae_eV_per_A": [1.0, 0.5, 0.31239],
        "validation_energy_mae_meV_per_atom": [100.0, 30.0, 12.345],
    },
}
_RESULTS = {
    "settings": {
        "system": "hfo2",
        "system_name": "hafnia, Hf32O64, PBE labels",
        "stand_in": False,
        "train": 200,
        "val": 50,
        "test": 50,
        "epochs": 3,
        "seed": 1,
    },
    "machine": _MACHINE,
    "models": {"mlp": _MODEL, "kan": _MODEL | {"readout_parameters": 768, "total_parameters": 7504}},
    "compiled_against_eager": {
        "frames": 5,
        "energy_max_difference_meV_per_atom": 1.2e-4,
        "force_max_difference_eV_per_A": 3.4e-6,
    },
    "dynamics": {
        "steps": 1000,
        "timestep_fs": 1.0,
        "stable": True,
        "drift_meV_per_atom_per_ps": -0.01234,
        "rms_fluctuation_meV_per_atom": 0.05678,
        "initial_temperature_K": 300.0,
        "mean_temperature_K": 456.7,
        "final_temperature_K": 500.0,
        "min_distance_A": 1.789,
        "ms_per_step": 45.67,
    },
}

# Does what the demo relies on: rows of metrics.csv, the log line at the start, a checkpoint.
_NEQUIP_TRAIN = """#!{python}
import pathlib, sys
given = dict(a.split("=", 1) for a in sys.argv if "=" in a)
folder = pathlib.Path(given["hydra.run.dir"][1:-1].replace("\\\\'", "'"))
counter = pathlib.Path(__file__).with_name("calls")
counter.write_text(counter.read_text() + "x" if counter.exists() else "x")
print("TRAIN RUN START", flush=True)
{before_metrics}
n = int(given["n_epochs"])
rows = ["epoch,step,val0_epoch/forces_mae,val0_epoch/per_atom_energy_mae", ",0,,"]
rows += [f"{{e}},{{e}},{{1 / (e + 1)}},{{0.01 / (e + 1)}}" for e in range(n)]
rows += [f"{{n}},{{n}},{{1 / n}},{{0.01 / n}}"]
(folder / "metrics.csv").write_text("\\n".join(rows) + "\\n")
(folder / "best.ckpt").write_text("weights")
"""


@pytest.fixture
def results():
    return copy.deepcopy(_RESULTS)


@pytest.fixture
def nequip_train(tmp_path, monkeypatch):
    """Puts a program in the place of nequip-train; the value counts its calls."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setattr(programs.sys, "executable", str(folder / "python"))
    python = sys._base_executable
    (folder / "python").symlink_to(python)

    class Program:
        def write(self, before_metrics=""):
            path = folder / "nequip-train"
            path.write_text(_NEQUIP_TRAIN.format(python=python, before_metrics=before_metrics))
            path.chmod(0o755)

        @property
        def calls(self):
            return len((folder / "calls").read_text()) if (folder / "calls").exists() else 0

    program = Program()
    program.write()
    return program


@pytest.fixture
def configs(tmp_path):
    folder = tmp_path / "configs"
    (folder / "parts").mkdir(parents=True)
    (folder / "demo").mkdir()
    (folder / "demo/hfo2-mlp.yaml").write_text("a: 1\n")
    (folder / "parts/training.yaml").write_text("b: 2\n")
    return folder


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "split.json").write_text(json.dumps({"files": {"train.extxyz": "abc"}}))
    return folder
