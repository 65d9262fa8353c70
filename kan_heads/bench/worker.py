"""Does one job, in a process of its own, and writes its record."""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import os
import shutil
import subprocess
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kan_heads.bench.jobs import Job
from kan_heads.bench.records import write_record
from kan_heads.errors import ConfigError, KanHeadsError, first_line

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms

_PACKAGES = ("kan-heads", "torch", "e3nn", "nequip", "nequip-allegro", "mace-torch", "ase", "lammps")

#: The frame that dynamics starts from has at least so many atoms: carbon has dimers too.
_LEAST_ATOMS = 16

_TRAINED = "trained.json"


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

    def lock(self, job: Job) -> Path:
        """The file whose lock the process holds that works at a job."""
        return self.records / ".locks" / job.name


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
        try:
            write_record(folders.record(job), _measure(job, folders))
        except KanHeadsError as error:
            return "failed", str(error)
        except Exception as error:
            traceback.print_exc()  # into the log of the job
            return "failed", f"{first_line(error)} (traceback: {folders.work}/submitit)"
    return "made", ""


def do_here(job: Job, folders: Folders, cards: str | None) -> tuple[str, str]:
    """Like :func:`do`, with the cards of the process that asks: submitit's local executor numbers them anew.

    Args:
        job: job.
        folders: where things are.
        cards: ``CUDA_VISIBLE_DEVICES`` of that process; ``None`` if it has none.
    """
    if cards is None:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = cards
    return do(job, folders)


def _measure(job: Job, folders: Folders) -> dict[str, Any]:
    import torch

    torch.set_num_threads(job.budget.threads)
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
    (work / _TRAINED).write_text(json.dumps(_identity(job, folders)), encoding="utf-8")
    return result


def _identity(job: Job, folders: Folders) -> dict[str, Any]:
    """What a model has to be of, to be that of a job."""
    files = read_split(folders.data[job.data])["files"]
    return {"settings_sha256": job.settings_sha256(folders.configs), "seed": job.seed, "files": files}


def train_again(job: Job, folders: Folders) -> None:
    """Trains a job whose record is there, but not its model: records travel, checkpoints do not."""
    with try_lock(folders.work / ".locks" / f"{job.name}-model", wait=True):
        try:
            trained = json.loads((folders.work / job.name / _TRAINED).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            trained = None
        if trained != _identity(job, folders):
            _train(job, folders)


def _gate(job: Job, folders: Folders) -> dict[str, Any] | None:
    """Dynamics at constant energy with the potential of the first seed; tensors have no forces."""
    first = job.seed == job.budget.seeds_of(job.config)[0]
    if job.backbone == "etgnn" or not job.budget.dynamics_steps or not first:
        return None
    from kan_heads.dynamics import TIMESTEP_FS, run_nve

    if job.backbone == "mace":
        from kan_heads.bench.mace_training import calculator
    else:
        from kan_heads.bench.nequip_training import calculator
    start = calm_frame(folders.data[job.data])
    try:
        model = calculator(folders.work / job.name, job.budget.device)
        return run_nve(model, start, job.budget.dynamics_steps, job.seed).summary()
    except Exception as error:  # the training is not to be lost for it
        traceback.print_exc()
        return {"stable": False, "steps": 0, "timestep_fs": TIMESTEP_FS, "error": first_line(error)}


def calm_frame(data: Path) -> Atoms:
    """The test frame (validation frame, if there is no test set) with the smallest forces that is not tiny.

    From a frame far from equilibrium, potential energy would heat the atoms to thousands of kelvin.
    """
    import ase.io
    import numpy as np

    held_out = data / "test.extxyz"
    frames = ase.io.read(held_out if held_out.exists() else data / "val.extxyz", index=":")
    large = [frame for frame in frames if len(frame) >= _LEAST_ATOMS] or frames
    return min(large, key=lambda frame: float(np.square(_labels(frame)).mean()))


def _labels(frame: Atoms) -> np.ndarray:
    """Forces in eV/Angstrom, under nequip's or MACE's name, shape (n_atoms, 3)."""
    return frame.arrays["REF_forces"] if "REF_forces" in frame.arrays else frame.get_forces()


def read_split(data: Path) -> dict[str, Any]:
    """What ``kan-heads data prepare`` says of the frames in a folder."""
    return json.loads((data / "split.json").read_text(encoding="utf-8"))


def describe(job: Job, folders: Folders) -> dict[str, Any]:
    """What a record says before anything is measured."""
    from kan_heads.data import lookup
    from kan_heads.machine import machine

    split = read_split(folders.data[job.data])
    available = lookup(split["name"]).pools or (0, 0, 0)
    return {
        "job": job.name,
        "kind": job.kind,
        "config": job.config,
        "budget": job.budget.name,
        "seed": job.seed,
        "overrides": job.overrides,
        "settings_sha256": job.settings_sha256(folders.configs),
        "git": git_state(Path(__file__).parent),
        "data": {
            "name": job.data,
            "prepared": split["name"],
            **{key: split[key] for key in ("paper_data", "stand_in", "relation", "sizes")},
            "available": dict(zip(("train", "val", "test"), available, strict=True)),
            "files": split["files"],
        },
        "device": {
            **machine(),
            **_card(job.budget.device),
            "device": job.budget.device,
            "threads": job.budget.threads,
        },
        "versions": {name: v for name in _PACKAGES if (v := _version(name))},
        "started": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def _card(device: str) -> dict[str, str]:
    import torch

    return {"card": torch.cuda.get_device_name()} if device == "cuda" and torch.cuda.is_available() else {}


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

    A file system that several machines share must share its locks too (NFS 4 does).

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
        except OSError as error:
            raise ConfigError(
                f"{path.parent} is on a file system without locks ({error.strerror}); "
                "put --records and --work on another"
            ) from error
        yield True
