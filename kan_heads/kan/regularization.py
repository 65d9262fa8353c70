"""Penalties that make the univariate functions small, few and smooth."""

from typing import Optional

import torch
from torch import Tensor

from kan_heads.errors import ConfigError
from kan_heads.kan.grid import grid_points
from kan_heads.kan.layer import KANLayer
from kan_heads.kan.network import KAN


def edge_sizes(layer: KANLayer, x: Optional[Tensor] = None) -> Tensor:
    r"""Returns the mean of :math:`|\varphi_{oi}|`, shape ``(out_features, in_features)``.

    Args:
        layer: the layer.
        x: inputs to average over, shape ``(n, in_features)``; the grid if ``None``.
    """
    points = _points(layer) if x is None else x
    return layer.edge_functions(points).abs().mean(0)


def l1(layer: KANLayer, x: Optional[Tensor] = None) -> Tensor:
    """Sums the mean absolute values of all functions. Source: arXiv 2404.19756, eq. 2.17."""
    return edge_sizes(layer, x).sum()


def entropy(layer: KANLayer, x: Optional[Tensor] = None) -> Tensor:
    r"""Measures how evenly the functions share the work, :math:`-\sum p \ln p`.

    p is a function's share of the :func:`l1` sum. Value and gradient are finite where functions,
    or all of them, are zero. Source: arXiv 2404.19756, eq. 2.19.
    """
    sizes = edge_sizes(layer, x)
    tiny = torch.finfo(sizes.dtype).tiny ** 0.5
    share = sizes / (sizes.sum() + tiny)
    return -(share * torch.log(share + tiny)).sum()


def curvature(layer: KANLayer) -> Tensor:
    r"""Averages :math:`\varphi_{oi}''^2` over the grid and sums over all functions.

    It sees no bend of splines of order 1, whose second derivative is 0 between the knots.
    """
    if layer.norm is not None:
        raise ConfigError(
            "curvature: layer_norm mixes the features, so no function has a curvature of its own"
        )
    points = grid_points(layer)

    def first(at: Tensor) -> Tensor:
        return _tangent(layer.edge_functions, at)

    return _tangent(first, points).square().mean(0).sum()


def _points(layer: KANLayer) -> Tensor:
    if layer.norm is not None:
        raise ConfigError("penalty: layer_norm mixes the features, so no function has a grid; give inputs x")
    return grid_points(layer)


def _tangent(function, at: Tensor) -> Tensor:
    """Derivative of an elementwise function of its inputs."""
    return torch.func.jvp(function, (at,), (torch.ones_like(at),))[1]


def penalty(
    model: KAN,
    l1_weight: float = 1.0,
    entropy_weight: float = 0.0,
    curvature_weight: float = 0.0,
    x: Optional[Tensor] = None,
) -> Tensor:
    """Adds up the weighted penalties of all layers, ready to be added to a loss.

    Args:
        model: the network.
        l1_weight: weight of :func:`l1`.
        entropy_weight: weight of :func:`entropy`.
        curvature_weight: weight of :func:`curvature`.
        x: inputs of the first layer to average over, shape ``(n, dims[0])``; the grids if ``None``.

    Returns:
        A scalar tensor.
    """
    total = model.layers[0].coefficients.new_zeros(())
    for layer in model.layers:
        if l1_weight:
            total = total + l1_weight * l1(layer, x)
        if entropy_weight:
            total = total + entropy_weight * entropy(layer, x)
        if curvature_weight:
            total = total + curvature_weight * curvature(layer)
        x = None if x is None else layer(x)
    return total
