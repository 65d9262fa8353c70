"""The kernels in C, compiled on first use for the processor at hand."""

from kan_heads.kan.backends.native.backend import Native

__all__ = ["Native"]
