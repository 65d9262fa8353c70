"""Chebyshev polynomials of a squashed input: the whole of what a new basis takes."""

import torch
from torch import Tensor

from kan_heads.kan.bases.base import Basis
from kan_heads.kan.config import KANConfig


class ChebyshevBasis(Basis):
    r"""Polynomials :math:`T_m(\tanh z)`, m = 1 .. grid_size, z = 2 (x - centre) / (upper - lower).

    The hyperbolic tangent keeps every input, however far, inside [-1, 1], where the polynomials
    are bounded. The recursion is :math:`T_{m+1}(t) = 2 t T_m(t) - T_{m-1}(t)`.

    Source: Sidharth et al., arXiv 2405.07200, eq. 5 to 7.
    """

    name = "chebyshev"
    reach = 5.0  # tanh(5) = 0.9999

    def __init__(self, in_features: int, config: KANConfig) -> None:
        super().__init__(in_features, config)
        self.n_basis = config.grid_size

    def forward(self, x: Tensor) -> Tensor:
        """Evaluates the polynomials, see :meth:`Basis.forward`."""
        half = 0.5 * self.grid_size * self.step
        t = torch.tanh((x - self.lower) / half - 1.0)  # (n, in)
        previous, current = torch.ones_like(t), t
        values = torch.zeros(1, dtype=x.dtype, device=x.device)
        for m in range(self.n_basis):
            # Padding, not torch.stack: TorchScript's profiler forgets that a list of tensors needs gradients.
            column = torch.nn.functional.pad(current.unsqueeze(-1), [m, self.n_basis - 1 - m])
            values = values + column  # (n, in, n_basis)
            previous, current = current, 2.0 * t * current - previous
        return values
