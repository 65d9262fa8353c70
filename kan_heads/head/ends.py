"""The linear ends of a model: the last maps of its readouts, as functions of their coefficients."""

from __future__ import annotations

import abc
import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from kan_heads.errors import ModelError
from kan_heads.kan.grid import grid_points

if TYPE_CHECKING:
    from kan_heads.swap import Adapter


class LinearEnd(abc.ABC):
    r"""A module whose outputs :math:`y_{no}` are linear in its coefficients :math:`\theta`.

    What is computed here is in float64, whatever the precision of the model. Coefficients are physical ones:
    those of a :class:`kan_heads.kan.KANLayer` are in units of values (``KANLayer.values``), not of slope.

    Args:
        path: module path in the model.
        module: the module; only :meth:`write` changes it.
    """

    def __init__(self, path: str, module: torch.nn.Module) -> None:
        self.path, self.module = path, module
        self.exact = copy.deepcopy(module).double().requires_grad_(False)

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return len(self.read())

    @abc.abstractmethod
    def read(self) -> Tensor:
        """Returns the present coefficients, shape ``(size,)``."""

    @abc.abstractmethod
    def write(self, theta: Tensor) -> None:
        """Sets the coefficients of the module, shape ``(size,)``."""

    @abc.abstractmethod
    def values(self, x: Tensor, w: Tensor) -> Tensor:
        r"""Returns the row of :math:`\sum_{no} w_{no} y_{no}`.

        Args:
            x: inputs, shape ``(n, in)``.
            w: factors of the outputs, shape ``(n, out)``.

        Returns:
            Shape ``(size,)``.
        """

    @abc.abstractmethod
    def slopes(self, x: Tensor, w: Tensor, tangents: Tensor) -> Tensor:
        r"""Returns the rows of :math:`\sum_{noi} w_{no} \dot x_{kni}\, \partial y_{no} / \partial x_{ni}`.

        Args:
            x: inputs, shape ``(n, in)``.
            w: factors of the outputs, shape ``(n, out)``.
            tangents: how the inputs change along each direction, shape ``(n_directions, n, in)``.

        Returns:
            Shape ``(n_directions, size)``.
        """

    def curvature(self) -> Tensor:
        r"""Returns the matrix of :math:`\sum_i \langle \varphi_i''^2 \rangle`, shape ``(size, size)``.

        The mean is over the grid of each feature. Linear maps have no curvature.
        """
        return torch.zeros(self.size, self.size, dtype=torch.float64)


class KANEnd(LinearEnd):
    """A :class:`kan_heads.kan.KANLayer`: coefficients and base weights of each function."""

    def __init__(self, path: str, module: torch.nn.Module) -> None:
        super().__init__(path, module)
        if module.norm is not None:
            raise ModelError(f"{path}: layer_norm stands before the functions, which cannot be solved for")
        self._has_base = module.base_weight is not None
        self._n_bias = 0 if module.bias is None else module.out_features
        self._n_functions = module.basis.n_basis + self._has_base

    def read(self) -> Tensor:
        """Returns the coefficients of each function, its base weight last; then the biases."""
        parts = self.module.values().detach().double()  # (out, in, n_basis)
        if self._has_base:
            parts = torch.cat([parts, self.module.base_weight.detach().double().unsqueeze(-1)], -1)
        bias = [] if self.module.bias is None else [self.module.bias.detach().double()]
        return torch.cat([parts.flatten(), *bias]).cpu()

    def write(self, theta: Tensor) -> None:
        """Sets them."""
        layer = self.module
        parts, bias = theta[: len(theta) - self._n_bias], theta[len(theta) - self._n_bias :]
        parts = parts.reshape(layer.out_features, layer.in_features, self._n_functions)
        with torch.no_grad():
            layer.set_values(parts[..., : layer.basis.n_basis].to(layer.coefficients))
            if self._has_base:
                layer.base_weight.copy_(parts[..., -1])
            if self._n_bias:
                layer.bias.copy_(bias)

    def values(self, x: Tensor, w: Tensor) -> Tensor:
        """Sums values of the functions over the rows."""
        row = torch.einsum("no,nif->oif", w, self._functions(x, 0))
        return torch.cat([row.flatten(), w.sum(0)]) if self._n_bias else row.flatten()

    def slopes(self, x: Tensor, w: Tensor, tangents: Tensor) -> Tensor:
        """Sums slopes of the functions, times how fast the inputs change, over the rows."""
        first = self._functions(x, 1).permute(1, 0, 2)  # (in, n, functions)
        n_directions = len(tangents)
        weights = torch.einsum("no,kni->ikon", w, tangents)  # (in, K, out, n)
        rows = torch.bmm(weights.flatten(1, 2), first)  # (in, K * out, functions)
        rows = rows.unflatten(1, (n_directions, -1)).permute(1, 2, 0, 3).flatten(1)
        return torch.cat([rows, rows.new_zeros(n_directions, self._n_bias)], 1) if self._n_bias else rows

    def curvature(self) -> Tensor:
        """Averages products of second derivatives over the grid of each feature."""
        bends = self._functions(grid_points(self.exact), 2)  # (m, in, functions)
        blocks = torch.einsum("mif,mig->ifg", bends, bends) / len(bends)
        matrix = torch.block_diag(*blocks.repeat(self.module.out_features, 1, 1))
        return torch.block_diag(matrix, matrix.new_zeros(self._n_bias, self._n_bias))

    def _functions(self, x: Tensor, order: int) -> Tensor:
        """Returns values or derivatives of the basis, then of the base function, ``(n, in, functions)``."""
        layer = self.exact
        basis = layer.edge_basis(x) if order == 0 else layer.basis.derivative(x, order)
        if not self._has_base:
            return basis
        function = layer.base_function
        for _ in range(order):
            function = _derivative_of(function)
        return torch.cat([basis, function(x).unsqueeze(-1)], -1)


