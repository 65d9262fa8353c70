"""The runs of a table: its rows joined with their records, and the quantities that are made of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.wang2024.report.samples import LEAST_SEEDS, Sample
from benchmarks.wang2024.table import Column, Row, Table

Record = dict[str, Any]

#: A quantity of claims that is no column: the median over the epochs, without the first.
SECONDS = "seconds_per_epoch"
SETS = {"train": "training", "val": "validation", "test": "test"}
_HOURS = {"d": 24.0, "h": 1.0, "m": 1 / 60}


@dataclass(frozen=True, eq=False)
class RowRuns:
    """A row and its records.

    Args:
        row: the row.
        records: its records by seed, in the order of the seeds.
        clock: ``cpu`` or ``wall``, see :func:`clock_of`.
    """

    row: Row
    records: dict[int, Record]
    clock: str

    @property
    def seeds(self) -> list[int]:
        """The seeds that were run."""
        return list(self.records)

    @property
    def caption(self) -> str:
        """Its label in pictures, which says what a table has columns for."""
        remarks = ["control"] * self.row.control
        if 0 < len(self.seeds) < LEAST_SEEDS:
            remarks.append(f"n = {len(self.seeds)}".replace(" ", "\N{NO-BREAK SPACE}"))
        return f"{self.row.label} ({', '.join(remarks)})" if remarks else self.row.label

    def on(self, seeds: Iterable[int]) -> RowRuns:
        """The same row, restricted to some seeds."""
        return RowRuns(self.row, {s: r for s, r in self.records.items() if s in set(seeds)}, self.clock)

    def sample(self, metric: str) -> Sample | None:
        """The values of a metric or of ``seconds_per_epoch``; ``None`` if no run measured it."""
        if metric == SECONDS:
            seconds = [seconds_per_epoch(r, self.clock) for r in self.records.values()]
            return Sample.of(s for s in seconds if s is not None)
        return Sample.of(r["metrics"][metric] for r in self.records.values() if metric in r["metrics"])


@dataclass(frozen=True, eq=False)
class TableRuns:
    """A table and the runs of its rows.

    Args:
        table: the table.
        rows: its rows in their order.
        clock: ``cpu`` or ``wall``, the same for all rows.
    """

    table: Table
    rows: tuple[RowRuns, ...]
    clock: str

    @property
    def records(self) -> list[Record]:
        """All records, row by row."""
        return [record for row in self.rows for record in row.records.values()]

    @property
    def baseline(self) -> RowRuns:
        """The row that the others are compared with."""
        return self.row(self.table.baseline)

    def row(self, name: str) -> RowRuns:
        """The row of that id."""
        return next(row for row in self.rows if row.row.id == name)

    def pair(self, row: RowRuns) -> tuple[RowRuns, RowRuns]:
        """A row and the baseline, both restricted to the seeds that both have."""
        seeds = set(row.seeds) & set(self.baseline.seeds)
        return row.on(seeds), self.baseline.on(seeds)

    def samples(self, row: RowRuns, metric: str) -> tuple[Sample | None, Sample | None]:
        """A metric of a row and of the baseline, on the seeds that both have."""
        ours, base = self.pair(row)
        return ours.sample(metric), base.sample(metric)


def join(table: Table, records: dict[str, Record]) -> TableRuns:
    """Finds the records of each row by configuration and kind."""
    kind = "dynamics" if table.kind == "dynamics" else "training"
    of_kind = [r for _, r in sorted(records.items()) if r["kind"] == kind]
    found = {
        row.id: {r["seed"]: r for r in sorted(of_kind, key=_seed) if row.config and r["config"] == row.config}
        for row in table.rows
    }
    clock = clock_of(r for runs in found.values() for r in runs.values())
    return TableRuns(table, tuple(RowRuns(row, found[row.id], clock) for row in table.rows), clock)


def _seed(record: Record) -> int:
    return record["seed"]


def clock_of(records: Iterable[Record]) -> str:
    """``cpu`` if every run had one thread of a processor, else ``wall``.

    On one thread the CPU time is what the run would have taken alone; wall time also has what other
    processes took. With several threads, or a graphics card, CPU time says nothing.
    """
    devices = [record["device"] for record in records]
    return "cpu" if all(d["device"] == "cpu" and threads(d) == 1 for d in devices) else "wall"


def threads(device: dict[str, Any]) -> int | None:
    """The threads of a run; ``torch_threads`` are those of the process that started it."""
    return device.get("threads", device.get("torch_threads"))


def epoch_times(record: Record, clock: str) -> list[float]:
    """Seconds of each epoch; empty where none were noted."""
    return record.get(f"epoch_{clock}_s") or []


def seconds_per_epoch(record: Record, clock: str) -> float | None:
    """Median of the epochs in s, without the first, which warms up; the first if there is no other."""
    times = epoch_times(record, clock)
    return median(times[1:] or times) if times else None


def published(table: Table, row: str, metric: str) -> Sample | None:
    """The published values of a row; for ``seconds_per_epoch`` the whole training in hours."""
    if metric == SECONDS:
        return Sample.of(hours(text) for text in table.published_times.get(row, []))
    cells = table.published.get(row, {})
    return Sample.of(values[metric] for values in cells.values() if metric in values)


def has_published(table: Table, metric: str) -> bool:
    """Whether the paper prints a metric for any row."""
    return any(metric in values for cells in table.published.values() for values in cells.values())


def hours(text: str) -> float:
    """Hours of a training time as printed, e.g. ``2d 8h 55m``."""
    return sum(float(number) * _HOURS[unit] for number, unit in re.findall(r"([\d.]+)\s*([dhm])", text))


def split_metric(metric: str) -> tuple[str, str]:
    """Set and quantity of a metric: ``val``, ``force_mae``; the set is empty if it names none."""
    head, _, tail = metric.partition("_")
    return (head, tail) if head in SETS else ("", metric)


def quantity_label(column: Column) -> str:
    """Heading of a column without its set, and with the unit."""
    label = column.label
    for name in SETS.values():
        label = label.removeprefix(f"{name} ")
    return f"{label} ({column.unit})"


def curve_column(table: Table, metric: str) -> Column:
    """What a learning curve shows, as a column: label, unit and digits are those of its quantity."""
    which, quantity = split_metric(metric)
    for column in table.columns:
        if split_metric(column.metric)[1] == quantity:
            label = quantity_label(column).removesuffix(f" ({column.unit})")
            return Column(metric, f"{SETS.get(which, which)} {label}", column.unit, column.digits)
    return Column(metric, metric, "as in the record", 4)


def curve_metrics(runs: TableRuns) -> list[str]:
    """The learning curves that the records have, in the order of the columns."""
    found = {name for record in runs.records for name in record.get("curves") or {}}
    order = [split_metric(column.metric)[1] for column in runs.table.columns]

    def place(name: str) -> tuple[int, str]:
        quantity = split_metric(name)[1]
        return (order.index(quantity) if quantity in order else len(order), name)

    return sorted(found, key=place)
