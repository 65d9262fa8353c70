"""Runs jobs through submitit, a few at a time, and takes up where an earlier call stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.wang2024 import worker
from benchmarks.wang2024.clusters import Here, Slurm
from benchmarks.wang2024.folders import Folders
from benchmarks.wang2024.jobs import Job
from benchmarks.wang2024.provenance import read_split
from benchmarks.wang2024.record import read_record
from kan_heads.errors import ConfigError, DataError, first_line
from kan_heads.locks import try_lock

_POLL_S = 0.3

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


def prepare_data(
    jobs: Iterable[Job], work: Path, say: Callable[[str], None] = lambda _: None
) -> tuple[dict[str, Path], dict[str, str]]:
    """Writes the frames that the jobs need; silver falls back to the stand-in.

    Args:
        jobs: jobs.
        work: folder of the work.
        say: hears what stands in.

    Returns:
        The folder of each data set, and why a data set cannot be had.
    """
    from benchmarks import datasets

    folders, missing = {}, {}
    first = {job.data: job for job in reversed(list(jobs))}
    for name, job in first.items():
        stand_in = name == "ag" and datasets.availability(datasets.lookup("ag")) not in ("folder", "cache")
        prepared = "ag-emt" if stand_in else name
        if stand_in:
            fetch = "python -m benchmarks.datasets get ag"
            say(f"ag: labels of ASE's EMT stand in for the paper's; '{fetch}' fetches those")
        sizes = [job.sizes[key] for key in ("train", "val", "test")]
        out = work / "data" / "-".join(map(str, [prepared, *sizes]))
        try:
            with try_lock(out.parent / f".{out.name}.lock", wait=True):
                datasets.prepare(prepared, out, *sizes, say=lambda _: None, mace=job.backbone == "mace")
        except (DataError, ConfigError) as error:
            missing[name] = str(error)
        else:
            folders[name] = out
    return folders, missing


def check_data(jobs: Iterable[Job], folders: Folders) -> None:
    """Compares the frames of records with those that further runs would have.

    Raises:
        ConfigError: they differ, e.g. because the stand-in was used before and now the paper's data are here.
    """
    for job in jobs:
        path = folders.record(job)
        if job.data in folders.data and path.exists():
            used, here = read_record(path)["data"], read_split(folders.data[job.data])
            if used["files"] != here["files"]:
                raise ConfigError(
                    f"{path} was made with other frames ({used['prepared']}) than are here ({here['name']}); "
                    f"name another --records, or remove the records of {job.data} to repeat them all"
                )


def check_records(jobs: Iterable[Job], folders: Folders) -> list[Job]:
    """Returns the jobs without a record.

    Raises:
        ConfigError: a record is damaged, or of other settings than the files say now, or the settings of a
            job do not fit its configuration.
    """
    missing = []
    for job in jobs:
        path, settings = folders.record(job), job.settings_sha256(folders.configs)
        if not path.exists():
            missing.append(job)
        elif read_record(path)["settings_sha256"] != settings:
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

    Dynamics are timed, so they run one at a time when everything else is over and their models are
    compiled; so does everything on the graphics cards of this machine. A job that another process works
    at is waited for.

    Args:
        jobs: jobs; of one budget.
        folders: where things are.
        n_jobs: how many run at the same time.
        executor: ``local`` or ``slurm``.
        parameters: parameters of submitit for Slurm, e.g. ``{"slurm_partition": "gpu"}``.
        progress: hears how it goes.

    Raises:
        ConfigError: a record is of other settings or frames, or Slurm cannot be had.
    """
    progress = progress or Progress()
    missing = check_records(jobs, folders)
    check_data(jobs, folders)
    outcome = Outcome(found=[job.name for job in jobs if job not in missing])
    if not missing:
        return outcome
    budget = missing[0].budget
    if executor == "local" and budget.device == "cuda" and n_jobs > 1:
        progress.note("runs on a graphics card go one at a time")
        n_jobs = 1
    cluster = Here(folders) if executor == "local" else Slurm(budget, folders, parameters or {})
    stages = (
        ("training", worker.do, n_jobs),
        ("dynamics", worker.prepare, n_jobs),
        ("dynamics", worker.do, 1),
    )
    for kind, work, at_once in stages:
        sound = [job for job in missing if not {job.name, job.training.name} & set(outcome.failed)]
        some = [job for job in sound if job.kind == kind]
        _Queue(some, len(jobs), work, cluster, folders, at_once, outcome, progress).work_off()
    for job in missing:
        if job.kind == "dynamics" and job.name not in outcome.failed and job.training.name in outcome.failed:
            outcome.failed[job.name] = "its training failed"
            progress.failed(job, outcome.failed[job.name])
    return outcome


class _Queue:
    """Jobs of one kind: waiting, running, and in the hands of somebody else."""

    def __init__(
        self,
        jobs: list[Job],
        n_all: int,
        work: Callable[[Job, Folders], tuple[str, str]],
        cluster: Here | Slurm,
        folders: Folders,
        at_once: int,
        outcome: Outcome,
        progress: Progress,
    ) -> None:
        self.waiting, self.running, self.busy = list(jobs), {}, []
        self.n_all, self.work, self.cluster = n_all, work, cluster
        self.folders, self.at_once = folders, at_once
        self.outcome, self.progress = outcome, progress

    def work_off(self) -> None:
        try:
            while self.waiting or self.running or self.busy:
                self._start()
                self._collect()
                self._look_after_busy()
                time.sleep(_POLL_S)
        finally:
            self.cluster.cancel([submitted for _, submitted in self.running.values()])

    def _start(self) -> None:
        while self.waiting and len(self.running) < self.at_once:
            job = self.waiting.pop(0)
            self.running[job] = (time.monotonic(), self.cluster.submit(self.work, job))
            if self.work is worker.prepare:
                self.progress.note(f"{job.name}: compiling the model ...")
            else:
                self.progress.started(job, self._n_done(), self.n_all)

    def _collect(self) -> None:
        for job, (began, submitted) in list(self.running.items()):
            if not submitted.done():
                continue
            del self.running[job]
            error = submitted.exception()
            state, why = ("failed", first_line(error)) if error is not None else submitted.result()
            if state == "busy":
                self.progress.note(f"{job.name}: another process is at it; waiting for its record")
                self.busy.append(job)
            elif state == "found":
                self.outcome.found.append(job.name)
            elif state == "failed":
                self.outcome.failed[job.name] = why
                self.progress.failed(job, why)
            elif state == "made":
                self.outcome.made.append(job.name)
                self.progress.finished(job, self._n_done(), self.n_all, time.monotonic() - began)

    def _look_after_busy(self) -> None:
        for job in list(self.busy):
            if self.folders.record(job).exists():
                self.busy.remove(job)
                self.outcome.found.append(job.name)
                self.progress.note(f"{job.name}: the other process has made its record")
                continue
            with try_lock(self.folders.lock(job)) as free:
                pass
            if free and not self.folders.record(job).exists():
                self.busy.remove(job)  # the other one died or failed
                self.waiting.append(job)

    def _n_done(self) -> int:
        return len(self.outcome.found) + len(self.outcome.made) + len(self.outcome.failed)
