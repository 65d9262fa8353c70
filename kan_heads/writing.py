"""Files that are there as a whole or not at all.

Who reads meanwhile, or after a crash of the process or the machine, finds the old file or the new one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a name to write to, in the same folder, and gives the file its own name where nothing went wrong.

    Args:
        path: the file; folders above it are made, and it keeps its permissions where it stands.

    Yields:
        Where to write: a hidden file; its name says whose it is, should a process be killed, and ends as that
        of the file does, since programs choose formats by endings.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".kan-heads.{uuid.uuid4().hex[:8]}.{path.name}")
    try:
        yield new
        _settle(new, path)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def write_files(contents: dict[Path, bytes]) -> None:
    """Writes several files; the first one takes its name, in their order, once all are on the disk.

    Args:
        contents: what to write, by path.
    """
    with contextlib.ExitStack() as stack:
        # The stack closes in reverse order.
        for path, content in reversed(contents.items()):
            new = stack.enter_context(whole(path))
            new.write_bytes(content)
            _settle(new, path)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes bytes as a whole, see :func:`whole`."""
    with whole(path) as new:
        new.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text in UTF-8 as a whole, see :func:`whole`."""
    write_bytes(path, text.encode())


def _settle(new: Path, path: Path) -> None:
    """Sees to it that a file is on the disk, with the permissions of the one that it replaces."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copymode(path, new)
    with new.open("rb") as file:
        os.fsync(file.fileno())
