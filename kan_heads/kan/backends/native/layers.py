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

from kan_heads.kan.backends.native.kernels import Kernels

_Maybe = Optional[Tensor]
_Task = Tuple[int, _Maybe]


class LayerKernels(Kernels):
    """The kernels for a layer with several outputs."""

    def _run(
        self,
        x: Tensor,
        c: Tensor,
        b: _Maybe,
        g: _Maybe = None,
        h: _Maybe = None,
        push: _Task = (-1, None),
        pull: _Task = (-1, None),
        outer: Tuple[int, _Maybe, _Maybe] = (-1, None, None),
    ) -> None:
        """Calls the kernel; each task is an order of derivative (-1: none) and where its result goes."""
        lanes = 32 // x.element_size()  # half a vector, see layer.c
        width = -(-c.shape[0] // lanes) * lanes
        y = push[1]
        if width != c.shape[0]:
            g = None if g is None else functional.pad(g, (0, width - c.shape[0]))
            y = None if y is None else x.new_empty(x.shape[0], width)
        self.call("kan_layer", x, c.shape[0], width, x, c, b, g, h, push[0], y, *pull, *outer)
        if y is not push[1]:
            push[1].copy_(y[:, : c.shape[0]])

    def outputs(self, x: Tensor, c: Tensor, b: _Maybe) -> Tensor:
        """Evaluates the layer."""
        y = x.new_empty(x.shape[0], c.shape[0])
        self._run(x, c, b, push=(0, y))
        return y

    def pull(self, x: Tensor, g: Tensor, c: Tensor, b: _Maybe) -> Tensor:
        """Evaluates the gradient by x."""
        gx = torch.empty_like(x)
        self._run(x, c, b, g, pull=(1, gx))
        return gx

    def outputs_gradients(
        self, x: Tensor, c: Tensor, b: _Maybe, g: Tensor, for_x: bool
    ) -> Tuple[_Maybe, Tensor, _Maybe]:
        """Gradients of :meth:`outputs` by x, c and b."""
        gx, gc, gb = _like(x if for_x else None), torch.empty_like(c), _like(b)
        self._run(x, c, b, g, pull=(1 if for_x else -1, gx), outer=(0, gc, gb))
        return gx, gc, gb

    def pull_gradients(
        self, x: Tensor, g: Tensor, c: Tensor, b: _Maybe, h: Tensor, for_x: bool
    ) -> Tuple[_Maybe, Tensor, Tensor, _Maybe]:
        """Gradients of :meth:`pull` by x, g, c and b."""
        gx, gg, gc, gb = _like(x if for_x else None), torch.empty_like(g), torch.empty_like(c), _like(b)
        self._run(x, c, b, g, h, push=(1, gg), pull=(2 if for_x else -1, gx), outer=(1, gc, gb))
        return gx, gg, gc, gb


def _like(x: _Maybe) -> _Maybe:
    return None if x is None else torch.empty_like(x)
