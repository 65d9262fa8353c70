"""Processes that compile beside the checks, so that the clock of the run is not spent on compilers.

What they compile lies in the folders of the caches that they share with the run, where it is found again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.gpu import dynamics
from benchmarks.gpu.blocks import BLOCKS, Blocks
from benchmarks.gpu.log import Log
from benchmarks.gpu.silver import MODELS, Silver

# Each compiles in some processes of its own, and there are many of them.
_FEW_THREADS = {"TORCHINDUCTOR_COMPILE_THREADS": "3", "OMP_NUM_THREADS": "1"}
_POLL = 0.5  # seconds
_MOST = 600.0  # seconds of one task; the run ends those that are late


def tasks() -> list[str]:
    """What can be compiled ahead, the most important first."""
    first = list(dynamics.DEPLOYED)[:2]
    blocks = [f"blocks {i} {half}" for i in range(len(BLOCKS)) for half in range(2)]
    return [
        *blocks[:2],
        *(f"train {name}" for name in MODELS),
        *(f"export {name}" for name in first),
        *blocks[2:],
        *(f"export {name}" for name in dynamics.DEPLOYED if name not in first),
    ]


def perform(task: str, log: Log, folder: Path, small: bool) -> None:
    """Does one of :func:`tasks`; this is the whole of a process."""
    kind, name = task.split(" ", 1)
    if kind == "blocks":
        block, half = map(int, name.split())
        Blocks(log, small).compile_all(*BLOCKS[block], half)
    elif kind == "train":
        log.attempt("ahead", name, lambda: Silver(log, small).compile_training(name), most=_MOST)
    else:
        log.attempt("ahead", name, lambda: dynamics.export(Silver(log, small), folder, name), most=_MOST)
        if log.rows:  # what failed once need not fail again
            dynamics.failure_of(folder, name).write_text(f"{log.rows[-1]['status']}\n{log.rows[-1]['trace']}")


class Workers:
    """Runs tasks in processes of their own.

    Args:
        log: hears how they end.
        folder: of compiled models.
        most: how many run at a time; none at all if 0.
        small: passed on.
    """

    def __init__(self, log: Log, folder: Path, most: int, small: bool) -> None:
        self._log = log
        self._folder = folder
        self._most = most
        self._options = ["--device", log.device, *["--small"] * small]
        self._waiting = tasks() if most else []
        self._running: dict[str, subprocess.Popen] = {}
        self._start()

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._most:
            task = self._waiting.pop(0)
            command = [sys.executable, "-m", "benchmarks.gpu", "--task", task, *self._options]
            command += ["--minutes", str(max(self._log.left, 1.0) / 60.0), "--folder", str(self._folder)]
            output = (self._folder / f"{task.replace(' ', '-')}.log").open("w")
            self._running[task] = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **_FEW_THREADS}
            )
            output.close()

    def wait(self, seconds: float) -> None:
        """Waits until all have ended, at most so long; then ends those that have not."""
        until = time.monotonic() + seconds
        while self._running and time.monotonic() < until:
            self._reap()
            self._start()
            time.sleep(_POLL)
        self._reap()
        self.stop()

    def _reap(self) -> None:
        for task, process in list(self._running.items()):
            if process.poll() is not None:
                del self._running[task]
                failed = "" if process.returncode == 0 else f" with status {process.returncode}"
                self._log.say(f"compiled ahead{failed}: {task}")

    def stop(self) -> None:
        """Ends the processes that still run, and begins no others."""
        for task, process in self._running.items():
            self._log.say(f"not compiled ahead in time: {task}")
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(timeout=5.0)
            except subprocess.TimeoutExpired:
                process.kill()
        for task in self._waiting:
            self._log.say(f"not compiled ahead: {task}")
        self._running, self._waiting = {}, []
