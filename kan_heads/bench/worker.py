"""Does one job, in a process of its own, and writes its record."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import shutil
import subprocess
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kan_heads.bench.jobs import Job
from kan_heads.bench.records import write_record
from kan_heads.errors import KanHeadsError, first_line

_PACKAGES = ("kan-heads", "torch", "e3nn", "nequip", "nequip-allegro", "mace-torch", "ase", "lammps")

#: The frame that dynamics starts from has at least so many atoms: carbon has dimers too.
_LEAST_ATOMS = 16


@dataclass(frozen=True)
class Folders:
    """Where things are.

    Args:
        configs: configurations.
        records: records.
        work: checkpoints and logs.
        data: prepared data, by name of the data set.
    """

    configs: Path
    records: Path
    work: Path
    data: dict[str, Path]

    def record(self, job: Job) -> Path:
        """The file of a job's record."""
        return self.records / f"{job.name}.json"


def do(job: Job, folders: Folders) -> tuple[str, str]:
    """Does a job unless it is done or another process is at it.

    Returns:
        ``done``, ``busy`` or ``failed``, and what went wrong.
    """
    with try_lock(folders.records / ".locks" / job.name) as mine:
        if not mine:
            return "busy", ""
        if folders.record(job).exists():
            return "done", ""
        try:
            write_record(folders.record(job), _measure(job, folders))
        except KanHeadsError as error:
            return "failed", str(error)
        except Exception as error:
            traceback.print_exc()  # into the log of the job
            return "failed", f"{first_line(error)} (traceback: {folders.work}/submitit)"
    return "done", ""


def _measure(job: Job, folders: Folders) -> dict[str, Any]:
    about = describe(job, folders)
    if job.kind == "dynamics":
        from kan_heads.bench import lammps_run

        train_again(job.training, folders)
        return {**about, **lammps_run.measure(job, folders)}
    result = _train(job, folders)
    return {**about, **result, "dynamics": _gate(job, folders)}


def _train(job: Job, folders: Folders) -> dict[str, Any]:
    work = folders.work / job.name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    if job.backbone == "mace":
        from kan_heads.bench import mace_training as backbone
    else:
        from kan_heads.bench import nequip_training as backbone
    result = backbone.train(job, folders.configs, folders.data[job.data], work)
    (work / "trained").touch()
    return result


def train_again(job: Job, folders: Folders) -> None:
    """Trains a job whose record is there, but not its model: records travel, checkpoints do not."""
    with try_lock(folders.records / ".locks" / f"{job.name}-model", wait=True):
        if not (folders.work / job.name / "trained").exists():
            _train(job, folders)


def _gate(job: Job, folders: Folders) -> dict[str, Any] | None:
    """Dynamics at constant energy with the potential of the first seed; tensors have no forces."""
    first = job.seed == job.budget.seeds_of(job.config)[0]
    if job.backbone == "etgnn" or not job.budget.dynamics_steps or not first:
        return None
    from kan_heads.dynamics import run_nve

    if job.backbone == "mace":
        from kan_heads.bench.mace_training import calculator
    else:
        from kan_heads.bench.nequip_training import calculator
    start = first_frame(folders.data[job.data])
    model = calculator(folders.work / job.name, job.budget.device)
    return run_nve(model, start, job.budget.dynamics_steps, job.seed).summary()


def first_frame(data: Path) -> Any:
    """The first test frame, or validation frame, that is not tiny."""
    import ase.io

    held_out = data / "test.extxyz"
    frames = ase.io.iread(held_out if held_out.exists() else data / "val.extxyz", index=":")
    return next(frame for frame in frames if len(frame) >= _LEAST_ATOMS)


def describe(job: Job, folders: Folders) -> dict[str, Any]:
    """What a record says before anything is measured."""
    import json

    from kan_heads.data import lookup
    from kan_heads.machine import machine

    split = json.loads((folders.data[job.data] / "split.json").read_text(encoding="utf-8"))
    available = lookup(split["name"]).pools or (0, 0, 0)
    return {
        "job": job.name,
        "kind": job.kind,
        "config": job.config,
        "budget": job.budget.name,
        "seed": job.seed,
        "overrides": job.overrides,
        "settings_sha256": job.settings_sha256(folders.configs),
        "git": git_state(folders.configs),
        "data": {
            "name": job.data,
            "prepared": split["name"],
            **{key: split[key] for key in ("paper_data", "stand_in", "relation", "sizes")},
            "available": dict(zip(("train", "val", "test"), available, strict=True)),
            "files": split["files"],
        },
        "device": {**machine(), "device": job.budget.device, "threads": job.budget.threads},
        "versions": {name: v for name in _PACKAGES if (v := _version(name))},
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_state(folder: Path) -> dict[str, Any]:
    """The commit of a checkout and whether tracked files differ from it; empty outside of one."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain", "-uno"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextlib.contextmanager
def try_lock(path: Path, wait: bool = False) -> Iterator[bool]:
    """Holds a lock that ends with its process; yields whether it could be had.

    Args:
        path: file that stands for the lock.
        wait: wait until it is free.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True
