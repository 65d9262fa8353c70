"""Verdicts: whether the runs of a table reproduce what the paper says of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from benchmarks.wang2024.report.numbers import percent
from benchmarks.wang2024.report.runs import SECONDS, RowRuns, TableRuns, published
from benchmarks.wang2024.report.samples import LEAST_SEEDS, Sample, relative_change, welch_interval
from benchmarks.wang2024.table import Claim

REPRODUCED, NOT_REPRODUCED, CANNOT_TELL = "reproduced", "not reproduced", "cannot tell"
OUTCOMES = (REPRODUCED, NOT_REPRODUCED, CANNOT_TELL)

#: Metrics that depend on the atoms, but not on their labels: stand-in data tell as much as the paper's own.
COSTS = (SECONDS, "ms_per_step", "peak_memory_mb")

#: What counts as similar, in % of the baseline.
SIMILAR = 5.0

RULE = (
    "Row and baseline are compared on the seeds that both have, at equal epochs; where a claim names another "
    "row, that one is its baseline. Both samples together give "
    "Welch's 95 % interval of the difference of the means, here in % of the baseline's mean. Lower or "
    "higher: reproduced if the interval lies on the claimed side of zero, not reproduced if it lies on the "
    f"other side. Similar: reproduced if the interval lies within ±{SIMILAR:.0f} %, not reproduced if it "
    "lies outside of that altogether. In all other cases, and where a run diverged, where labels stand "
    "in for the paper's and the claim is about errors, or where there are fewer than "
    f"{LEAST_SEEDS} seeds: cannot tell. Each interval stands for "
    "itself: with twenty claims about one is misjudged by chance."
)


@dataclass(frozen=True)
class Verdict:
    """A claim and what the runs say of it.

    Args:
        claim: the claim.
        outcome: one of :data:`OUTCOMES`.
        reason: why.
        change: measured change of the mean against the baseline in %.
        interval: its 95 % interval in %.
        published: published change in %.
    """

    claim: Claim
    outcome: str
    reason: str
    change: float | None
    interval: tuple[float, float] | None
    published: float | None


def judge(runs: TableRuns, claim: Claim) -> Verdict:
    """Judges one claim."""
    if claim.against:
        runs = dataclasses.replace(runs, table=dataclasses.replace(runs.table, baseline=claim.against))
    row = runs.row(claim.row)
    value, base = runs.samples(row, claim.metric)
    change = relative_change(value, base)
    interval = _interval(value, base) if change is not None else None
    n = min(value.n, base.n) if change is not None else 0
    outcome, reason = _judge(runs, row, claim, change, interval, n)
    printed = [published(runs.table, name, claim.metric) for name in (claim.row, runs.table.baseline)]
    return Verdict(claim, outcome, reason, change, interval, relative_change(*printed))


def _interval(value: Sample, base: Sample) -> tuple[float, float] | None:
    if min(value.n, base.n) < 2:
        return None
    low, high = (100 * bound / abs(base.mean) for bound in welch_interval(value, base))
    return low, high


def _judge(
    runs: TableRuns,
    row: RowRuns,
    claim: Claim,
    change: float | None,
    interval: tuple[float, float] | None,
    n: int,
) -> tuple[str, str]:
    if change is None:
        return CANNOT_TELL, _why_no_change(runs, row, claim.metric)
    ours, base = runs.pair(row)
    if not same_data(ours, base):
        return CANNOT_TELL, "row and baseline were not run on the same data"
    if n < LEAST_SEEDS:
        return CANNOT_TELL, f"{seeds_text(n)}, {LEAST_SEEDS} are needed"
    stand_in = any(record["data"].get("stand_in") for record in runs.records)
    if stand_in and claim.metric not in COSTS:
        return CANNOT_TELL, f"stand-in data (on it: {_direction(change)})"
    low, high = interval
    text = f"95 % interval {percent(low)} to {percent(high)}"
    epochs = [sorted({record.get("epochs") for record in r.records.values()}, key=str) for r in (ours, base)]
    if epochs[0] != epochs[1]:
        text += "; epochs differ: " + " against ".join(", ".join(map(str, e)) for e in epochs)
    if claim.expect == "similar":
        return _similar(low, high), text
    sign = 1 if claim.expect == "higher" else -1
    if min(sign * low, sign * high) > 0:
        return REPRODUCED, text
    return (NOT_REPRODUCED if max(sign * low, sign * high) < 0 else CANNOT_TELL), text


def _similar(low: float, high: float) -> str:
    if low >= -SIMILAR and high <= SIMILAR:
        return REPRODUCED
    return NOT_REPRODUCED if high < -SIMILAR or low > SIMILAR else CANNOT_TELL


def _why_no_change(runs: TableRuns, row: RowRuns, metric: str) -> str:
    for one in (row, runs.baseline):
        if not one.records:
            return f"{one.row.label}: not run"
    ours, base = runs.pair(row)
    if not ours.records:
        return "no seed was run for both row and baseline"
    for one in (ours, base):
        sample = one.sample(metric)
        if sample is None:
            return f"{one.row.label}: not measured"
        if sample.diverged:
            return f"{one.row.label}: diverged in {sample.diverged} of {seeds_text(sample.n)}"
    return "the baseline is 0"


def _direction(change: float) -> str:
    return (
        f"{'lower' if change < 0 else 'higher'} by {percent(abs(change)).lstrip('+')}" if change else "equal"
    )


def seeds_text(n: int) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{n} seed" if n == 1 else f"{n} seeds"


def same_data(row: RowRuns, baseline: RowRuns) -> bool:
    """Whether all runs of two rows had the same files and sizes."""
    records = [record["data"] for one in (row, baseline) for record in one.records.values()]
    return all(d["files"] == records[0]["files"] and d["sizes"] == records[0]["sizes"] for d in records)
