"""Frozen layers: the same values and forces from polynomials, wherever a model may go."""

import io
import pickle

import pytest
import torch
from kan_reference import energy_and_forces, randn, small_layer
from test_kan_compile import same
from test_kan_tracing import flat_graph

from kan_heads.errors import ModelError
from kan_heads.kan import KAN, KANConfig
from kan_heads.kan.freeze import FrozenKANLayer, freeze

SPLINES = ["bspline1", "bspline2", "bspline3", "bspline4", "bspline5"]


def spline_layer(name, extrapolation="linear", **more):
    return small_layer(name, n_in=4, n_out=1, extrapolation=extrapolation, **more)


def definition(layer):
    """The layer in its plain formulas: beside a knot a kernel may take the piece on the other side."""

    def function(x):
        y = layer.edge_functions(x).sum(-1)
        return y if layer.bias is None else y + layer.bias

    return function


def places(layer, generator):
    """Points everywhere: on the grid, off it, at knots, at 0."""
    basis = layer.basis
    knots = basis.lower + basis.step * torch.arange(-6.0, basis.grid_size + 7.0).unsqueeze(-1)
    far = torch.tensor([[1e3], [-1e3], [0.0]]).expand(-1, layer.in_features)
    return torch.cat([randn(generator, 200, layer.in_features, scale=3.0), knots, far])


@pytest.mark.parametrize("extrapolation", ["linear", "zero"])
@pytest.mark.parametrize("name", SPLINES)
@pytest.mark.parametrize("options", [{}, {"grid_size": 1}, {"grid_size": 13, "base": None}], ids=str)
def test_values_and_forces_are_those_of_the_layer(name, extrapolation, options, generator):
    layer = spline_layer(name, extrapolation, **options)
    x = places(layer, generator)
    same(energy_and_forces(FrozenKANLayer(layer), x), energy_and_forces(definition(layer), x), 1e-11)


@pytest.mark.parametrize("options", [{"bias": True}, {"layer_norm": True}, {"base": "tanh"}], ids=str)
def test_every_option_is_kept(options, generator):
    layer = spline_layer("bspline3", zero_at_origin="base" in options, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1)
    x = randn(generator, 50, 4)
    same(energy_and_forces(FrozenKANLayer(layer), x), energy_and_forces(definition(layer), x), 1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("grid", [(-4.0, 4.0), (-0.7, 2.1), (-0.3, 0.1), (0.5, 2.0), (-3.0, -1.0)], ids=str)
@pytest.mark.parametrize("extrapolation", ["linear", "zero"])
def test_zero_stays_exactly_zero(dtype, grid, extrapolation):
    layer = spline_layer("bspline3", extrapolation, ranges=False, grid_range=grid, grid_size=7).to(dtype)
    frozen = FrozenKANLayer(layer)
    assert bool((frozen(torch.zeros(19, 4, dtype=dtype)) == 0.0).all())
    single = FrozenKANLayer(layer)(torch.tensor([[0.0, 0.3, 0.0, -0.2]], dtype=dtype))
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(
        single, layer(torch.tensor([[0.0, 0.3, 0.0, -0.2]], dtype=dtype)), rtol=tolerance, atol=tolerance
    )


def test_nan_stays_nan():
    frozen = FrozenKANLayer(spline_layer("bspline3"))
    assert bool(frozen(torch.tensor([[0.0, float("nan"), 1.0, 2.0]])).isnan().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_frozen_in_single_precision_is_as_good_as_the_layer(dtype, generator):
    layer = spline_layer("bspline3")
    x = randn(generator, 300, 4, scale=2.0)
    exact, found = layer(x), FrozenKANLayer(layer.to(dtype))(x.to(dtype)).double()
    assert float((found - exact).detach().abs().max()) < (1e-12 if dtype == torch.float64 else 5e-6)


def network(basis="bspline", hidden=(5,)):
    config = KANConfig(basis=basis, spline_fraction=0.5)
    return KAN([4, *hidden, 1], config, generator=torch.Generator().manual_seed(3))


class TestFreeze:
    def test_freezes_layers_with_one_output_and_says_why_not_the_others(self, generator):
        model, x = network(), randn(generator, 30, 4)
        expected = energy_and_forces(model, x)
        report = freeze(model)
        assert report.frozen == ["layers.1"]
        assert "5 outputs" in report.left["layers.0"]
        same(energy_and_forces(model, x), expected, 1e-11)

    def test_leaves_other_bases(self):
        report = freeze(network("gaussian", ()))
        assert report.frozen == []
        assert "gaussian" in report.left["layers.0"]

    def test_again_changes_nothing(self):
        model = network()
        freeze(model)
        assert freeze(model).frozen == []

    def test_nothing_is_left_to_train(self):
        model = network(hidden=())
        freeze(model)
        assert list(model.parameters()) == []

    def test_a_layer_of_another_kind_is_refused(self):
        with pytest.raises(ModelError, match="fourier"):
            FrozenKANLayer(network("fourier", ()).layers[0])

    def test_calibration_says_that_the_layer_is_frozen(self, generator):
        model = network(hidden=())
        freeze(model)
        with pytest.raises(AttributeError, match="frozen"):
            model.calibrate(randn(generator, 20, 4))


@pytest.fixture
def frozen():
    model = network(hidden=())
    freeze(model)
    return model


class TestWhereItGoes:
    def test_state_dict(self, frozen, generator):
        other = network(hidden=())
        with torch.no_grad():
            other.layers[0].coefficients.zero_()
        freeze(other)
        other.load_state_dict(frozen.state_dict())
        x = randn(generator, 9, 4)
        assert torch.equal(other(x), frozen(x))

    def test_pickle(self, frozen, generator):
        x = randn(generator, 9, 4)
        assert torch.equal(pickle.loads(pickle.dumps(frozen))(x), frozen(x))

    def test_torchscript(self, frozen, generator):
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.script(frozen), buffer)
        buffer.seek(0)
        loaded = torch.jit.load(buffer)
        for rows in (7, 30, 1):
            x = randn(generator, rows, 4, scale=2.0)
            same(energy_and_forces(loaded, x), energy_and_forces(frozen, x), 1e-11)

    def test_flat_graph(self, frozen, generator):
        graph = flat_graph(frozen, randn(generator, 6, 4))
        for rows in (23, 1, 0):
            x = randn(generator, rows, 4, scale=2.0)
            same(graph(x), energy_and_forces(frozen, x), 1e-11)
        assert flat_graph(frozen, randn(generator, 4, 4)).code == graph.code

    @pytest.mark.slow
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    def test_ahead_of_time_package(self, dtype, generator, tmp_path):
        model = network(hidden=()).to(dtype)
        x = randn(generator, 37, 4, scale=2.0).to(dtype)
        expected = energy_and_forces(model, x)
        freeze(model)
        graph = flat_graph(model, x[:6])
        shapes = ({0: torch.export.Dim("rows", min=0, max=100000)},)
        program = torch.export.export(graph, (x[:6],), dynamic_shapes=shapes)
        path = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "model.pt2"))
        loaded = torch._inductor.aoti_load_package(path)
        same(loaded(x), expected, 1e-11 if dtype == torch.float64 else 1e-5)
        energy, _ = loaded(torch.zeros(19, 4, dtype=dtype))
        assert bool((energy == 0.0).all())
