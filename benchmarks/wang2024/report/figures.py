"""The pictures of a table."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.wang2024.report.canvas import svg
from benchmarks.wang2024.report.runs import TableRuns, curve_metrics


@dataclass(frozen=True)
class Picture:
    """A picture.

    Args:
        name: its file.
        title: what it is, in a few words.
        caption: how to read it.
        svg: its bytes.
    """

    name: str
    title: str
    caption: str
    svg: bytes


def pictures_of(runs: TableRuns, budget: str) -> list[Picture]:
    """Bars of every table with something measured, and learning curves where there are any."""
    from benchmarks.wang2024.report import bars, curves

    table = runs.table
    if not runs.records or table.kind == "literature":
        return []
    name = f"table-{table.number}-bars.svg"
    paper = f", as Figure {table.figure} of the paper" if table.figure else ""
    caption = (
        f"Table {table.number}{paper}. Above, what was measured at budget {budget}; below, what is "
        "published, on axes of their own."
    )
    found = [Picture(name, f"Bars of Table {table.number}", caption, svg(lambda: bars.draw(runs), name))]
    if curve_metrics(runs):
        name = f"table-{table.number}-curves.svg"
        title = f"Learning curves of Table {table.number}"
        caption = (
            f"{title} at budget {budget}. Lines are means over the seeds, bands reach from the least to the "
            "most. Where seeds have different numbers of epochs, the curve ends with the first of them."
        )
        found.append(Picture(name, title, caption, svg(lambda: curves.draw(runs), name)))
    return found
