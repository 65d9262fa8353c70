"""A stack of KAN layers."""

import dataclasses
from typing import List, Optional, Sequence

import torch
from torch import Tensor

from kan_heads.errors import ConfigError
from kan_heads.kan import convert, grid
from kan_heads.kan.config import KANConfig
from kan_heads.kan.freeze import Freezable
from kan_heads.kan.layer import KANLayer, unused_generator


class KAN(Freezable, torch.nn.Module):
    """A Kolmogorov-Arnold network, ``KAN([in, ..., out])``.

    Args:
        dims: widths from input to output, at least two.
        config: options of every layer; ``config.hidden``, if set, must agree with ``dims``.
        base: base function of each layer where they differ, see :meth:`from_mlp`.
        generator: source of the initial weights; torch's current one if ``None``.

    Example:
        >>> model = KAN([64, 8, 1])
        >>> model(torch.randn(100, 64)).shape
        torch.Size([100, 1])

    Raises:
        ConfigError: if there are fewer than two widths or ``config.hidden`` differs from them.

    Source: Liu et al., arXiv 2404.19756, eq. 2.7.
    """

    def __init__(
        self,
        dims: Sequence[int],
        config: Optional[KANConfig] = None,
        base: Optional[Sequence[Optional[str]]] = None,
        generator: Optional[torch.Generator] = None,
    ) -> None:
        super().__init__()
        config = KANConfig() if config is None else config
        if len(dims) < 2:
            raise ConfigError(f"KAN: {list(dims)} needs at least an input and an output width")
        if config.hidden is not None and tuple(dims[1:-1]) != config.hidden:
            raise ConfigError(f"KAN: hidden {list(config.hidden)} disagrees with the widths {list(dims)}")
        self.dims = list(dims)
        self.config = config
        names = [config.base] * (len(dims) - 1) if base is None else list(base)
        if len(names) != len(dims) - 1:
            raise ConfigError(f"KAN: base {names} must name one function for each of {len(dims) - 1} layers")
        layers = []
        for n_in, n_out, name in zip(dims[:-1], dims[1:], names, strict=True):
            layer_config = convert.with_base(config, name)
            layers.append(KANLayer(n_in, n_out, layer_config, generator))
        self.layers = torch.nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Applies all layers.

        Args:
            x: inputs, shape ``(..., dims[0])``.

        Returns:
            Outputs, shape ``(..., dims[-1])``.
        """
        for layer in self.layers:
            x = layer(x)
        return x

    @classmethod
    def from_linear(
        cls, weight: Tensor, bias: Optional[Tensor] = None, config: Optional[KANConfig] = None
    ) -> "KAN":
        """Builds a one-layer KAN equal to ``x @ weight.T + bias``, see :meth:`from_mlp`."""
        return cls.from_mlp([weight], [bias], None, config)

    @classmethod
    def from_mlp(
        cls,
        weights: Sequence[Tensor],
        biases: Optional[Sequence[Optional[Tensor]]] = None,
        nonlinearity: Optional[str] = "silu",
        config: Optional[KANConfig] = None,
    ) -> "KAN":
        r"""Builds a KAN equal to :math:`W_L \sigma(\dots \sigma(W_1 x + b_1) \dots) + b_L`.

        The base branch carries the MLP: the first layer's base function is the identity with weight
        :math:`W_1`, every later one is :math:`\sigma` with weight :math:`W_l`. The basis starts at
        zero and is free to learn what the MLP could not express. The two agree to rounding, for
        every basis, inside and outside the grid.

        Args:
            weights: :math:`W_l`, each of shape ``(out, in)``, first layer first.
            biases: :math:`b_l`, each of shape ``(out,)`` or ``None``; needs ``zero_at_origin: false``.
            nonlinearity: name of :math:`\sigma`, one of :data:`kan_heads.kan.layer.BASE_FUNCTIONS`; ``None``
                if there is none.
            config: options of the basis; ``base`` is chosen here.

        Raises:
            ConfigError: if the widths do not chain, ``config.hidden`` differs from the MLP's widths,
                the nonlinearity is unknown, ``config.base`` asks for another one, or a bias meets
                ``zero_at_origin``.
        """
        dims, config, base = convert.plan_of_mlp(weights, biases, nonlinearity, config)
        model = cls(dims, config, base=base, generator=unused_generator()).to(weights[0])
        convert.take_over(model.layers, weights, biases)
        return model

    @torch.jit.ignore
    def calibrate(self, x: Tensor, margin: float = 0.25) -> None:
        """Fits the grid of every layer to data, layer by layer, keeping the function.

        Call it before an optimiser or an average of the weights has seen the model.

        Args:
            x: typical inputs, shape ``(..., dims[0])``.
            margin: how far the grid reaches beyond the data, as a share of their range.
        """
        with torch.no_grad():
            for layer in self.layers:
                grid.calibrate(layer, x.reshape(-1, x.shape[-1]), margin)
                x = layer(x)

    @torch.jit.ignore
    def refine(self, grid_size: int, tolerance: float = 1e-10) -> "KAN":
        """Returns the same function on a finer grid.

        Exact for B-splines, Fourier and Chebyshev functions. Narrower Gaussians cannot make up wider
        ones: they need a larger ``tolerance``. With ``extrapolation: zero`` the equality
        holds inside the grid; outside, the function fades over
        ``order`` of the new, narrower intervals.

        Args:
            grid_size: new number of intervals (B-spline: a multiple of the present one).
            tolerance: largest difference that is accepted, relative to the largest coefficient.

        Returns:
            A new network; its parameters are new too, so build the optimiser after this.

        Raises:
            ConfigError: if the new basis cannot represent the old function to ``tolerance``.
        """
        old_size = self.config.grid_size
        if grid_size <= old_size:
            raise ConfigError(f"refine: grid_size {grid_size} must be larger than the present {old_size}")
        config = dataclasses.replace(self.config, grid_size=grid_size)
        names = [layer.base for layer in self.layers]
        first = self.layers[0].coefficients
        finer = type(self)(self.dims, config, base=names, generator=unused_generator()).to(first)
        finer.train(self.training)
        for old, new in zip(self.layers, finer.layers, strict=True):
            grid.refine(old, new, tolerance)
        return finer

    @torch.jit.ignore
    def coverage(self, x: Tensor) -> List[Tensor]:
        """Returns the share of inputs that lie outside the grid, for each feature of each layer.

        Args:
            x: inputs, shape ``(..., dims[0])``.

        Returns:
            One tensor of shape ``(in_features,)`` per layer, values from 0 to 1.
        """
        shares = []
        with torch.no_grad():
            for layer in self.layers:
                shares.append(grid.coverage(layer, x.reshape(-1, x.shape[-1])))
                x = layer(x)
        return shares


def calibrate(model: KAN, x: Tensor, margin: float = 0.25) -> None:
    """Fits the grids of a network to data in place, see :meth:`KAN.calibrate`.

    The method is the network's own: one out of a package may be a copy of an earlier release.
    """
    model.calibrate(x, margin)


def refine(model: KAN, grid_size: int, tolerance: float = 1e-10) -> KAN:
    """Returns a network with the same function on a finer grid, see :meth:`KAN.refine`."""
    return model.refine(grid_size, tolerance)
