"""Plain operations in the form that compilers like, for whatever follows them one by one."""

from torch import Tensor

from kan_heads import _compat
from kan_heads.kan.backends.contract import Backend, Layer


class Traced(Backend):
    """Runs :meth:`KANLayer.plain`, in which TorchScript reads the same operations.

    They are those of the definition, except for B-splines of many features, which have a form without
    gathers and scatters: see :meth:`Basis.expand`.
    """

    name = "traced"

    def supports(self, layer: Layer, x: Tensor) -> bool:
        """Accepts inputs whose operations are recorded, compiled or transformed one by one."""
        return _compat.follows_operations(x)

    def expand(self, layer: Layer, x: Tensor) -> Tensor:
        """Evaluates the expansion, see :meth:`Backend.expand`."""
        return layer.basis.expand(x, layer.values(), layer.zero_at_origin)

    def outputs(self, layer: Layer, x: Tensor) -> Tensor:
        """Computes the layer without its bias, see :meth:`Backend.outputs`."""
        return layer.plain(x)
