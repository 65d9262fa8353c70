r"""What a backend is: one way to compute the outputs of a KAN layer.

All backends compute the same function of the inputs, the coefficients and the base weights,

.. math:: y_{no} = \sum_i b_{oi}\, \sigma(x_{ni}) + \sum_{ij} c_{oij}\, \phi_j(x_{ni}),

and torch can differentiate what they return any number of times: slopes (forces) and the gradients of a
loss on slopes included. ``tests/kan/test_kan_backends.py`` holds each of them to that for each basis.
Values and derivatives of single basis functions, and their sums over functions or rows, are the basis's own:
``Basis.evaluate``, ``contract`` and ``accumulate``.
"""

import abc
from typing import Callable, ClassVar, Optional, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from kan_heads.kan.bases import Basis


class Layer(Protocol):
    """What backends see of a :class:`kan_heads.kan.KANLayer`."""

    basis: Basis
    base: Optional[str]  # name of the base function
    base_function: Callable[[Tensor], Tensor]
    base_weight: Optional[Tensor]  # (out, in)
    coefficients: Tensor  # (out, in, n_basis), in units of ``unit``
    unit: Optional[Tensor]  # (in, n_basis)
    norm: Optional[torch.nn.LayerNorm]
    zero_at_origin: bool

    def values(self) -> Tensor:
        """Returns the coefficients in units of their values, shape ``(out, in, n_basis)``."""

    def plain(self, x: Tensor) -> Tensor:
        """Computes the layer without its bias in operations that anything can trace."""


class Backend(abc.ABC):
    """One way to compute a layer. It has no state, so layers are pickled and packaged without it."""

    name: ClassVar[str]

    @abc.abstractmethod
    def supports(self, layer: Layer, x: Tensor) -> bool:
        """Tells whether the layer can be computed this way, and whether this is worth it.

        Args:
            layer: a :class:`kan_heads.kan.KANLayer`.
            x: inputs, shape ``(n, in_features)``.
        """

    @abc.abstractmethod
    def expand(self, layer: Layer, x: Tensor) -> Tensor:
        r"""Sums the basis functions times their coefficients, :math:`\sum_{ij} c_{oij}\, \phi_j(x_{ni})`.

        Args:
            layer: a layer that :meth:`supports` accepts.
            x: inputs of the basis, shape ``(n, in_features)``: normalised if the layer normalises them.

        Returns:
            Sums, shape ``(n, out_features)``, differentiable any number of times.
        """

    def outputs(self, layer: Layer, x: Tensor) -> Tensor:
        """Computes the layer without its bias.

        Args:
            layer: a layer that :meth:`supports` accepts.
            x: inputs, shape ``(n, in_features)``.

        Returns:
            Outputs, shape ``(n, out_features)``, differentiable any number of times.
        """
        y = self.expand(layer, x if layer.norm is None else layer.norm(x))  # (n, out)
        if layer.base_weight is None:
            return y
        return y + functional.linear(layer.base_function(x), layer.base_weight)
