"""``kan-heads speed``: what KAN layers cost on this machine, against MLPs and their plain definition."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import rich.progress
import typer
from rich.console import Console

from kan_heads.errors import ConfigError
from kan_heads.progress import Progress

if TYPE_CHECKING:
    from kan_heads.speed.report import Report
    from kan_heads.speed.rows import Row

_WIDTH_OF_TABLES = 120  # where no terminal says otherwise


Cases = Annotated[list[str] | None, typer.Option(help="Cases, with commas; default: all.")]
Threads = Annotated[int | None, typer.Option(help="Threads; default: torch's.")]
Dtype = Annotated[str, typer.Option(help="float32 or float64.")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Seconds = Annotated[float | None, typer.Option(help="Time for each figure; default 0.35.")]
Json = Annotated[str | None, typer.Option(help="File for the rows as JSON; - for standard output.")]


def speed(
    cases: Cases = None,
    basis: Annotated[list[str] | None, typer.Option(help="Bases, with commas; default: all.")] = None,
    rows: Annotated[
        list[str] | None, typer.Option(help="Rows of the blocks, with commas, e.g. 71,2000.")
    ] = None,
    features: Annotated[list[str] | None, typer.Option(help="Features of the readouts, with commas.")] = None,
    threads: Threads = None,
    dtype: Dtype = "float32",
    device: Device = "cpu",
    seconds: Seconds = None,
    quick: Annotated[bool, typer.Option("--quick", help="A few shapes, less time each.")] = False,
    json: Json = None,
) -> None:
    """Time KAN layers against MLPs and against their plain definition; about 15 minutes on 2 cores."""
    from kan_heads.speed import SpeedConfig, run
    from kan_heads.speed.report import Report

    config = SpeedConfig(
        cases=names(cases),
        bases=names(basis),
        rows=_numbers("--rows", rows),
        features=_numbers("--features", features),
        dtype=dtype,
        device=device,
        threads=threads,
        seconds=seconds,
        quick=quick,
    )
    config.check()
    measure_and_show(lambda screen: run(config, screen), Report, json)


def measure_and_show(
    measure: Callable[[Progress], list[Row]], report: Callable[[list[Row]], Report], json: str | None
) -> None:
    """Measures, prints tables and writes the rows.

    Args:
        measure: makes the rows; what it is given hears how it goes.
        report: makes tables of them.
        json: file for the rows, ``-`` for standard output, or None.

    Raises:
        ConfigError: nothing was measured, or the file cannot be written.
    """
    from kan_heads.speed.report import to_json

    if json not in (None, "-"):
        _check_writable(Path(json))
    results = measure(_Screen(Console(stderr=True)))
    if not results:
        raise ConfigError("nothing was measured; see above what is left out, or name other --cases")
    console = _console(stderr=json == "-")
    made = report(results)
    for table in made.tables():
        console.print(table)
    console.print(made.summary(), highlight=False, soft_wrap=True)
    if json == "-":
        typer.echo(to_json(results))
    elif json is not None:
        Path(json).write_text(to_json(results) + "\n", encoding="utf-8")
        console.print(f"Written to {json}", highlight=False, soft_wrap=True)


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=_WIDTH_OF_TABLES)


def names(texts: list[str] | None) -> tuple[str, ...] | None:
    """Splits values of an option at commas; drops what comes twice."""
    words = [word.strip() for text in texts or () for word in text.split(",")]
    return tuple(dict.fromkeys(word for word in words if word)) or None


def _numbers(option: str, texts: list[str] | None) -> tuple[int, ...] | None:
    try:
        return tuple(int(word) for word in names(texts) or ()) or None
    except ValueError:
        raise ConfigError(f"{option} {','.join(texts or ())} must be whole numbers, e.g. 71,2000") from None


def _check_writable(path: Path) -> None:
    try:
        with path.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"--json {path}: cannot be written ({reason}); name another file") from error


class _Screen(Progress):
    """Shows in a terminal which figure is being measured; elsewhere, a line for each group."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: rich.progress.Progress | None = None
        self._group, self._groups = "", 0

    @contextlib.contextmanager
    def stage(self, text: str, total: int | None = None) -> Iterator[None]:
        self._groups = total
        columns = (
            rich.progress.SpinnerColumn(),
            rich.progress.BarColumn(bar_width=12),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.description}"),
            rich.progress.TimeElapsedColumn(),
        )
        live = self._console.is_terminal
        with rich.progress.Progress(
            *columns, console=self._console, transient=True, disable=not live
        ) as self._bar:
            self._task = self._bar.add_task(text, total=total)
            yield

    def step(self, number: int, what: str = "") -> None:
        self._group = what
        if self._console.is_terminal:
            self._bar.update(self._task, completed=number, description=what)
        else:
            self._say(f"{number + 1}/{self._groups} {what}")

    def detail(self, text: str) -> None:
        self._bar.update(self._task, description=f"{self._group}: {text}")

    def note(self, text: str) -> None:
        self._say(text, style="yellow")

    def _say(self, text: str, style: str | None = None) -> None:
        self._console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
