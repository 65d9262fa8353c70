"""One suite for every backend and every basis: values, slopes and the gradients of both are the definition's.

What the definition itself computes is held to the literature in test_kan_bases.
"""

import copy
import pickle

import pytest
import torch
from kan_reference import (
    SETTINGS,
    chosen,
    energy_and_forces,
    force_gradients,
    pairwise,
    randn,
    small_layer,
    use,
    without_kernels,
)

from kan_heads.kan.backends.native import Native, kernels
from kan_heads.kan.bases import ANCHORED
from kan_heads.kan.bases import base as base_module

BACKENDS = ("traced", "native", "analytic", "definition")
NAMES = sorted(SETTINGS)
# Tails for vectors of every length, more rows than a block holds, widths on both sides of 16.
SHAPES = ((17, 3, 1), (300, 16, 1), (33, 21, 1), (150, 3, 8), (40, 21, 9), (70, 16, 33), (130, 5, 64))
DTYPES = (torch.float64, torch.float32)
OPTIONS = {
    "anchored": {},
    "free": {"zero_at_origin": False},
    "normalised": {"zero_at_origin": False, "layer_norm": True, "bias": True},
    "narrow": {"grid_range": (-0.8, 0.7), "ranges": False},  # coefficients in units of slope
    "fine": {"grid_size": 40},  # more intervals than a register has lanes
    "coarse": {"grid_size": 1},
}
FINEST = {
    "fourier": 20,
    "chebyshev": 12,
}  # 40 harmonics are too many for the kernels
CASES = pairwise(NAMES, SHAPES, DTYPES, ("silu", "identity", None, "mish"), OPTIONS)

# Elementwise. Every number is a sum of some hundred terms of size 1, each rounded a few times. In float32 the
# place of an input on the grid is rounded by 1e-7 of the width of the grid as well, which the next higher
# derivative multiplies; each derivative of a function is larger than the one before by a few.
RTOL = {torch.float64: 1e-10, torch.float32: 1e-4}
ATOL = {torch.float64: (1e-11, 1e-10, 1e-9, 1e-8), torch.float32: (2e-5, 2e-4, 2e-3)}


@pytest.fixture(params=BACKENDS)
def backend(request, monkeypatch):
    use(monkeypatch, request.param)
    return request.param


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.setattr(kernels, "_SHARE", 1)  # so few rows would get one otherwise
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def derivatives(layer, x, weights, depth):
    """Outputs, and for nested derivatives up to ``depth`` the gradients by inputs and every parameter."""
    x = x.detach().clone().requires_grad_(True)
    wanted = [x, *layer.parameters()]
    outputs = layer(x)
    found = {"outputs": outputs}
    y = (outputs + 0.1 * outputs.square()).sum(-1, keepdim=True)  # gradients differ from output to output
    for order in range(1, depth + 1):
        if not y.requires_grad:  # splines of low order
            break
        grads = torch.autograd.grad(
            (y * weights).sum(), wanted, create_graph=order < depth, allow_unused=True
        )
        for name, value in zip(["x", *dict(layer.named_parameters())], grads, strict=True):
            found[f"{order} by {name}"] = torch.zeros(()) if value is None else value
        y = found[f"{order} by x"]
    return {name: value.detach() for name, value in found.items()}


def definition(layer, x, weights, depth, monkeypatch):
    """The same of the definition, in float64 from the very same numbers."""
    use(monkeypatch, "definition")
    return derivatives(copy.deepcopy(layer).double(), x.double(), weights.double(), depth)


def assert_close(found, expected, dtype, backend):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        order = int(name[0]) if name[0].isdigit() else 0
        torch.testing.assert_close(
            found[name].double(),
            value,
            rtol=RTOL[dtype],
            atol=ATOL[dtype][order],
            msg=lambda text, name=name: f"{backend}, {name}: {text}",
        )


