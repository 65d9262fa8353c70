"""``python -m benchmarks.datasets``: list, get and prepare the data sets of the papers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kan_heads.cli.running import OPTIONS, run_app

app = typer.Typer(help="List, fetch and prepare the data sets of the papers.", **OPTIONS)

Name = Annotated[str, typer.Argument(help="Data set; 'python -m benchmarks.datasets list' shows them.")]


@app.command("list")
def list_() -> None:
    """Show the known data sets and where they would come from."""
    from rich.console import Console
    from rich.table import Table

    from benchmarks import datasets

    table = Table("name", "what", "frames", "available", "the paper's own?", "licence", show_lines=True)
    for d in datasets.list_datasets():
        own = f"stand-in ({d.stand_in})" if d.stand_in else ("yes" if d.paper_data else "no")
        row = (d.name, d.what, str(d.frames), datasets.availability(d), f"{own}: {d.relation}", d.licence)
        table.add_row(*row)
    Console().print(table)


@app.command()
def get(name: Name) -> None:
    """Make the files of a data set available locally and print where they are."""
    from benchmarks import datasets

    for path in datasets.get(name).values():
        typer.echo(path)


@app.command()
def prepare(
    name: Name,
    out: Annotated[Path | None, typer.Option(help="Folder to write; default data/NAME.")] = None,
    train: Annotated[int | None, typer.Option(help="Frames to train on.")] = None,
    val: Annotated[int | None, typer.Option(help="Frames to validate on.")] = None,
    test: Annotated[int | None, typer.Option(help="Frames to test on.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the split; default 0, sio2: 42.")] = None,
    mace: Annotated[
        bool, typer.Option("--mace", help="Name labels as MACE does; into data/NAME-mace.")
    ] = False,
) -> None:
    """Write train.extxyz, val.extxyz, test.extxyz and split.json."""
    from benchmarks import datasets

    folder = out or Path("data") / (f"{name}-mace" if mace else name)
    done = datasets.prepare(name, folder, train, val, test, seed, mace=mace)
    typer.echo(done.folder)


if __name__ == "__main__":
    run_app(app, "python -m benchmarks.datasets")
