"""The plain definitions are the same functions as the layers, so a ratio of their times means something."""

import pytest
import torch

from kan_heads.kan import KAN, KANConfig, KANLayer, basis_names
from kan_heads.speed.reference import DEFINITIONS, ReferenceLayer, reference

SETTINGS = {
    **{basis: {"basis": basis} for basis in basis_names()},
    "bspline-2": {"basis": "bspline", "order": 2},
    "bspline-zero": {"basis": "bspline", "extrapolation": "zero"},
    "no-base": {"basis": "gaussian", "base": None},
    "bias": {"basis": "fourier", "zero_at_origin": False, "bias": True},
}


def layer_and_input(options, n_out):
    """A layer in double precision with a grid of its own for each feature, and inputs far beyond them."""
    generator = torch.Generator().manual_seed(7)
    layer = KANLayer(3, n_out, KANConfig(**options, spline_fraction=0.5), generator).double()
    lower = -0.5 - 2.0 * torch.rand(3, generator=generator, dtype=torch.float64)
    upper = 0.5 + 3.0 * torch.rand(3, generator=generator, dtype=torch.float64)
    layer.basis.set_range(lower, upper)
    if layer.bias is not None:
        torch.nn.init.normal_(layer.bias, generator=generator)
    x = 2.5 * torch.randn(50, 3, generator=generator, dtype=torch.float64)
    return layer, torch.cat([x, torch.zeros(1, 3, dtype=torch.float64)])


def derivatives(model, x):
    """Value, input gradient, and the gradients of a loss on both: derivatives of second order."""
    x = x.clone().requires_grad_()
    y = model(x)
    (slope,) = torch.autograd.grad((y * torch.arange(1.0, y.shape[1] + 1)).sum(), x, create_graph=True)
    loss = y.square().mean() + slope.square().mean()
    return [y, slope, *torch.autograd.grad(loss, [x, *model.parameters()])]


@pytest.mark.parametrize("n_out", [1, 3])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_layer_equals_its_definition(name, n_out):
    layer, x = layer_and_input(SETTINGS[name], n_out)
    plain = ReferenceLayer(layer, SETTINGS[name]["basis"])
    assert [p.shape for p in plain.parameters()] == [p.shape for p in layer.parameters()]
    for found, expected in zip(derivatives(layer, x), derivatives(plain, x), strict=True):
        torch.testing.assert_close(
            found, expected, rtol=1e-12, atol=1e-12 * float(expected.detach().abs().max())
        )


def test_every_basis_has_a_definition():
    assert set(DEFINITIONS) == set(basis_names())


def test_a_network_equals_its_definition():
    model = KAN([4, 3, 2], KANConfig(basis="chebyshev")).double()
    x = torch.randn(20, 4, dtype=torch.float64)
    torch.testing.assert_close(model(x), reference(model)(x), rtol=1e-12, atol=1e-12)


def test_the_definition_has_weights_of_its_own():
    layer, x = layer_and_input({"basis": "bspline"}, 1)
    plain = ReferenceLayer(layer, "bspline")
    before = plain(x)
    torch.nn.init.zeros_(layer.coefficients)
    assert torch.equal(plain(x), before)
