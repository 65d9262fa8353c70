"""The errors that a user can cause, each one line that names the thing and the remedy.

The command line prints them without a traceback and exits with status 2; as a library they are
ordinary exceptions.
"""

import difflib
import os
import sys
from collections.abc import Iterable


class KanHeadsError(Exception):
    """Base of every error that kan-heads raises on bad input."""

    exit_code = 2


class ConfigError(KanHeadsError):
    """An option, name or scope in a configuration is unknown or contradicts another."""


class SettingError(ConfigError):
    """A setting is out of its range; the command line names its option instead.

    Args:
        name: of the setting.
        value: what was given, with its unit.
        problem: what it must be.
    """

    def __init__(self, name: str, value: str, problem: str) -> None:
        super().__init__(name, value, problem)
        self.name, self.value, self.problem = name, value, problem

    def __str__(self) -> str:
        return f"{self.name}: {self.value} {self.problem}"


class DataError(KanHeadsError):
    """A data file is missing, damaged, or holds labels that cannot be trained on."""


class ModelError(KanHeadsError):
    """A model, checkpoint or package does not fit what is asked of it."""


class NoNumberError(ModelError):
    """A model answers with NaN or an infinite number."""


def unknown_name(what: str, found: object, valid: Iterable[str]) -> ConfigError:
    """Builds the error for a name that does not exist, with the nearest one that does."""
    valid = sorted(valid)
    near = difflib.get_close_matches(str(found), valid, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return ConfigError(f"{what} {found!r} is unknown{hint}; valid: {', '.join(valid)}")


def first_line(error: BaseException, limit: int = 200, with_item: bool = False) -> str:
    """Returns kind and first line of an error, for a message of one line.

    Args:
        error: any error.
        limit: longest text, in characters.
        with_item: add the second line where the first announces a list by a colon.
    """
    lines = [line.strip() for line in str(error).strip().splitlines()] or [""]
    text = " ".join(lines[: 2 if with_item and lines[0].endswith(":") else 1])[:limit]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def known_cause(error: BaseException | None) -> KanHeadsError | None:
    """Returns the error of kan-heads that led to an error, which a framework may have wrapped in its own."""
    while error is not None and not isinstance(error, KanHeadsError):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error


def runs_in(program_prefix: str, folder: str = "") -> bool:
    """Tells whether this process is one of the programs of a package.

    Args:
        program_prefix: how the names of the programs start, e.g. ``nequip-``.
        folder: part of the path of a program that is run as a file or module, e.g. ``mace/cli/``.
    """
    path = sys.argv[0].replace(os.sep, "/")
    return os.path.basename(path).startswith(program_prefix) or bool(folder and folder in path)


def exit_with_one_line(program_prefix: str, folder: str = "") -> None:
    """Makes a stock program print these errors as one line and exit with status 2.

    nequip's programs end an uncaught error in a traceback of forty lines. Called when one of
    them imports a kan_heads target; in any other process, and for any other error, nothing
    changes.

    Args:
        program_prefix: see :func:`runs_in`.
        folder: see :func:`runs_in`.
    """
    if not runs_in(program_prefix, folder) or getattr(sys.excepthook, "one_line", False):
        return
    previous = sys.excepthook

    def hook(kind: type, error: BaseException, trace: object) -> None:
        cause = known_cause(error)
        if cause is None:
            previous(kind, error, trace)
            return
        sys.stderr.write(f"kan-heads: error: {cause}\n")
        raise SystemExit(cause.exit_code)

    hook.one_line = True
    sys.excepthook = hook
