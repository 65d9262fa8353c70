"""``kan-heads data``: list, get, prepare and check data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="List, fetch, prepare and check data sets.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Data set; 'kan-heads data list' shows them.")]


@app.command("list")
def list_() -> None:
    """Show the known data sets and where they would come from."""
    from rich.console import Console
    from rich.table import Table

    from kan_heads import data

    table = Table("name", "what", "frames", "available", "the paper's own?", "licence", show_lines=True)
    for d in data.list_datasets():
        own = f"stand-in ({d.stand_in})" if d.stand_in else ("yes" if d.paper_data else "no")
        row = (d.name, d.what, str(d.frames), data.availability(d), f"{own}: {d.relation}", d.licence)
        table.add_row(*row)
    Console().print(table)


@app.command()
def get(name: Name) -> None:
    """Make the files of a data set available locally and print where they are."""
    from kan_heads import data

    for path in data.get(name).values():
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
    from kan_heads import data

    folder = out or Path("data") / (f"{name}-mace" if mace else name)
    done = data.prepare(name, folder, train, val, test, seed, mace=mace)
    typer.echo(done.folder)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Extended XYZ or another file that ASE reads.")],
    r_max: Annotated[float | None, typer.Option(help="Cutoff in Angstrom to test for neighbours.")] = None,
    require: Annotated[
        str | None,
        typer.Option(
            help="Labels that every frame must have; default: energy,forces, or what the first frame has in "
            "their place (REF_energy,REF_forces of MACE, tensors of ETGNN)."
        ),
    ] = None,
) -> None:
    """Look for what would break or spoil a training."""
    from kan_heads import data

    labels, tensors = data.purpose_of(file)
    if require is not None:
        labels = tuple(name.strip() for name in require.split(",") if name.strip())
    r = data.check_file(file, r_max, labels, tensors=tensors)
    for note in (*r.notes, *r.partial(r.labels).values()):
        typer.echo(f"note: {note}", err=True)
    atoms = f"{r.n_atoms_min}" if r.n_atoms_min == r.n_atoms_max else f"{r.n_atoms_min} to {r.n_atoms_max}"
    found = ", ".join(f"{k} ({n})" for k, n in r.labels.items()) or "none"
    typer.echo(f"{file}: sound; {r.n_frames} frames, {atoms} atoms, {' '.join(r.elements)}; labels: {found}")
