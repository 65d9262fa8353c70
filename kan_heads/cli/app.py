"""Assembles the verbs of ``kan-heads``; each lives in a file of its own."""

from typing import Annotated

import typer

from kan_heads._version import __version__
from kan_heads.cli import compile as compile_verb
from kan_heads.cli import data, eam, lammps, migrate_mace, moved, patch, predict, solve, speed
from kan_heads.cli.running import OPTIONS, run_app

app = typer.Typer(help="Kolmogorov-Arnold heads for machine-learned interatomic potentials.", **OPTIONS)
app.add_typer(data.app, name="data")
app.add_typer(patch.app, name="patch")
app.add_typer(lammps.app, name="lammps")
app.add_typer(eam.app, name="eam")
app.command("compile")(compile_verb.compile_)
app.command("predict")(predict.predict)
app.command("solve")(solve.solve)
app.command("speed")(speed.speed)
app.command("migrate-mace")(migrate_mace.migrate_mace)
moved.add_to(app, data.app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version.")
    ] = False,
) -> None:
    """Stands before every verb."""


def run() -> None:
    """Runs the program, see :func:`kan_heads.cli.running.run_app`."""
    run_app(app)
