"""Layers on the C kernels."""

from torch import Tensor

from kan_heads.kan.backends.contract import Backend, Layer
from kan_heads.kan.backends.native.differentiable import expand
from kan_heads.kan.backends.native.kernels import supports, supports_base


class Native(Backend):
    """Bases of this package in float32 and float64 on processors; base function and basis in one pass."""

    name = "native"

    def supports(self, layer: Layer, x: Tensor) -> bool:
        """Accepts ordinary tensors of one precision on the CPU; the first call may compile the kernels."""
        norm = () if layer.norm is None else layer.norm.parameters()
        return supports(x, layer.basis, layer.coefficients, layer.unit, layer.base_weight, *norm)

    def expand(self, layer: Layer, x: Tensor) -> Tensor:
        """Evaluates the expansion, see :meth:`Backend.expand`."""
        return expand(x, layer.values(), None, layer.basis, None, layer.zero_at_origin)

    def outputs(self, layer: Layer, x: Tensor) -> Tensor:
        """Computes the layer without its bias, see :meth:`Backend.outputs`."""
        if layer.norm is not None or not supports_base(layer.base):
            return super().outputs(layer, x)
        functions = (layer.basis, layer.base, layer.zero_at_origin)
        return expand(x, layer.values(), layer.base_weight, *functions)
