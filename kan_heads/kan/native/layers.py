r"""The operations of layers with several outputs, on the C kernels.

Four operations are all that training on forces needs:

.. math::
    \mathrm{outputs}_{no} &= \sum_{is} f_s(x_{ni})\, c_{ois} \\
    \mathrm{pull}_{ni} &= \sum_{so} f_s'(x_{ni})\, c_{ois}\, g_{no}

and the gradients of each. The functions :math:`f_s` are those of the basis and the base function.
"""

from typing import Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from kan_heads.kan.bases.bspline import BSplineBasis
from kan_heads.kan.native.kernels import Kernels

_Maybe = Optional[Tensor]


class LayerKernels(Kernels):
    """The kernels for a layer with several outputs."""

    def _pack(self, c: Tensor, b: _Maybe) -> Tensor:
        """Returns the parameters as the kernel reads them, shape (in, n_slots + 1, width)."""
        n_out, n_in, n_basis = c.shape
        pad, n_slots = self._padding(), n_basis
        if isinstance(self.basis, BSplineBasis):
            order = self.basis.order
            n_slots += (3 if order <= 3 else 5) - order + 2 * pad  # as in live.h
        packed = c.new_zeros(n_in, n_slots + 1, self._width(n_out, c))
        packed[:, pad : pad + n_basis, :n_out] = c.permute(1, 2, 0)
        if b is not None:
            packed[:, -1, :n_out] = b.t()
        return packed

    def _unpack(self, packed: Tensor, c: Tensor, b: _Maybe) -> Tuple[Tensor, _Maybe]:
        n_out, _, n_basis = c.shape
        pad = self._padding()
        gc = packed[:, pad : pad + n_basis, :n_out].permute(2, 0, 1).contiguous()
        return gc, None if b is None else packed[:, -1, :n_out].t().contiguous()

    def _padding(self) -> int:
        return self.basis.padding if isinstance(self.basis, BSplineBasis) else 0

    @staticmethod
    def _width(n_out: int, like: Tensor) -> int:
        lanes = 32 // like.element_size()
        return -(-n_out // lanes) * lanes

    def _wide(self, g: Tensor) -> Tensor:
        return functional.pad(g, (0, self._width(g.shape[1], g) - g.shape[1])).contiguous()

    def _run(
        self, x: Tensor, packed: Tensor, g: _Maybe, h: _Maybe, push: tuple, pull: tuple, outer: tuple
    ) -> None:
        self.call("kan_layer", x, packed.shape[-1], x, packed, g, h, *push, *pull, *outer)

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
