"""What makes a KAN start out equal to a trained linear map or MLP."""

import dataclasses
import itertools
from typing import Iterable, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from kan_heads.errors import ConfigError, unknown_name
from kan_heads.kan.config import KANConfig
from kan_heads.kan.layer import BASE_FUNCTIONS, KANLayer


def with_base(config: KANConfig, base: Optional[str]) -> KANConfig:
    """Returns ``config`` with another base function and no hidden widths (a layer has none)."""
    return dataclasses.replace(config, base=base, hidden=None)


def plan_of_mlp(
    weights: Sequence[Tensor],
    biases: Optional[Sequence[Optional[Tensor]]],
    nonlinearity: Optional[str],
    config: Optional[KANConfig],
) -> Tuple[List[int], KANConfig, List[str]]:
    """Says what a KAN is built of that is to equal an MLP, see :meth:`KAN.from_mlp`.

    Returns:
        The widths, the configuration, and the name of each layer's base function.

    Raises:
        ConfigError: as :meth:`KAN.from_mlp` does.
    """
    config = KANConfig() if config is None else config
    if len(weights) == 0 or (biases is not None and len(biases) != len(weights)):
        found = f"{len(weights)} weights and {0 if biases is None else len(biases)} biases"
        raise ConfigError(f"from_mlp: {found}; give at least one weight, and one bias or None for each")
    biases = [None] * len(weights) if biases is None else list(biases)
    nonlinearity = "identity" if nonlinearity is None else nonlinearity
    if nonlinearity not in BASE_FUNCTIONS:
        raise unknown_name("nonlinearity", nonlinearity, BASE_FUNCTIONS)
    dims = [weights[0].shape[1]] + [weight.shape[0] for weight in weights]
    for before, after in itertools.pairwise(weights):
        if before.shape[0] != after.shape[1]:
            raise ConfigError(
                f"from_mlp: widths do not chain, {tuple(before.shape)} then {tuple(after.shape)}"
            )
    if config.hidden is not None and config.hidden != tuple(dims[1:-1]):
        raise ConfigError(
            f"hidden: {list(config.hidden)} cannot start out equal to an MLP of hidden widths {dims[1:-1]}; "
            "leave hidden out"
        )
    if any(bias is not None and bool(bias.any()) for bias in biases):
        if config.zero_at_origin:
            raise ConfigError(
                "from_mlp: the MLP has biases, and with zero_at_origin a KAN has none; set "
                "zero_at_origin: false to keep them, which gives up phi(0) = 0"
            )
        config = dataclasses.replace(config, bias=True)
    base = ["identity"] + [nonlinearity] * (len(weights) - 1)
    if config.base not in (KANConfig.base, base[-1]):
        raise ConfigError(f"base: {config.base!r} cannot be chosen here, the MLP decides ({', '.join(base)})")
    config = dataclasses.replace(config, base=base[-1])
    return dims, config, base


def take_over(
    layers: Iterable[KANLayer], weights: Sequence[Tensor], biases: Optional[Sequence[Optional[Tensor]]]
) -> None:
    """Puts an MLP's weights and biases on the base branches of layers, and zeros on their bases."""
    biases = [None] * len(weights) if biases is None else biases
    with torch.no_grad():
        for layer, weight, bias in zip(layers, weights, biases, strict=True):
            layer.coefficients.zero_()
            layer.base_weight.copy_(weight)
            if layer.bias is not None and bias is not None:
                layer.bias.copy_(bias)
