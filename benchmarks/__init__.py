"""What the claims of kan-heads rest on, run from a clone: ``python -m benchmarks.NAME --help``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kan_heads.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
"""The checkout."""


def find_configs(configs: str | Path | None, names: Sequence[str]) -> Path:
    """The folder of the configurations, checked for those that are needed.

    Args:
        configs: folder, or None for ``configs/`` of this checkout.
        names: configurations below it, without ``.yaml``.

    Raises:
        ConfigError: the folder or a configuration in it is missing.
    """
    folder = ROOT / "configs" if configs is None else Path(configs)
    folder = folder.expanduser().absolute()
    for name in names:
        if not (folder / f"{name}.yaml").is_file():
            raise ConfigError(
                f"{folder}/{name}.yaml does not exist; name the folder of the configurations with --configs"
            )
    return folder
