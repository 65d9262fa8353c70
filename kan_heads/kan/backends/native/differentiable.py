r"""Layers on the C kernels: basis and base function in one pass, twice differentiable without a graph.

A layer with one output is a sum of one function per feature. One pass gives the sum *and* the
slopes, and the slopes are a second result of the same operation. The gradient by the inputs, hence
the forces, is then a plain product with the slopes; and when a loss on forces is differentiated, the
gradients by both results arrive together, so one more pass gives everything.

A layer with several outputs has too many slopes to keep. It is made of two operations, the outputs
and their gradient by the inputs, and the gradients of each are one pass.

Whatever goes further (a third derivative, second derivatives by parameters) is differentiated
through the torch formulas.
"""

from typing import Any, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from kan_heads import _compat
from kan_heads.kan.backends import analytic
from kan_heads.kan.backends.autograd import full_precision, through, wanted
from kan_heads.kan.backends.native.kernels import solid
from kan_heads.kan.backends.native.layers import LayerKernels
from kan_heads.kan.bases import Basis

_Maybe = Optional[Tensor]


def expand(
    x: Tensor, coefficients: Tensor, base_weight: _Maybe, basis: Basis, base: Optional[str], anchored: bool
) -> Tensor:
    r"""Evaluates :math:`\sum_i b_{oi} \sigma(x_{ni}) + \sum_{ij} \phi_j(x_{ni})\, c_{oij}`.

    Args:
        x: inputs, shape ``(n, in)``.
        coefficients: shape ``(out, in, n_basis)``.
        base_weight: shape ``(out, in)``, or ``None`` to leave the base function out.
        basis: the functions; :meth:`Native.supports` must have accepted them with all tensors.
        base: name of the base function; :func:`.kernels.supports_base` must have accepted it.
        anchored: subtract the value at 0 of each basis function.

    Returns:
        Outputs, shape ``(n, out)``, differentiable any number of times.
    """
    layer = LayerKernels(basis, None if base_weight is None else base, anchored)
    n_in, n_out = basis.in_features, coefficients.shape[0]
    b = solid(base_weight, n_out, n_in)
    inputs = (solid(x, x.shape[0], n_in), solid(coefficients, n_out, n_in, basis.n_basis), b, layer)
    return _Sum.apply(*inputs)[0] if coefficients.shape[0] == 1 else _Outputs.apply(*inputs)


def _formula(layer: LayerKernels, x: Tensor, c: Tensor, b: _Maybe, plain: bool = False) -> Tensor:
    """The same outputs from torch operations; plain ones where a gradient has been batched by a vmap."""
    if plain:
        y = layer.basis.expand_all(x, c, layer.anchored, None)
    else:
        y = analytic.expand(x, c, layer.basis, layer.anchored)
    if b is None:
        return y
    return y + functional.linear(functional.silu(x) if layer.base == "silu" else x, b)


def _slopes(y: Tensor, x: Tensor, g: Tensor) -> Tensor:
    return torch.autograd.grad(y, x, g, create_graph=True)[0]


class _Sum(torch.autograd.Function):
    """A layer with one output, (n, 1), and the slopes of its functions, (n, in)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, c: Tensor, b: _Maybe, layer: LayerKernels) -> Tuple[Tensor, _Maybe]:
        y, slope = layer.sum(x, c, b, ctx.needs_input_grad[0])
        ctx.save_for_backward(x, c, b, slope)
        ctx.layer = layer
        ctx.set_materialize_grads(False)
        return y, slope

    @staticmethod
    @full_precision
    def backward(ctx: Any, by_y: _Maybe, by_slope: _Maybe) -> Tuple[_Maybe, ...]:
        x, c, b, slope = ctx.saved_tensors
        parameters = wanted(ctx, 1, 1) or (b is not None and wanted(ctx, 2, 2))
        if by_slope is None and not parameters:
            return by_y * slope if by_y is not None and ctx.needs_input_grad[0] else None, None, None, None
        batched = not _compat.has_memory(by_y, by_slope)
        if batched or torch.is_grad_enabled():

            def formula(x: Tensor, c: Tensor, b: _Maybe) -> Sequence[Tensor]:
                y = _formula(ctx.layer, x, c, b, batched)
                return (y,) if by_slope is None else (y, _slopes(y, x, torch.ones_like(y)))

            gradients = (by_y,) if by_slope is None else (by_y, by_slope)
            return (*through(formula, (x, c, b), gradients), None)
        given = solid(by_y, x.shape[0], 1), solid(by_slope, *x.shape)
        return (*ctx.layer.sum_gradients(x, c, b, *given, wanted(ctx, 0, 0)), None)


class _Outputs(torch.autograd.Function):
    """A layer with several outputs, (n, out)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, c: Tensor, b: _Maybe, layer: LayerKernels) -> Tensor:
        ctx.save_for_backward(x, c, b)
        ctx.layer = layer
        return layer.outputs(x, c, b)

    @staticmethod
    @full_precision
    def backward(ctx: Any, g: Tensor) -> Tuple[_Maybe, ...]:
        x, c, b = ctx.saved_tensors
        if not _compat.has_memory(g):
            formula = lambda *at: (_formula(ctx.layer, *at, plain=True),)  # noqa: E731
            return (*through(formula, (x, c, b), (g,)), None)
        for_x = wanted(ctx, 0, 0)
        if not (wanted(ctx, 1, 1) or (b is not None and wanted(ctx, 2, 2))):
            return _Pull.apply(x, g, c, b, ctx.layer) if for_x else None, None, None, None
        if torch.is_grad_enabled():
            return (*through(lambda *at: (_formula(ctx.layer, *at),), (x, c, b), (g,)), None)
        return (*ctx.layer.outputs_gradients(x, c, b, solid(g, x.shape[0], c.shape[0]), for_x), None)


class _Pull(torch.autograd.Function):
    """The gradient of such a layer by its inputs, (n, in)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, c: Tensor, b: _Maybe, layer: LayerKernels) -> Tensor:
        ctx.save_for_backward(x, g, c, b)
        ctx.layer = layer
        return layer.pull(x, solid(g, x.shape[0], c.shape[0]), c, b)

    @staticmethod
    @full_precision
    def backward(ctx: Any, h: Tensor) -> Tuple[_Maybe, ...]:
        x, g, c, b = ctx.saved_tensors
        batched = not _compat.has_memory(h)
        if batched or torch.is_grad_enabled():

            def formula(x: Tensor, g: Tensor, c: Tensor, b: _Maybe) -> Sequence[Tensor]:
                return (_slopes(_formula(ctx.layer, x, c, b, batched), x, g),)

            return (*through(formula, (x, g, c, b), (h,)), None)
        for_x = wanted(ctx, 0, 0)
        given = solid(g, x.shape[0], c.shape[0]), c, b, solid(h, *x.shape)
        return (*ctx.layer.pull_gradients(x, *given, for_x), None)
