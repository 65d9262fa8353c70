"""KANs in place of the radial MLPs, which turn an edge's length into the weights of its tensor product."""

import dataclasses
from typing import Any

import torch

from kan_heads.errors import ModelError
from kan_heads.kan import KAN, KANConfig
from kan_heads.swap import MLPWeights


class RadialKAN(KAN):
    """A KAN that MACE's ``extract_config_mace_model`` takes for a radial network: it reads ``hs``."""

    def __init__(self, dims: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(dims, *args, **kwargs)
        self.hs = list(dims)


def radial_kan(mlp: torch.nn.Module, config: KANConfig) -> RadialKAN:
    """Builds a KAN that starts out equal to a radial MLP of MACE and has its widths.

    Args:
        mlp: e3nn's ``FullyConnectedNet`` with SiLU.
        config: options of the layers; the MLP decides widths and base functions.

    Raises:
        ModelError: if the MLP is of another kind.
    """
    options = dataclasses.replace(config, hidden=None, base="silu")
    return RadialKAN.from_mlp(*read_radial(mlp), options)


def read_radial(mlp: torch.nn.Module) -> MLPWeights:
    """Reads the weights of a radial MLP of MACE, its normalisation included.

    Raises:
        ModelError: if the MLP is of another kind than e3nn's ``FullyConnectedNet`` with SiLU.
    """
    kind = type(mlp).__name__
    if kind != "FullyConnectedNet":
        raise ModelError(
            f"kan_scope all: a radial network is a {kind}, which no KAN can start out equal to; "
            "known: FullyConnectedNet; choose kan_scope output"
        )
    weights, factor = [], 1.0
    for layer in mlp:
        # e3nn: act(x @ w / sqrt(h_in var_in)) sqrt(var_out), the act scaled to a second moment of 1
        scale = factor / (layer.h_in * layer.var_in) ** 0.5
        weights.append((layer.weight * scale).detach().t())  # (out, in)
        factor = layer.var_out**0.5
        if layer.act is not None:
            function = getattr(layer.act, "f", None)
            if function is not torch.nn.functional.silu:
                raise ModelError(
                    "kan_scope all: a radial MLP has another nonlinearity than silu; choose kan_scope output"
                )
            factor = factor * float(layer.act.cst)
    weights[-1] = weights[-1] * factor
    return MLPWeights(weights, None, "silu")
