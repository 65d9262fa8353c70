"""The form of B-splines that compilers get: the definition, to every derivative."""

import pytest
import torch
from kan_reference import (
    energy_and_forces,
    force_gradients,
    graph_gradients,
    randn,
    small_layer,
)
from test_kan_compile import same
from test_kan_tracing import flat_graph

SPLINES = ["bspline1", "bspline2", "bspline3", "bspline4", "bspline5", "bspline-zero"]


class Flat(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.anchored = layer.zero_at_origin

    def forward(self, x):
        return self.layer.basis.expand(x, self.layer.coefficients, self.anchored)


@pytest.mark.parametrize("n_out", [1, 2])
@pytest.mark.parametrize("name", ["bspline1", "bspline3", "bspline-zero"])
class TestTraced:
    def test_torchscript(self, name, n_out, generator):
        flat = Flat(small_layer(name, n_out=n_out, base=None, n_in=16))
        scripted = torch.jit.script(flat)
        for rows in (20, 33, 1):
            x, weights = randn(generator, rows, 16, scale=2.0), randn(generator, rows, 16)
            expected = force_gradients(flat, x, weights)
            found = force_gradients(scripted, x, weights)
            torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)

    def test_flat_graph(self, name, n_out, generator):
        flat = Flat(small_layer(name, n_out=n_out, base=None, n_in=16))
        graph = flat_graph(flat, randn(generator, 3, 16))
        x, weights = randn(generator, 8, 16, scale=2.0), randn(generator, 8, 16)
        energy, forces, expected = force_gradients(flat, x, weights)
        found = graph_gradients(graph, flat, x, weights)
        for a, b in zip(found, [energy, forces, *expected], strict=True):
            torch.testing.assert_close(a.detach(), b, rtol=1e-11, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("n_out", [1, 3])
def test_ahead_of_time_package(n_out, generator, tmp_path):
    """The unrolled form through AOTInductor; narrow layers, as in test_kan_compile, use another."""
    layer = small_layer("bspline3", n_in=16, n_out=n_out)
    parameters = [p.detach() for p in layer.parameters()]
    graph = flat_graph(layer, randn(generator, 6, 16))
    shapes = ({0: torch.export.Dim("rows", min=0, max=100000)}, *[None] * len(parameters))
    program = torch.export.export(graph, (randn(generator, 6, 16), *parameters), dynamic_shapes=shapes)
    path = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "model.pt2"))
    loaded = torch._inductor.aoti_load_package(path)
    for rows in (37, 1, 0):
        x = randn(generator, rows, 16, scale=2.0)
        same(loaded(x, *parameters), energy_and_forces(layer, x), 1e-11)
    energy, _ = loaded(torch.zeros(37, 16), *parameters)
    assert bool((energy == 0.0).all())
