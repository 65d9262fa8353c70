"""KAN layers in plain torch; import this to use them outside any potential."""

from kan_heads.kan.bases import Basis, basis_names, register_basis
from kan_heads.kan.config import KANConfig
from kan_heads.kan.layer import KANLayer
from kan_heads.kan.network import KAN, calibrate, refine
from kan_heads.kan.regularization import penalty

__all__ = [
    "KAN",
    "Basis",
    "KANConfig",
    "KANLayer",
    "basis_names",
    "calibrate",
    "penalty",
    "refine",
    "register_basis",
]
