"""KANs in place of the MLPs of a model; what a backbone has to tell for that is its adapter."""

from kan_heads.swap.adapter import Adapter, Features, MLPWeights, kans_of
from kan_heads.swap.calibration import calibrate
from kan_heads.swap.config import SwapConfig
from kan_heads.swap.registry import adapter_of, adapters, register_adapter
from kan_heads.swap.replace import find_mlps, replace_mlps
from kan_heads.swap.stacks import StackAdapter

__all__ = [
    "Adapter",
    "Features",
    "MLPWeights",
    "StackAdapter",
    "SwapConfig",
    "adapter_of",
    "adapters",
    "calibrate",
    "find_mlps",
    "kans_of",
    "register_adapter",
    "replace_mlps",
]
