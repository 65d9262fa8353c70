"""Files of a report: each is replaced as a whole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def replace(folder: Path, contents: Mapping[str, bytes], ours: str) -> list[Path]:
    """Writes files so that a reader finds the old one or the new one.

    Args:
        folder: where; made if there is none.
        contents: bytes by name.
        ours: pattern of names that belong to the report; files so named that have no contents are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        partial = folder / f".{name}.{os.getpid()}.tmp"
        partial.write_bytes(content)
        os.replace(partial, folder / name)
    for path in folder.glob(ours):
        if path.name not in contents:
            path.unlink()
    return [folder / name for name in contents]
