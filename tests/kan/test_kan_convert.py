"""A KAN built from an MLP starts out equal to it."""

import itertools

import pytest
import torch
from kan_reference import BASES, energy_and_forces, pairwise, randn

from kan_heads.errors import ConfigError
from kan_heads.kan import KAN, KANConfig
from kan_heads.kan.layer import BASE_FUNCTIONS

WIDTHS = {1: [6, 2], 2: [6, 5, 1], 3: [6, 5, 4, 2]}
# Elementwise: inputs of up to 100 cancel in sums of six.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}
CASES = pairwise(BASES, sorted(BASE_FUNCTIONS), sorted(WIDTHS), [False, True], TOLERANCE)


def mlp(widths, nonlinearity, bias, dtype, generator):
    """A plain torch MLP with random weights."""
    layers = []
    for i, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        linear = torch.nn.Linear(n_in, n_out, bias=bias, dtype=dtype)
        for parameter in linear.parameters():
            parameter.data.copy_(randn(generator, *parameter.shape, scale=n_in**-0.5))
        layers += [linear] if i == 0 else [BASE_FUNCTIONS[nonlinearity](), linear]
    return torch.nn.Sequential(*layers)


def parts(model):
    linear = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
    return [layer.weight.detach() for layer in linear], [layer.bias for layer in linear]


@pytest.mark.parametrize(("basis", "nonlinearity", "depth", "bias", "dtype"), CASES)
def test_equals_the_mlp(basis, nonlinearity, depth, bias, dtype, generator):
    reference = mlp(WIDTHS[depth], nonlinearity, bias, dtype, generator)
    weights, biases = parts(reference)
    config = KANConfig(basis=basis, zero_at_origin=not bias)
    model = KAN.from_mlp(weights, biases, nonlinearity, config)
    assert model.dims == WIDTHS[depth]
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    x = randn(generator, 40, 6).to(dtype)
    x[20:] *= 30.0  # far outside the grid
    for found, expected in zip(energy_and_forces(model, x), energy_and_forces(reference, x), strict=True):
        torch.testing.assert_close(found, expected, rtol=TOLERANCE[dtype], atol=10.0 * TOLERANCE[dtype])


@pytest.mark.parametrize("basis", BASES)
def test_from_linear(basis, generator):
    weight, bias = randn(generator, 3, 5), randn(generator, 3)
    x = randn(generator, 10, 5, scale=10.0)
    plain = KAN.from_linear(weight, config=KANConfig(basis=basis))
    torch.testing.assert_close(plain(x), x @ weight.T, rtol=1e-13, atol=1e-13)
    shifted = KAN.from_linear(weight, bias, KANConfig(basis=basis, zero_at_origin=False))
    torch.testing.assert_close(shifted(x), x @ weight.T + bias, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("basis", BASES)
def test_the_basis_is_free_to_learn(basis, generator):
    """The coefficients start at 0 and yet have a gradient, in every layer."""
    model = KAN.from_mlp([randn(generator, 4, 3), randn(generator, 1, 4)], config=KANConfig(basis=basis))
    model(randn(generator, 20, 3)).square().sum().backward()
    for layer in model.layers:
        assert float(layer.coefficients.abs().max()) == 0.0
        assert float(layer.coefficients.grad.abs().max()) > 1e-6


def test_the_weights_are_copies(generator):
    weight = randn(generator, 2, 3)
    model = KAN.from_linear(weight)
    with torch.no_grad():
        model.layers[0].base_weight.add_(1.0)
    torch.testing.assert_close(model.layers[0].base_weight - 1.0, weight)


def test_biases_of_zero_are_no_biases(generator):
    weight = randn(generator, 2, 3)
    model = KAN.from_linear(weight, torch.zeros(2))
    assert bool((model(torch.zeros(1, 3)) == 0.0).all())


MISTAKES = [
    (
        {"config": KANConfig(hidden=(8,))},
        r"hidden: \[8\] cannot start out equal.*hidden widths \[4\].*leave hidden out",
    ),
    ({"nonlinearity": "sillu"}, r"nonlinearity 'sillu' is unknown \(did you mean 'silu'\?\)"),
    ({"biases": [torch.ones(4), None]}, "from_mlp: the MLP has biases.*zero_at_origin: false"),
    ({"biases": [None]}, "from_mlp: 2 weights and 1 biases"),
    ({"weights": []}, "from_mlp: 0 weights"),
    ({"weights": [torch.ones(4, 3), torch.ones(1, 5)]}, r"widths do not chain, \(4, 3\) then \(1, 5\)"),
]


@pytest.mark.parametrize(
    ("mistake", "message"), MISTAKES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_mistakes_are_explained(mistake, message):
    right = {"weights": [torch.ones(4, 3), torch.ones(1, 4)]}
    with pytest.raises(ConfigError, match=message):
        KAN.from_mlp(**{**right, **mistake})
