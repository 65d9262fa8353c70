"""Definitions to compare with, written out from the literature, and builders of small models."""

import itertools
import math

import numpy as np
import torch
from scipy.interpolate import BSpline

from kan_heads.kan import KANConfig, KANLayer
from kan_heads.kan import layer as layer_module
from kan_heads.kan.backends import BACKENDS, choose
from kan_heads.kan.backends.native import Native

#: Every basis with every kind of behaviour, by a readable name.
SETTINGS = {
    **{f"bspline{k}": {"basis": "bspline", "order": k} for k in range(1, 6)},
    "bspline-zero": {"basis": "bspline", "extrapolation": "zero"},
    "gaussian": {"basis": "gaussian"},
    "fourier": {"basis": "fourier", "grid_size": 4},
    "chebyshev": {"basis": "chebyshev", "grid_size": 5},
}
BASES = ("bspline", "gaussian", "fourier", "chebyshev")


def options(name, **more):
    return KANConfig.from_dict({**SETTINGS[name], **more})


def randn(generator, *shape, scale=1.0):
    return scale * torch.randn(*shape, generator=generator)


def random_ranges(layer, generator):
    """Gives each feature a grid of its own that holds 0."""
    lower = -0.5 - 2.0 * torch.rand(layer.in_features, generator=generator)
    upper = 0.5 + 3.0 * torch.rand(layer.in_features, generator=generator)
    layer.basis.set_range(lower.to(layer.coefficients), upper.to(layer.coefficients))
    return layer


def small_layer(name, n_in=3, n_out=2, seed=0, ranges=True, **more):
    """Builds a layer whose basis branch is as strong as its base branch."""
    generator = torch.Generator().manual_seed(seed)
    layer = KANLayer(n_in, n_out, options(name, **{"spline_fraction": 0.5, **more}), generator)
    return random_ranges(layer, generator) if ranges else layer


def use(monkeypatch, name):
    """Makes every layer run on one backend, whatever the inputs are."""
    (chosen,) = [backend for backend in BACKENDS if backend.name == name]
    monkeypatch.setattr(layer_module, "choose", lambda layer, x: chosen)


def without_kernels(monkeypatch):
    monkeypatch.setattr(Native, "supports", lambda backend, layer, x: False)


def chosen(layer, x):
    """The name of the backend that a layer takes for these inputs."""
    return choose(layer, x).name


def bounds(basis, feature):
    return float(basis.lower[feature]), float(basis.upper[feature])


def scipy_spline(basis, feature, coefficients):
    """The spline of scipy on the same uniform, extended knots."""
    lower, _ = bounds(basis, feature)
    h, k = float(basis.step[feature]), basis.order
    knots = lower + (np.arange(basis.grid_size + 2 * k + 1) - k) * h
    return BSpline(knots, coefficients.numpy(), k, extrapolate=False)


def cox_de_boor(x, lower, h, size, order):
    """B-splines of x, shape (n,), by the recursion of efficient-kan: (n, size + order)."""
    knots = lower + h * (torch.arange(size + 2 * order + 1) - order)
    x = x.unsqueeze(-1)
    values = ((x >= knots[:-1]) & (x < knots[1:])).to(x.dtype)
    for k in range(1, order + 1):
        left = (x - knots[: -(k + 1)]) / (knots[k:-1] - knots[: -(k + 1)]) * values[:, :-1]
        right = (knots[k + 1 :] - x) / (knots[k + 1 :] - knots[1:-k]) * values[:, 1:]
        values = left + right
    return values


def gaussian(x, lower, upper, size):
    h = (upper - lower) / size
    return torch.stack([torch.exp(-(((x - lower - j * h) / h) ** 2)) for j in range(size + 1)], -1)


def fourier(x, lower, upper, size):
    w = 2.0 * math.pi / (upper - lower)
    waves = [torch.cos(m * w * x) for m in range(1, size + 1)]
    return torch.stack(waves + [torch.sin(m * w * x) for m in range(1, size + 1)], -1)


def chebyshev(x, lower, upper, size):
    t = torch.tanh(2.0 * (x - 0.5 * (lower + upper)) / (upper - lower))
    powers = [np.polynomial.chebyshev.cheb2poly([0.0] * m + [1.0]) for m in range(1, size + 1)]
    return torch.stack([sum(float(c) * t**p for p, c in enumerate(row)) for row in powers], -1)


FORMULAS = {"gaussian": gaussian, "fourier": fourier, "chebyshev": chebyshev}


def nth_derivative(function, x, order):
    """Derivative of an elementwise function of x by nested reverse-mode differentiation."""
    x = x.detach().clone().requires_grad_(True)
    y = function(x)
    for _ in range(order):
        if not y.requires_grad:
            return torch.zeros_like(x)
        (y,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    return y.detach()


def energy_and_forces(model, x, create_graph=True):
    x = x if x.requires_grad else x.detach().clone().requires_grad_(True)
    energy = model(x)
    (slope,) = torch.autograd.grad(energy.sum(), x, create_graph=create_graph)
    return energy, -slope


def force_gradients(model, x, weights):
    """Gradients of a loss of energies and forces by all parameters: derivatives of second order."""
    energy, forces = energy_and_forces(model, x)
    loss = energy.square().sum() + (forces * weights).sum() + forces.square().sum()
    gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return energy.detach(), forces.detach(), gradients


def graph_gradients(graph, model, x, weights):
    """Energies, forces and gradients of the loss of :func:`force_gradients`, through a traced graph."""
    parameters = [p.detach().clone().requires_grad_(True) for p in model.parameters()]
    energy, forces = graph(x, *parameters)
    loss = energy.square().sum() + (forces * weights).sum() + forces.square().sum()
    return [energy, forces, *torch.autograd.grad(loss, parameters)]


def pairwise(*factors):
    """Combinations of one level of each factor in which any two levels of two factors meet at least once.

    Greedy, and the same in every process: each next row holds a pair that is still missing, and for each
    other factor the level that makes most missing pairs.
    """
    factors = [list(levels) for levels in factors]
    places = list(itertools.combinations(range(len(factors)), 2))
    missing = dict.fromkeys(
        (i, a, j, b) for i, j in places for a in range(len(factors[i])) for b in range(len(factors[j]))
    )
    rows = []
    while missing:
        i, a, j, b = next(iter(missing))
        row = {i: a, j: b}
        for k in sorted(set(range(len(factors))) - {i, j}, key=lambda k: -len(factors[k])):

            def gain(level, k=k, row=row):
                return sum(_pair(k, level, other, at) in missing for other, at in row.items())

            levels = range(len(factors[k]))
            start = len(rows)  # of equal levels not always the first
            row[k] = max(levels, key=lambda level: (gain(level), -((level - start) % len(levels))))
        for one, two in itertools.combinations(sorted(row), 2):
            missing.pop(_pair(one, row[one], two, row[two]), None)
        rows.append(tuple(factors[k][row[k]] for k in range(len(factors))))
    return rows


def _pair(i, a, j, b):
    return (i, a, j, b) if i < j else (j, b, i, a)
