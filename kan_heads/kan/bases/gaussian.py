"""Gaussians on a uniform grid, the basis of FastKAN."""

import torch
from torch import Tensor

from kan_heads.kan.bases.base import Basis
from kan_heads.kan.config import KANConfig


class GaussianBasis(Basis):
    r"""Gaussians :math:`\phi_j(x) = \exp(-((x - g_j) / h)^2)`, :math:`g_j = \mathrm{lower} + j h`.

    ``grid_size`` counts intervals of width h, so there are ``grid_size + 1`` centres (FastKAN's
    ``num_grids``).

    Source: Li, arXiv 2405.06721, eq. 3; Wang et al. 2024, "Gaussian functions".
    """

    name = "gaussian"
    closed_derivatives = True

    def __init__(self, in_features: int, config: KANConfig) -> None:
        super().__init__(in_features, config)
        self.n_basis = config.grid_size + 1

    def forward(self, x: Tensor) -> Tensor:
        """Evaluates the Gaussians, see :meth:`Basis.forward`."""
        centres = torch.arange(self.n_basis, dtype=x.dtype, device=x.device)
        v = (x - self.lower) / self.step  # (n, in)
        z = v.unsqueeze(-1) - centres  # (n, in, n_basis)
        return torch.exp(-z * z)

    @torch.jit.ignore
    def derivative(self, x: Tensor, order: int) -> Tensor:
        r"""Evaluates :math:`(-1)^d H_d(z) e^{-z^2} / h^d` with Hermite polynomials H."""
        centres = torch.arange(self.n_basis, dtype=x.dtype, device=x.device)
        z = ((x - self.lower) / self.step).unsqueeze(-1) - centres  # (n, in, n_basis)
        previous, current = torch.ones_like(z), -2.0 * z
        for d in range(1, order):
            previous, current = current, -2.0 * (z * current + d * previous)
        return current.mul_(torch.exp(-z * z)).mul_(self.step.pow(-order).unsqueeze(-1))
