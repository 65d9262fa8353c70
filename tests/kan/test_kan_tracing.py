"""The same numbers in TorchScript and in the flat graphs that nequip compiles."""

import pytest
import torch
from kan_reference import (
    BASES,
    SETTINGS,
    energy_and_forces,
    force_gradients,
    graph_gradients,
    randn,
    small_layer,
)

from kan_heads.kan import KAN, KANConfig

NAMES = sorted(SETTINGS)


def model_of(name, seed=0):
    options = SETTINGS.get(name, {"basis": name})
    config = KANConfig(**options, spline_fraction=0.5)
    return KAN([4, 3, 1], config, generator=torch.Generator().manual_seed(seed))


def flat_graph(model, x):
    """Traces (x, parameters) -> energy and forces into one graph, as nequip does for compiling."""
    fx = pytest.importorskip("nequip.utils.fx")
    names = [name for name, _ in model.named_parameters()]

    def function(x, *parameters):
        x = x.detach().requires_grad_(True)
        at = torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (x,))
        (slope,) = torch.autograd.grad(at.sum(), x, create_graph=True)
        return at, -slope

    return fx._nequip_make_fx(function, [x, *[p.detach() for p in model.parameters()]])


@pytest.mark.parametrize("n_out", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_torchscript_equals_eager(name, n_out, generator):
    layer = small_layer(name, n_out=n_out)
    scripted = torch.jit.script(layer)
    for rows in (20, 33, 1):  # later calls run what the profiler has specialised
        x, weights = randn(generator, rows, 3, scale=2.0), randn(generator, rows, 3)
        expected, found = force_gradients(layer, x, weights), force_gradients(scripted, x, weights)
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


# TorchScript keeps from its first calls that a list of tensors (cat, stack) needs no gradient; a
# basis that joined its functions that way lost its share of the forces.
@pytest.mark.parametrize("name", ["bspline3", "gaussian", "fourier", "chebyshev"])
def test_torchscript_forces_after_calls_for_energies(name, generator):
    layer = small_layer(name, n_in=6, base="mish")  # types of its own: the profile must not spread
    scripted = torch.jit.script(layer)
    for _ in range(3):
        scripted(randn(generator, 9, 6))
    x = randn(generator, 20, 6)
    expected, found = energy_and_forces(layer, x), energy_and_forces(scripted, x)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", BASES)
def test_torchscript_survives_saving(name, generator, tmp_path):
    model = model_of(name)
    path = str(tmp_path / "model.pt")
    torch.jit.script(model).save(path)
    loaded = torch.jit.load(path)
    x = randn(generator, 5, 2, 4)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), model(x), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", ["bspline1", "bspline3", "bspline-zero", "gaussian", "fourier", "chebyshev"])
class TestFlatGraph:
    def test_equals_eager_and_keeps_phi_of_zero(self, name, generator):
        model = model_of(name)
        graph = flat_graph(model, randn(generator, 6, 4))
        for rows in (6, 1, 0, 23):
            x, weights = randn(generator, rows, 4, scale=2.0), randn(generator, rows, 4)
            energy, forces, expected = force_gradients(model, x, weights)
            found = graph_gradients(graph, model, x, weights)
            for a, b in zip(found, [energy, forces, *expected], strict=True):
                torch.testing.assert_close(a.detach(), b, rtol=1e-12, atol=1e-12)
        energy, _ = graph(torch.zeros(5, 4), *model.parameters())
        assert bool((energy == 0.0).all())

    def test_does_not_fix_the_number_of_rows(self, name, generator):
        """Traced with as many rows as there are features, then with others: the same graph."""
        model = model_of(name)
        first, second = (flat_graph(model, randn(generator, rows, 4)) for rows in (4, 9))
        assert first.code == second.code


@pytest.mark.parametrize("name", BASES)
def test_jit_trace_equals_eager(name, generator):
    model = model_of(name)
    traced = torch.jit.trace(model, randn(generator, 7, 4))
    x = randn(generator, 12, 4)
    torch.testing.assert_close(
        energy_and_forces(traced, x), energy_and_forces(model, x), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize("name", BASES)
def test_dynamo_sees_one_graph(name, generator):
    """What torch.compile reads; the compilation itself is in test_kan_compile."""
    model = model_of(name)
    x = randn(generator, 7, 4)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x), rtol=1e-12, atol=1e-12)
    torch._dynamo.reset()
