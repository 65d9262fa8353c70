"""Numbers as texts: thousands with commas, a true minus, and words where there is no number."""

from __future__ import annotations

from benchmarks.wang2024.report.samples import LEAST_SEEDS, Sample
from benchmarks.wang2024.table import Table

#: The paper has no such value, or a comparison makes no sense there.
NONE = "—"
_MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"  # a number keeps its unit and its deviation
_MORE_DIGITS = 3


def number(value: float, digits: int) -> str:
    """A number with that many digits after the point, e.g. 1,234.6."""
    text = f"{value:,.{digits}f}"
    return text.replace("-", _MINUS) if float(text.replace(",", "")) else text.replace("-", "")


def percent(change: float | None) -> str:
    """A change with its sign; none where it rounds to 0."""
    if change is None:
        return NONE
    text = number(change, 1)
    return f"{'+' if change > 0 and text != '0.0' else ''}{text}{_SPACE}%"


def plus_minus(sample: Sample, digits: int) -> str:
    """Mean and standard deviation, the latter where there are two values.

    Where either is not 0 but would be printed as 0, both get up to three digits more.
    """
    values = [sample.mean] if sample.sd is None else [sample.mean, sample.sd]
    for shown in range(digits, digits + _MORE_DIGITS + 1):
        if all(not value or round(value, shown) for value in values):
            break
    return f"{_SPACE}±{_SPACE}".join(number(value, shown) for value in values)


def measured(sample: Sample | None, digits: int, was_run: bool = True) -> str:
    """A measured value; fewer than three seeds are marked."""
    if sample is None:
        return "not measured" if was_run else "not run"
    if sample.diverged:
        return f"diverged ({sample.diverged} of {sample.n})"
    return plus_minus(sample, digits) + (f" (n = {sample.n})" if sample.n < LEAST_SEEDS else "")


def printed(table: Table, row: str, metric: str) -> str:
    """A published value with the digits of the paper, mean and standard deviation if it has several seeds."""
    cells = table.published.get(row, {})
    values = [v[metric] for v in cells.values() if metric in v]
    if not values:
        return NONE
    return plus_minus(Sample(tuple(values)), _digits(table, metric, seeded=None not in cells))


def _digits(table: Table, metric: str, seeded: bool) -> int:
    """Digits after the point; numbers lose their last zeros, so all values like these are asked."""
    alike = [
        values[metric]
        for cells in table.published.values()
        for seed, values in cells.items()
        if metric in values and (seed is not None) == seeded
    ]
    return max(len(repr(v).partition(".")[2]) if v != int(v) else 0 for v in alike)
