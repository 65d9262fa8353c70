"""Kolmogorov-Arnold heads for machine-learned interatomic potentials.

nequip imports this package at start-up (entry point ``nequip.extension``), so it imports nothing.
"""

from kan_heads._version import __version__

__all__ = ["__version__"]
