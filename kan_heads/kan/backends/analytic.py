r"""The basis expansion of a layer with analytic derivatives of every order.

Forces are derivatives, so training differentiates a layer twice. Plain automatic differentiation
records every step of the basis and keeps tensors of shape ``(n, in, n_basis)`` for all of them.
The three operations below are closed under differentiation instead: the derivative of each is
made of the same three, with the order d of the basis derivative raised by one,

.. math::
    \mathrm{outputs}_{no}  &= \sum_{ij} v_{ni}\, \phi_j^{(d)}(x_{ni})\, c_{oij} \\
    \mathrm{inputs}_{ni}   &= \sum_{oj} g_{no}\, \phi_j^{(d)}(x_{ni})\, c_{oij} \\
    \mathrm{coefficients}_{oij} &= \sum_n v_{ni}\, \phi_j^{(d)}(x_{ni})\, g_{no}

so nothing of the basis is kept for the next derivative. Rows are taken in blocks whose bases stay
in the processor's cache. A layer
with one output needs no matrix product: it is one function per input, see ``Basis.contract``.
"""

from typing import Any, Callable, Optional, Sequence, Tuple

import torch
from torch import Tensor

from kan_heads import _compat
from kan_heads.kan.backends.autograd import full_precision, through, wanted
from kan_heads.kan.backends.contract import Backend, Layer
from kan_heads.kan.bases import ANCHORED, Basis

_Maybe = Optional[Tensor]


class Analytic(Backend):
    """Closed forms of the derivatives, in torch operations: any device, any precision, no compiler."""

    name = "analytic"

    def supports(self, layer: Layer, x: Tensor) -> bool:
        """Accepts bases whose derivatives are formulas; others are no faster this way than by definition."""
        return layer.basis.closed_derivatives

    def expand(self, layer: Layer, x: Tensor) -> Tensor:
        """Evaluates the expansion, see :meth:`Backend.expand`."""
        return expand(x, layer.values(), layer.basis, layer.zero_at_origin)


def expand(x: Tensor, coefficients: Tensor, basis: Basis, anchored: bool) -> Tensor:
    r"""Evaluates :math:`\sum_{ij} \phi_j(x_{ni})\, c_{oij}`.

    Args:
        x: inputs, shape ``(n, in)``.
        coefficients: shape ``(out, in, n_basis)``.
        basis: the functions.
        anchored: subtract each function's value at 0.

    Returns:
        Sums, shape ``(n, out)``, differentiable any number of times.
    """
    return _Outputs.apply(x, None, coefficients, basis, ANCHORED if anchored else 0)


def _raised(order: int) -> int:
    return 1 if order == ANCHORED else order + 1


def _values(x: Tensor, v: _Maybe, basis: Basis, order: int) -> Tensor:
    values = basis.evaluate(x, order)  # (n, in, n_basis)
    return values if v is None else values * v.unsqueeze(-1)


# The three operations as plain formulas, for gradients that a vmap has batched: they have no memory, so
# neither blocks nor results that are written in place can be used on them.


def _plain_outputs(x: Tensor, v: _Maybe, c: Tensor, basis: Basis, order: int) -> Tensor:
    return _values(x, v, basis, order).flatten(1) @ c.flatten(1).t()


def _plain_inputs(x: Tensor, g: Tensor, c: Tensor, basis: Basis, order: int) -> Tensor:
    values = basis.evaluate(x, order)
    return ((g @ c.flatten(1)).view_as(values) * values).sum(-1)


def _plain_coefficients(x: Tensor, v: _Maybe, g: Tensor, basis: Basis, order: int) -> Tensor:
    sums = g.t() @ _values(x, v, basis, order).flatten(1)
    return sums.view(g.shape[1], basis.in_features, basis.n_basis)


def _batched(
    plain: Callable[..., Tensor], inputs: Sequence[_Maybe], gradient: Tensor, basis: Basis, order: int
) -> Tuple[_Maybe, ...]:
    found = through(lambda *at: (plain(*at, basis, order),), inputs, (gradient,))
    return (*found, None, None)


