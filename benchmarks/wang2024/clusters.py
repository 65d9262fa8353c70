"""Where jobs run: on this machine or on a cluster, through submitit."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.wang2024 import worker
from benchmarks.wang2024.budget import Budget
from benchmarks.wang2024.folders import Folders
from benchmarks.wang2024.jobs import Job
from kan_heads.errors import ConfigError, first_line

_NO_LIMIT_MIN = 60 * 24 * 30
_SLURM_MIN = 60 * 24 * 2


class Here:
    """Runs jobs on this machine, and ends them with this process where it is interrupted."""

    def __init__(self, folders: Folders) -> None:
        import submitit

        self._folders, self._cards = folders, os.environ.get("CUDA_VISIBLE_DEVICES")
        self._executor = submitit.LocalExecutor(_logs(folders))
        self._executor.update_parameters(timeout_min=_NO_LIMIT_MIN)

    def submit(self, work: Callable, job: Job) -> Any:
        """Starts a job; what comes back tells whether it is done."""
        # A terminal sends Ctrl-C to all of its processes; only this one shall answer.
        in_main = threading.current_thread() is threading.main_thread()
        before = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main else None
        try:
            return self._executor.submit(worker.do_here, work, job, self._folders, self._cards)
        finally:
            if in_main:
                signal.signal(signal.SIGINT, before)

    def cancel(self, submitted: Iterable[Any]) -> None:
        """Ends jobs, and all that they started."""
        import psutil

        for child in psutil.Process().children(recursive=True) if submitted else []:
            with contextlib.suppress(psutil.Error):
                child.kill()


class Slurm:
    """Hands jobs to Slurm."""

    def __init__(self, budget: Budget, folders: Folders, parameters: dict[str, Any]) -> None:
        import submitit

        self._folders = folders
        defaults = {"timeout_min": _SLURM_MIN, "cpus_per_task": budget.threads}
        if budget.device == "cuda":
            defaults["gpus_per_node"] = 1
        try:
            self._executor = submitit.AutoExecutor(_logs(folders), cluster="slurm")
            self._executor.update_parameters(**{**defaults, **parameters})
        except (RuntimeError, NameError, TypeError) as error:
            raise ConfigError(f"--executor slurm: {first_line(error)}") from error

    def submit(self, work: Callable, job: Job) -> Any:
        """Hands a job over; what comes back tells whether it is done."""
        return self._executor.submit(work, job, self._folders)

    def cancel(self, submitted: Iterable[Any]) -> None:
        """Ends jobs."""
        for one in submitted:
            one.cancel()


def _logs(folders: Folders) -> Path:
    path = folders.work / "submitit"
    path.mkdir(parents=True, exist_ok=True)
    return path
