"""Compiles a trained model and times it in LAMMPS (Table 4)."""

from __future__ import annotations

import json
from typing import Any

from kan_heads.bench.jobs import Job
from kan_heads.bench.nequip_training import CHECKPOINT
from kan_heads.bench.worker import Folders, calm_frame
from kan_heads.programs import run_program

#: As published: canonical ensemble at 300 K.
_OPTIONS = ("--ensemble", "nvt", "--temperature", "300")


def measure(job: Job, folders: Folders) -> dict[str, Any]:
    """Runs the dynamics of Table 4 in a process of its own.

    Raises:
        ModelError: compilation or dynamics failed; the message has the last line.
    """
    import ase.io

    trained = folders.work / job.training.name
    work = folders.work / job.name
    work.mkdir(parents=True, exist_ok=True)
    environment = {"OMP_NUM_THREADS": str(job.budget.threads)}
    model, start, result = (work / name for name in ("model.nequip.pt2", "start.extxyz", "result.json"))
    device = ("--device", job.budget.device)
    compiling = ["compile", str(trained / CHECKPOINT), str(model), *device]
    run_program("kan-heads", compiling, work / "compile.log", environment=environment)
    frame = calm_frame(folders.data[job.data])
    ase.io.write(start, frame)
    steps = ("--steps", str(job.budget.lammps_steps), "--seed", str(job.seed), "--json", str(result))
    arguments = ["lammps", "run", str(model), str(start), *_OPTIONS, *steps, *device]
    run_program("kan-heads", arguments, work / "lammps.log", environment=environment)
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
