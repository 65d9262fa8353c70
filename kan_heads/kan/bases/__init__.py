"""The bases: one class in one file each, found by name."""

from kan_heads.kan.bases.base import ANCHORED, Basis
from kan_heads.kan.bases.bspline import BSplineBasis
from kan_heads.kan.bases.chebyshev import ChebyshevBasis
from kan_heads.kan.bases.fourier import FourierBasis
from kan_heads.kan.bases.gaussian import GaussianBasis
from kan_heads.kan.bases.registry import basis_names, make_basis, register_basis

__all__ = [
    "ANCHORED",
    "BSplineBasis",
    "Basis",
    "ChebyshevBasis",
    "FourierBasis",
    "GaussianBasis",
    "basis_names",
    "make_basis",
    "register_basis",
]
