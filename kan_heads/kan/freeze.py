"""Trained B-spline layers as plain polynomials, one for each interval, for inference.

A spline is a polynomial between two knots. Training needs it as a sum of basis functions; a model
that is only evaluated can look the polynomial up. Where a layer has one output that is one gathered
number per power and input, with anchoring, extrapolation and base branch folded into the same pass:
compiled, faster than the basis for a few hundred rows and as fast for many. With more outputs the
gathered rows grow with them and the basis is faster; those layers stay.
"""

import copy
import dataclasses
from typing import Any, Dict, List

import torch
from torch import Tensor

from kan_heads.errors import ModelError

# What a frozen layer no longer has, for a message that helps.
_GONE = ("basis", "coefficients", "base_weight", "edge_basis", "edge_functions", "reset_parameters")


@dataclasses.dataclass(frozen=True)
class FreezeReport:
    """What :func:`freeze` did.

    Args:
        frozen: paths of the layers that are polynomials now.
        left: why each other KAN layer stays as it is, by path.
    """

    frozen: List[str]
    left: Dict[str, str]


class FrozenKANLayer(torch.nn.Module):
    r"""A trained B-spline layer with one output as polynomials: nothing left to train.

    .. math:: y = \sum_i \Big( b_i\,\sigma(x_i) + \sum_p a_{i m p}\, t_i^p \Big)

    with the interval m of :math:`x_i` and the distance t from its left knot, in steps. Two more
    intervals hold what lies outside. In the one that holds 0 the distance counts from
    0 and there is no constant term, so that an anchored layer gives exactly 0 at 0.

    Args:
        layer: a :class:`kan_heads.kan.KANLayer` with a B-spline basis and one output. Its tensors are
            copied.

    Raises:
        ModelError: if the layer has another basis or more than one output.
    """

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__()
        reason = reason_to_stay(layer)
        if reason:
            raise ModelError(f"FrozenKANLayer: cannot freeze this layer: {reason}")
        basis = layer.basis
        self.in_features = layer.in_features
        self.out_features = 1
        self.order = basis.order
        self.zero_at_origin = layer.zero_at_origin
        self.padding = basis.padding + 1  # intervals before the grid that have a row in the table
        self.n_cells = basis.grid_size + 2 * self.padding
        self.base = layer.base
        self.base_function = layer.base_function
        self.norm = copy.deepcopy(layer.norm)
        weight, bias = layer.base_weight, layer.bias
        self.register_buffer("lower", basis.lower.detach().clone())
        self.register_buffer("step", basis.step.detach().clone())
        self.register_buffer("weight", None if weight is None else weight.detach()[0].clone())
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        origin = self._cell((torch.zeros_like(self.lower) - self.lower) / self.step)
        # Layers out of packages of release 0.1 keep their coefficients in units of values.
        values = layer.values() if hasattr(layer, "values") else layer.coefficients
        table = _polynomials(basis, values, self.padding)  # (in, cells, powers), float64
        if self.zero_at_origin:
            _recentre(table, origin + self.padding, basis)
        starts = torch.arange(self.in_features, device=origin.device) * self.n_cells + self.padding
        self.register_buffer("origin_cell", origin)  # (in,)
        self.register_buffer("starts", starts)  # (in,)
        # One table per power: compilers keep a row of powers in memory, and single numbers in registers.
        table = table.flatten(0, 1).t().contiguous().to(self.lower.dtype)
        self.register_buffer("table", table)  # (powers, in * cells)
        self.requires_grad_(False)  # the normalisation has parameters

    def _cell(self, v: Tensor) -> Tensor:
        """Returns the interval, a whole number; NaN has none, and any will do."""
        return v.detach().floor().nan_to_num(0.0).clamp(-self.padding, self.n_cells - 1 - self.padding)

    def forward(self, x: Tensor) -> Tensor:
        """Applies the layer.

        Args:
            x: inputs, shape ``(..., in_features)``.

        Returns:
            Outputs, shape ``(..., 1)``.
        """
        rows = x.reshape(-1, self.in_features)  # (n, in)
        inputs = rows if self.norm is None else self.norm(rows)
        v = (inputs - self.lower) / self.step  # (n, in)
        cell = self._cell(v)
        t = v - cell
        if self.zero_at_origin:
            # By the operations that give v, so that the difference is exactly 0 where the input is.
            origin = (torch.zeros_like(self.lower) - self.lower) / self.step
            t = v - torch.where(cell == self.origin_cell, origin, cell)
        index = cell.to(torch.long) + self.starts
        y = self.table[self.order][index]  # (n, in)
        for p in range(self.order - 1, -1, -1):
            y = y * t + self.table[p][index]
        if self.weight is not None:
            y = y + self.weight * self.base_function(rows)
        total = y.sum(-1, keepdim=True)  # (n, 1)
        if self.bias is not None:
            total = total + self.bias
        return total.reshape(x.shape[:-1] + (1,))  # noqa: RUF005  TorchScript has no unpacking

    def __getattr__(self, name: str) -> Any:
        """Explains why a frozen layer lacks what a trainable one has."""
        if name in _GONE:
            raise AttributeError(
                f"{name}: this layer is frozen to polynomials; train, calibrate, refine or plot the "
                "model that it was made from"
            )
        return super().__getattr__(name)

    def extra_repr(self) -> str:
        """Shows the shape of the layer."""
        return f"in_features={self.in_features}, out_features=1, order={self.order}, frozen"


