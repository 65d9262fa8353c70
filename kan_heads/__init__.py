"""Kolmogorov-Arnold heads for machine-learned interatomic potentials.

nequip imports this package at start-up (entry point ``nequip.extension``), so it imports nothing: what it
offers is imported when it is asked for.
"""

from kan_heads._version import __version__

# Where each name is at home. Packages of trained models hold this file and what it imports by statement, even
# inside of functions; so it imports by name.
_HOMES = {
    "KAN": "kan_heads.kan",
    "KANConfig": "kan_heads.kan",
    "KANLayer": "kan_heads.kan",
    "calibrate": "kan_heads.swap",
    "load": "kan_heads.loading",
    "refine": "kan_heads.kan",
    "replace_mlps": "kan_heads.swap",
    "solve": "kan_heads.head",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"kan_heads has no {name!r}; it offers {', '.join(_HOMES)}")
    import importlib

    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
