"""Says what a verb is doing while that takes long."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer


@contextlib.contextmanager
def stage(text: str) -> Iterator[None]:
    """Shows a stage while it lasts; where there is no terminal, a line when it begins.

    Args:
        text: what is being done.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        typer.echo(f"{text} ...", err=True)
        yield
        return
    with console.status(f"{text} ..."):
        yield
