"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, make: Callable[[Path], object]) -> None:
    """Writes a file under another name and then gives it its own.

    Who reads meanwhile, or after a crash, finds the old file or the new one.

    Args:
        path: the file; folders above it are made.
        make: writes to the path that it is given, in the same folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"new.{os.getpid()}.{path.name}")
    try:
        make(new)
        with new.open("rb") as file:
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text as a whole, see :func:`write_whole`."""
    write_whole(path, lambda new: new.write_text(text, encoding="utf-8"))
