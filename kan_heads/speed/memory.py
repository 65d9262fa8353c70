"""The largest memory that a step holds at once."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import torch
from torch.profiler import ProfilerActivity, profile

from kan_heads.speed.timing import Step, no_collection


def peak_bytes(step: Step, device: str = "cpu") -> int:
    """Runs a step and returns the largest number of bytes that it holds beyond what was there before.

    On a CPU torch's profiler reports every allocation of a tensor, temporaries of its own kernels
    included; on CUDA torch counts by itself. Memory that is allocated by other means is not seen,
    such as what our C kernels need while they run: their sums and tables, a few copies of the parameters
    for each thread.

    Args:
        step: what to run; it should have run before, so that nothing is built for the first time.
        device: ``cpu`` or ``cuda``.
    """
    with no_collection():
        return _cuda_peak(step) if device == "cuda" else _cpu_peak(step)


def _cuda_peak(step: Step) -> int:
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _cpu_peak(step: Step) -> int:
    held = peak = 0
    for change in _changes(step):
        held += change
        peak = max(peak, held)
    return peak


def _changes(step: Step) -> list[int]:
    """Bytes that a step allocates (positive) and frees (negative), in the order of time."""
    with _silent_stderr(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = profiler.profiler.kineto_results.events()
    memory = [event for event in events if event.name() == "[memory]"]
    return [event.nbytes() for event in sorted(memory, key=lambda event: event.start_ns())]


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keeps the lines off the screen that the profiler's C++ code writes."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
