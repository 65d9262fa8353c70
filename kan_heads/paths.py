"""Where kan-heads keeps what it can make or fetch again."""

import os
from pathlib import Path
from typing import Mapping, Optional


def cache_dir(environ: Optional[Mapping[str, str]] = None) -> Path:
    """The folder for downloads, generated data and compiled kernels.

    Args:
        environ: the environment; the process's own if ``None``.

    Returns:
        ``$KAN_HEADS_CACHE`` or ``~/.cache/kan-heads``.
    """
    value = (os.environ if environ is None else environ).get("KAN_HEADS_CACHE")
    return Path(value).expanduser() if value else Path.home() / ".cache" / "kan-heads"
