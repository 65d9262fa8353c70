"""Grids: fit them to data, refine them, and tell what they miss."""

import contextlib
import copy
from typing import Dict, Iterator, List, Mapping

import torch
from torch import Tensor

from kan_heads.errors import ConfigError
from kan_heads.kan.layer import KANLayer

# Relative to the largest singular value. Anchored B-splines sum to 0, so one direction is always
# undetermined; it and every other that the points do not determine gets 0 instead of noise.
_EXACT = 1e-10

# What a layer's state holds of another shape, or with other values, on a finer grid.
_OF_GRID_SIZE = ("coefficients", "unit")

#: A KAN with a larger share of its inputs off the grid is worth a warning.
OFTEN_OFF_GRID = 0.2


def fit_coefficients(values: Tensor, targets: Tensor, cutoff: float = _EXACT) -> Tensor:
    """Fits coefficients of a basis to values of functions by least squares.

    Works in float64 and returns the smallest solution, so constant, duplicate or missing points
    never give NaN.

    Args:
        values: basis functions at the points, shape ``(m, in, n_basis)``.
        targets: functions at the points, shape ``(m, out, in)``.
        cutoff: singular values below this share of the largest count as 0.

    Returns:
        Coefficients in float64, shape ``(out, in, n_basis)``.
    """
    design = values.double().transpose(0, 1)  # (in, m, n_basis)
    goal = targets.double().permute(2, 0, 1)  # (in, m, out)
    return (torch.linalg.pinv(design, rtol=cutoff) @ goal).permute(2, 0, 1)


def grid_points(layer: KANLayer, per_interval: int = 8, reach: float = 1.0) -> Tensor:
    """Returns points spread evenly over the grid of every feature, shape ``(m, in_features)``.

    Args:
        layer: the layer.
        per_interval: number of points per basis function.
        reach: width of the points' range about the centre of the grid, in widths of the grid.
    """
    basis = layer.basis
    count = per_interval * (basis.n_basis + 1)
    beyond = 0.5 * (reach - 1.0)
    share = torch.linspace(-beyond, 1.0 + beyond, count, dtype=basis.lower.dtype, device=basis.lower.device)
    return basis.lower + share.unsqueeze(-1) * (basis.upper - basis.lower)


def spread_evenly(count: int, length: int) -> List[int]:
    """Returns places from the first to the last of ``length``, at most ``count``, always the same ones."""
    places = torch.linspace(0, length - 1, min(count, length), dtype=torch.float64)
    return places.round().long().tolist()