class _Outputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Optional[Tensor], c: Tensor, basis: Basis, order: int) -> Tensor:
        ctx.save_for_backward(x, v, c)
        ctx.basis, ctx.order = basis, order
        x, c = x.detach(), c.detach()
        if c.shape[0] == 1:
            y = basis.contract(x, c[0], order)  # (n, in)
            return (y if v is None else y * v.detach()).sum(-1, keepdim=True)
        c = c.flatten(1)  # (out, in * n_basis)
        y = x.new_empty(x.shape[0], c.shape[0])
        for rows in basis.blocks(x):
            values = basis.evaluate(x[rows], order)  # (b, in, n_basis)
            if v is not None:
                values = values * v[rows].detach().unsqueeze(-1)
            torch.mm(values.flatten(1), c.t(), out=y[rows])
        return y

    @staticmethod
    @full_precision
    def backward(ctx: Any, g: Tensor) -> Tuple[Optional[Tensor], ...]:
        x, v, c = ctx.saved_tensors
        basis, order = ctx.basis, ctx.order
        if not _compat.has_memory(g):
            return _batched(_plain_outputs, (x, v, c), g, basis, order)
        grad_x = grad_v = grad_c = None
        if wanted(ctx, 0, 0):
            grad_x = _Inputs.apply(x, g, c, basis, _raised(order))
            grad_x = grad_x if v is None else grad_x * v
        if v is not None and wanted(ctx, 1, 1):
            grad_v = _Inputs.apply(x, g, c, basis, order)
        if wanted(ctx, 2, 1 if v is None else 2):
            grad_c = _Coefficients.apply(x, v, g, basis, order)
        return grad_x, grad_v, grad_c, None, None


class _Inputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, c: Tensor, basis: Basis, order: int) -> Tensor:
        ctx.save_for_backward(x, g, c)
        ctx.basis, ctx.order = basis, order
        x, g, c = x.detach(), g.detach(), c.detach()
        if c.shape[0] == 1:
            return basis.contract(x, c[0], order) * g
        c = c.flatten(1)  # (out, in * n_basis)
        y = torch.empty_like(x)
        for rows in basis.blocks(x):
            values = basis.evaluate(x[rows], order)  # (b, in, n_basis)
            weights = torch.mm(g[rows], c).view_as(values)
            torch.sum(weights.mul_(values), -1, out=y[rows])  # values may be a view of x
        return y

    @staticmethod
    @full_precision
    def backward(ctx: Any, h: Tensor) -> Tuple[Optional[Tensor], ...]:
        x, g, c = ctx.saved_tensors
        basis, order = ctx.basis, ctx.order
        if not _compat.has_memory(h):
            return _batched(_plain_inputs, (x, g, c), h, basis, order)
        grad_x = h * _Inputs.apply(x, g, c, basis, _raised(order)) if wanted(ctx, 0, 0) else None
        grad_g = _Outputs.apply(x, h, c, basis, order) if wanted(ctx, 1, 1) else None
        grad_c = _Coefficients.apply(x, h, g, basis, order) if wanted(ctx, 2, 2) else None
        return grad_x, grad_g, grad_c, None, None


class _Coefficients(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Optional[Tensor], g: Tensor, basis: Basis, order: int) -> Tensor:
        ctx.save_for_backward(x, v, g)
        ctx.basis, ctx.order = basis, order
        x, g = x.detach(), g.detach()
        if g.shape[1] == 1:
            weights = g.expand_as(x) if v is None else g * v.detach()
            return basis.accumulate(x, weights, order).unsqueeze(0)
        y = x.new_zeros(g.shape[1], basis.in_features * basis.n_basis)
        for rows in basis.blocks(x):
            values = basis.evaluate(x[rows], order)  # (b, in, n_basis)
            if v is not None:
                values = values * v[rows].detach().unsqueeze(-1)
            y.addmm_(g[rows].t(), values.flatten(1))
        return y.view(g.shape[1], basis.in_features, basis.n_basis)

    @staticmethod
    @full_precision
    def backward(ctx: Any, h: Tensor) -> Tuple[Optional[Tensor], ...]:
        x, v, g = ctx.saved_tensors
        basis, order = ctx.basis, ctx.order
        if not _compat.has_memory(h):
            return _batched(_plain_coefficients, (x, v, g), h, basis, order)
        grad_x = grad_v = None
        if wanted(ctx, 0, 0):
            grad_x = _Inputs.apply(x, g, h, basis, _raised(order))
            grad_x = grad_x if v is None else grad_x * v
        if v is not None and wanted(ctx, 1, 1):
            grad_v = _Inputs.apply(x, g, h, basis, order)
        grad_g = _Outputs.apply(x, v, h, basis, order) if wanted(ctx, 2, 1 if v is None else 2) else None
        return grad_x, grad_v, grad_g, None, None
