"""Times of steps that take turns, so that whatever slows the machine slows all of them."""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch

Step = Callable[[], object]

_WARM_UPS = 3
_WARM_UP_SECONDS = 0.3
_MOST_PER_TURN = 200


@dataclass(frozen=True)
class Timing:
    """Seconds of every step after the warm-up, one list for each turn."""

    turns: list[list[float]]

    @property
    def median(self) -> float:
        """Median over all steps, in seconds."""
        return statistics.median(t for turn in self.turns for t in turn)

    @property
    def repeats(self) -> int:
        """Number of steps."""
        return sum(map(len, self.turns))


def take_turns(
    steps: Mapping[str, Step], device: str, rounds: int, slice_seconds: float
) -> dict[str, Timing]:
    """Times steps round by round; in each round every step has its turn.

    A turn lasts ``slice_seconds``, or one step if that takes longer. Before the first round each step
    runs a few times unmeasured. The garbage collector rests while the clock runs.

    Args:
        steps: what to time, by name.
        device: ``cpu`` or ``cuda``.
        rounds: how often each has its turn, so the least number of repeats.
        slice_seconds: length of a turn.

    Returns:
        Times by name.
    """
    clock = _cuda_seconds if device == "cuda" else _cpu_seconds
    turns: dict[str, list[list[float]]] = {name: [] for name in steps}
    with no_collection():
        for step in steps.values():
            _warm_up(step, clock)
        for _ in range(rounds):
            for name, step in steps.items():
                turns[name].append(_turn(step, clock, slice_seconds))
    return {name: Timing(turn) for name, turn in turns.items()}


def ratio_error(a: Timing, b: Timing) -> float:
    """Standard error of the ratio of two medians, from the scatter of the ratios of their turns.

    That of a median is 1.25 standard deviations over the root of the number, and the quartiles of a
    normal distribution lie 1.35 standard deviations apart.
    """
    pairs = zip(a.turns, b.turns, strict=True)
    ratios = [statistics.median(x) / statistics.median(y) for x, y in pairs]
    if len(ratios) < 2:
        return float("nan")
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return 1.25 * (high - low) / 1.35 / len(ratios) ** 0.5


def _warm_up(step: Step, clock: Callable[[Step], float]) -> None:
    spent = 0.0
    for _ in range(_WARM_UPS):
        spent += clock(step)
        if spent > _WARM_UP_SECONDS:
            return


def _turn(step: Step, clock: Callable[[Step], float], seconds: float) -> list[float]:
    times = [clock(step)]
    while sum(times) + times[-1] < seconds and len(times) < _MOST_PER_TURN:
        times.append(clock(step))
    return times


def _cpu_seconds(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _cuda_seconds(step: Step) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    step()
    end.record()
    torch.cuda.synchronize()
    return 1e-3 * start.elapsed_time(end)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Lets the garbage collector rest."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextlib.contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Lets torch use some number of threads for a while; None keeps its number."""
    previous = torch.get_num_threads()
    torch.set_num_threads(previous if number is None else number)
    try:
        yield
    finally:
        torch.set_num_threads(previous)
