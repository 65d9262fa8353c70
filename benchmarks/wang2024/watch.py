"""Watches a training from outside: when its epochs end, and the most memory that it held."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


class Watch:
    """Notes wall and CPU time at the end of each epoch.

    It looks every 0.2 s (:func:`benchmarks.programs.run_program`), so that is how exact the times are.

    Args:
        epochs_done: how many epochs are over; ``None`` while training has not begun.
    """

    def __init__(self, epochs_done: Callable[[], int | None]) -> None:
        self._epochs_done = epochs_done
        self._marks: list[tuple[float, float]] = []  # (wall, CPU) in s: the start, then the end of each epoch
        self._process: psutil.Process | None = None
        self._began = time.monotonic()
        self.cpu_s = 0.0
        self.wall_s = 0.0
        self.peak_memory_mb = 0.0

    def look(self, pid: int) -> None:
        """Looks at the process and at what it has written."""
        self.wall_s = time.monotonic() - self._began
        try:
            if self._process is None:
                self._process = psutil.Process(pid)
            times = self._process.cpu_times()
            self.cpu_s = max(self.cpu_s, times.user + times.system)
            self.peak_memory_mb = max(self.peak_memory_mb, self._process.memory_info().rss / 1e6)
        except psutil.Error:
            pass  # it is over
        done = self._epochs_done()
        if done is not None:
            missing = done + 1 - len(self._marks)
            self._marks += [(self.wall_s, self.cpu_s)] * missing

    def times(self) -> dict[str, list[float] | float]:
        """Seconds of each epoch and of the whole, start-up included, and memory in MB."""
        steps = list(zip(self._marks, self._marks[1:], strict=False))
        return {
            "epoch_wall_s": [round(b[0] - a[0], 2) for a, b in steps],
            "epoch_cpu_s": [round(b[1] - a[1], 2) for a, b in steps],
            "total_wall_s": round(self.wall_s, 1),
            "total_cpu_s": round(self.cpu_s, 1),
            "peak_memory_mb": round(self.peak_memory_mb, 1),
        }
