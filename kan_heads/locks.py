"""Locks on files and folders that end with the process that holds them, however it ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from kan_heads.errors import ConfigError


@contextlib.contextmanager
def try_lock(path: Path, wait: bool = False, keep: bool = True) -> Iterator[bool]:
    """Holds a lock that ends with its process; yields whether it could be had.

    A file system that several machines share must share its locks too (NFS 4 does). Where the platform has no
    ``fcntl`` (Windows) there is no lock.

    Args:
        path: file that stands for the lock; folders above it are made.
        wait: wait until it is free.
        keep: leave the file there afterwards; a killed process leaves it in any case.

    Raises:
        ConfigError: if the file system has no locks.
        OSError: if the file cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield True
        return
    while True:
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            except OSError as error:
                raise ConfigError(
                    f"{path.parent} is on a file system without locks ({error.strerror}); choose a folder on "
                    "another"
                ) from error
            # Whoever held it may have removed the file meanwhile, and another process locked a new one.
            if not _is_open(path, file.fileno()):
                continue
            try:
                yield True
            finally:
                if not keep:
                    path.unlink(missing_ok=True)
            return


@contextlib.contextmanager
def claimed(out: str | os.PathLike[str], is_folder: bool) -> Iterator[None]:
    """Keeps an output to this process while its results are made.

    Args:
        out: what ``--out`` names; a folder is made.
        is_folder: whether it is a folder.

    Raises:
        ConfigError: if another process is at it, or nothing can be written there.
    """
    path = Path(out)
    lock = path / ".lock" if is_folder else path.with_name(f".{path.name}.lock")
    with contextlib.ExitStack() as stack:
        try:
            mine = stack.enter_context(try_lock(lock, keep=False))
        except OSError as error:
            raise ConfigError(f"--out {out}: cannot be written ({error.strerror}); name another") from error
        if not mine:
            raise ConfigError(f"--out {out}: another process is writing there; wait for it or name another")
        yield


def _is_open(path: Path, descriptor: int) -> bool:
    """Tells whether a path still leads to an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
