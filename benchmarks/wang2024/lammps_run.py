"""Compiles a trained model and times it in LAMMPS (Table 4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.programs import run_program
from benchmarks.wang2024.folders import Folders, calm_frame
from benchmarks.wang2024.jobs import Job
from benchmarks.wang2024.nequip_training import CHECKPOINT

#: Name of the compiled model in the folder of its job.
MODEL = "model.nequip.pt2"

#: As published: canonical ensemble at 300 K.
_OPTIONS = ("--ensemble", "nvt", "--temperature", "300")


def compile_model(job: Job, folders: Folders) -> None:
    """Compiles the trained model of a job, in a process of its own.

    Raises:
        ModelError: compilation failed; the message has the last line.
    """
    work = folders.work / job.name
    work.mkdir(parents=True, exist_ok=True)
    trained = folders.work / job.training.name / CHECKPOINT
    arguments = ["compile", str(trained), str(work / MODEL), "--device", job.budget.device]
    run_program("kan-heads", arguments, work / "compile.log", environment=_threads(job))


def measure(job: Job, folders: Folders, model: Path) -> dict[str, Any]:
    """Runs the dynamics of Table 4 with a compiled model, in a process of its own.

    Raises:
        ModelError: the dynamics failed; the message has the last line.
    """
    import ase.io

    work = folders.work / job.name
    start, result = work / "start.extxyz", work / "result.json"
    frame = calm_frame(folders.data[job.data])
    ase.io.write(start, frame)
    steps = ("--steps", str(job.budget.lammps_steps), "--seed", str(job.seed), "--json", str(result))
    device = ("--device", job.budget.device)
    arguments = ["lammps", "run", str(model), str(start), *_OPTIONS, *steps, *device]
    run_program("kan-heads", arguments, work / "lammps.log", environment=_threads(job))
    found = json.loads(result.read_text(encoding="utf-8"))
    gpu = found["cuda_peak_memory_bytes"]
    return {
        "steps": found["steps"],
        "n_atoms": len(frame),
        "metrics": {
            "ms_per_step": round(found["ms_per_step"], 4),
            "peak_memory_mb": round((gpu or found["peak_memory_bytes"]) / 1e6, 1),
        },
    }


def _threads(job: Job) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(job.budget.threads)}
