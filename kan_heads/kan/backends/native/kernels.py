"""Calls the C kernels: tensors in, tensors out, no automatic differentiation.

Parameters are the layer's own: coefficients ``c`` of shape ``(out, in, n_basis)`` and base weights
``b`` of shape ``(out, in)`` or ``None``. Inputs ``x`` and gradients by them are ``(n, in)``, outputs
and gradients by them ``(n, out)``; all are contiguous and of one precision.
"""

import ctypes
import functools
from typing import Any, Dict, Optional, Tuple, Type

import torch
from torch import Tensor

from kan_heads.errors import ModelError
from kan_heads.kan.backends.native.library import library
from kan_heads.kan.bases import Basis
from kan_heads.kan.bases.bspline import BSplineBasis
from kan_heads.kan.bases.chebyshev import ChebyshevBasis
from kan_heads.kan.bases.fourier import FourierBasis
from kan_heads.kan.bases.gaussian import GaussianBasis

_FAMILIES: Dict[Type[Basis], int] = {BSplineBasis: 0, GaussianBasis: 1, FourierBasis: 2, ChebyshevBasis: 3}
_BASES: Dict[Optional[str], int] = {None: 0, "identity": 1, "silu": 2}
_ORDINARY = (Tensor, torch.nn.Parameter)
_MOST_FUNCTIONS = 64  # the kernels keep the values of a block of rows on the stack: 3 kB for each
_SHARE = 1 << 13  # inputs that are worth a thread of their own

_INT, _LONG, _POINTER = ctypes.c_int, ctypes.c_long, ctypes.c_void_p
#: Types of the arguments after the layer and the number of rows.
_SIGNATURES = {
    "kan_sum": [_POINTER] * 5,
    "kan_sum_backward": [_POINTER] * 8,
    "kan_layer": [_INT, _INT, *[_POINTER] * 5, *[_INT, _POINTER] * 3, _POINTER],
}


class _Layer(ctypes.Structure):
    """Mirrors ``Layer`` in basis.h."""

    _fields_ = [
        *((name, _INT) for name in ("family", "base", "features", "n_basis", "grid_size")),
        *((name, _INT) for name in ("order", "linear", "anchored", "threads")),
        *((name, _POINTER) for name in ("lower", "step", "pieces")),
    ]


@functools.cache
def _functions(dtype: torch.dtype) -> Optional[Dict[str, Any]]:
    found = library(dtype)
    if found is None:
        return None
    for name, types in _SIGNATURES.items():
        getattr(found, name).argtypes = [ctypes.POINTER(_Layer), _LONG, *types]
    return {name: getattr(found, name) for name in _SIGNATURES}


def supports(x: Tensor, basis: Basis, *parameters: Optional[Tensor]) -> bool:
    """Tells whether there are kernels for these tensors; the first call may compile them.

    Kernels see addresses, so everything must be an ordinary tensor on the CPU in one precision. What
    is not runs on torch formulas, or gets torch's own message.
    """
    if type(basis) not in _FAMILIES or basis.n_basis > _MOST_FUNCTIONS:
        return False
    if x.dtype not in (torch.float32, torch.float64):
        return False
    for tensor in (x, basis.lower, basis.step, getattr(basis, "pieces", None), *parameters):
        if tensor is None:
            continue
        if type(tensor) not in _ORDINARY or tensor.device.type != "cpu" or tensor.dtype != x.dtype:
            return False
    return _functions(x.dtype) is not None


def supports_base(base: Optional[str]) -> bool:
    """Tells whether the kernels know this base function."""
    return base in _BASES


def solid(tensor: Optional[Tensor], *shape: int) -> Optional[Tensor]:
    """Returns a tensor whose memory holds its numbers one after the other, as the kernels read them.

    Args:
        tensor: an ordinary tensor, perhaps expanded, transposed or with its sign to be turned; or ``None``.
        shape: what its shape must be; the kernels would read beyond the end of a smaller one.

    Raises:
        ModelError: if it has another shape.
    """
    if tensor is None:
        return None
    if tensor.shape != shape:
        raise ModelError(f"KANLayer: a tensor of shape {tuple(tensor.shape)} stands where {shape} belongs")
    return tensor.resolve_neg().contiguous()


class Kernels:
    """The kernels for one layer.

    Args:
        basis: a basis that :func:`supports` accepts.
        base: a base function that :func:`supports_base` accepts.
        anchored: whether the value at 0 is subtracted from each basis function.
    """

    def __init__(self, basis: Basis, base: Optional[str], anchored: bool) -> None:
        self.basis, self.base, self.anchored = basis, base, anchored

    def call(self, name: str, x: Tensor, *arguments: object) -> None:
        """Calls one C function on the rows of x; the arguments follow the number of rows."""
        basis = self.basis
        lower, step = solid(basis.lower, basis.in_features), solid(basis.step, basis.in_features)
        order, linear, pieces = 0, False, None
        if isinstance(basis, BSplineBasis):
            order, linear = basis.order, basis.linear_outside
            pieces = solid(basis.pieces, order + 1, order + 1)
        layer = _Layer(
            _FAMILIES[type(basis)],
            _BASES[self.base],
            basis.in_features,
            basis.n_basis,
            basis.grid_size,
            order,
            linear,
            self.anchored,
            max(1, min(torch.get_num_threads(), x.numel() // _SHARE)),
            lower.data_ptr(),
            step.data_ptr(),
            None if pieces is None else pieces.data_ptr(),
        )
        plain = [a.data_ptr() if isinstance(a, Tensor) else a for a in arguments]
        if not _functions(x.dtype)[name](layer, x.shape[0], *plain):
            raise MemoryError(f"KANLayer: no memory for {name} of {x.shape[0]} rows")

    def sum(self, x: Tensor, c: Tensor, b: Optional[Tensor], slopes: bool) -> Tuple[Tensor, Optional[Tensor]]:
        """Evaluates a layer with one output and, if asked to, the slope of each of its functions.

        Returns:
            Outputs, shape ``(n, 1)``, and slopes, shape ``(n, in)``, or ``None``.
        """
        y, slope = x.new_empty(x.shape[0], 1), torch.empty_like(x) if slopes else None
        self.call("kan_sum", x, x, c, b, y, slope)
        return y, slope

    def sum_gradients(
        self,
        x: Tensor,
        c: Tensor,
        b: Optional[Tensor],
        by_y: Optional[Tensor],
        by_slope: Optional[Tensor],
        for_x: bool,
    ) -> Tuple[Optional[Tensor], Tensor, Optional[Tensor]]:
        """Gradients by x (if asked for), c and b from those by the results of :meth:`sum`."""
        gx = torch.empty_like(x) if for_x else None
        gc, gb = torch.empty_like(c), None if b is None else torch.empty_like(b)
        self.call("kan_sum_backward", x, x, c, b, by_y, by_slope, gx, gc, gb)
        return gx, gc, gb
