"""Steps that take turns, and the rows that come of it."""

from __future__ import annotations

from typing import Any

from benchmarks.gpu.log import Log
from kan_heads.speed.memory import peak_bytes
from kan_heads.speed.timing import Step, ratio_error, take_turns

MLP = "mlp"


def compare(
    log: Log,
    section: str,
    work: dict[str, Step],
    about: dict[str, Any],
    rounds: int = 25,
    turn_seconds: float = 0.002,
    memory: bool = False,
) -> None:
    """Times steps that take turns with the MLP's, and writes a row for each.

    Args:
        log: takes the rows; one for each step that fails, too.
        section: part of the run.
        work: steps by name, the MLP's among them.
        about: what tells these rows from others.
        rounds: how often each has its turn, so the least number of repeats.
        turn_seconds: length of a turn.
        memory: measure the largest memory too.
    """
    runs: dict[str, Step] = {}
    for name, step in work.items():
        # Once alone: what fails, or does not fit into memory, must not take the others along.
        if log.attempt(section, name, lambda s=step: (s(), True)[1], **about):
            runs[name] = step
    if MLP not in runs:
        return
    about = {"section": section, **about}
    log.attempt(
        name=", ".join(runs), work=lambda: _measure(log, runs, about, rounds, turn_seconds, memory), **about
    )


def _measure(
    log: Log, runs: dict[str, Step], about: dict[str, Any], rounds: int, turn_seconds: float, memory: bool
) -> None:
    times = take_turns(runs, log.device, rounds, turn_seconds)
    peaks = {name: 1e-6 * peak_bytes(step, log.device) for name, step in runs.items()} if memory else {}
    base = times[MLP]
    for name, timing in times.items():
        if name == MLP and len(times) > 1:
            continue
        figures = {
            "median_ms": 1e3 * timing.median,
            "mlp_ms": 1e3 * base.median,
            "ratio": timing.median / base.median,
            "ratio_error": ratio_error(timing, base),
            "steps_per_s": 1.0 / timing.median,
            "repeats": timing.repeats,
        }
        if memory:
            figures |= {"peak_mb": peaks[name], "mlp_peak_mb": peaks[MLP]}
        log.row(name=name, **about, **figures)
