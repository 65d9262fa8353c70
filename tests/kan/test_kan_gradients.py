"""Derivatives of every order are right, and none is computed in vain."""

import pytest
import torch
from kan_reference import SETTINGS, energy_and_forces, options, randn, small_layer, use, without_kernels

from kan_heads.kan import KAN
from kan_heads.kan.backends import analytic
from kan_heads.kan.backends.native.layers import LayerKernels

NAMES = sorted(SETTINGS)
OUT = [1, 2]


@pytest.fixture(params=["kernels", "torch"])
def path(request, monkeypatch):
    """The two fast paths of a layer: C kernels, and analytic derivatives from torch operations."""
    if request.param == "torch":
        without_kernels(monkeypatch)
    return request.param


def points(layer, place, generator):
    """A few inputs, shape (4, in), of one kind."""
    basis = layer.basis
    if place == "inside":
        return basis.lower + torch.rand(4, 3, generator=generator) * (basis.upper - basis.lower)
    if place == "outside":
        away = 3.0 + 4.0 * torch.rand(4, 3, generator=generator)
        return torch.where(
            torch.rand(4, 3, generator=generator) < 0.5, basis.lower - away, basis.upper + away
        )
    if place == "knots":
        return basis.lower + torch.arange(1.0, 5.0).unsqueeze(-1) * basis.step
    return torch.zeros(4, 3)


@pytest.mark.parametrize("place", ["inside", "outside", "knots", "origin"])
@pytest.mark.parametrize("name", NAMES)
def test_gradcheck(name, place, generator):
    """Finite differences need two continuous derivatives at knots: cubic splines and higher."""
    order = {"bspline1": 1, "bspline2": 2}.get(name, 3)
    layer = small_layer(name)
    x = points(layer, place, generator).requires_grad_(True)
    parameters = list(layer.parameters())

    def function(x, *_):
        return layer(x)

    if order > 1 or place != "knots":
        assert torch.autograd.gradcheck(function, (x, *parameters), fast_mode=True)
    if order > 2 or place != "knots":
        assert torch.autograd.gradgradcheck(function, (x, *parameters), fast_mode=True)


def derivatives_by_x(model, x):
    """A non-linear energy, its derivatives by x, and at last the parameters' gradients."""
    x = x.detach().clone().requires_grad_(True)
    found = [model(x).square().sum()]
    for _ in range(3):
        found += torch.autograd.grad(found[-1].square().sum(), x, create_graph=True)
    found += torch.autograd.grad(found[-1].sum(), list(model.parameters()), create_graph=True)
    found += torch.autograd.grad(found[2].square().sum(), list(model.parameters()), create_graph=True)
    return [value.detach() for value in found]


class Tied(torch.nn.Module):
    """One layer used twice: its inputs depend on its parameters."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(self.layer(x))


@pytest.mark.parametrize("dims", [[3, 1], [3, 4], [3, 4, 1], [3, 4, 2], "tied"])
@pytest.mark.parametrize("name", ["bspline3", "bspline5", "gaussian", "fourier"])
def test_gradients_that_depend_on_inputs_and_parameters(name, dims, path, generator, monkeypatch):
    """Upstream gradients are functions of x too, once an output is used non-linearly."""
    if dims == "tied":
        model = Tied(small_layer(name, 3, 3))
    else:
        model = KAN(dims, options(name, spline_fraction=0.5), generator=generator)
    x = 0.5 * randn(generator, 5, 3)
    found = derivatives_by_x(model, x)
    use(monkeypatch, "definition")
    for a, b in zip(found, derivatives_by_x(model, x), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_out", OUT)
@pytest.mark.parametrize("name", ["bspline3", "bspline-zero", "gaussian", "fourier"])
def test_forces_alone_cost_no_coefficient_gradients(name, n_out, path, generator, monkeypatch):
    """Counts the operations that make such gradients."""
    calls = []

    def count(owner, name, wrap=lambda function: function):
        original = getattr(owner, name)
        monkeypatch.setattr(owner, name, wrap(lambda *args: [calls.append(name), original(*args)][1]))

    if path == "torch":
        count(analytic._Coefficients, "forward", staticmethod)
    else:
        for name_of_gradients in ("sum_gradients", "outputs_gradients", "pull_gradients"):
            count(LayerKernels, name_of_gradients)
    layer = small_layer(name, n_out=n_out)
    x = randn(generator, 10, 3)
    energy, forces = energy_and_forces(layer, x)
    assert calls == []
    (energy.square().sum() + forces.square().sum()).backward()
    # From the energies and from the forces; a kernel with one output takes both in one pass.
    assert len(calls) == (1 if path == "kernels" and n_out == 1 else 2)
    assert float(layer.coefficients.grad.abs().max()) > 0.0
    calls.clear()
    for parameter in layer.parameters():
        parameter.requires_grad_(False)
    energy_and_forces(layer, x, create_graph=False)
    assert calls == []


@pytest.mark.parametrize("name", NAMES)
def test_frozen_coefficients_still_give_forces(name, path, generator):
    layer = small_layer(name)
    x = randn(generator, 10, 3)
    _, expected = energy_and_forces(layer, x)
    layer.coefficients.requires_grad_(False)
    _, found = energy_and_forces(layer, x)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    found.square().sum().backward()
    assert layer.coefficients.grad is None
    assert float(layer.base_weight.grad.abs().max()) > 0.0


@pytest.mark.parametrize("n_out", OUT)
@pytest.mark.parametrize("name", NAMES)
def test_function_transforms(name, n_out, generator):
    """vmap and jacrev step round the analytic operations and agree with them."""
    layer = small_layer(name, n_out=n_out)
    x = randn(generator, 6, 3)
    _, forces = energy_and_forces(layer, x)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: layer(row).sum()))(x)
    torch.testing.assert_close(-jacobian, forces.detach(), rtol=1e-12, atol=1e-12)
