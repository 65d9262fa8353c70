"""Where kan-heads finds its configurations, and keeps what it can make or fetch again."""

import os
from pathlib import Path
from typing import Mapping, Optional, Sequence, Union


def cache_dir(environ: Optional[Mapping[str, str]] = None) -> Path:
    """The folder for downloads, generated data and compiled kernels.

    Args:
        environ: the environment; the process's own if ``None``.

    Returns:
        ``$KAN_HEADS_CACHE`` or ``~/.cache/kan-heads``.
    """
    value = (os.environ if environ is None else environ).get("KAN_HEADS_CACHE")
    return Path(value).expanduser() if value else Path.home() / ".cache" / "kan-heads"


def find_configs(configs: Union[str, Path, None], names: Sequence[str]) -> Path:
    """The folder of the configurations, checked for those that are needed.

    Args:
        configs: folder, or None for ``configs/`` beside the package in an editable checkout.
        names: configurations below it, without ``.yaml``.

    Raises:
        ConfigError: the folder or a configuration in it is missing.
    """
    import kan_heads
    from kan_heads.errors import ConfigError

    folder = Path(kan_heads.__file__).resolve().parents[1] / "configs" if configs is None else Path(configs)
    folder = folder.expanduser().absolute()
    for name in names:
        if not (folder / f"{name}.yaml").is_file():
            raise ConfigError(
                f"{folder}/{name}.yaml does not exist; the configurations are not part of the installed "
                "package: run from a checkout (git clone, pip install -e), or name its folder with --configs"
            )
    return folder