@pytest.mark.parametrize(("name", "shape", "dtype", "base", "options"), CASES)
def test_equals_the_definition(name, shape, dtype, base, options, generator, monkeypatch, two_threads):
    rows, n_in, n_out = shape
    more = dict(OPTIONS[options])
    if options == "fine":
        more["grid_size"] = FINEST.get(name, 40)
    layer = small_layer(name, n_in, n_out, base=base, **more).to(dtype)
    x = randn(generator, rows, n_in, scale=2.5).to(dtype)
    x[0] = 0.0
    weights = torch.cos(3.0 * x[:, :1])
    expected = definition(layer, x, weights, 2, monkeypatch)
    assert all(bool(value.any()) for key, value in expected.items() if key != "2 by x" or name != "bspline1")
    assert Native().supports(layer, x)
    for backend in BACKENDS:
        use(monkeypatch, backend)
        assert_close(derivatives(layer, x, weights, 2), expected, dtype, backend)


@pytest.mark.parametrize("anchored", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_third_derivatives_also_at_knots(name, anchored, generator, monkeypatch):
    """In blocks of 64 rows, the last one short. B-splines of 16 features and more are traced otherwise."""
    monkeypatch.setattr(base_module, "_BLOCK", 1)
    wide = [(16, 1), (16, 2)] if name.startswith("bspline") else []
    for n_in, n_out in [(3, 1), (3, 2), *wide]:
        layer = small_layer(name, n_in, n_out, ranges=False, zero_at_origin=anchored)
        x = randn(generator, 150, n_in, scale=2.0)
        x[:9] = torch.arange(-4.0, 5.0).unsqueeze(-1)  # all knots; the piece on the right of each counts
        x[20], x[21] = 40.0, -40.0
        weights = torch.cos(3.0 * x[:, :1])
        assert len(list(layer.basis.blocks(x))) == 3
        expected = definition(layer, x, weights, 3, monkeypatch)
        for backend in ("native", "analytic", "traced"):
            use(monkeypatch, backend)
            assert_close(derivatives(layer, x, weights, 3), expected, torch.float64, backend)


@pytest.mark.parametrize("name", NAMES)
def test_sums_over_functions_and_over_rows(name, generator):
    """What a fit of the coefficients needs, for values at 0 subtracted or not and for two derivatives."""
    basis = small_layer(name, 5).basis
    x, v, c = (randn(generator, *shape) for shape in ((70, 5), (70, 5), (5, basis.n_basis)))
    for order in (ANCHORED, 0, 1, 2):
        values = basis.evaluate(x, order)  # (n, in, n_basis)
        torch.testing.assert_close(basis.contract(x, c, order), (values * c).sum(-1), rtol=1e-11, atol=1e-11)
        sums = torch.einsum("nib,ni->ib", values, v)
        torch.testing.assert_close(basis.accumulate(x, v, order), sums, rtol=1e-11, atol=1e-10)


@pytest.mark.parametrize("name", NAMES)
class TestPlaces:
    """For one and several outputs, in both precisions."""

    @pytest.fixture
    def layers(self, name):
        return [
            small_layer(name, 18, n_out, spline_fraction=0.9).to(dtype)
            for n_out in (1, 5)
            for dtype in DTYPES
        ]

    def test_nothing_but_zero_at_the_origin(self, name, backend, layers):
        for layer in layers:
            for rows in (1, 130):
                x = torch.zeros(rows, 18, dtype=layer.coefficients.dtype)
                assert bool((layer(x) == 0.0).all())

    def test_far_off_the_grid(self, name, layers, generator, monkeypatch):
        """Finite values and slopes to 1e9, and right ones as far as the precision can tell the place."""
        for layer in layers:
            dtype = layer.coefficients.dtype
            far = torch.tensor([-1e9, -1e3, -60.0, -12.0, 12.0, 60.0, 1e3, 1e9], dtype=dtype)
            x = far.unsqueeze(-1).expand(-1, 18)
            use(monkeypatch, "definition")
            right = energy_and_forces(copy.deepcopy(layer).double(), x.double())
            for backend in BACKENDS:
                use(monkeypatch, backend)
                for found, expected in zip(energy_and_forces(layer, x), right, strict=True):
                    assert bool(found.isfinite().all()), backend
                    near = slice(3, 5) if dtype == torch.float32 else slice(1, 7)
                    loss = {torch.float32: 1e-4, torch.float64: 1e-9}[dtype]
                    torch.testing.assert_close(found[near].double(), expected[near], rtol=loss, atol=loss)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_what_is_no_number_stays_in_its_row(self, name, value, backend, layers, generator):
        """A broken structure in a batch must show, neither crash nor vanish nor spread."""
        for layer in layers:
            x = randn(generator, 40, 18).to(layer.coefficients.dtype)
            expected = energy_and_forces(layer, x)
            x[7, 3] = value
            found = energy_and_forces(layer, x)
            if value != value:
                assert bool(found[0][7].isnan().all())
                assert bool(found[1][7].isnan().any())
            rest = torch.arange(40) != 7
            for broken, clean in zip(found, expected, strict=True):
                torch.testing.assert_close(broken[rest], clean[rest])

    def test_no_rows(self, name, backend, layers):
        for layer in layers:
            x = torch.zeros(0, 18, dtype=layer.coefficients.dtype)
            energy, forces, gradients = force_gradients(layer, x, x)
            assert energy.shape == (0, layer.out_features)
            assert forces.shape == (0, 18)
            assert all(not bool(gradient.any()) for gradient in gradients)

    def test_inputs_of_any_layout(self, name, backend, layers, generator):
        for layer in layers:
            x = randn(generator, 18, 30).to(layer.coefficients.dtype)
            torch.testing.assert_close(layer(x.t()), layer(x.t().contiguous()))
            one = x[:, :1].t()
            torch.testing.assert_close(layer(one.expand(5, 18)), layer(one.contiguous()).expand(5, -1))

    def test_graph_can_be_used_twice(self, name, backend, layers, generator):
        for layer in layers[::2]:  # in float64
            x = randn(generator, 9, 18).requires_grad_(True)
            energy = layer(x)
            first, second = (
                torch.autograd.grad(energy, x, torch.full_like(energy, weight), create_graph=True)[0]
                for weight in (1.0, 2.0)
            )
            torch.testing.assert_close(2.0 * first, second)
            (first.square().sum() + second.sum()).backward()
            found = [p.grad.clone() for p in layer.parameters()]
            layer.zero_grad()
            again = energy_and_forces(layer, x)[1]
            (again.square().sum() - 2.0 * again.sum()).backward()
            for twice, once in zip(found, layer.parameters(), strict=True):
                torch.testing.assert_close(twice, once.grad, rtol=1e-11, atol=1e-11)


class TestChoice:
    """The one place that says what runs."""

    def test_eager_layers_run_on_the_kernels(self):
        for name in NAMES:
            for dtype in DTYPES:
                assert chosen(small_layer(name).to(dtype), torch.zeros(2, 3, dtype=dtype)) == "native"

    def test_without_kernels_closed_derivatives_and_then_the_definition(self, monkeypatch):
        without_kernels(monkeypatch)
        found = {name: chosen(small_layer(name), torch.zeros(2, 3)) for name in NAMES}
        assert found == {name: "definition" if name == "chebyshev" else "analytic" for name in NAMES}

    def test_half_a_precision_has_no_kernels(self):
        layer = small_layer("gaussian").to(torch.bfloat16)
        assert chosen(layer, torch.zeros(2, 3, dtype=torch.bfloat16)) == "analytic"

    def test_transforms_run_on_plain_operations(self):
        layer, seen = small_layer("gaussian"), []

        def energy(row):
            seen.append(chosen(layer, row.unsqueeze(0)))
            return layer(row.unsqueeze(0)).sum()

        torch.func.vmap(torch.func.grad(energy))(torch.zeros(4, 3))
        torch.func.jvp(lambda x: energy(x[0]), (torch.zeros(1, 3),), (torch.ones(1, 3),))
        assert seen == ["traced", "traced"]

    def test_other_backends_have_no_state(self, generator):
        """Whatever computed a layer, its pickle is the same."""
        layer = small_layer("bspline3")
        before = pickle.dumps(layer)
        energy_and_forces(layer, randn(generator, 5, 3))
        assert len(pickle.dumps(layer)) == len(before)
