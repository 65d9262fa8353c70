"""The definition: every basis function at every input, differentiated by torch as it runs."""

from torch import Tensor

from kan_heads.kan.backends.contract import Backend, Layer


class Definition(Backend):
    """Evaluates :meth:`Basis.forward` and multiplies by the coefficients.

    It is what the other backends are tested against, and what runs where none of them does. It keeps
    tensors of shape ``(n, in_features, n_basis)`` for each derivative.
    """

    name = "definition"

    def supports(self, layer: Layer, x: Tensor) -> bool:
        """Accepts everything."""
        return True

    def expand(self, layer: Layer, x: Tensor) -> Tensor:
        """Evaluates the expansion, see :meth:`Backend.expand`."""
        return layer.basis.expand_all(x, layer.values(), layer.zero_at_origin, None)
