"""Options of a verb that become settings."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import typer.models

from kan_heads.errors import ConfigError, SettingError

_T = TypeVar("_T")


def given(make: Callable[..., _T], **options: Any) -> _T:
    """Makes settings of the options that were given; the others keep the settings' own defaults."""
    return make(**{name: value for name, value in options.items() if value is not None})


def names_options(**parameters: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Lets an error about a setting name the option of the verb, and what the user wrote.

    Args:
        parameters: the verb's parameters for settings that are called otherwise, by the settings' names.
    """

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(verb)
        def call(**values: Any) -> None:
            try:
                verb(**values)
            except SettingError as error:
                name = parameters.get(error.name, error.name)
                if name not in values:
                    raise
                value, default = values[name], inspect.signature(verb).parameters[name].default
                written = f"{value:g}" if isinstance(value, float) else str(value)
                shown = error.value if value in (None, default) else written
                raise ConfigError(f"{option_of(verb, name)} {shown}: {error.problem}") from error

        return call

    return decorate


def option_of(verb: Callable[..., None], name: str) -> str:
    """Returns how a parameter of a verb is called on the command line."""
    hint = typing.get_type_hints(verb, include_extras=True)[name]
    for info in typing.get_args(hint)[1:]:
        if isinstance(info, typer.models.OptionInfo):
            # Where a default may stand, typer takes the first name.
            names = (info.default, *(info.param_decls or ()))
            return next((n for n in names if str(n).startswith("--")), "--" + name.replace("_", "-"))
    return name.upper()
