"""Where files of data sets are kept, where messages go, and a lock on what all processes share."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from kan_heads.errors import DataError
from kan_heads.locks import try_lock
from kan_heads.paths import cache_dir

Say = Callable[[str], None]
"""Where progress messages go; the default writes to stderr so that stdout stays the caller's."""


def say_stderr(message: str) -> None:
    """Write one line to stderr."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


@contextlib.contextmanager
def file_lock(target: Path) -> Iterator[None]:
    """Hold an advisory lock named after ``target``; a second process waits.

    The kernel drops the lock when its holder dies, so that a killed download blocks nobody.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(try_lock(target.with_name(target.name + ".lock"), wait=True))
        except OSError as e:
            raise DataError(
                f"cannot write to {target.parent} ({e.strerror}); "
                "set KAN_HEADS_CACHE to a folder that you can write to"
            ) from e
        yield


def data_dir(environ: Mapping[str, str] | None = None) -> Path | None:
    """The folder named by ``$KAN_HEADS_DATA``, or None where the variable is unset or empty.

    Raises:
        DataError: the variable names something that is not a folder.
    """
    value = (os.environ if environ is None else environ).get("KAN_HEADS_DATA", "")
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise DataError(f"KAN_HEADS_DATA is set to '{value}', which is not a folder; correct or unset it")
    return folder


def find(path: str) -> tuple[Path, str] | None:
    """The local copy of a relative path and where it is (``folder`` or ``cache``); None if nowhere."""
    folder = data_dir()
    if folder is not None and (folder / path).is_file():
        return folder / path, "folder"
    cached = cache_dir() / path
    return (cached, "cache") if cached.is_file() else None
