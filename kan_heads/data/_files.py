"""Small file helpers shared by the data modules: checksums, and a lock for what all processes share."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from kan_heads.errors import DataError
from kan_heads.locks import try_lock

Say = Callable[[str], None]
"""Where progress messages go; the default writes to stderr so that stdout stays the caller's."""


def say_stderr(message: str) -> None:
    """Write one line to stderr."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def digest(path: Path, kind: str = "sha256") -> str:
    """Hex digest of a file (``kind``: sha256 or md5)."""
    # md5 is what Materials Cloud publishes; it guards against damage here, not against an attacker.
    h = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


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
