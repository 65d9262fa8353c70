"""The one rule for MACE's ``.model`` files: a whole pickle is loaded only if the user trusts its source."""

from __future__ import annotations

from kan_heads.errors import ConfigError

_ZIP = b"PK\x03\x04"


def require_trust(path: str, trust: bool) -> None:
    """Refuses a file that can run code when it is loaded; this runs none.

    MACE saves models as pickles of whole objects, and unpickling calls whatever the file names. Every verb
    that reads a ``.model`` asks here first. A model compiled to TorchScript is none.

    Args:
        path: an existing file.
        trust: whether the user has said that its source is trusted.

    Raises:
        ConfigError: if it is a pickle and its source is not trusted.
    """
    if not trust and not _is_torchscript(path):
        raise ConfigError(
            f"{path}: is a pickle, which can run any code when it is loaded; if you trust its source, repeat "
            "with --trust (in Python trust=True)"
        )


def _is_torchscript(path: str) -> bool:
    """Decides as ``torch.load`` does, by its own reader: another may see other entries in a forged file."""
    with open(path, "rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            return False
    from kan_heads._compat import archived_names

    try:
        return "constants.pkl" in archived_names(path)
    except RuntimeError:  # a damaged archive
        return False
