"""Does one job, in a process of its own, and writes its record."""

from __future__ import annotations

import json
import os
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.wang2024.folders import Folders, calm_frame
from benchmarks.wang2024.jobs import Job
from benchmarks.wang2024.provenance import describe, read_split
from benchmarks.wang2024.record import write_record
from kan_heads.errors import KanHeadsError, first_line
from kan_heads.locks import try_lock

_TRAINED = "trained.json"
_COMPILED = "compiled.json"


def do(job: Job, folders: Folders) -> tuple[str, str]:
    """Does a job unless it is done or another process is at it.

    Returns:
        ``made``, ``found`` (another process had made it), ``busy`` or ``failed``, and what went wrong.
    """
    # Two of them, since two calls may share the records or the folder of the work.
    with try_lock(folders.lock(job)) as mine, try_lock(folders.work / ".locks" / job.name) as ours:
        if not (mine and ours):
            return "busy", ""
        if folders.record(job).exists():
            return "found", ""
        return _guarded(lambda: write_record(folders.record(job), _measure(job, folders)), "made", folders)


def prepare(job: Job, folders: Folders) -> tuple[str, str]:
    """Trains and compiles what the dynamics of a job need, unless that is there or another process is at it.

    Returns:
        ``prepared`` or ``failed``, and what went wrong.
    """
    with try_lock(folders.work / ".locks" / job.name) as ours:
        if not ours:
            return "prepared", ""
        return _guarded(lambda: _compiled_model(job, folders), "prepared", folders)


def do_here(
    work: Callable[[Job, Folders], tuple[str, str]], job: Job, folders: Folders, cards: str | None
) -> tuple[str, str]:
    """Does a job with the cards of the process that asks: submitit's local executor numbers them anew.

    Args:
        work: :func:`do` or :func:`prepare`.
        job: job.
        folders: where things are.
        cards: ``CUDA_VISIBLE_DEVICES`` of that process; ``None`` if it has none.
    """
    if cards is None:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = cards
    return work(job, folders)


def _guarded(work: Callable[[], Any], state: str, folders: Folders) -> tuple[str, str]:
    try:
        work()
    except KanHeadsError as error:
        return "failed", str(error)
    except Exception as error:
        traceback.print_exc()  # into the log of the job
        return "failed", f"{first_line(error)} (traceback: {folders.work}/submitit)"
    return state, ""


def _measure(job: Job, folders: Folders) -> dict[str, Any]:
    import torch

    torch.set_num_threads(job.budget.threads)
    about = describe(job, folders.configs, folders.data[job.data])
    if job.kind == "dynamics":
        from benchmarks.wang2024 import lammps_run

        return {**about, **lammps_run.measure(job, folders, _compiled_model(job, folders))}
    result = _train(job, folders)
    return {**about, **result, "dynamics": _gate(job, folders)}


def _train(job: Job, folders: Folders) -> dict[str, Any]:
    work = folders.work / job.name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    if job.backbone == "mace":
        from benchmarks.wang2024 import mace_training as backbone
    else:
        from benchmarks.wang2024 import nequip_training as backbone
    result = backbone.train(job, folders.configs, folders.data[job.data], work)
    (work / _TRAINED).write_text(json.dumps(_identity(job, folders)), encoding="utf-8")
    return result


def _identity(job: Job, folders: Folders) -> dict[str, Any]:
    """What a model has to be of, to be that of a job."""
    files = read_split(folders.data[job.data])["files"]
    return {"settings_sha256": job.settings_sha256(folders.configs), "seed": job.seed, "files": files}


def train_again(job: Job, folders: Folders) -> None:
    """Trains a job whose record is there, but not its model: records travel, checkpoints do not."""
    with try_lock(folders.work / ".locks" / f"{job.name}-model", wait=True):
        if not _is_made_of(folders.work / job.name / _TRAINED, _identity(job, folders)):
            _train(job, folders)


def _compiled_model(job: Job, folders: Folders) -> Path:
    from benchmarks.wang2024 import lammps_run

    train_again(job.training, folders)
    note, identity = folders.work / job.name / _COMPILED, _identity(job.training, folders)
    # A model trained again has the same identity, but is another file.
    identity["trained"] = (folders.work / job.training.name / _TRAINED).stat().st_mtime_ns
    model = folders.work / job.name / lammps_run.MODEL
    if not (model.exists() and _is_made_of(note, identity)):
        lammps_run.compile_model(job, folders)
        note.write_text(json.dumps(identity), encoding="utf-8")
    return model


def _is_made_of(note: Path, identity: dict[str, Any]) -> bool:
    try:
        return json.loads(note.read_text(encoding="utf-8")) == identity
    except (OSError, ValueError):
        return False


def _gate(job: Job, folders: Folders) -> dict[str, Any] | None:
    """Dynamics at constant energy with the potential of the first seed; tensors have no forces."""
    first = job.seed == job.budget.seeds_of(job.config)[0]
    if job.backbone == "etgnn" or not job.budget.dynamics_steps or not first:
        return None
    from kan_heads.dynamics import TIMESTEP_FS, run_nve

    if job.backbone == "mace":
        from benchmarks.wang2024.mace_training import calculator
    else:
        from benchmarks.wang2024.nequip_training import calculator
    start = calm_frame(folders.data[job.data])
    try:
        model = calculator(folders.work / job.name, job.budget.device)
        return run_nve(model, start, job.budget.dynamics_steps, job.seed).summary()
    except Exception as error:  # the training is not to be lost for it
        traceback.print_exc()
        return {"stable": False, "steps": 0, "timestep_fs": TIMESTEP_FS, "error": first_line(error)}
