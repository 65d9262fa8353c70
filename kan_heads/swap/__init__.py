"""KANs in place of the MLPs of nequip-framework models; each backbone's builder stands on this."""

from kan_heads.swap.config import SCOPES, SwapConfig
from kan_heads.swap.replace import find_mlps, replace_mlps, select, short_path

__all__ = ["SCOPES", "SwapConfig", "find_mlps", "replace_mlps", "select", "short_path"]
