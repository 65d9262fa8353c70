r"""The definitions of the bases, written plainly, and layers made of nothing else.

They are what a KAN layer means and how it is commonly written; plain automatic differentiation does
the rest. A layer here has the same function as the :class:`kan_heads.kan.KANLayer` that it is made
from, so that a test can hold the two together and a clock can compare them. What does not depend on
the input (knots, values at 0) is computed once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from kan_heads.kan import KAN, Basis, KANLayer


class Definition(torch.nn.Module):
    """Basis functions by their definition, on the grid of ``basis``."""

    def __init__(self, basis: Basis) -> None:
        super().__init__()
        self.size = basis.grid_size
        self.n_basis = basis.n_basis
        for name in ("lower", "step", "upper"):
            self.register_buffer(name, getattr(basis, name).clone())

    def forward(self, x: Tensor) -> Tensor:
        """Evaluates the functions, (n, in) -> (n, in, n_basis)."""
        raise NotImplementedError

    def expand(self, x: Tensor, c: Tensor) -> Tensor:
        """Sums functions times coefficients, (n, in), (out, in, n_basis) -> (n, out)."""
        return functional.linear(self(x).flatten(1), c.flatten(1))


def cox_de_boor(x: Tensor, knots: Tensor, order: int) -> Tensor:
    """B-splines by the recursion of Cox and de Boor.

    Args:
        x: inputs, shape (n, in).
        knots: shape (in, m).
        order: order of the splines.

    Returns:
        Values, shape (n, in, m - order - 1).

    Source: de Boor, A Practical Guide to Splines, eq. X(4) and X(5).
    """
    x = x.unsqueeze(-1)  # (n, in, 1)
    values = ((x >= knots[:, :-1]) & (x < knots[:, 1:])).to(x.dtype)
    for k in range(1, order + 1):
        left = (x - knots[:, : -(k + 1)]) / (knots[:, k:-1] - knots[:, : -(k + 1)])
        right = (knots[:, k + 1 :] - x) / (knots[:, k + 1 :] - knots[:, 1:-k])
        values = left * values[..., :-1] + right * values[..., 1:]
    return values


class BSplines(Definition):
    """B-splines, with straight lines outside the grid where the layer has them (order 2 and up)."""

    def __init__(self, basis: Basis) -> None:
        super().__init__(basis)
        self.order = basis.order
        self.linear_outside = basis.linear_outside
        count = torch.arange(-self.order, self.size + self.order + 1, dtype=self.lower.dtype)
        knots = self.lower.unsqueeze(-1) + self.step.unsqueeze(-1) * count.to(self.lower.device)
        self.register_buffer("knots", knots)  # (in, size + 2 order + 1)
        ends = torch.stack([self.lower, self.upper])  # (2, in)
        flatter = cox_de_boor(ends, knots, self.order - 1)  # (2, in, n_basis + 1)
        # B_jk' = (B_j,k-1 - B_j+1,k-1) / step on a uniform grid.
        slopes = (flatter[..., :-1] - flatter[..., 1:]) / self.step.unsqueeze(-1)
        self.register_buffer("end_slopes", slopes)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluates the splines."""
        return cox_de_boor(x, self.knots, self.order)

    def expand(self, x: Tensor, c: Tensor) -> Tensor:
        """Sums splines, and goes on with the slopes at the ends."""
        if not self.linear_outside:
            return super().expand(x, c)
        inside = x.clamp(self.lower, self.upper)
        outside = x - inside
        below, above = (self.end_slopes.unsqueeze(1) * c).sum(-1)  # (out, in) each
        y = functional.linear(outside.clamp_max(0.0), below) + functional.linear(
            outside.clamp_min(0.0), above
        )
        return y + super().expand(inside, c)


class Gaussians(Definition):
    """One exponential for each centre."""

    def __init__(self, basis: Basis) -> None:
        super().__init__(basis)
        count = torch.arange(self.n_basis, dtype=self.lower.dtype, device=self.lower.device)
        self.register_buffer("centres", self.lower.unsqueeze(-1) + self.step.unsqueeze(-1) * count)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluates the Gaussians."""
        z = (x.unsqueeze(-1) - self.centres) / self.step.unsqueeze(-1)
        return torch.exp(-(z**2))


class Harmonics(Definition):
    """A cosine and a sine of each harmonic."""

    def __init__(self, basis: Basis) -> None:
        super().__init__(basis)
        count = torch.arange(1, self.size + 1, dtype=self.lower.dtype, device=self.lower.device)
        period = (self.upper - self.lower).unsqueeze(-1)
        self.register_buffer("frequencies", 2.0 * math.pi / period * count)  # (in, size)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluates the cosines, then the sines."""
        angle = x.unsqueeze(-1) * self.frequencies
        return torch.cat([torch.cos(angle), torch.sin(angle)], -1)


class Chebyshevs(Definition):
    """The recursion of the Chebyshev polynomials, of a hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        """Evaluates the polynomials of degree 1 and up."""
        t = torch.tanh(2.0 * (x - self.lower) / (self.upper - self.lower) - 1.0)
        values = [torch.ones_like(t), t]
        for _ in range(1, self.n_basis):
            values.append(2.0 * t * values[-1] - values[-2])
        return torch.stack(values[1:], -1)


DEFINITIONS: dict[str, type[Definition]] = {
    "bspline": BSplines,
    "gaussian": Gaussians,
    "fourier": Harmonics,
    "chebyshev": Chebyshevs,
}


class ReferenceLayer(torch.nn.Module):
    """The function of a layer by its definition.

    Args:
        layer: where grids and weights are copied from; without LayerNorm, anchored only if its grids
            hold 0.
        basis: name of its basis, one of :data:`DEFINITIONS`.
    """

    def __init__(self, layer: KANLayer, basis: str) -> None:
        super().__init__()
        self.definition = DEFINITIONS[basis](layer.basis)
        self.coefficients = _copy(layer.coefficients)
        self.register_buffer("unit", None if layer.unit is None else layer.unit.clone())
        self.base_weight = _copy(layer.base_weight)
        self.bias = _copy(layer.bias)
        self.base_function = layer.base_function
        origin = self.definition(torch.zeros_like(layer.basis.lower).unsqueeze(0)).flatten(1)
        self.register_buffer("origin", origin if layer.zero_at_origin else torch.zeros_like(origin))

    def forward(self, x: Tensor) -> Tensor:
        """Applies the layer, (n, in) -> (n, out)."""
        c = self.coefficients if self.unit is None else self.coefficients * self.unit
        y = self.definition.expand(x, c)
        y = y - functional.linear(self.origin, c.flatten(1))
        if self.base_weight is not None:
            y = y + functional.linear(self.base_function(x), self.base_weight)
        return y if self.bias is None else y + self.bias


def reference(model: KAN) -> torch.nn.Module:
    """A network of reference layers with the function of ``model``."""
    return torch.nn.Sequential(*(ReferenceLayer(layer, model.config.basis) for layer in model.layers))


def _copy(parameter: Tensor | None) -> torch.nn.Parameter | None:
    return None if parameter is None else torch.nn.Parameter(parameter.detach().clone())
