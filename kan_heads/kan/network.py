"""A stack of KAN layers."""

from typing import List, Optional, Sequence

import torch
from torch import Tensor

from kan_heads.errors import ConfigError
from kan_heads.kan import convert, grid
from kan_heads.kan.config import KANConfig
from kan_heads.kan.freeze import Freezable
from kan_heads.kan.layer import KANLayer


class KAN(Freezable, torch.nn.Module):
    """A Kolmogorov-Arnold network, ``KAN([in, ..., out])``.

    Args:
        dims: widths from input to output, at least two.
        config: options of every layer; ``config.hidden``, if set, must agree with ``dims``.
        base: base function of each layer where they differ, see :func:`KAN.from_mlp`.
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
        """Builds a one-layer KAN equal to ``x @ weight.T + bias``, see :func:`convert.from_mlp`."""
        return cls.from_mlp([weight], [bias], None, config)

    @classmethod
    def from_mlp(
        cls,
        weights: Sequence[Tensor],
        biases: Optional[Sequence[Optional[Tensor]]] = None,
        nonlinearity: Optional[str] = "silu",
        config: Optional[KANConfig] = None,
    ) -> "KAN":
        """Builds a KAN that starts out equal to a trained MLP, see :func:`convert.from_mlp`."""
        return convert.from_mlp(cls, weights, biases, nonlinearity, config)

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
        return grid.refine(self, grid_size, tolerance)

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
