"""A KAN that starts out equal to a trained linear map or MLP."""

import dataclasses
import itertools
from typing import TYPE_CHECKING, Optional, Sequence, Type

import torch
from torch import Tensor

from kan_heads.errors import ConfigError
from kan_heads.kan.config import KANConfig, unknown_name
from kan_heads.kan.layer import BASES, unused_generator

if TYPE_CHECKING:
    from kan_heads.kan.network import KAN


def with_base(config: KANConfig, base: Optional[str]) -> KANConfig:
    """Returns ``config`` with another base function and no hidden widths (a layer has none)."""
    return dataclasses.replace(config, base=base, hidden=None)


def from_mlp(
    cls: "Type[KAN]",
    weights: Sequence[Tensor],
    biases: Optional[Sequence[Optional[Tensor]]],
    nonlinearity: Optional[str],
    config: Optional[KANConfig],
) -> "KAN":
    r"""Builds a KAN equal to :math:`W_L \sigma(\dots \sigma(W_1 x + b_1) \dots) + b_L`.

    The base branch carries the MLP: the first layer's base function is the identity with weight
    :math:`W_1`, every later one is :math:`\sigma` with weight :math:`W_l`. The basis starts at
    zero and is free to learn what the MLP could not express. The two agree to rounding, for
    every basis, inside and outside the grid.

    Args:
        cls: the network class.
        weights: :math:`W_l`, each of shape ``(out, in)``, first layer first.
        biases: :math:`b_l`, each of shape ``(out,)`` or ``None``; needs ``zero_at_origin: false``.
        nonlinearity: name of :math:`\sigma`, one of :data:`BASES`; ``None`` if there is none.
        config: options of the basis; ``base`` is chosen here.

    Raises:
        ConfigError: if the widths do not chain, ``config.hidden`` differs from the MLP's widths,
            the nonlinearity is unknown, ``config.base`` asks for another one, or a bias meets
            ``zero_at_origin``.
    """
    config = KANConfig() if config is None else config
    if len(weights) == 0 or (biases is not None and len(biases) != len(weights)):
        found = f"{len(weights)} weights and {0 if biases is None else len(biases)} biases"
        raise ConfigError(f"from_mlp: {found}; give at least one weight, and one bias or None for each")
    biases = [None] * len(weights) if biases is None else list(biases)
    nonlinearity = "identity" if nonlinearity is None else nonlinearity
    if nonlinearity not in BASES:
        raise unknown_name("nonlinearity", nonlinearity, BASES)
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
    model = cls(dims, config, base=base, generator=unused_generator()).to(weights[0])
    with torch.no_grad():
        for layer, weight, bias in zip(model.layers, weights, biases, strict=True):
            layer.coefficients.zero_()
            layer.base_weight.copy_(weight)
            if layer.bias is not None and bias is not None:
                layer.bias.copy_(bias)
    return model
