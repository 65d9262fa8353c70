"""Compiled models give the numbers of eager ones; slow, since each compiles C++."""

import pytest
import torch
from kan_reference import energy_and_forces, force_gradients, graph_gradients, randn, small_layer
from test_kan_tracing import flat_graph, model_of

from kan_heads.global_state import default_dtype
from kan_heads.kan.freeze import freeze

pytestmark = pytest.mark.slow
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-11}
ROWS = (6, 1, 0, 37)


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


def models():
    """What is compiled together, since one package takes as long as each of them would."""
    found = {}
    for dtype in TOLERANCE:
        found[f"network, {dtype}"] = model_of("bspline").to(dtype)
        found[f"frozen, {dtype}"] = model_of("bspline").to(dtype)
        assert freeze(found[f"frozen, {dtype}"]).frozen == ["layers.1"]
    for n_out in (1, 3):  # from 16 features on B-splines are unrolled
        found[f"16 to {n_out}"] = small_layer("bspline3", n_in=16, n_out=n_out)
    return found


class Together(torch.nn.Module):
    def __init__(self, models):
        super().__init__()
        self.models = torch.nn.ModuleList(models)

    def forward(self, x):
        """Energies and forces of every model, for inputs of (n, 16)."""
        return [value for model in self.models for value in inputs_and_forces(model, x)]


def inputs_and_forces(model, x):
    first = next(model.parameters())
    n_in = model.dims[0] if hasattr(model, "dims") else model.in_features
    return energy_and_forces(model, x[:, :n_in].to(first.dtype).detach().requires_grad_(True))


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """An AOTInductor package, as LAMMPS and ASE load, and the eager models."""
    fx = pytest.importorskip("nequip.utils.fx")
    with default_dtype(torch.float64):
        named = models()
        x = torch.randn(6, 16, generator=torch.Generator().manual_seed(20))
        graph = fx._nequip_make_fx(Together(named.values()), [x])
        shapes = ({0: torch.export.Dim("rows", min=0, max=100000)},)
        program = torch.export.export(graph, (x,), dynamic_shapes=shapes)
        path = str(tmp_path_factory.mktemp("package") / "model.pt2")
        torch._inductor.aoti_compile_and_package(program, package_path=path)
        return named, torch._inductor.aoti_load_package(path)


@pytest.mark.parametrize("rows", ROWS)
def test_ahead_of_time_package(rows, package, generator):
    """With any number of rows, none included; and a row of zeros gives 0."""
    models, loaded = package
    x = randn(generator, rows, 16, scale=2.0)
    values = iter(loaded(x))
    zeros = iter(loaded(torch.zeros(37, 16)))
    for name, model in models.items():
        found, expected = [next(values), next(values)], inputs_and_forces(model, x)
        assert found[0].dtype == expected[0].dtype, name
        same(found, expected, TOLERANCE[expected[0].dtype])
        assert bool((next(zeros) == 0.0).all()), name
        next(zeros)
