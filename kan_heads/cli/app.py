"""Assembles the verbs of ``kan-heads``; each lives in a file of its own."""

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from kan_heads._version import __version__
from kan_heads.cli import bench, data, demo, eam, lammps, migrate_mace, patch, predict, ru, speed
from kan_heads.cli import compile as compile_verb
from kan_heads.errors import KanHeadsError

app = typer.Typer(
    help="Kolmogorov-Arnold heads for machine-learned interatomic potentials.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(bench.app, name="bench")
app.add_typer(data.app, name="data")
app.add_typer(patch.app, name="patch")
app.add_typer(lammps.app, name="lammps")
app.add_typer(eam.app, name="eam")
app.add_typer(ru.app, name="ru")
app.command("demo")(demo.demo)
app.command("compile")(compile_verb.compile_)
app.command("predict")(predict.predict)
app.command("speed")(speed.speed)
app.command("migrate-mace")(migrate_mace.migrate_mace)


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
    """Runs the program and turns expected errors into one line and a status."""
    try:
        app()
    except KanHeadsError as error:
        _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "kan_heads":
            raise
        extras = "pip install 'kan-heads[allegro,bench]'"
        _fail(f"{error.name} is not installed; this verb needs an extra, e.g. {extras}", 2)


def _fail(message: str, status: int) -> None:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print("[red]kan-heads: error:[/]", Text(message))
    sys.exit(status)
