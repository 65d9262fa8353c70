"""Pair and embedded-atom potentials of one element whose functions are KAN edge functions."""

from kan_heads.eam.config import EAMConfig
from kan_heads.eam.potential import Potential, load_potential

__all__ = ["EAMConfig", "Potential", "load_potential"]
