"""Runs jobs through submitit, a few at a time, and takes up where an earlier call stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kan_heads.bench import worker
from kan_heads.bench.jobs import Job
from kan_heads.bench.records import read_record
from kan_heads.bench.worker import Folders
from kan_heads.errors import ConfigError, DataError, first_line

_POLL_S = 0.3
_BUSY_POLL_S = 5.0
_NO_LIMIT_MIN = 60 * 24 * 30

EXECUTORS = ("local", "slurm")


class Progress:
    """Hears how it goes; this one keeps silent."""

    def started(self, job: Job, n_done: int, n_jobs: int) -> None:
        """A job has begun."""

    def finished(self, job: Job, n_done: int, n_jobs: int, seconds: float) -> None:
        """A job has its record."""

    def failed(self, job: Job, why: str) -> None:
        """A job has none."""

    def note(self, text: str) -> None:
        """Something that a user should know."""


@dataclass
class Outcome:
    """What became of the jobs.

    Args:
        made: names of the jobs that ran in this call.
        found: names of those that had a record, or got one from another process.
        failed: why each other job has none.
    """

    made: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def prepare_data(jobs: Iterable[Job], work: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Writes the frames that the jobs need; silver falls back to the stand-in.

    Returns:
        The folder of each data set, and why a data set cannot be had.
    """
    from kan_heads import data

    folders, missing = {}, {}
    for name in dict.fromkeys(job.data for job in jobs):
        some = next(job for job in jobs if job.data == name)
        stand_in = name == "ag" and data.availability(data.lookup("ag")) not in ("folder", "cache")
        prepared = "ag-emt" if stand_in else name
        sizes = [some.sizes[key] for key in ("train", "val", "test")]
        out = work / "data" / "-".join(map(str, [prepared, *sizes]))
        try:
            with worker.try_lock(out.parent / f".{out.name}.lock", wait=True):
                data.prepare(prepared, out, *sizes, say=lambda _: None, mace=some.backbone == "mace")
        except DataError as error:
            missing[name] = str(error)
        else:
            folders[name] = out
    return folders, missing


def check_records(jobs: Iterable[Job], folders: Folders) -> list[Job]:
    """Returns the jobs without a record.

    Raises:
        ConfigError: a record is damaged, or of other settings than the files say now.
    """
    missing = []
    for job in jobs:
        path = folders.record(job)
        if not path.exists():
            missing.append(job)
        elif read_record(path)["settings_sha256"] != job.settings_sha256(folders.configs):
            raise ConfigError(
                f"{path} was made with other settings than {job.config} and the budget {job.budget.name} "
                "have now; remove it to repeat the run, or name another --records"
            )
    return missing


def run(
    jobs: list[Job],
    folders: Folders,
    n_jobs: int = 1,
    executor: str = "local",
    parameters: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Runs the jobs that have no record, each in a process of its own.

    Dynamics are timed, so they run one at a time when everything else is over. A job that another
    process works at is waited for.

    Args:
        jobs: jobs.
        folders: where things are.
        n_jobs: how many run at the same time.
        executor: ``local`` or ``slurm``.
        parameters: parameters of Slurm for submitit, e.g. ``{"slurm_partition": "gpu"}``.
        progress: hears how it goes.

    Raises:
        ConfigError: a record is of other settings.
    """
    progress = progress or Progress()
    missing = check_records(jobs, folders)
    outcome = Outcome(found=[job.name for job in jobs if job not in missing])
    submit = _executor(executor, folders.work / "submitit", parameters or {}).submit
    for kind, at_once in (("training", n_jobs), ("dynamics", 1)):
        some = [job for job in missing if job.kind == kind]
        _Queue(some, len(jobs), submit, folders, at_once, outcome, progress).work_off()
    return outcome


class _Queue:
    """Jobs of one kind: waiting, running, and done by somebody else."""

    def __init__(
        self,
        jobs: list[Job],
        n_all: int,
        submit: Any,
        folders: Folders,
        at_once: int,
        outcome: Outcome,
        progress: Progress,
    ) -> None:
        self.waiting, self.running, self.busy = list(jobs), {}, []
        self.n_all, self.submit, self.folders, self.at_once = n_all, submit, folders, at_once
        self.outcome, self.progress = outcome, progress

    def work_off(self) -> None:
        try:
            while self.waiting or self.running or self.busy:
                self._start()
                self._collect()
                if not self.waiting and not self.running and self.busy:
                    time.sleep(_BUSY_POLL_S)
                    self.waiting, self.busy = self.busy, []
                else:
                    time.sleep(_POLL_S)
        finally:
            for _, started in self.running.values():
                started.cancel()

    def _start(self) -> None:
        while self.waiting and len(self.running) < self.at_once:
            job = self.waiting.pop(0)
            self.running[job] = (time.monotonic(), self.submit(worker.do, job, self.folders))
            self.progress.started(job, self._n_done(), self.n_all)

    def _collect(self) -> None:
        for job, (began, submitted) in list(self.running.items()):
            if not submitted.done():
                continue
            del self.running[job]
            error = submitted.exception()
            state, why = ("failed", first_line(error)) if error is not None else submitted.result()
            if state == "busy":
                if job not in self.busy:
                    self.progress.note(f"{job.name}: another process is at it; waiting for its record")
                self.busy.append(job)
            elif state == "failed":
                self.outcome.failed[job.name] = why
                self.progress.failed(job, why)
            else:
                self.outcome.made.append(job.name)
                self.progress.finished(job, self._n_done(), self.n_all, time.monotonic() - began)

    def _n_done(self) -> int:
        return len(self.outcome.found) + len(self.outcome.made) + len(self.outcome.failed)


def _executor(name: str, folder: Path, parameters: dict[str, Any]) -> Any:
    import submitit

    folder.mkdir(parents=True, exist_ok=True)
    if name == "local":
        executor = submitit.LocalExecutor(folder)
        devices = [int(d) for d in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if d.isdecimal()]
        n_gpus = len(devices) or _count_gpus()
        executor.update_parameters(
            timeout_min=_NO_LIMIT_MIN, gpus_per_node=n_gpus, visible_gpus=tuple(devices)
        )
        return executor
    try:
        executor = submitit.AutoExecutor(folder, cluster="slurm")
        executor.update_parameters(**parameters)
    except (RuntimeError, NameError, TypeError) as error:
        raise ConfigError(f"--executor slurm: {first_line(error)}") from error
    return executor


def _count_gpus() -> int:
    import torch

    return torch.cuda.device_count()
