"""The ways to compute a KAN layer, and the one place that chooses among them.

``definition`` is what a layer means, ``traced`` is the form for compilers, ``analytic`` has closed forms
of the derivatives in torch operations, and ``native`` calls kernels in C. All fulfil one contract, see
:class:`Backend`.
"""

from torch import Tensor

from kan_heads.kan.backends.analytic import Analytic
from kan_heads.kan.backends.contract import Backend, Layer
from kan_heads.kan.backends.definition import Definition
from kan_heads.kan.backends.native import Native
from kan_heads.kan.backends.traced import Traced

__all__ = ["BACKENDS", "Backend", "choose"]

#: The backends in the order in which they are asked; the last one takes everything.
BACKENDS = (Traced(), Native(), Analytic(), Definition())


def choose(layer: Layer, x: Tensor) -> Backend:
    """Returns the backend that computes a layer for these inputs.

    Where something follows the operations one by one (TorchScript, make_fx, torch.compile, AOTInductor,
    torch.func) that is ``traced``. Otherwise it is ``native`` for the bases of this package in float32 or
    float64 on a processor, if there is a compiler; ``analytic`` for a basis with closed derivatives, on any
    device; and ``definition`` for what is left.

    Args:
        layer: a :class:`kan_heads.kan.KANLayer`.
        x: inputs, shape ``(n, in_features)``.
    """
    for backend in BACKENDS[:-1]:
        if backend.supports(layer, x):
            return backend
    return BACKENDS[-1]
