"""Are the layers right on the device? Every figure is held against the plain definition in float64."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.log import OK, Log
from kan_heads.global_state import default_dtype
from kan_heads.kan import KAN, KANConfig
from kan_heads.speed.reference import reference

SECTION = "check"
_ROWS = 257  # no multiple of anything, so that the last block of a kernel is not full
_WIDTHS = ((16, 1), (16, 8, 1))
#: Largest differences that rounding explains, relative to the largest value.
_TOLERANCES = {
    torch.float64: {"value": 1e-12, "d1": 1e-11, "d2": 1e-10, "d3": 1e-9, "force loss": 1e-10},
    torch.float32: {"value": 2e-5, "d1": 5e-5, "d2": 3e-4, "d3": 3e-3, "force loss": 3e-4},
}
_HALF = {torch.bfloat16: 5e-2, torch.float16: 1e-2}


def configs() -> Iterator[tuple[str, KANConfig]]:
    """Every basis, and B-splines of every order and extrapolation, by name."""
    for order, outside in itertools.product(range(1, 6), ("linear", "zero")):
        if (order, outside) == (1, "linear"):
            continue  # the plain definition takes its slope beyond the last knot from order 2 on only
        yield f"bspline {order} {outside}", KANConfig(basis="bspline", order=order, extrapolation=outside)
    for basis in ("gaussian", "fourier", "chebyshev"):
        yield basis, KANConfig(basis=basis)


def check(log: Log, small: bool) -> None:
    """Checks the layers, a row for each figure.

    Args:
        log: takes the rows.
        small: only some of the cases.
    """
    chosen = [c for c in configs() if not small or c[0] in ("bspline 3 linear", "gaussian", "fourier")]
    for widths, (name, config) in itertools.product(_WIDTHS, chosen):
        case = {"widths": list(widths)}
        made = log.attempt(SECTION, name, lambda w=widths, c=config: _network(w, c), **case)
        if made is None:
            continue
        model, x = made
        for dtype in (torch.float64, torch.float32):
            about = {**case, "dtype": _plain(dtype)}
            log.attempt(
                SECTION, name, lambda a=(log, name, model, x, dtype, about): _derivatives(*a), **about
            )
            zero = {**about, "quantity": "zero at zero"}
            log.attempt(SECTION, name, lambda a=(log, name, model, dtype, zero): _zero(*a), **zero)
        if name in ("bspline 3 linear", "gaussian", "fourier", "chebyshev"):
            _special(log, name, model, x, case)


def _special(log: Log, name: str, model: KAN, x: Tensor, case: dict[str, Any]) -> None:
    for dtype in _HALF:
        for kind, work in (("autocast", _autocast), ("module", _half_module)):
            about = {**case, "dtype": _plain(dtype), "quantity": kind}
            log.attempt(SECTION, name, lambda w=work, a=(log, name, model, x, dtype, about): w(*a), **about)
    for kind in ("is_grads_batched", "func.hessian"):
        about = {**case, "dtype": "float32", "quantity": kind}
        log.attempt(SECTION, name, lambda k=kind, a=(log, name, model, x, about): _hessian(k, *a), **about)


def _network(widths: tuple[int, ...], config: KANConfig) -> tuple[KAN, Tensor]:
    """A network in float64 whose grids differ from feature to feature, and inputs in and beyond the first.

    All figures are numbers of float32. No input lies at a knot, where high derivatives jump.
    """
    generator = torch.Generator().manual_seed(1)
    with default_dtype(torch.float32):
        model = KAN(widths, config, generator=generator)
        for layer in model.layers:
            ends = 2.0 + torch.rand(2, layer.in_features, generator=generator)
            layer.basis.set_range(-ends[0], ends[1])
        x = 2.0 * torch.randn(_ROWS, widths[0], generator=generator)
        basis = model.layers[0].basis
        place = (x - basis.lower) / basis.step
        x = torch.where((place - place.round()).abs() < 1e-3, x + 0.01 * basis.step, x)
    return model.double(), x.double()


def _record(log: Log, name: str, about: dict[str, Any], error: float, tolerance: float) -> None:
    log.row(SECTION, name, OK if error <= tolerance else "wrong", **about, error=error, tolerance=tolerance)


def _derivatives(log: Log, name: str, model: KAN, x: Tensor, dtype: torch.dtype, about: dict) -> None:
    expected = _figures(reference(model), x)
    found = _figures(copy.deepcopy(model).to(log.device, dtype), x.to(log.device, dtype))
    for quantity, tolerance in _TOLERANCES[dtype].items():
        pairs = zip(found[quantity], expected[quantity], strict=True)
        error = max(_difference(a, b) for a, b in pairs)
        _record(log, name, {**about, "quantity": quantity}, error, tolerance)


def _figures(model: torch.nn.Module, x: Tensor) -> dict[str, list[Tensor]]:
    """Values, three derivatives by the inputs along fixed directions, gradients of a force loss."""
    generator = torch.Generator().manual_seed(2)
    first, second, target = (
        torch.randn(x.shape, generator=generator, dtype=torch.float32).to(x) for _ in range(3)
    )
    at = x.detach().requires_grad_()
    y = model(at)
    (d1,) = torch.autograd.grad(y.sum(), at, create_graph=True)
    loss = (d1 - target).square().mean() + y.square().mean()
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True)
    (d2,) = torch.autograd.grad((d1 * first).sum(), at, create_graph=True)
    (d3,) = torch.autograd.grad((d2 * second).sum(), at)
    # The reference names its layers otherwise, in the same order.
    names = [name.removeprefix("layers.") for name in parameters]
    by_name = dict(zip(names, gradients, strict=True))
    sums = [by_name[name] for name in sorted(by_name)]
    return {"value": [y], "d1": [d1], "d2": [d2], "d3": [d3], "force loss": sums}


def _zero(log: Log, name: str, model: KAN, dtype: torch.dtype, about: dict) -> None:
    device_model = copy.deepcopy(model).to(log.device, dtype)
    y = device_model(torch.zeros(7, model.dims[0], device=log.device, dtype=dtype))
    _record(log, name, about, float(y.detach().abs().max()), 0.0)


def _autocast(log: Log, name: str, model: KAN, x: Tensor, dtype: torch.dtype, about: dict) -> None:
    mine = copy.deepcopy(model).to(log.device, torch.float32)
    inputs = x.to(log.device, torch.float32)
    plain = mine(inputs).detach()
    with torch.autocast(log.device, dtype):
        mixed = mine(inputs).detach()
        gradients = _loss_gradients(mine, inputs)
    _record(log, name, about, _difference(mixed, plain), _HALF[dtype])
    exact = _loss_gradients(mine, inputs)
    error = max(_difference(a, b) for a, b in zip(gradients, exact, strict=True))
    about = {**about, "quantity": f"{about['quantity']}, force loss"}
    _record(log, name, about, error, 4.0 * _HALF[dtype])


def _half_module(log: Log, name: str, model: KAN, x: Tensor, dtype: torch.dtype, about: dict) -> None:
    mine = copy.deepcopy(model).to(dtype)
    inputs = x.to(dtype)
    expected = reference(copy.deepcopy(mine).double())(inputs.double()).detach()
    mine = mine.to(log.device)
    _record(log, name, about, _difference(mine(inputs.to(log.device)).detach(), expected), _HALF[dtype])
    finite = all(bool(g.isfinite().all()) for g in _loss_gradients(mine, inputs.to(log.device)))
    about = {**about, "quantity": f"{about['quantity']}, gradients finite"}
    _record(log, name, about, 0.0 if finite else float("inf"), 0.0)


def _loss_gradients(model: KAN, x: Tensor) -> list[Tensor]:
    at = x.detach().requires_grad_()
    y = model(at)
    (slope,) = torch.autograd.grad(y.sum(), at, create_graph=True)
    loss = slope.float().square().mean() + y.float().square().mean()
    return list(torch.autograd.grad(loss, list(model.parameters())))


def _hessian(kind: str, log: Log, name: str, model: KAN, x: Tensor, about: dict) -> None:
    few = x[:3]
    definition = reference(model)
    expected = torch.autograd.functional.hessian(lambda at: definition(at).sum(), few)
    mine = copy.deepcopy(model).to(log.device, torch.float32)
    at = few.to(log.device, torch.float32).requires_grad_()
    if kind == "func.hessian":
        found = torch.func.hessian(lambda z: mine(z).sum())(at.detach())
    else:
        (slope,) = torch.autograd.grad(mine(at).sum(), at, create_graph=True)
        seeds = torch.eye(at.numel(), dtype=at.dtype, device=at.device).view(-1, *at.shape)
        (found,) = torch.autograd.grad(slope, at, seeds, is_grads_batched=True)
        found = found.view(*at.shape, *at.shape)
    _record(log, name, about, _difference(found, expected), _TOLERANCES[torch.float32]["d2"])


def _difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference relative to the largest value; infinite where something is not a number."""
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    if found.shape != expected.shape:
        raise ValueError(f"shape {tuple(found.shape)} instead of {tuple(expected.shape)}")
    if not bool(found.isfinite().all()):
        return float("inf")
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-30))


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
