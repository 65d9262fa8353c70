"""Every basis equals its definition, in values and derivatives."""

import numpy as np
import pytest
import torch
from kan_reference import FORMULAS, bounds, cox_de_boor, nth_derivative, randn, scipy_spline, small_layer

from kan_heads.errors import ConfigError
from kan_heads.kan import Basis, KANConfig, KANLayer, basis_names, register_basis
from kan_heads.kan.bases import registry


def combined(basis, coefficients, x, order, route):
    """Derivative of sum_j c_ij phi_j(x_i), by the basis itself or by differentiating its values."""
    if route == "derivative":
        values = basis(x) if order == 0 else basis.derivative(x, order)
        return (values * coefficients).sum(-1)
    return nth_derivative(lambda at: (basis(at) * coefficients).sum(-1), x, order)


def close(found, expected, tolerance=1e-11):
    """Elementwise: sums of some ten terms of size 1, whose derivatives grow by the widths of intervals."""
    expected = torch.as_tensor(expected)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("route", ["derivative", "autograd"])
@pytest.mark.parametrize("derivative", [0, 1, 2, 3])
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
class TestBSpline:
    def test_equals_scipy(self, order, derivative, route, generator):
        basis = small_layer(f"bspline{order}", grid_size=7).basis
        c = randn(generator, 3, basis.n_basis)
        share = torch.rand(200, 3, generator=generator)
        x = basis.lower + share * (basis.upper - basis.lower)
        found = combined(basis, c, x, derivative, route)
        for i in range(3):
            expected = np.zeros(200)
            if derivative <= order:
                expected = scipy_spline(basis, i, c[i])(x[:, i].numpy(), nu=derivative)
            close(found[:, i], expected)

    def test_takes_the_right_hand_derivative_at_knots(self, order, derivative, route, generator):
        basis = small_layer(f"bspline{order}", ranges=False).basis  # knots are whole numbers
        c = randn(generator, 3, basis.n_basis)
        x = torch.arange(-4.0, 4.0).unsqueeze(-1).expand(-1, 3)
        found = combined(basis, c, x, derivative, route)
        for i in range(3):
            expected = np.zeros(8)
            if derivative <= order:
                expected = scipy_spline(basis, i, c[i])(x[:, i].numpy(), nu=derivative)
            close(found[:, i], expected)

    @pytest.mark.parametrize("end", [-1, 1])
    def test_goes_on_as_a_line_outside_the_grid(self, order, derivative, route, end, generator):
        basis = small_layer(f"bspline{order}").basis
        c = randn(generator, 3, basis.n_basis)
        away = end * 20.0 * torch.rand(50, 3, generator=generator)
        start = basis.upper if end > 0 else basis.lower
        found = combined(basis, c, start + away, derivative, route)
        for i in range(3):
            spline = scipy_spline(basis, i, c[i])
            edge = np.clip(float(start[i]), spline.t[order], spline.t[-order - 1])
            value, slope = float(spline(edge)), float(spline(edge, nu=1))
            line = [value + slope * away[:, i], torch.full((50,), slope), torch.zeros(50), torch.zeros(50)]
            assert abs(slope) > 1e-3
            close(found[:, i], line[derivative])


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("derivative", [0, 1, 2])
def test_zero_extrapolation_is_the_recursion_of_efficient_kan(order, derivative, generator):
    basis = small_layer(f"bspline{order}", extrapolation="zero", grid_size=6).basis
    x = randn(generator, 400, 3, scale=3.0)
    outside = (x < basis.lower) | (x > basis.upper)
    assert 0.2 < float(outside.double().mean()) < 0.8
    found = basis(x) if derivative == 0 else basis.derivative(x, derivative)
    for i in range(3):
        args = (float(basis.lower[i]), float(basis.step[i]), 6, order)
        for j in range(basis.n_basis):
            expected = nth_derivative(lambda at: cox_de_boor(at, *args)[:, j], x[:, i], derivative)  # noqa: B023
            close(found[:, i, j], expected)


