"""Verbs of release 0.1 that regenerate papers: each says what to run in a clone instead."""

from __future__ import annotations

import typer

from kan_heads.errors import ConfigError

_MOVED = {"bench": "wang2024", "demo": "demo", "ru": "an2025"}
_MOVED_DATA = ("list", "get", "prepare")
_CONTEXT = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def add_to(app: typer.Typer, data: typer.Typer) -> None:
    """Registers the verbs, hidden from the help."""
    for verb, package in _MOVED.items():
        _add(app, verb, f"kan-heads {verb}", f"python -m benchmarks.{package}")
    for verb in _MOVED_DATA:
        _add(data, verb, f"kan-heads data {verb}", f"python -m benchmarks.datasets {verb}")


def _add(app: typer.Typer, verb: str, old: str, new: str) -> None:
    @app.command(verb, hidden=True, context_settings=_CONTEXT, help=f"Moved to {new}.")
    def moved() -> None:
        raise ConfigError(f"'{old}' has moved to the project's repository; in a clone of it run: {new} ...")
