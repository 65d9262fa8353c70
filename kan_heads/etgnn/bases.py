"""Functions of lengths and angles: cutoffs, spherical Bessel functions, Legendre polynomials."""

import math
from typing import List

import torch
from nequip.nn.embedding import PolynomialCutoff
from torch import Tensor

_SERIES_TERMS = 18


class CosineCutoff(torch.nn.Module):
    """1/2 (cos(pi x) + 1) up to x = 1, then 0; its second derivative jumps there."""

    def forward(self, x: Tensor) -> Tensor:
        """Evaluates the cutoff at ``x``, lengths divided by the cutoff radius."""
        return 0.5 * (torch.cos(math.pi * x) + 1.0) * (x < 1.0)


def make_cutoff(name: str) -> torch.nn.Module:
    """Builds a cutoff function of lengths divided by the cutoff radius, by name."""
    return CosineCutoff() if name == "cosine" else PolynomialCutoff(6.0)


def spherical_bessel(first: int, x: Tensor) -> Tensor:
    r"""Evaluates :math:`j_l(x)`, x >= 0, to rounding in the precision of ``x``.

    The closed forms cancel where x is small against l: j_7(2) from them is wrong by 63 % in float32. The
    power series is taken there, the recurrence :math:`j_{l+1} = (2l + 1) j_l / x - j_{l-1}` elsewhere. All
    orders share each operation, since compilers take their time for each.

    Args:
        first: order of the first row.
        x: shape ``(..., n_orders, n)``; the order grows by 1 from row to row.

    Returns:
        The shape of ``x``.
    """
    last = first + x.shape[-2] - 1
    order = torch.arange(first, last + 1, device=x.device, dtype=x.dtype).unsqueeze(1)  # (n_orders, 1)
    small = x < order + 0.5
    y = torch.where(small, torch.ones_like(x), x)
    before, value = torch.cos(y) / y, torch.sin(y) / y  # j_{-1}, j_0
    found = value
    for step in range(last):
        before, value = value, (2 * step + 1) * value / y - before
        found = torch.where(order == step + 1, value, found)
    z = torch.where(small, x, torch.zeros_like(x))
    term = torch.ones_like(z)
    series = term
    for k in range(1, _SERIES_TERMS):
        term = term * (-0.5 * z * z / (k * (2 * order + 2 * k + 1)))
        series = series + term
    for step in range(1, last + 1):  # times x^l / (1 * 3 * ... * (2 l + 1))
        series = torch.where(order >= step, series * z / (2 * step + 1), series)
    return torch.where(small, series, found)


class RadialAngularBasis(torch.nn.Module):
    """The radial part of the angular basis: normalised spherical Bessel functions of an edge.

    Args:
        zeros: zeros of each function, ``zeros[l][n]``, in increasing order.
        cutoff: ``polynomial`` or ``cosine``.
        cutoff_scale: the cutoff function sees d / r divided by this; 1 lets it end at d = r.

    Source: Gasteiger et al., ICLR 2020, eq. 8; here d is the length of the edge k -> j.
    """

    def __init__(self, zeros: List[List[float]], cutoff: str, cutoff_scale: float = 1.0) -> None:
        super().__init__()
        values = torch.tensor(zeros, dtype=torch.float64)  # (l_max + 1, n_radial)
        self.register_buffer("zeros", values)
        self.register_buffer("norms", math.sqrt(2.0) / spherical_bessel(1, values).abs())
        self.cutoff = make_cutoff(cutoff)
        self.cutoff_scale = cutoff_scale

    @property
    def l_max(self) -> int:
        """Highest angular momentum."""
        return self.zeros.shape[0] - 1

    def forward(self, x: Tensor) -> Tensor:
        """Evaluates all functions.

        Args:
            x: lengths divided by the cutoff, shape ``(n_edges,)``.

        Returns:
            Shape ``(n_edges, l_max + 1, n_radial)``.
        """
        arguments = x.view(-1, 1, 1) * self.zeros  # (n_edges, l_max + 1, n_radial)
        return spherical_bessel(0, arguments) * self.norms * self.cutoff(x / self.cutoff_scale).view(-1, 1, 1)


def legendre(l_max: int, cosine: Tensor) -> Tensor:
    r"""Evaluates :math:`Y_{l0} = \sqrt{(2l + 1) / 4 \pi} P_l(\cos\alpha)`, smooth at 0 and 180 degrees.

    Args:
        l_max: highest angular momentum.
        cosine: shape ``(n,)``.

    Returns:
        Shape ``(n, l_max + 1)``.
    """
    values = [torch.ones_like(cosine), cosine]
    for order in range(1, l_max):
        values.append(((2 * order + 1) * cosine * values[order] - order * values[order - 1]) / (order + 1))
    scale = [math.sqrt((2 * order + 1) / (4.0 * math.pi)) for order in range(l_max + 1)]
    return torch.stack([factor * value for factor, value in zip(scale, values)], dim=1)  # noqa: B905
