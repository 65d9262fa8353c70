"""Trains MACE with ``mace_run_train`` and measures its errors on the test frames."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.programs import run_program
from benchmarks.wang2024.jobs import Job, composed
from benchmarks.wang2024.watch import Watch

if TYPE_CHECKING:
    import numpy as np
    from ase.calculators.calculator import Calculator

_NAME = "model"
_LOG = "mace_run_train.log"
_EPOCH = re.compile(r"INFO: (Initial|Epoch \d+): .*?RMSE_E_per_atom= *(\S+) meV, RMSE_F= *(\S+)")


def train(job: Job, configs: Path, data: Path, work: Path) -> dict[str, Any]:
    """Trains a job in ``work`` and returns what its record says of the training.

    Raises:
        ModelError: a program failed; the message has its last line.
    """
    settings = {
        **composed(configs, job.config, tuple(job.overrides)),
        "name": _NAME,
        "work_dir": str(work),
        "seed": job.seed,
        "device": job.budget.device,
        "train_file": str(data / "train.extxyz"),
        "valid_file": str(data / "val.extxyz"),
    }
    del settings["test_file"]  # evaluated once, below
    result = run_training(settings, work, job.budget.threads)
    model = work / f"{_NAME}.model"
    errors = evaluate(model, data / "test.extxyz", job.budget.threads, job.budget.device)
    return {"parameters": count_parameters(model), **result, "metrics": errors}


def run_training(settings: dict[str, Any], work: Path, threads: int) -> dict[str, Any]:
    """Runs ``mace_run_train`` with the settings of a configuration; returns epochs, times and curves.

    Raises:
        ModelError: the program failed; the message has its last line.
    """
    import yaml

    config = work / "config.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")

    def epochs_done() -> int | None:
        lines = read_epochs(work / _LOG)
        return len(lines) - 1 if lines else None

    watch = Watch(epochs_done)
    environment = {"OMP_NUM_THREADS": str(threads)}
    run_program("mace_run_train", [f"--config={config}"], work / _LOG, watch.look, environment)
    lines = read_epochs(work / _LOG)[1:]
    return {
        "epochs": len(lines),
        **watch.times(),
        "curves": {
            "val_force_rmse": [_finite(force) for _, force in lines],
            "val_energy_rmse": [_finite(energy) for energy, _ in lines],
        },
    }


def count_parameters(model: Path) -> dict[str, int]:
    """Counts the parameters of a ``.model`` file and those of its readouts."""
    import torch

    loaded = torch.load(model, weights_only=False, map_location="cpu")
    return {
        "total": sum(p.numel() for p in loaded.parameters()),
        "readout": sum(p.numel() for p in loaded.readouts.parameters()),
    }


def read_epochs(log: Path) -> list[tuple[float, float]]:
    """Validation errors before the first epoch and after each: energy in meV/atom, force in meV/Angstrom."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [(float(energy), float(force)) for _, energy, force in _EPOCH.findall(text)]


def evaluate(model: Path, test: Path, threads: int, device: str) -> dict[str, float | None]:
    """Errors on the test frames by ``mace_eval_configs``: meV/Angstrom, meV/atom, meV/Angstrom^3."""
    import ase.io
    import numpy as np

    output = model.with_name("test.extxyz")
    options = ("--batch_size=10", "--default_dtype=float32", "--compute_stress", f"--device={device}")
    arguments = [f"--configs={test}", f"--model={model}", f"--output={output}", *options]
    environment = {"OMP_NUM_THREADS": str(threads)}
    run_program(
        "mace_eval_configs", arguments, model.with_name("mace_eval_configs.log"), environment=environment
    )
    pairs = list(zip(ase.io.read(test, ":"), ase.io.read(output, ":"), strict=True))
    forces = [(b.arrays["MACE_forces"] - a.arrays["REF_forces"]).ravel() for a, b in pairs]
    energies = [(b.info["MACE_energy"] - a.info["REF_energy"]) / len(a) for a, b in pairs]
    stresses = [
        np.ravel(b.info["MACE_stress"]) - np.ravel(a.info["REF_stress"])
        for a, b in pairs
        if "REF_stress" in a.info
    ]
    return {
        "test_force_rmse": _rmse(np.concatenate(forces)),
        "test_energy_rmse": _rmse(np.array(energies)),
        "test_stress_rmse": _rmse(np.concatenate(stresses)) if stresses else None,
    }


def calculator(work: Path, device: str) -> Calculator:
    """An ASE calculator on the trained model, in float64 for the sake of energy conservation."""
    from mace.calculators import MACECalculator

    return MACECalculator(str(work / f"{_NAME}.model"), device=device, default_dtype="float64")


def _rmse(errors: np.ndarray) -> float | None:
    """Root mean square in thousandths."""
    return _finite(1e3 * float((errors**2).mean() ** 0.5))


def _finite(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
