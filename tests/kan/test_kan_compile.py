"""Compiled models give the numbers of eager ones; slow, since each compiles C++."""

import pytest
import torch
from kan_reference import energy_and_forces, force_gradients, graph_gradients, randn
from test_kan_tracing import flat_graph, model_of

pytestmark = pytest.mark.slow
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-11}


def same(found, expected, tolerance):
    """Elementwise: sums of some ten to hundred terms of size 1, added in another order."""
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.detach(), b.detach(), rtol=tolerance, atol=tolerance)


@pytest.fixture(autouse=True)
def _fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("name", ["bspline", "gaussian"])
def test_compiled_flat_graph(name, generator):
    """What nequip trains: energies, forces and gradients of a force loss, with any number of rows."""
    model = model_of(name)
    compiled = torch.compile(flat_graph(model, randn(generator, 6, 4)), dynamic=True)
    for rows in (6, 19):
        x, weights = randn(generator, rows, 4, scale=2.0), randn(generator, rows, 4)
        energy, forces, expected = force_gradients(model, x, weights)
        same(graph_gradients(compiled, model, x, weights), [energy, forces, *expected], 1e-12)
    with torch.no_grad():
        energy, _ = compiled(torch.zeros(11, 4), *model.parameters())
    assert bool((energy == 0.0).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_ahead_of_time_package(dtype, generator, tmp_path):
    """What LAMMPS and ASE load: an AOTInductor package, with any number of rows, none included."""
    model = model_of("bspline").to(dtype)
    parameters = [p.detach() for p in model.parameters()]
    graph = flat_graph(model, randn(generator, 6, 4).to(dtype))

    shapes = ({0: torch.export.Dim("rows", min=0, max=100000)}, *[None] * len(parameters))
    inputs = (randn(generator, 6, 4).to(dtype), *parameters)
    program = torch.export.export(graph, inputs, dynamic_shapes=shapes)
    path = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "model.pt2"))
    loaded = torch._inductor.aoti_load_package(path)
    for rows in (6, 1, 0, 37):
        x = randn(generator, rows, 4, scale=2.0).to(dtype)
        same(loaded(x, *parameters), energy_and_forces(model, x), TOLERANCE[dtype])
    energy, _ = loaded(torch.zeros(37, 4, dtype=dtype), *parameters)
    assert bool((energy == 0.0).all())
