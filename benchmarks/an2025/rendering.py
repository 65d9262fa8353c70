"""Table 1 for a terminal of 100 columns, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from benchmarks import markdown
from benchmarks.an2025.table1 import PROTOCOLS, Row

if TYPE_CHECKING:
    from rich.table import Table

_NONE = "-"
_HEADINGS = ("MAE", "MSE", "E")
_PUBLISHED = ("published MAE", "published MSE")
_READING = (
    "Each cell: training / validation / test. MAE and MSE over energy and two force components in normalised "
    "units; E: MAE of the energy, meV/atom. Published: as the paper prints it."
)


def _parts(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    for name in PROTOCOLS:
        part = [row for row in rows if row.protocol == name]
        if part:
            yield name, part


def caption(row: Row) -> str:
    """One sentence on the protocol of a row: its sets, what was fitted to what, and duplicates."""
    sizes = "/".join(str(size) for size in row.sizes)
    fitted = "all rows" if row.protocol == "published" else "training rows"
    return (
        f"{PROTOCOLS[row.protocol]} ({sizes}): components and normalisation fitted to {fitted}; "
        f"{row.duplicates} of {row.sizes[2]} test rows have an exact duplicate in the training set"
    )


def notes(rows: Sequence[Row]) -> list[str]:
    """What must stand below the table: how to read it, and what a row's mark means."""
    found = dict.fromkeys((row.label, row.note) for row in rows if row.note)
    return [_READING, *(f"{label}*: {note}." for label, note in found)]


def _cells(row: Row, between: str) -> list[str]:
    """Label and numbers; those that are published only under the published protocol."""

    def joined(values: Sequence[float], digits: int = 2) -> str:
        return between.join(f"{value:.{digits}f}" for value in values)

    cells = [
        row.label + ("*" if row.note else ""),
        joined(row.mae),
        joined(row.mse),
        joined(row.energy_mae, 0),
    ]
    if row.protocol == "published":
        printed = row.published
        cells += [joined(printed.mae), joined(printed.mse)] if printed else [_NONE, _NONE]
    return cells


def terminal(rows: Sequence[Row]) -> list[Table]:
    """Tables for rich, one for each protocol, each less than 100 columns wide.

    Args:
        rows: of :func:`benchmarks.an2025.table1.table1_rows`.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    tables = []
    for name, part in _parts(rows):
        table = Table(
            title=caption(part[0]),
            title_justify="left",
            title_style="bold",
            box=SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            collapse_padding=True,
        )
        table.add_column("", no_wrap=True)
        for heading in _HEADINGS:
            table.add_column(heading, justify="right", no_wrap=True)
        if name == "published":
            for heading in _PUBLISHED:
                table.add_column(heading, justify="right", style="dim", no_wrap=True)
        for row in part:
            table.add_row(*_cells(row, " "))
        tables.append(table)
    return tables


def as_markdown(rows: Sequence[Row]) -> str:
    """The same as Markdown: a table for each protocol, and the notes.

    Args:
        rows: of :func:`benchmarks.an2025.table1.table1_rows`.
    """
    blocks = []
    for name, part in _parts(rows):
        headings = ["", *_HEADINGS, *(_PUBLISHED if name == "published" else ())]
        lines = [_cells(row, " / ") for row in part]
        blocks += [f"{caption(part[0])}.", markdown.table(headings, lines).replace("*", "\\*")]
    blocks += [note.replace("*:", "\\*:") for note in notes(rows)]
    return "\n\n".join(blocks)
