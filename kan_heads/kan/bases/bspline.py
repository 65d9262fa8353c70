"""B-splines of order 1 to 5 on a uniform grid, in closed form."""

import math
from typing import Any, Dict, List, Optional

import torch
from torch import Tensor

from kan_heads.errors import ConfigError, unknown_name
from kan_heads.kan.bases.base import ANCHORED, Basis
from kan_heads.kan.bases.bspline_flat import bounded, cardinal_pieces, live_values, place_live, select_live
from kan_heads.kan.config import EXTRAPOLATIONS, KANConfig

# Where the flat form is unrolled. With more functions compiling takes minutes; sums over few features
# are unrolled by inductor itself, which repeats all of it for each feature.
_MOST_FUNCTIONS = 40
_LEAST_FEATURES = 16


class BSplineBasis(Basis):
    r"""B-splines :math:`B_j(x) = N_k((x - \mathrm{lower}) / h + k - j)`, j = 0 .. grid_size + k - 1.

    Equal to ``scipy.interpolate.BSpline`` on the uniform knots
    :math:`\mathrm{lower} + (j - k) h`. At any point k + 1 of them are alive, each a polynomial
    in the distance to the knot on the left; they are evaluated there and scattered into place.

    Source: Wang et al. 2024 (B-spline basis of Liu et al., arXiv 2404.19756, eq. 2.10).
    """

    name = "bspline"
    extra_options = ("order", "extrapolation")
    closed_derivatives = True

    def __init__(self, in_features: int, config: KANConfig) -> None:
        super().__init__(in_features, config)
        order = 3 if config.order is None else config.order
        if order not in (1, 2, 3, 4, 5):
            raise ConfigError(f"order: {order!r} must be a whole number from 1 to 5")
        extrapolation = "linear" if config.extrapolation is None else config.extrapolation
        if extrapolation not in EXTRAPOLATIONS:
            raise unknown_name("extrapolation", extrapolation, EXTRAPOLATIONS)
        self.order = order
        self.linear_outside = extrapolation == "linear"
        # Intervals beyond each end of the grid on which some function is still alive.
        self.padding = 0 if self.linear_outside else order
        self.n_basis = config.grid_size + order
        self.unrolled = self.n_basis <= _MOST_FUNCTIONS and in_features >= _LEAST_FEATURES
        # Whole numbers: they survive any cast between precisions, where multiples of 1/6 do not.
        whole = cardinal_pieces(order)
        self.whole_pieces = [[float(value) for value in row] for row in whole]
        pieces = torch.tensor(whole, dtype=torch.get_default_dtype())
        self.register_buffer("pieces", pieces, persistent=False)  # (power, local)
        self.scale = 1.0 / math.factorial(order)
        # Slopes of the pieces at the two ends of an interval, for the linear continuation.
        ends = torch.stack([pieces[1], -pieces[1].flip(0)])
        self.register_buffer("end_slopes", ends, persistent=False)  # (end, local)

    @torch.jit.ignore
    def functions(self) -> Dict[str, Any]:
        """Adds the order and what happens outside the grid."""
        outside = "linear" if self.linear_outside else "zero"
        return {**super().functions(), "order": self.order, "extrapolation": outside}

    def _locate(self, x: Tensor) -> List[Tensor]:
        """Returns the interval of each input and the distance from its left knot, in steps.

        The third result is where the polynomials are evaluated: at that distance, or, for a linear
        continuation, at the end of the grid that lies nearest.
        """
        v = (x - self.lower) / self.step  # (n, in)
        # NaN has no interval; any will do, since the distance stays NaN and so does the output.
        cell = v.detach().floor().nan_to_num(0.0).clamp(-self.padding, self.grid_size - 1 + self.padding)
        distance = v - cell
        return [cell, distance, bounded(distance) if self.linear_outside else distance]

    def _index(self, cell: Tensor) -> Tensor:
        """Returns which basis functions are alive, shape (n, in, order + 1)."""
        return cell.to(torch.long).unsqueeze(-1) + torch.arange(self.order + 1, device=cell.device)

    def _live(self, x: Tensor, order: int) -> List[Tensor]:
        """Returns values (order 0) or derivatives of the live functions, and which they are.

        Both have the shape (n, in, self.order + 1).
        """
        cell, distance, r = self._locate(x)
        values = _horner(_differentiate(self.pieces, order), r)
        if not self.linear_outside:
            values = torch.where(_outside(distance), torch.zeros_like(values), values)
        elif order == 0:
            excess = (distance - r).unsqueeze(-1)  # zero inside the grid
            below = (distance < 0.0).unsqueeze(-1)
            values = values + excess * torch.where(below, self.end_slopes[0], self.end_slopes[1])
        elif order > 1:
            values = torch.where((distance == r).unsqueeze(-1), values, torch.zeros_like(values))
        scaled = values * self.scale
        if order > 0:
            scaled = scaled * self.step.pow(-order).unsqueeze(-1)
        return [scaled, self._index(cell)]

    def _scatter(self, values: Tensor, index: Tensor, start: Tensor) -> Tensor:
        """Adds the live functions to ``start``, shape (1, in, n_basis)."""
        shape = [values.shape[0], self.in_features, self.n_basis]
        if self.linear_outside:
            return torch.scatter_add(start.expand(shape), -1, index, values)
        # Beyond the grid some live functions have no coefficient: pad, add, and cut the padding.
        padded = torch.nn.functional.pad(start, [self.order, self.order])
        shape[2] += 2 * self.order
        total = torch.scatter_add(padded.expand(shape), -1, index + self.order, values)
        return total[..., self.order : self.order + self.n_basis]

    def forward(self, x: Tensor) -> Tensor:
        """Evaluates the B-splines, see :meth:`Basis.forward`."""
        values, index = self._live(x, 0)
        return self._scatter(values, index, self._zeros(x))

    def anchored(self, x: Tensor) -> Tensor:
        """Evaluates the B-splines less their values at 0, which costs nothing: see the start value."""
        values, index = self._live(x, 0)
        origin = torch.zeros(1, self.in_features, dtype=x.dtype, device=x.device)
        return self._scatter(values, index, -self.forward(origin))

    def expand(self, x: Tensor, c: Tensor, anchored: bool, extra: Optional[Tensor] = None) -> Tensor:
        """Sums the expansion in operations that compilers fuse, see :mod:`.bspline_flat`.

        Args:
            x: inputs, shape ``(n, in_features)``.
            c: coefficients, shape ``(out, in_features, n_basis)``.
            anchored: subtract each function's value at 0.
            extra: added under the sum of a single output, shape ``(n, in_features)``: the base branch.

        Returns:
            Sums, shape ``(n, out)``.
        """
        if not self.unrolled:
            return self.expand_all(x, c, anchored, extra)
        origin = torch.zeros(1, self.in_features, dtype=x.dtype, device=x.device)
        if c.shape[0] == 1:
            padded = torch.nn.functional.pad(c[0] * self.scale, [self.padding, self.padding])
            # A product, not a copy: compilers would read a copy in strides, again for every row.
            columns = torch.mm(torch.eye(padded.shape[1], dtype=c.dtype, device=c.device), padded.t())
            y = self._one_function(x, columns)
            if anchored:
                y = y - self._one_function(origin, columns)
            if extra is not None:
                y = y + extra
            return y.sum(-1, keepdim=True)
        # All values before the first product: compilers fuse what stands together.
        values = self._columns(x)
        origins = self._columns(origin)
        weights = c.permute(2, 1, 0).contiguous() * self.scale  # (n_basis, in, out)
        total = torch.zeros(1, 1, dtype=x.dtype, device=x.device)
        differences: List[Tensor] = []
        for j in range(self.n_basis):
            differences.append(values[j] - origins[j] if anchored else values[j])
        for j in range(self.n_basis):
            total = total + torch.mm(differences[j], weights[j])
        return total if extra is None else total + extra.sum(-1, keepdim=True)

    def _one_function(self, x: Tensor, columns: Tensor) -> Tensor:
        """Evaluates one spline per feature, (n, in), from its padded coefficients, (cells + order, in)."""
        cell, distance, _ = self._locate(x)
        values = live_values(self.whole_pieces, distance, self.linear_outside)
        weights = select_live(columns, cell + self.padding, self.order + 1)
        y = weights[0] * values[0]
        for q in range(1, self.order + 1):
            y = y + weights[q] * values[q]
        return y

    def _columns(self, x: Tensor) -> List[Tensor]:
        """Evaluates every basis function, k! times its value: a list of (n, in)."""
        cell, distance, _ = self._locate(x)
        live = live_values(self.whole_pieces, distance, self.linear_outside)
        last = self.grid_size - 1 + self.padding
        return [place_live(live, cell, j, -self.padding, last) for j in range(self.n_basis)]

    def _zeros(self, x: Tensor) -> Tensor:
        return torch.zeros(1, self.in_features, self.n_basis, dtype=x.dtype, device=x.device)

    @torch.jit.ignore
    def derivative(self, x: Tensor, order: int) -> Tensor:
        """Evaluates the differentiated polynomials, see :meth:`Basis.derivative`.

        Beyond the grid the first derivative of a linear continuation is that at the end of the
        grid, and the higher ones are 0. At a knot the piece on its right counts.
        """
        if order > self.order:
            return self._zeros(x).expand(x.shape[0], -1, -1).clone()
        values, index = self._live(x, order)
        return self._scatter(values, index, self._zeros(x))

    @torch.jit.ignore
    def contract(self, x: Tensor, c: Tensor, order: int) -> Tensor:
        """Evaluates one spline per feature from its polynomials, see :meth:`Basis.contract`."""
        y = torch.empty_like(x)
        table = self._polynomials(c, max(order, 0))
        shift = torch.zeros_like(x[:1])
        if order == ANCHORED:
            shift = self._look_up(shift, table, 0)
        for rows in self.blocks(x):
            torch.sub(self._look_up(x[rows], table, max(order, 0)), shift, out=y[rows])
        return y

    def _polynomials(self, c: Tensor, order: int) -> Tensor:
        """Returns the coefficients of every polynomial, shape (in * intervals, powers)."""
        if order > self.order:
            return c.new_zeros(c.shape[0] * self._n_cells(), 1)
        live = self._padded(c).unfold(1, self.order + 1, 1)  # (in, intervals, local)
        pieces = _differentiate(self.pieces, order) * self.scale  # (powers, local)
        return torch.matmul(live, pieces.t()).flatten(0, 1).contiguous()

    def _n_cells(self) -> int:
        return self.grid_size + 2 * self.padding

    def _padded(self, c: Tensor) -> Tensor:
        return torch.nn.functional.pad(c, [self.padding, self.padding])

    def _rows_of(self, cell: Tensor) -> Tensor:
        """Returns the row of the table of polynomials for each input."""
        starts = torch.arange(self.in_features, device=cell.device) * self._n_cells() + self.padding
        return cell.to(torch.long) + starts

    def _look_up(self, x: Tensor, table: Tensor, order: int) -> Tensor:
        """Evaluates the polynomials in ``table`` at x, with what holds outside the grid."""
        cell, distance, r = self._locate(x)
        powers = torch.nn.functional.embedding(self._rows_of(cell), table).unbind(-1)
        y = powers[-1].clone()
        if not self.linear_outside or order:
            for coefficient in reversed(powers[:-1]):
                y = y * r + coefficient
        else:
            slope = torch.zeros_like(y)
            for coefficient in reversed(powers[:-1]):
                slope = slope * r + y
                y = y * r + coefficient
            y = y + slope * (distance - r)
        return self._bounded(y, distance, order)

    def _bounded(self, y: Tensor, distance: Tensor, order: int) -> Tensor:
        """Scales a derivative with respect to r and sets it to 0 where it ends outside the grid."""
        if order:
            y = y * self.step.pow(-order)
        if not self.linear_outside:
            return torch.where((distance < 0.0) | (distance >= 1.0), torch.zeros_like(y), y)
        return torch.where((distance >= 0.0) & (distance <= 1.0), y, torch.zeros_like(y)) if order > 1 else y

    @torch.jit.ignore
    def accumulate(self, x: Tensor, v: Tensor, order: int) -> Tensor:
        """Adds up powers of r per interval, then turns them into splines, see :meth:`Basis.accumulate`."""
        d = max(order, 0)
        if d > self.order:
            return x.new_zeros(self.in_features, self.n_basis)
        pieces = _differentiate(self.pieces, d) * self.scale  # (powers, local)
        sums = x.new_zeros(self.in_features * self._n_cells(), pieces.shape[0])
        for rows in self.blocks(x):
            cell, distance, r = self._locate(x[rows])
            weight = self._bounded(v[rows], distance, d)
            powers = [weight]
            for _ in range(1, pieces.shape[0]):
                powers.append(powers[-1] * r)
            if self.linear_outside and d == 0:
                excess = distance - r
                slopes = [p * excess * powers[p - 1] for p in range(1, len(powers))]
                powers[1:] = [value + slope for value, slope in zip(powers[1:], slopes, strict=True)]
            sums.index_add_(0, self._rows_of(cell).flatten(), torch.stack(powers, -1).flatten(0, 1))
        local = torch.matmul(sums, pieces).view(self.in_features, -1, self.order + 1)
        total = self._padded(x.new_zeros(self.in_features, self.n_basis))
        for q in range(self.order + 1):
            total[:, q : q + local.shape[1]] += local[:, :, q]
        total = total[:, self.padding : self.padding + self.n_basis]
        if order == ANCHORED:
            total = total - v.sum(0).unsqueeze(-1) * self.forward(torch.zeros_like(x[:1])).squeeze(0)
        return total

    def extra_repr(self) -> str:
        """Adds the order and what happens outside the grid."""
        return (
            f"{super().extra_repr()}, order={self.order}, extrapolation={self.functions()['extrapolation']}"
        )


def _horner(pieces: Tensor, r: Tensor) -> Tensor:
    """Evaluates the polynomials ``pieces``, shape (powers, local), at r: (n, in) -> (n, in, local)."""
    t = r.unsqueeze(-1)
    values = pieces[-1].expand(r.shape + pieces.shape[1:])
    for power in range(pieces.shape[0] - 2, -1, -1):
        values = values * t + pieces[power]
    return values


def _differentiate(pieces: Tensor, order: int) -> Tensor:
    """Differentiates polynomials given by coefficients, shape (powers, local)."""
    for _ in range(order):
        powers = torch.arange(1, pieces.shape[0], dtype=pieces.dtype, device=pieces.device)
        pieces = pieces[1:] * powers.unsqueeze(-1)
    return pieces


def _outside(distance: Tensor) -> Tensor:
    return ((distance < 0.0) | (distance >= 1.0)).unsqueeze(-1)