class MapEnd(LinearEnd):
    """A linear map: :class:`torch.nn.Linear`, nequip's ``ScalarLinearLayer``, e3nn's ``Linear``."""

    def __init__(self, path: str, module: torch.nn.Module) -> None:
        super().__init__(path, module)
        self._parameters = list(self.exact.requires_grad_(True).parameters())

    def read(self) -> Tensor:
        """Returns weights, then biases, in the order of the module's parameters."""
        return torch.cat([p.detach().double().flatten() for p in self.module.parameters()]).cpu()

    def write(self, theta: Tensor) -> None:
        """Sets them."""
        parameters = list(self.module.parameters())
        with torch.no_grad():
            for p, values in zip(parameters, theta.split([p.numel() for p in parameters]), strict=True):
                p.copy_(values.reshape(p.shape))

    def values(self, x: Tensor, w: Tensor) -> Tensor:
        """Differentiates by the coefficients: of a linear function that is its row."""
        grads = torch.autograd.grad((self.exact(x) * w).sum(), self._parameters)
        return torch.cat([g.flatten() for g in grads])

    def slopes(self, x: Tensor, w: Tensor, tangents: Tensor) -> Tensor:
        """Takes the difference of two rows, so that a bias falls out."""
        origin = self.values(torch.zeros_like(x), w)
        return torch.stack([self.values(tangent, w) - origin for tangent in tangents])


def linear_ends(model: torch.nn.Module, adapter: Adapter) -> list[LinearEnd]:
    """Lists the linear ends of a model, in the order of its modules.

    Args:
        model: a model that the adapter knows.
        adapter: tells the readouts.

    Raises:
        ModelError: if there is none.
    """
    from kan_heads.swap import kans_of

    ends: list[LinearEnd] = []
    kans = kans_of(model)
    for path in adapter.readouts(model):
        module = model.get_submodule(path)
        if path in kans:
            ends.append(KANEnd(f"{path}.layers.{len(module.layers) - 1}", module.layers[-1]))
            continue
        maps = [(name, part) for name, part in module.named_modules() if _is_map(part)]
        if not maps:
            raise ModelError(f"{path}: its last layer is no linear map, so there is nothing to solve for")
        name, part = maps[-1]
        ends.append(MapEnd(f"{path}.{name}" if name else path, part))
    if not ends:
        raise ModelError(f"this model of {adapter.name} has no readout that ends in a linear map or a KAN")
    return ends


def _is_map(module: torch.nn.Module) -> bool:
    return type(module).__name__ in ("Linear", "ScalarLinearLayer")


def _derivative_of(function):
    def derivative(x: Tensor) -> Tensor:
        return torch.func.jvp(function, (x,), (torch.ones_like(x),))[1]

    return derivative
