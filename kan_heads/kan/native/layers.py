r"""The operations of layers with several outputs, on the C kernels.

Four operations are all that training on forces needs:

.. math::
    \mathrm{outputs}_{no} &= \sum_{is} f_s(x_{ni})\, c_{ois} \\
    \mathrm{pull}_{ni} &= \sum_{so} f_s'(x_{ni})\, c_{ois}\, g_{no}

and the gradients of each. The functions :math:`f_s` are those of the basis and the base function.
"""

from typing import Iterator, Optional, Tuple, Union

import torch
from torch import Tensor
from torch.nn import functional

from kan_heads.kan.bases import Basis
from kan_heads.kan.bases.bspline import BSplineBasis
from kan_heads.kan.native.kernels import Kernels

_BLOCK = 1 << 17  # values of basis functions that stay in a cache
_Maybe = Optional[Tensor]


class SplineLayer(Kernels):
    """B-splines: the kernel touches only the coefficients of the functions alive at each input."""

    def _pack(self, c: Tensor, b: _Maybe) -> Tensor:
        """Returns the parameters as the kernel reads them, shape (in, n_slots + 1, width)."""
        n_out, n_in, n_basis = c.shape
        pad, order = self.basis.padding, self.basis.order
        n_slots = n_basis + (3 if order <= 3 else 5) - order + 2 * pad  # as in basis.h
        packed = c.new_zeros(n_in, n_slots + 1, self._width(n_out, c))
        packed[:, pad : pad + n_basis, :n_out] = c.permute(1, 2, 0)
        if b is not None:
            packed[:, -1, :n_out] = b.t()
        return packed

    def _unpack(self, packed: Tensor, c: Tensor, b: _Maybe) -> Tuple[Tensor, _Maybe]:
        n_out, _, n_basis = c.shape
        pad = self.basis.padding
        gc = packed[:, pad : pad + n_basis, :n_out].permute(2, 0, 1).contiguous()
        return gc, None if b is None else packed[:, -1, :n_out].t().contiguous()

    @staticmethod
    def _width(n_out: int, like: Tensor) -> int:
        lanes = 32 // like.element_size()
        return -(-n_out // lanes) * lanes

    def _wide(self, g: Tensor) -> Tensor:
        return functional.pad(g, (0, self._width(g.shape[1], g) - g.shape[1])).contiguous()

    def _run(
        self, x: Tensor, packed: Tensor, g: _Maybe, h: _Maybe, push: tuple, pull: tuple, outer: tuple
    ) -> None:
        self.call("kan_spline", x, packed.shape[-1], x, packed, g, h, *push, *pull, *outer)

    def outputs(self, x: Tensor, c: Tensor, b: _Maybe) -> Tensor:
        """Evaluates the layer."""
        packed = self._pack(c, b)
        y = x.new_empty(x.shape[0], packed.shape[-1])
        self._run(x, packed, None, None, (0, y), (0, None), (0, None))
        return y[:, : c.shape[0]].contiguous()

    def pull(self, x: Tensor, g: Tensor, c: Tensor, b: _Maybe) -> Tensor:
        """Evaluates the gradient by x."""
        gx = torch.empty_like(x)
        self._run(x, self._pack(c, b), self._wide(g), None, (0, None), (1, gx), (0, None))
        return gx

    def outputs_gradients(
        self, x: Tensor, c: Tensor, b: _Maybe, g: Tensor, for_x: bool
    ) -> Tuple[_Maybe, Tensor, _Maybe]:
        """Gradients of :meth:`outputs` by x, c and b."""
        packed = self._pack(c, b)
        gx, gp = torch.empty_like(x) if for_x else None, torch.zeros_like(packed)
        self._run(x, packed, self._wide(g), None, (0, None), (1, gx), (0, gp))
        return (gx, *self._unpack(gp, c, b))

    def pull_gradients(
        self, x: Tensor, g: Tensor, c: Tensor, b: _Maybe, h: Tensor, for_x: bool
    ) -> Tuple[_Maybe, Tensor, Tensor, _Maybe]:
        """Gradients of :meth:`pull` by x, g, c and b."""
        packed = self._pack(c, b)
        gx, gp = torch.empty_like(x) if for_x else None, torch.zeros_like(packed)
        gg = g.new_empty(g.shape[0], packed.shape[-1])
        self._run(x, packed, self._wide(g), h, (1, gg), (2, gx), (1, gp))
        return (gx, gg[:, : g.shape[1]].contiguous(), *self._unpack(gp, c, b))


class DenseLayer(Kernels):
    """Bases without locality: values of a block of rows, then matrix products."""

    def _pack(self, c: Tensor, b: _Maybe) -> Tensor:
        """Returns the parameters as (out, n_functions * in), the order of the kernels."""
        packed = c.transpose(1, 2)  # (out, n_basis, in)
        if b is not None:
            packed = torch.cat([packed, b.unsqueeze(1)], 1)
        return packed.reshape(c.shape[0], -1)

    def _unpack(self, packed: Tensor, c: Tensor, b: _Maybe) -> Tuple[Tensor, _Maybe]:
        packed = packed.view(c.shape[0], -1, c.shape[1])
        gc = packed[:, : c.shape[2]].transpose(1, 2).contiguous()
        return gc, None if b is None else packed[:, -1].contiguous()

    def _blocks(self, x: Tensor) -> Iterator[slice]:
        rows = max(64, _BLOCK // ((self.basis.n_basis + 1) * x.shape[1]))
        for start in range(0, x.shape[0], rows):
            yield slice(start, start + rows)

    def _evaluate(self, x: Tensor, order: int, n_functions: int) -> Tensor:
        values = x.new_empty(x.shape[0], n_functions * x.shape[1])
        self.call("kan_evaluate", x, order, x, values)
        return values  # (b, n_functions * in)

    def _reduce(self, x: Tensor, order: int, weights: Tensor) -> Tensor:
        y = torch.empty_like(x)
        self.call("kan_reduce", x, order, x, weights, y)
        return y

    def outputs(self, x: Tensor, c: Tensor, b: _Maybe) -> Tensor:
        """Evaluates the layer."""
        packed = self._pack(c, b)
        n_functions = packed.shape[1] // x.shape[1]
        y = x.new_empty(x.shape[0], c.shape[0])
        for rows in self._blocks(x):
            torch.mm(self._evaluate(x[rows], 0, n_functions), packed.t(), out=y[rows])
        return y

    def pull(self, x: Tensor, g: Tensor, c: Tensor, b: _Maybe) -> Tensor:
        """Evaluates the gradient by x."""
        packed = self._pack(c, b)
        gx = torch.empty_like(x)
        for rows in self._blocks(x):
            gx[rows] = self._reduce(x[rows], 1, torch.mm(g[rows], packed))
        return gx

    def outputs_gradients(
        self, x: Tensor, c: Tensor, b: _Maybe, g: Tensor, for_x: bool
    ) -> Tuple[_Maybe, Tensor, _Maybe]:
        """Gradients of :meth:`outputs` by x, c and b."""
        packed = self._pack(c, b)
        n_functions = packed.shape[1] // x.shape[1]
        gp = torch.zeros_like(packed)
        for rows in self._blocks(x):
            gp.addmm_(g[rows].t(), self._evaluate(x[rows], 0, n_functions))
        return (self.pull(x, g, c, b) if for_x else None, *self._unpack(gp, c, b))

    def pull_gradients(
        self, x: Tensor, g: Tensor, c: Tensor, b: _Maybe, h: Tensor, for_x: bool
    ) -> Tuple[_Maybe, Tensor, Tensor, _Maybe]:
        """Gradients of :meth:`pull` by x, g, c and b."""
        packed = self._pack(c, b)
        n_functions = packed.shape[1] // x.shape[1]
        gx, gg, gp = torch.empty_like(x) if for_x else None, torch.empty_like(g), torch.zeros_like(packed)
        for rows in self._blocks(x):
            slopes = self._evaluate(x[rows], 1, n_functions)
            slopes.view(-1, n_functions, x.shape[1]).mul_(h[rows].unsqueeze(1))
            torch.mm(slopes, packed.t(), out=gg[rows])
            gp.addmm_(g[rows].t(), slopes)
            if gx is not None:
                gx[rows] = self._reduce(x[rows], 2, torch.mm(g[rows], packed)) * h[rows]
        return (gx, gg, *self._unpack(gp, c, b))


def make_layer(basis: Basis, base: Optional[str], anchored: bool) -> Union[SplineLayer, DenseLayer]:
    """Returns the operations of a layer that the kernels support."""
    return (SplineLayer if isinstance(basis, BSplineBasis) else DenseLayer)(basis, base, anchored)