@contextlib.contextmanager
def inputs_seen(kans: Mapping[str, torch.nn.Module]) -> Iterator[Dict[str, List[Tensor]]]:
    """Records what enters each KAN while it lasts, to calibrate it afterwards.

    Only modules that are called themselves are seen, not those inside a compiled model.

    Args:
        kans: the networks by module path.

    Yields:
        For each path one tensor for each call, shape ``(..., in_features)``.
    """
    seen: Dict[str, List[Tensor]] = {path: [] for path in kans}
    hooks = [
        kan.register_forward_pre_hook(lambda _, inputs, rows=seen[path]: rows.append(inputs[0].detach()))
        for path, kan in kans.items()
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def calibrate(layer: KANLayer, x: Tensor, margin: float = 0.25) -> None:
    """Moves each feature's grid onto the range of its data and refits the functions there.

    The range is widened by ``margin`` and always holds 0, where features vanish at the cutoff; data
    far from 0 therefore get wide intervals. A feature that does not vary keeps its grid. The
    refit reproduces the old function over the new grid as closely as its intervals can.

    Args:
        layer: changed in place.
        x: inputs of the layer, shape ``(m, in_features)``.
        margin: how far the grid reaches beyond the data, as a share of their range.

    Raises:
        ConfigError: if there is no data, it has another width or holds NaN or infinities, the margin
            is negative, or the layer normalises its inputs.
    """
    if layer.norm is not None:
        raise ConfigError(
            "calibrate: layer_norm normalises the inputs of the basis already; use one of the two"
        )
    if margin < 0.0:
        raise ConfigError(f"calibrate: margin {margin} must not be negative")
    if x.shape[1:] != (layer.in_features,):
        raise ConfigError(
            f"calibrate: inputs of shape {tuple(x.shape)} do not fit {layer.in_features} features"
        )
    if x.shape[0] == 0 or not bool(torch.isfinite(x).all()):
        found = "no rows" if x.shape[0] == 0 else "NaN or infinite values"
        raise ConfigError(
            f"calibrate: the inputs hold {found}; check the data and the layers before this one"
        )
    with torch.no_grad():
        before = copy.deepcopy(layer).double()
        lowest, highest = x.amin(0).clamp_max(0.0), x.amax(0).clamp_min(0.0)
        width = highest - lowest
        varies = x.amax(0) - x.amin(0) > 1e-6 * (1.0 + width)
        lower = torch.where(varies, lowest - margin * width, layer.basis.lower)
        upper = torch.where(varies, highest + margin * width, layer.basis.upper)
        layer.basis.set_range(lower, upper)
        layer.reset_units()
        after = copy.deepcopy(layer).double()
        points = grid_points(after)  # (m, in): keeps empty stretches of the grid where they were
        values = after.edge_basis(points)
        targets = torch.einsum("nib,oib->noi", before.edge_basis(points), before.values())
        # Larger coefficients than this allows would cost more in rounding than they gain in the fit.
        cutoff = torch.finfo(layer.coefficients.dtype).eps ** 0.5
        layer.set_values(fit_coefficients(values, targets, cutoff))


def refine(old: KANLayer, new: KANLayer, tolerance: float) -> None:
    """Gives a layer on a finer grid the function of another, see :meth:`KAN.refine`.

    Args:
        old: the layer whose function is kept.
        new: a layer of the same options with more basis functions, changed in place.
        tolerance: largest difference that is accepted, relative to the largest coefficient.

    Raises:
        ConfigError: if the new basis cannot represent the old function to ``tolerance``.
    """
    with torch.no_grad():
        exact_old, exact_new = copy.deepcopy(old).double(), copy.deepcopy(new).double()
        exact_new.basis.set_range(exact_old.basis.lower, exact_old.basis.upper)
        points = grid_points(exact_new, reach=new.basis.reach)
        if old.norm is not None:
            exact_old.norm = exact_new.norm = None
        former = exact_old.values()
        targets = torch.einsum("nib,oib->noi", exact_old.edge_basis(points), former)
        values = exact_new.edge_basis(points)
        solution = fit_coefficients(values, targets)
        error = (torch.einsum("nib,oib->noi", values, solution) - targets).abs().max()
        scale = former.abs().max().clamp_min(torch.finfo(torch.float64).tiny)
        if float(error / scale) > tolerance:
            name, size = old.functions()["basis"], old.basis.grid_size
            remedy = f"choose a multiple of {size}" if name == "bspline" else "raise tolerance"
            raise ConfigError(
                f"refine: basis {name!r} of grid_size {new.basis.grid_size} misses the function of "
                f"grid_size {size} by {float(error / scale):.1e}; {remedy}"
            )
        kept = {name: value for name, value in old.state_dict().items() if name not in _OF_GRID_SIZE}
        new.load_state_dict({**kept, "coefficients": new.coefficients})
        new.basis.step.copy_(exact_new.basis.step)
        new.reset_units()
        new.set_values(solution)


def coverage(layer: KANLayer, x: Tensor) -> Tensor:
    """Returns the share of inputs outside the grid for each feature.

    Args:
        layer: the layer.
        x: inputs of the layer, shape ``(n, in_features)``.

    Returns:
        Shares from 0 to 1, shape ``(in_features,)``.
    """
    if layer.norm is not None:
        x = layer.norm(x)
    outside = (x < layer.basis.lower) | (x > layer.basis.upper)
    return outside.double().sum(0) / max(x.shape[0], 1)


def off_grid(kan: torch.nn.Module, x: Tensor) -> float:
    """Returns the share of inputs outside the grid, from 0 to 1, of the layer where it is largest.

    Args:
        kan: a :class:`kan_heads.kan.KAN`, or a copy of that class out of a package, perhaps of an earlier
            release.
        x: inputs of the network, shape ``(..., dims[0])``.
    """
    return max(float(share.mean()) for share in kan.coverage(x))
