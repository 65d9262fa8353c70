"""``python -m benchmarks.demo``: train two readouts, compile the KAN, run dynamics, show what came out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import rich.progress
import typer
from rich.console import Console
from rich.table import Table

from kan_heads.cli.running import OPTIONS, run_app
from kan_heads.progress import Progress

app = typer.Typer(**OPTIONS | {"no_args_is_help": False})


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that is written.")] = Path("demo"),
    epochs: Annotated[int, typer.Option(help="Epochs of each training.")] = 20,
    train: Annotated[int, typer.Option(help="Frames to train on.")] = 200,
    val: Annotated[int, typer.Option(help="Frames to validate on.")] = 50,
    system: Annotated[
        str | None, typer.Option(help="hfo2 or ag-emt; default: hfo2 if its files are here.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps of 1 fs of the dynamics.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the weights, the batches and the velocities.")] = 1,
    configs: Annotated[
        Path | None, typer.Option(help="Folder of the configurations; default: the checkout's.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Train again even if a run is finished.")] = False,
) -> None:
    """Train an MLP and a KAN readout, compile the KAN, run dynamics; about 10 minutes on 2 cores."""
    from benchmarks.demo import DemoConfig, run

    console = Console()
    settings = DemoConfig(out, epochs, train, val, system, steps, seed, configs, force)
    results = run(settings, _Screen(console))
    _show(console, results)
    console.print(
        f"Written to {out}: results.json, table.md and four pictures", highlight=False, soft_wrap=True
    )


_EPOCHS = (
    rich.progress.BarColumn(bar_width=12),
    rich.progress.MofNCompleteColumn(),
    rich.progress.TextColumn("epochs {task.fields[what]}"),
)


def _show(console: Console, results: dict[str, Any]) -> None:
    from benchmarks.demo import report

    # Upright: nine columns would not fit a terminal.
    table = Table(title=results["settings"]["system_name"])
    columns = list(zip(report.COLUMNS, *report.rows(results), strict=True))
    for i, heading in enumerate(columns[0]):
        table.add_column(heading, justify="right" if i else "left")
    for cells in columns[1:]:
        table.add_row(*cells)
    console.print(table)
    for note in report.notes(results):
        console.print(f"- {note}", highlight=False)


class _Screen(Progress):
    """Shows the stages in a terminal; elsewhere, a line for each when it is over."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextlib.contextmanager
    def stage(self, text: str, total: int | None = None) -> Iterator[None]:
        columns = (
            rich.progress.SpinnerColumn(finished_text="[green]✓[/]"),
            rich.progress.TextColumn("{task.description}"),
            *(() if total is None else _EPOCHS),
            rich.progress.TimeElapsedColumn(),
        )
        with rich.progress.Progress(*columns, console=self._console) as self._bar:
            self._task = self._bar.add_task(text, total=total or 1, what="")
            yield
            self._bar.update(self._task, completed=total or 1)

    def step(self, number: int, what: str = "") -> None:
        self._bar.update(self._task, completed=number, what=what)

    def note(self, text: str) -> None:
        self._console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    run_app(app, "python -m benchmarks.demo")
