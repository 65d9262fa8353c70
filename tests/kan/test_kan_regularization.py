"""Penalties equal their formulas and are safe to differentiate anywhere."""

import math

import pytest
import torch
from kan_reference import BASES, SETTINGS, options, pairwise, randn, small_layer

from kan_heads.errors import ConfigError
from kan_heads.kan import KAN, KANConfig, KANLayer
from kan_heads.kan import regularization as penalties
from kan_heads.kan.grid import grid_points

NAMES = sorted(SETTINGS)


def edge_values(layer, x):
    """Every function at every point by calling the layer with all other inputs at 0."""
    columns = []
    for i in range(layer.in_features):
        only = torch.zeros_like(x)
        only[:, i] = x[:, i]
        columns.append(layer(only))
    return torch.stack(columns, -1)  # (n, out, in)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_l1_and_entropy_equal_their_formulas(name, given, generator):
    layer = small_layer(name)
    x = randn(generator, 60, 3) if given else None
    sizes = edge_values(layer, grid_points(layer) if x is None else x).abs().mean(0)
    share = sizes / sizes.sum()
    torch.testing.assert_close(penalties.l1(layer, x), sizes.sum())
    torch.testing.assert_close(penalties.entropy(layer, x), -(share * share.log()).sum())


@pytest.mark.parametrize("name", NAMES)
def test_curvature_equals_finite_differences(name):
    layer = small_layer(name)
    points, step = grid_points(layer), 1e-4
    # On both sides of a knot the curvature of a low order jumps, and at the ends it stops: shift off.
    span = layer.basis.upper - layer.basis.lower
    inner = points[1:-1] + 1e-3 * span
    exact = torch.stack([
        torch.autograd.functional.hvp(
            lambda at: layer.edge_functions(at)[:, o].sum(), inner, torch.ones_like(inner)  # noqa: B023
        )[1]
        for o in range(2)
    ], 1)  # fmt: skip
    sides = [layer.edge_functions(inner + shift) for shift in (-step, 0.0, step)]
    numerical = (sides[0] - 2.0 * sides[1] + sides[2]) / step**2
    assert float((exact - numerical).abs().max()) < 1e-3 * max(1.0, float(numerical.abs().max()))
    whole = torch.stack([
        torch.autograd.functional.hvp(
            lambda at: layer.edge_functions(at)[:, o].sum(), points, torch.ones_like(points)  # noqa: B023
        )[1]
        for o in range(2)
    ], 1)  # fmt: skip
    torch.testing.assert_close(penalties.curvature(layer), whole.square().mean(0).sum())


@pytest.mark.parametrize("name", NAMES)
def test_curvature_of_lines_is_zero_and_scales_as_a_square(name, generator):
    layer = small_layer(name, base="identity")
    once = penalties.curvature(layer)
    with torch.no_grad():
        layer.coefficients.mul_(3.0)
    torch.testing.assert_close(penalties.curvature(layer), 9.0 * once)
    with torch.no_grad():
        layer.coefficients.zero_()
    assert float(penalties.curvature(layer)) == 0.0


@pytest.mark.parametrize(
    ("name", "penalty", "dtype"),
    pairwise(NAMES, [penalties.l1, penalties.entropy, penalties.curvature], [torch.float32, torch.float64]),
)
def test_finite_where_all_functions_vanish(name, penalty, dtype):
    layer = small_layer(name, base=None).to(dtype)
    with torch.no_grad():
        layer.coefficients.zero_()
    value = penalty(layer)
    (gradient,) = torch.autograd.grad(value, layer.coefficients)
    assert float(value) == 0.0
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("name", BASES)
def test_entropy_is_largest_when_all_functions_are_equal(name):
    layer = KANLayer(4, 3, KANConfig(basis=name, base=None), torch.Generator().manual_seed(0))
    assert float(penalties.entropy(layer)) < math.log(12)
    with torch.no_grad():
        layer.coefficients.copy_(layer.coefficients[:1, :1].expand_as(layer.coefficients).clone())
    assert float(penalties.entropy(layer)) == pytest.approx(math.log(12))
    with torch.no_grad():
        layer.coefficients[1:] = 0.0
        layer.coefficients[:, 1:] = 0.0
    assert float(penalties.entropy(layer)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("name", ["bspline3", "gaussian", "fourier", "chebyshev"])
def test_penalty_adds_weighted_terms_of_all_layers(name, given, generator):
    model = KAN([4, 3, 1], options(name), generator=generator)
    x = randn(generator, 30, 4) if given else None
    inputs = [x, None if x is None else model.layers[0](x)]
    expected = sum(
        0.5 * penalties.l1(layer, at) + 0.2 * penalties.entropy(layer, at) + 0.1 * penalties.curvature(layer)
        for layer, at in zip(model.layers, inputs, strict=True)
    )
    found = penalties.penalty(model, 0.5, 0.2, 0.1, x)
    torch.testing.assert_close(found, expected)
    found.backward()
    assert all(float(parameter.grad.abs().max()) > 0.0 for parameter in model.parameters())
    assert float(penalties.penalty(model, 0.0, x=x)) == 0.0


def test_layer_norm_has_no_functions_of_one_feature(generator):
    config = KANConfig(layer_norm=True, zero_at_origin=False)
    layer = KANLayer(4, 1, config, generator)
    for penalty in (penalties.l1, penalties.entropy, penalties.curvature):
        with pytest.raises(ConfigError, match="layer_norm mixes the features"):
            penalty(layer)
    assert float(penalties.l1(layer, randn(generator, 10, 4))) > 0.0