@pytest.mark.parametrize("extrapolation", ["linear", "zero"])
@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_bsplines_sum_to_one_inside_the_grid(order, extrapolation, generator):
    basis = small_layer(f"bspline{order}", extrapolation=extrapolation).basis
    x = basis.lower + torch.rand(300, 3, generator=generator) * (basis.upper - basis.lower)
    close(basis(x).sum(-1), torch.ones(300, 3), 1e-13)
    assert basis(x).min() > -1e-15


@pytest.mark.parametrize("derivative", [0, 1, 2, 3])
@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_smooth_bases_equal_their_formulas(name, derivative, generator):
    basis = small_layer(name, grid_size=6).basis
    x = randn(generator, 150, 3, scale=3.0)
    found = basis(x) if derivative == 0 else basis.derivative(x, derivative)
    for i in range(3):
        for j in range(basis.n_basis):
            formula = lambda at: FORMULAS[name](at, *bounds(basis, i), 6)[:, j]  # noqa: B023, E731
            close(found[:, i, j], nth_derivative(formula, x[:, i], derivative))


@pytest.mark.parametrize("name", ["bspline3", "bspline-zero", *sorted(FORMULAS)])
def test_grid_is_that_of_the_configuration(name):
    basis = small_layer(name, grid_range=(-1.5, 2.0), ranges=False).basis
    close(basis.lower, torch.full((3,), -1.5), 1e-15)
    close(basis.upper, torch.full((3,), 2.0), 1e-15)


@pytest.fixture(params=[False, True], ids=["autograd", "closed"])
def toy(request):
    """A basis in one class: the powers of x, the first of which is a view of the input."""

    @register_basis("toy-powers")
    class Powers(Basis):
        closed_derivatives = request.param

        def __init__(self, in_features, config):
            super().__init__(in_features, config)
            self.n_basis = config.grid_size

        def forward(self, x):
            if self.n_basis == 1:
                return x.unsqueeze(-1)
            return torch.stack([x ** (j + 1) for j in range(self.n_basis)], -1)

    yield Powers
    del registry._REGISTRY["toy-powers"]


@pytest.mark.parametrize("out_features", [1, 2])
@pytest.mark.parametrize("grid_size", [1, 4])
@pytest.mark.parametrize("anchored", [True, False])
class TestNewBasis:
    def test_one_class_is_enough(self, toy, grid_size, out_features, anchored, generator):
        assert "toy-powers" in basis_names()
        config = KANConfig(basis="toy-powers", grid_size=grid_size, base=None, zero_at_origin=anchored)
        layer = KANLayer(3, out_features, config, generator)
        x = randn(generator, 20, 3)
        before = x.clone()
        powers = torch.stack([x ** (j + 1) for j in range(grid_size)], -1)
        slopes = torch.stack([(j + 1) * x**j for j in range(grid_size)], -1)
        c = layer.coefficients.detach()
        x.requires_grad_(True)
        y = layer(x)
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        (gradient,) = torch.autograd.grad(slope.sum(), layer.coefficients)
        close(y.detach(), torch.einsum("nij,oij->no", powers, c))
        close(slope.detach(), torch.einsum("nij,oij->ni", slopes, c))
        close(gradient, slopes.sum(0).expand_as(c))
        assert torch.equal(x.detach(), before)  # a view of the input must not be written to
        torch.autograd.gradgradcheck(layer, x[:4].detach().clone().requires_grad_(True))


def test_a_name_is_taken_once(toy):
    with pytest.raises(ConfigError, match=r"'toy-powers' is registered already by .*Powers"):
        register_basis("toy-powers")(toy)


def test_unknown_name_lists_the_names_and_the_nearest():
    with pytest.raises(ConfigError, match=r"'gausian' is unknown \(did you mean 'gaussian'\?\)") as error:
        KANLayer(2, 1, KANConfig(basis="gausian"))
    for name in basis_names():
        assert name in str(error.value)