def reason_to_stay(layer: torch.nn.Module) -> str:
    """Tells why a KAN layer is not worth freezing; empty if it is.

    Args:
        layer: a :class:`kan_heads.kan.KANLayer`, by name: those of a packaged model are copies.
    """
    if type(layer.basis).__name__ != "BSplineBasis":
        kind = type(layer.basis).__name__.removesuffix("Basis").lower()
        return f"basis {kind} is no polynomial between knots"
    if layer.out_features > 1:
        return f"{layer.out_features} outputs, polynomials are faster for one only"
    return ""


def freeze(model: torch.nn.Module) -> FreezeReport:
    """Freezes the KAN layers that are no slower as polynomials, in place.

    These are the B-spline layers with one output: the whole of a ``hidden: []`` readout, the last
    layer of every other. Values and forces stay the same to rounding.

    Args:
        model: any module that holds KANs.

    Returns:
        Which layers were frozen, and why others were not.

    Example:
        >>> from kan_heads.kan import KAN
        >>> freeze(KAN([16, 4, 1])).frozen
        ['layers.1']
    """
    report = FreezeReport([], {})
    made: Dict[int, FrozenKANLayer] = {}  # a layer may stand at several paths
    for path, module in list(model.named_modules(remove_duplicate=False)):
        if type(module).__name__ != "KANLayer":
            continue
        reason = reason_to_stay(module)
        if reason or not path:
            report.left[path] = reason or "it is the model itself; use FrozenKANLayer(layer)"
            continue
        parent, _, name = path.rpartition(".")
        if id(module) not in made:
            made[id(module)] = FrozenKANLayer(module).train(module.training)
        setattr(model.get_submodule(parent), name, made[id(module)])
        report.frozen.append(path)
    return report


class Freezable:
    """Lets nequip find :func:`freeze` as the model modifier ``freeze_kan``.

    nequip collects its modifiers from the classes in a model: class methods that carry the
    attributes set below, which are those that its decorator ``model_modifier`` sets. The layers
    import no nequip, so they are set by hand.
    """

    @classmethod
    def freeze_kan(cls, model: torch.nn.Module) -> torch.nn.Module:
        """Freezes the layers of a model that are no slower as polynomials, see :func:`freeze`."""
        freeze(model)
        return model

    # Not persistent: nequip-package keeps the trainable layers.
    freeze_kan.__func__._nequip_model_modifier_is_persistent = False
    freeze_kan.__func__._nequip_model_modifier_is_private = False
    freeze_kan.__func__._nequip_model_modifier_unsupported_devices = ()
    freeze_kan.__func__._nequip_model_modifier_supported_compile_modes = None


def _polynomials(basis: torch.nn.Module, coefficients: Tensor, padding: int) -> Tensor:
    """Returns the coefficients of all polynomials in float64, shape (in, cells, order + 1).

    The first and the last cell go on as what lies beyond the grid: a straight line, or 0.
    """
    c = coefficients.detach()[0].double()  # (in, n_basis)
    pieces = basis.pieces.double().round() * basis.scale  # (powers, local)
    inner = torch.nn.functional.pad(c, [basis.padding, basis.padding]).unfold(1, basis.order + 1, 1)
    table = torch.nn.functional.pad(inner @ pieces.t(), [0, 0, 1, 1])  # (in, cells, powers)
    if basis.linear_outside:
        powers = torch.arange(basis.order + 1, dtype=c.dtype, device=c.device)
        first, last = table[:, 1].clone(), table[:, -2].clone()
        table[:, 0, 0], table[:, 0, 1] = first[:, 0] - first[:, 1], first[:, 1]
        table[:, -1, 0], table[:, -1, 1] = last.sum(-1), (last * powers).sum(-1)
    return table


def _recentre(table: Tensor, rows: Tensor, basis: torch.nn.Module) -> None:
    """Shifts each feature's polynomials to 0 at 0 and expands the one that holds 0 about it."""
    features = torch.arange(table.shape[0], device=table.device)
    at = table[features, rows.long()]  # (in, powers)
    padding = (table.shape[1] - basis.grid_size) // 2
    origin = (torch.zeros_like(basis.lower) - basis.lower) / basis.step
    t = origin.double() - (rows.double() - padding)  # (in,)
    # Horner's scheme, repeated: each pass leaves one more coefficient about the new centre.
    for low in range(at.shape[1] - 1):
        for p in range(at.shape[1] - 2, low - 1, -1):
            at[:, p] += t * at[:, p + 1]
    table[..., 0] -= at[:, :1]
    at[:, 0] = 0.0
    table[features, rows.long()] = at
