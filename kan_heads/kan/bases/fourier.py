"""Cosines and sines."""

import math

import torch
from torch import Tensor

from kan_heads.kan.bases.base import Basis
from kan_heads.kan.config import KANConfig


class FourierBasis(Basis):
    r"""Harmonics :math:`\cos(m \omega x), \sin(m \omega x)`, m = 1 .. grid_size.

    The width of the grid is one period: :math:`\omega = 2 \pi / (\mathrm{upper} - \mathrm{lower})`.
    All cosines come first.

    Source: Wang et al. 2024, "Fourier functions".
    """

    name = "fourier"
    closed_derivatives = True

    def __init__(self, in_features: int, config: KANConfig) -> None:
        super().__init__(in_features, config)
        self.n_basis = 2 * config.grid_size

    @torch.jit.ignore
    def slope_units(self) -> Tensor:
        """Divides by the harmonic, see :meth:`Basis.slope_units`."""
        harmonics = torch.arange(1, self.grid_size + 1, dtype=self.step.dtype, device=self.step.device)
        return super().slope_units() / harmonics.repeat(2)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluates the harmonics, see :meth:`Basis.forward`."""
        harmonics = torch.arange(1, self.grid_size + 1, dtype=x.dtype, device=x.device)
        phase = x * (2.0 * math.pi / (self.grid_size * self.step))  # (n, in)
        angle = phase.unsqueeze(-1) * harmonics  # (n, in, grid_size)
        # Padding, not torch.cat: TorchScript's profiler forgets that a list of tensors needs gradients.
        cos = torch.nn.functional.pad(torch.cos(angle), [0, self.grid_size])
        return cos + torch.nn.functional.pad(torch.sin(angle), [self.grid_size, 0])  # (n, in, n_basis)

    @torch.jit.ignore
    def derivative(self, x: Tensor, order: int) -> Tensor:
        r"""Evaluates the harmonics a quarter period on for each order, times :math:`(m \omega)^d`."""
        harmonics = torch.arange(1, self.grid_size + 1, dtype=x.dtype, device=x.device)
        omega = (2.0 * math.pi / (self.grid_size * self.step)).unsqueeze(-1) * harmonics  # (in, grid_size)
        angle = x.unsqueeze(-1) * omega  # (n, in, grid_size)
        cos, sin = torch.cos(angle), torch.sin(angle)
        turned = [(cos, sin), (-sin, cos), (-cos, -sin), (sin, -cos)][order % 4]
        factor = omega.pow(order)
        return torch.cat([turned[0] * factor, turned[1] * factor], dim=-1)  # (n, in, n_basis)
