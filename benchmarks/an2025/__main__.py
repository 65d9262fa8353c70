"""``python -m benchmarks.an2025``: the ruthenium paper's tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kan_heads.cli.running import OPTIONS, run_app
from kan_heads.errors import ConfigError

app = typer.Typer(help="Ruthenium: what An and Yeo (2025) publish, run again.", **OPTIONS)

Data = Annotated[Path | None, typer.Option(help="Structures; default: ru/ in KAN_HEADS_DATA.")]
Seed = Annotated[int, typer.Option(help="Seed of weights, batches and the grouped split.", min=0)]

_WIDTH_OF_TABLES = 100  # where no terminal says otherwise


def _say(text: str) -> None:
    typer.echo(f"{text} ...", err=True)


@app.command()
def table1(
    seed: Seed = 0,
    models: Annotated[list[str] | None, typer.Option(help="Models, with commas; default: all.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Fewer epochs than published, for a try.", min=1)] = None,
    json: Annotated[Path | None, typer.Option(help="File for the rows as JSON.")] = None,
    data: Data = None,
) -> None:
    """Train the models of Table 1 on both splits; about 4 minutes on one core."""
    from json import dumps

    from rich.console import Console

    from benchmarks.an2025 import rendering
    from benchmarks.an2025.table1 import table1_rows

    words = [word.strip() for text in models or () for word in text.split(",")]
    names = [word for word in words if word] or None
    if json is not None and (json.is_dir() or not json.absolute().parent.is_dir()):
        raise ConfigError(f"--json {json}: is a folder or lies in none that exists; name another file")
    rows = table1_rows(data, seed, names, epochs, say=_say)
    console = Console()
    console = console if console.is_terminal else Console(width=_WIDTH_OF_TABLES)
    for table in rendering.terminal(rows):
        console.print(table)
    for note in rendering.notes(rows):
        console.print(note, highlight=False, markup=False)
    if json is not None:
        json.write_text(dumps([row.to_dict() for row in rows], indent=1) + "\n", encoding="utf-8")
        typer.echo(json)


@app.command()
def figures(
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")],
    seed: Seed = 0,
    data: Data = None,
) -> None:
    """Draw Figures 2 to 5 as PNG."""
    from benchmarks.an2025.figures import draw

    for file in draw(out, data, seed, say=_say):
        typer.echo(file)


@app.command()
def tables(
    out: Annotated[Path, typer.Option(help="Folder of the tables, potentials, LAMMPS' files and plots.")],
    seed: Seed = 0,
    data: Data = None,
) -> None:
    """Make Tables 1 to 3: train, fit, strain; about 7 minutes."""
    from benchmarks.an2025.tables import make_tables

    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; name a folder")
    typer.echo(make_tables(out, data, seed, say=_say))


if __name__ == "__main__":
    run_app(app, "python -m benchmarks.an2025")
