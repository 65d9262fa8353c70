"""The univariate functions of a pair or embedded-atom potential, each one edge function of a KAN."""

import math

import torch
from torch import Tensor

from kan_heads.kan import KANConfig, KANLayer

# Ziegler, Biersack and Littmark, The Stopping and Range of Ions in Solids (1985): weights and decays of
# the screening, and its length in units of the Bohr radius.
_ZBL = ((0.18175, 3.19980), (0.50986, 0.94229), (0.28022, 0.40290), (0.02817, 0.20162))
_ZBL_LENGTH = 0.46850  # Å; 0.8854 Bohr radii
_COULOMB = 14.399645  # eV Å


def envelope(r: Tensor, cutoff: float) -> Tensor:
    r"""Fades to zero at the cutoff: :math:`(1 - r/r_c)^3` below, 0 above.

    Value, slope and second derivative are 0 at the cutoff, so what it multiplies is C2 there.

    Args:
        r: distances in Å, any shape.
        cutoff: :math:`r_c` in Å.

    Returns:
        Factors between 0 and 1, shape of ``r``.
    """
    return (1.0 - r / cutoff).clamp_min(0.0) ** 3


def zbl(r: Tensor, atomic_number: int, outer: float) -> Tensor:
    """Screened repulsion of two nuclei, which no data near equilibrium teach.

    Args:
        r: distances in Å, any shape.
        atomic_number: of both atoms.
        outer: distance in Å where it ends, C2.

    Returns:
        Energies in eV, shape of ``r``.

    Source: Ziegler, Biersack and Littmark, The Stopping and Range of Ions in Solids (1985).
    """
    length = _ZBL_LENGTH / (2.0 * atomic_number**0.23)
    screening = torch.zeros_like(r)
    for weight, decay in _ZBL:
        screening = screening + weight * torch.exp(-decay * r / length)
    return _COULOMB * atomic_number**2 / r * screening * envelope(r, outer)


def _edge_function(lower: float, upper: float, grid_size: int, order: int, anchored: bool) -> KANLayer:
    config = KANConfig(
        hidden=(),
        basis="bspline",
        grid_size=grid_size,
        grid_range=(lower, upper),
        order=order,
        base=None,
        zero_at_origin=anchored,
        units="value",  # a fit by least squares has no steps, and files and limits speak of values
    )
    layer = KANLayer(1, 1, config).double()
    with torch.no_grad():
        layer.coefficients.zero_()
    return layer


def _evaluate(edge: KANLayer, x: Tensor, own: Tensor | None) -> Tensor:
    """Evaluates an edge function at x, (n,); with coefficients of its own for each row, (n, n_basis)."""
    rows = x.unsqueeze(-1)  # (n, 1)
    if own is None:
        return edge(rows).squeeze(-1)
    return (edge.edge_basis(rows).squeeze(1) * own).sum(-1)


class PairFunction(torch.nn.Module):
    r"""Pair energy :math:`\phi(r) = \mathrm{ZBL}(r) + \mathrm{env}(r)\,\varphi(r)` in eV.

    :math:`\varphi` is a KAN edge function on :math:`[r_{in}, r_c]`, below which it goes on linearly.

    Args:
        inner: where the grid starts, Å; the repulsion of the nuclei ends there too.
        cutoff: where every term ends, Å.
        grid_size: intervals of the grid.
        order: order of the B-splines.
        atomic_number: for the repulsion.
    """

    def __init__(self, inner: float, cutoff: float, grid_size: int, order: int, atomic_number: int) -> None:
        super().__init__()
        self.inner, self.cutoff, self.atomic_number = inner, cutoff, atomic_number
        self.edge = _edge_function(inner, cutoff, grid_size, order, anchored=False)

    def forward(self, r: Tensor, own: Tensor | None = None) -> Tensor:
        """Returns energies in eV at distances in Å, shape ``(n,)`` both.

        Args:
            r: distances.
            own: coefficients for each distance instead of the layer's, ``(n, n_basis)``.
        """
        learned = _evaluate(self.edge, r, own)  # (n,)
        return zbl(r, self.atomic_number, self.inner) + envelope(r, self.cutoff) * learned


class DensityFunction(torch.nn.Module):
    r"""What one atom adds to its neighbour's density, :math:`f(r) = \mathrm{env}(r)\,e^{\varphi(r)} \ge 0`.

    The start is an exponential decay; the spline is its logarithm. The density has no unit: F takes it
    as it comes.

    Args:
        inner: where the grid starts, Å.
        cutoff: where the function ends, Å.
        grid_size: intervals of the grid.
        order: order of the B-splines.
    """

    def __init__(self, inner: float, cutoff: float, grid_size: int, order: int) -> None:
        super().__init__()
        self.inner, self.cutoff = inner, cutoff
        self.edge = _edge_function(inner, cutoff, grid_size, order, anchored=False)
        self.set_decay(2.0)

    def set_decay(self, decay: float) -> None:
        """Makes the logarithm of the function a straight line of slope ``-decay``, 1/Å."""
        n, order, step = self.edge.basis.n_basis, self.edge.basis.order, float(self.edge.basis.step)
        # Greville's abscissae: with these coefficients a spline is the straight line itself.
        places = (torch.arange(n, dtype=torch.float64) - (order - 1) / 2) * step
        with torch.no_grad():
            self.edge.coefficients.copy_((-decay * places).reshape(1, 1, -1))

    def scale(self, factor: float) -> None:
        """Multiplies the function by a positive factor."""
        with torch.no_grad():
            self.edge.coefficients.add_(math.log(factor))  # the B-splines sum to one

    def forward(self, r: Tensor, own: Tensor | None = None) -> Tensor:
        """Returns densities at distances in Å, shape ``(n,)`` both; ``own`` as for the pair function."""
        return envelope(r, self.cutoff) * torch.exp(_evaluate(self.edge, r, own))


class EmbeddingFunction(torch.nn.Module):
    r"""Energy of an atom in a density, :math:`F(\rho) = -A(\sqrt{\rho + s^2} - s) + \varphi(\rho)` in eV.

    F(0) = 0 exactly: an atom alone has no energy. The root is that of Finnis and Sinclair, rounded so
    that its slope at 0 is finite.

    Args:
        upper: where the grid ends (it starts at 0); beyond it F goes on linearly, root and spline.
        grid_size: intervals of the grid.
        order: order of the B-splines.

    Source: Finnis and Sinclair, Philos. Mag. A 50, 45 (1984); Daw and Baskes, PRB 29, 6443 (1984).
    """

    rounding = 0.1

    def __init__(self, upper: float, grid_size: int, order: int) -> None:
        super().__init__()
        self.upper = upper
        self.edge = _edge_function(0.0, upper, grid_size, order, anchored=True)
        self.strength = torch.nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, rho: Tensor, own: Tensor | None = None, strength: Tensor | None = None) -> Tensor:
        """Returns energies in eV at densities, shape ``(n,)`` both.

        Args:
            rho: densities.
            own: coefficients for each density instead of the layer's, ``(n, n_basis)``.
            strength: A for each density, ``(n,)``.
        """
        end = math.sqrt(self.upper + self.rounding**2)
        inside = torch.sqrt(rho.clamp_max(self.upper) + self.rounding**2)  # (n,)
        root = inside - self.rounding + (rho - self.upper).clamp_min(0.0) / (2.0 * end)
        strength = self.strength if strength is None else strength
        return -strength * root + _evaluate(self.edge, rho, own)
