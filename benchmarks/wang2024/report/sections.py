"""The section of one table: what ran, values, costs, equal time, verdicts, pictures, notes; in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

from benchmarks.markdown import bullets, escape, image, table
from benchmarks.wang2024.report import provenance
from benchmarks.wang2024.report.configurations import rows as configurations
from benchmarks.wang2024.report.equal_time import equal_time
from benchmarks.wang2024.report.figures import Picture
from benchmarks.wang2024.report.gate import LARGEST_DRIFT, gate, gate_length
from benchmarks.wang2024.report.numbers import NONE, measured, number, percent, printed
from benchmarks.wang2024.report.runs import (
    SECONDS,
    RowRuns,
    TableRuns,
    curve_column,
    curve_metrics,
    has_published,
    published,
)
from benchmarks.wang2024.report.samples import LEAST_SEEDS, Sample, relative_change
from benchmarks.wang2024.report.verdicts import Verdict
from benchmarks.wang2024.table import Column, Table

_SAME = "baseline"


def summary(declared: Table, configs: Path) -> list[str]:
    """The section of Table 1."""
    cells = [
        (
            escape(label),
            escape(config),
            *(escape(ours[part] or NONE) for part in ours),
            *(escape(theirs.get(part) or NONE) for part in ours),
            "yes" if ours == theirs else "**no**" if theirs else NONE,
        )
        for label, config, ours, theirs in configurations(declared, configs)
    ]
    parts = ("besides output", "output", "basis")
    headings = [
        "model",
        "configuration",
        *(f"{p}, ours" for p in parts),
        *(f"{p}, published" for p in parts),
        "agrees",
    ]
    return [table(headings, cells, left=len(headings)), bullets(escape(note) for note in declared.notes)]


def section(
    runs: TableRuns, verdicts: Sequence[Verdict], pictures: Sequence[Picture], dynamics_steps: int
) -> list[str]:
    """The section of any other table.

    Args:
        runs: the table and its runs.
        verdicts: the verdicts on its claims.
        pictures: its pictures.
        dynamics_steps: steps of the gate.
    """
    declared = runs.table
    literature = declared.kind == "literature"
    notes = [*map(escape, declared.notes), provenance.published_sets(declared)]
    blocks = [provenance.what_ran(runs), *provenance.warnings(runs), bullets(note for note in notes if note)]
    if literature:
        blocks.append(provenance.training_data(runs))
    blocks += _values(runs)
    if declared.kind == "training":
        blocks += ["### Cost and stability", _costs(runs, dynamics_steps), _about_costs(runs)]
        blocks += _equal_time(runs)
    if verdicts:
        blocks += ["### Verdicts", verdict_table(verdicts)]
    blocks += [image(p.name, p.title, p.caption) for p in pictures]
    return blocks


def label(row: RowRuns) -> str:
    """The first cell of a row."""
    return ("*control:* " if row.row.control else "") + escape(row.row.label)


def _values(runs: TableRuns) -> list[str]:
    """Tables of two quantities each: measured and published, both with the change against the baseline."""
    pairs = list(zip_longest(runs.table.columns[::2], runs.table.columns[1::2]))
    blocks = []
    for pair in pairs:
        columns = [column for column in pair if column]
        headings = ["row", "seeds"]
        for column in columns:
            name = escape(f"{column.label} ({column.unit})")
            headings += [f"{name}, measured", "change"]
            if has_published(runs.table, column.metric):
                headings += [f"{name}, published", "change, published"]
        cells = [
            [label(row), _seeds(row), *(c for column in columns for c in _cells(runs, row, column))]
            for row in runs.rows
        ]
        blocks.append(table(headings, cells))
    against = escape(runs.baseline.row.label)
    return [*blocks, f"Changes are against the row “{against}”, on the seeds that both have."]


def _seeds(row: RowRuns) -> str:
    n = len(row.seeds)
    return "literature" if not row.row.config else f"{n}" + " (too few)" * (0 < n < LEAST_SEEDS)


def _cells(runs: TableRuns, row: RowRuns, column: Column) -> list[str]:
    metric, is_baseline = column.metric, row.row.id == runs.table.baseline
    ours = measured(row.sample(metric), column.digits, bool(row.records)) if row.row.config else NONE
    change = relative_change(*runs.samples(row, metric))
    cells = [ours, _SAME if is_baseline else percent(change)]
    if has_published(runs.table, metric):
        base = published(runs.table, runs.table.baseline, metric)
        published_change = percent(relative_change(published(runs.table, row.row.id, metric), base))
        cells += [
            printed(runs.table, row.row.id, metric),
            _SAME if is_baseline and base else published_change,
        ]
    return cells


def _costs(runs: TableRuns, dynamics_steps: int) -> str:
    headings = (
        "row",
        "parameters of the readout",
        "parameters in all",
        f"{_clock(runs)} time per epoch (s)",
        "change",
        "training time, published",
        "change, published",
        f"dynamics: drift (meV/atom/ps), mean temperature, outcome{gate_length(dynamics_steps)}",
    )
    return table(headings, [_cost(runs, row) for row in runs.rows])


def _cost(runs: TableRuns, row: RowRuns) -> list[str]:
    is_baseline = row.row.id == runs.table.baseline
    counts = [_parameters(row, which) for which in ("readout", "total")]
    times = runs.table.published_times.get(row.row.id, [])
    base = published(runs.table, runs.table.baseline, SECONDS)
    theirs = relative_change(published(runs.table, row.row.id, SECONDS), base)
    return [
        label(row),
        *counts,
        measured(row.sample(SECONDS), 2, bool(row.records)),
        _SAME if is_baseline else percent(relative_change(*runs.samples(row, SECONDS))),
        escape(", ".join(times)) or NONE,
        _SAME if is_baseline and base else percent(theirs),
        gate(row),
    ]


def _parameters(row: RowRuns, which: str) -> str:
    if not row.records:
        return "not run"
    counts = {r["parameters"][which] for r in row.records.values()}
    return " or ".join(number(count, 0) for count in sorted(counts))


def _clock(runs: TableRuns) -> str:
    return "CPU" if runs.clock == "cpu" else "wall"


def _about_costs(runs: TableRuns) -> str:
    if not runs.records:
        return ""
    why = (
        "CPU time, which other processes on the machine lengthen less than wall time; each run had one thread"
        if runs.clock == "cpu"
        else "wall time, which other processes on the machine lengthen"
    )
    return (
        f"Times are {why}; per epoch the median of the epochs without the first. The paper's are those of "
        "whole trainings on its machine, of unknown numbers of epochs: only the direction of a change can be "
        "compared. Dynamics start from the calmest test frame; they are passed if no atom is lost, the run "
        f"holds to its end, and the drift is below {LARGEST_DRIFT:g} meV/atom/ps."
    )


def _equal_time(runs: TableRuns) -> list[str]:
    others = [row for row in runs.rows if row.row.id != runs.table.baseline]
    blocks = []
    for metric in curve_metrics(runs):
        column = curve_column(runs.table, metric)
        name = escape(f"{column.label} ({column.unit})")
        headings = (
            "row",
            "best at equal epochs",
            "baseline",
            "change",
            f"time given, {_clock(runs)} (s)",
            "best by then",
            "baseline",
            "change",
        )
        cells = [[label(row), *_equal_cells(runs, row, column)] for row in others]
        blocks += [f"Best {name}:", table(headings, cells)]
    if not blocks:
        return []
    about = (
        "The time given is, seed by seed, the time in the epochs of the shorter of the two trainings, row "
        "and baseline; start-up and tests are left out. The learning rates are those of the whole training, "
        "so that the slower of the two is cut off before its end. Each curve has its best epoch of its own; "
        "the errors above are those of the model that was kept."
    )
    return ["### Equal epochs and equal time", *blocks, about]


def _equal_cells(runs: TableRuns, row: RowRuns, column: Column) -> list[str]:
    found = equal_time(runs, row, column.metric)
    if found is None:
        return ["not run" if not (row.records and runs.baseline.records) else "not measured"] * 7
    cells = []
    for ours, base in ((found.row_all, found.baseline_all), (found.row, found.baseline)):
        cells += [
            _reached(ours, column.digits),
            _reached(base, column.digits),
            percent(relative_change(ours, base)),
        ]
    return [*cells[:3], measured(found.time_s, 1), *cells[3:]]


def _reached(sample: Sample, digits: int) -> str:
    if sample.diverged:  # or the slower one had no time for a single epoch
        return f"no value in {sample.diverged} of {sample.n}"
    return measured(sample, digits)


def verdict_table(verdicts: Sequence[Verdict], numbers: Sequence[int] = ()) -> str:
    """Claims and verdicts.

    Args:
        verdicts: the verdicts.
        numbers: for each the number of its table, which then has a column.
    """
    cells = [
        [
            escape(v.claim.text),
            f"**{v.outcome}** at this budget",
            escape(v.reason),
            percent(v.change),
            percent(v.published),
        ]
        for v in verdicts
    ]
    headings = ["claim", "verdict", "why", "measured change", "published change"]
    if not numbers:
        return table(headings, cells, left=3)
    linked = [[f"[{n}](#table-{n})", *row] for n, row in zip(numbers, cells, strict=True)]
    return table(["table", *headings], linked, left=4)
