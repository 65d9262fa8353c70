"""Trains Allegro, NequIP and ETGNN with ``nequip-train`` and reads what it wrote."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.programs import run_program
from benchmarks.wang2024.jobs import Job
from benchmarks.wang2024.watch import Watch
from kan_heads.errors import ModelError

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

CHECKPOINT = "best.ckpt"
_LOG = "nequip-train.log"
_SETS = ("train", "val", "test")
_ACCELERATORS = {"cpu": "cpu", "cuda": "gpu"}

#: Names in the records and in nequip's log, in the units of the tables: eV/Angstrom, eV/atom, e.
_METRICS = {
    "potential": {"force_mae": "forces_mae", "energy_mae": "per_atom_energy_mae"},
    "tensor": {"mae": "mae"},
}


def train(job: Job, configs: Path, data: Path, work: Path) -> dict[str, Any]:
    """Trains a job in ``work`` and returns what its record says of the training.

    Raises:
        ModelError: ``nequip-train`` failed; the message has its last line.
    """
    sets = [name for name in _SETS if job.sizes[name]]
    overrides = [
        *job.overrides,
        f"seed={job.seed}",
        f"data_dir={_quoted(data)}",
        f"hydra.run.dir={_quoted(work)}",
        "trainer.enable_progress_bar=false",
        f"trainer.accelerator={_ACCELERATORS[job.budget.device]}",
    ]
    if job.backbone != "etgnn":
        paths = ", ".join(f"${{data_dir}}/{name}.extxyz" for name in sets)
        overrides += [
            "run=[train,test]",
            f"+data.test_file_path=[{paths}]",
            "+data.test_dataloader=${data.val_dataloader}",
            "+training_module.test_metrics=${training_module.val_metrics}",
        ]
    metrics = work / "metrics" / "version_0" / "metrics.csv"
    names = _METRICS["tensor" if job.backbone == "etgnn" else "potential"]
    column = f"val0_epoch/{next(iter(names.values()))}"

    def epochs_done() -> int | None:
        started = "TRAIN RUN START" in _text(work / _LOG)
        return len(read_column(metrics, column)) if started else None

    watch = Watch(epochs_done)
    arguments = ["-cp", str(configs), "-cn", job.config, *overrides]
    # By this name Lightning starts its ranks itself; in a job of Slurm it would wait for Slurm to do it.
    environment = {"OMP_NUM_THREADS": str(job.budget.threads), "SLURM_JOB_NAME": "interactive"}
    run_program("nequip-train", arguments, work / _LOG, watch.look, environment)
    values = {
        f"{which}_{name}": _last(metrics, f"test{i}_epoch/{theirs}")
        for i, which in enumerate(sets)
        for name, theirs in names.items()
    }
    curves = {
        f"val_{name}": [_finite(x) for x in read_column(metrics, f"val0_epoch/{theirs}")]
        for name, theirs in names.items()
    }
    return {
        "parameters": count_parameters(work / CHECKPOINT),
        "epochs": len(next(iter(curves.values()))),
        **watch.times(),
        "curves": curves,
        "metrics": values,
    }


def calculator(work: Path, device: str) -> Calculator:
    """An ASE calculator on the best checkpoint of a run."""
    from benchmarks.demo.evaluation import eager_calculator

    return eager_calculator(work / CHECKPOINT, device)


def count_parameters(checkpoint: Path) -> dict[str, int]:
    """Counts the parameters of a model and those of its readouts."""
    import logging

    from nequip.model.saved_models import load_saved_model
    from nequip.utils.global_state import set_global_state

    from benchmarks.demo.evaluation import count_parameters as count
    from kan_heads.quiet import quiet

    set_global_state(allow_tf32=False)
    with quiet(logging.WARNING):
        counts = count(load_saved_model(str(checkpoint)))
    return {"total": counts["total_parameters"], "readout": counts["readout_parameters"]}


def read_column(path: Path, name: str) -> list[float]:
    """The values of a column of ``metrics.csv``; what can be read of it while it is written."""
    values = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row.get(name):
                    values.append(float(row[name]))
    except (OSError, ValueError, csv.Error):
        pass
    return values


def _last(path: Path, name: str) -> float | None:
    values = read_column(path, name)
    if not values:
        raise ModelError(f"{path} has no {name}: nequip-train did not test; see {path.parents[2] / _LOG}")
    return _finite(values[-1])


def _finite(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _quoted(path: Path) -> str:
    escaped = str(path.absolute()).replace("'", "\\'")  # hydra's grammar
    return f"'{escaped}'"
