"""Equal time: the best validation error of two trainings by the end of the shorter one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate

from benchmarks.wang2024.report.runs import Record, RowRuns, TableRuns, epoch_times
from benchmarks.wang2024.report.samples import Sample

# Sums of times are rounded.
_SLACK = 1 + 1e-9


@dataclass(frozen=True)
class EqualTime:
    """What a row and the baseline reached, seed by seed.

    Args:
        time_s: for each seed, the time in the epochs of the shorter training of the two, in s.
        row: the row's best error by then.
        baseline: the baseline's.
        row_all: the row's best error of all epochs.
        baseline_all: the baseline's.
    """

    time_s: Sample
    row: Sample
    baseline: Sample
    row_all: Sample
    baseline_all: Sample


def equal_time(runs: TableRuns, row: RowRuns, metric: str) -> EqualTime | None:
    """Compares a row with the baseline at equal time; ``None`` if no seed has both."""
    ours, base = runs.pair(row)
    times, found = [], []
    for a, b in zip(ours.records.values(), base.records.values(), strict=True):
        curves = [_curve(record, metric, runs.clock) for record in (a, b)]
        if not all(curves):
            continue
        times.append(min(curve[-1][0] for curve in curves))
        found.append([_best(curve, limit) for limit in (times[-1], math.inf) for curve in curves])
    if not found:
        return None
    row_t, base_t, row_all, base_all = (Sample.of(values) for values in zip(*found, strict=True))
    return EqualTime(Sample.of(times), row_t, base_t, row_all, base_all)


def _curve(record: Record, metric: str, clock: str) -> list[tuple[float, float | None]]:
    """Seconds since the start and error, at the end of each epoch."""
    values = (record.get("curves") or {}).get(metric) or []
    return list(zip(accumulate(epoch_times(record, clock)), values, strict=False))


def _best(curve: list[tuple[float, float | None]], limit: float) -> float | None:
    reached = [v for t, v in curve if v is not None and math.isfinite(v) and t <= limit * _SLACK]
    return min(reached, default=None)
