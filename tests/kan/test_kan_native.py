"""The C kernels: the same numbers as the definition for every shape, and what happens without them."""

import os
import pickle
import subprocess
import sys

import pytest
import torch
from kan_reference import SETTINGS, energy_and_forces, force_gradients, randn, small_layer

from kan_heads.kan import KAN, KANConfig, fused
from kan_heads.kan.backends.native import kernels
from kan_heads.kan.backends.native import library as library_module
from kan_heads.kan.backends.native.library import library

NAMES = sorted(SETTINGS)
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-4}
SHAPES = [(17, 3, 1), (300, 16, 1), (33, 21, 1), (300, 3, 8), (70, 21, 9), (300, 16, 33), (130, 5, 64)]


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.setattr(kernels, "_SHARE", 1)  # so few rows would get one otherwise
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def without_kernels(monkeypatch):
    monkeypatch.setattr(fused, "supports", lambda *tensors: False)


def flat(result):
    energy, forces, gradients = result
    return [energy, forces, *gradients]


def assert_same(found, expected, tolerance):
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert float((a - b).abs().max()) <= tolerance * max(1.0, float(b.abs().max()))


def test_there_are_kernels():
    """Every other test of this file would pass without any."""
    assert library(torch.float32) is not None
    assert library(torch.float64) is not None


@pytest.mark.parametrize("base", ["silu", "identity", None, "mish"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(("rows", "n_in", "n_out"), SHAPES)
@pytest.mark.parametrize("name", [*NAMES, "fine"])
def test_equal_to_torch(name, rows, n_in, n_out, dtype, base, generator, monkeypatch, two_threads):
    options = {"grid_size": 40} if name == "fine" else {}  # more intervals than a register has lanes
    layer = small_layer("bspline3" if name == "fine" else name, n_in, n_out, base=base, **options).to(dtype)
    x, weights = randn(generator, rows, n_in, scale=2.5).to(dtype), randn(generator, rows, n_in).to(dtype)
    x[0] = 0.0
    assert fused.supports(x, layer.basis, *layer.parameters())
    found = flat(force_gradients(layer, x, weights))
    without_kernels(monkeypatch)
    assert_same(found, flat(force_gradients(layer, x, weights)), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("n_out", [1, 5])
@pytest.mark.parametrize("name", NAMES)
class TestPlaces:
    def test_far_away(self, name, n_out, dtype, generator, monkeypatch):
        layer = small_layer(name, 4, n_out).to(dtype)
        x = torch.tensor(
            [[-1e20], [-1e3], [-60.0], [-12.0], [12.0], [60.0], [1e3], [1e9]], dtype=dtype
        ).expand(-1, 4)
        found = energy_and_forces(layer, x)
        x, found = x[1:-1], [value[1:-1] for value in found if bool(value.isfinite().all())]
        assert len(found) == 2
        without_kernels(monkeypatch)
        assert all(bool(value.isfinite().all()) for value in found)
        if name != "fourier" or dtype == torch.float64:  # in float32 the phase itself has no digits left
            assert_same(found, energy_and_forces(layer, x), 1e3 * TOLERANCE[dtype])

    def test_origin_is_exact(self, name, n_out, dtype):
        layer = small_layer(name, 19, n_out, spline_fraction=0.9).to(dtype)
        for rows in (1, 130):
            assert bool((layer(torch.zeros(rows, 19, dtype=dtype)) == 0.0).all())

    def test_nan_stays_in_its_row(self, name, n_out, dtype, generator):
        layer = small_layer(name, 18, n_out).to(dtype)
        x = randn(generator, 40, 18).to(dtype)
        expected = energy_and_forces(layer, x)
        x[7, 3] = float("nan")
        for value, clean in zip(energy_and_forces(layer, x), expected, strict=True):
            assert bool(value[7].isnan().any())
            rest = torch.arange(40) != 7
            torch.testing.assert_close(value[rest], clean[rest])

    def test_no_rows(self, name, n_out, dtype):
        layer = small_layer(name, 4, n_out).to(dtype)
        x = torch.zeros(0, 4, dtype=dtype)
        energy, forces, gradients = force_gradients(layer, x, x)
        assert energy.shape == (0, n_out)
        assert forces.shape == (0, 4)
        assert all(float(gradient.abs().max()) == 0.0 for gradient in gradients)


@pytest.mark.parametrize("n_out", [1, 8, 40])
@pytest.mark.parametrize("name", ["bspline3", "gaussian"])
class TestUse:
    def test_threads_change_nothing_but_rounding(self, name, n_out, generator):
        layer = small_layer(name, 16, n_out)
        x, weights = randn(generator, 2000, 16), randn(generator, 2000, 16)
        results = []
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            results.append(flat(force_gradients(layer, x, weights)))
        torch.set_num_threads(1)
        assert_same(results[1], results[0], 1e-12)
        assert all(torch.equal(a, b) for a, b in zip(results[1], results[2], strict=True))

    def test_inputs_of_any_layout(self, name, n_out, generator):
        layer = small_layer(name, 6, n_out)
        x = randn(generator, 6, 30)
        torch.testing.assert_close(layer(x.t()), layer(x.t().contiguous()))
        torch.testing.assert_close(layer(x[:, :1].t().expand(5, 6)), layer(x[:, :1].t()).expand(5, -1))

    def test_graph_can_be_used_twice(self, name, n_out, generator):
        layer = small_layer(name, 6, n_out)
        x = randn(generator, 9, 6).requires_grad_(True)
        energy = layer(x)
        first, second = (
            torch.autograd.grad(energy, x, weight, create_graph=True)[0]
            for weight in (torch.ones_like(energy), torch.full_like(energy, 2.0))
        )
        torch.testing.assert_close(2.0 * first, second)
        (first.square().sum() + second.sum()).backward()
        found = [p.grad.clone() for p in layer.parameters()]
        layer.zero_grad()
        again = energy_and_forces(layer, x)[1]
        (again.square().sum() - 2.0 * again.sum()).backward()
        assert_same(found, [p.grad for p in layer.parameters()], 1e-11)

    def test_coefficients_follow_in_place_changes(self, name, n_out, generator):
        layer = small_layer(name, 6, n_out)
        x = randn(generator, 9, 6)
        before = layer(x)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.mul_(2.0)
        torch.testing.assert_close(layer(x), 2.0 * before)


class TestOrdinaryTensorsOnly:
    """What the kernels cannot read goes to torch, which knows what to do or to say."""

    def test_another_device(self):
        layer = small_layer("bspline3", 4, 2)
        assert not fused.supports(torch.zeros(3, 4), layer.basis, layer.coefficients.to("meta"))
        with pytest.raises(RuntimeError, match="device"):
            layer.to("meta")(torch.zeros(3, 4))

    def test_mixed_precision(self, generator):
        layer = small_layer("bspline3", 4, 2).float()
        state = {name: value.double() for name, value in layer.state_dict().items()}
        layer.load_state_dict(state, assign=True)  # the pieces of the splines are not in it
        x = randn(generator, 3, 4)
        assert not fused.supports(x, layer.basis, layer.coefficients)
        torch.testing.assert_close(layer(x), layer._plain(x))

    def test_fake_tensors(self):
        fake = pytest.importorskip("torch._subclasses.fake_tensor")
        layer = small_layer("gaussian", 4, 1)
        with fake.FakeTensorMode(allow_non_fake_inputs=True) as mode:
            assert layer(mode.from_tensor(torch.zeros(3, 4))).shape == (3, 1)

    def test_a_basis_too_large_for_the_stack(self, generator):
        layer = small_layer("gaussian", 3, 2, grid_size=300)
        x = randn(generator, 5, 3)
        assert not fused.supports(x, layer.basis)
        torch.testing.assert_close(layer(x), layer._plain(x))


def test_pickle_holds_no_kernels(generator):
    model = KAN([4, 3, 1], KANConfig())
    x = randn(generator, 5, 4)
    expected = model(x)
    torch.testing.assert_close(pickle.loads(pickle.dumps(model))(x), expected)


PROGRAM = """
import torch
from kan_heads.kan import KAN, KANConfig, fused
torch.manual_seed(0)
model = KAN([4, 3, 1], KANConfig())
x = torch.linspace(-3.0, 3.0, 40).view(10, 4).requires_grad_(True)
for _ in range(2):
    (force,) = torch.autograd.grad(model(x).sum(), x)
print(fused.supports(x, model.layers[0].basis), float(force.double().square().sum()))
"""


def run_program(**environment):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    supported, value = out.split()
    return supported == "True", float(value), err


class TestWithoutACompiler:
    def test_first_use_says_so_and_the_second_is_silent(self, tmp_path):
        """Two processes at once, then a third."""
        both = [run_program(KAN_HEADS_CACHE=str(tmp_path)) for _ in range(2)]
        first = [finish(process) for process in both]
        assert all(supported for supported, _, _ in first)
        assert "compiling CPU kernels for torch.float32" in first[0][2] + first[1][2]
        _, value, err = finish(run_program(KAN_HEADS_CACHE=str(tmp_path)))
        assert (value, err) == (first[0][1], "")
        assert len(list((tmp_path / "kernels").iterdir())) == 1

    def test_off_is_silent_and_equal(self, tmp_path):
        supported, value, err = finish(run_program(KAN_HEADS_KERNELS="off"))
        assert (supported, err) == (False, "")
        assert value == pytest.approx(finish(run_program())[1], rel=1e-5)

    def test_a_compiler_that_fails_is_named_once(self, tmp_path):
        compiler = tmp_path / "broken-cc"
        compiler.write_text("#!/bin/sh\necho 'kernels.c:1: error: no such thing' >&2\nexit 1\n")
        compiler.chmod(0o755)
        process = run_program(CC=str(compiler), KAN_HEADS_CACHE=str(tmp_path / "cache"))
        supported, value, err = finish(process)
        assert not supported
        assert err.count("no fast CPU kernels") == 1
        assert "broken-cc: kernels.c:1: error: no such thing" in err
        assert "KAN_HEADS_KERNELS=off" in err
        assert value == pytest.approx(finish(run_program())[1], rel=1e-5)

    def test_no_compiler_at_all(self, monkeypatch, tmp_path):
        monkeypatch.delenv("CC", raising=False)
        monkeypatch.setenv("KAN_HEADS_CACHE", str(tmp_path))  # one that has no kernels from before
        monkeypatch.setattr(library_module.shutil, "which", lambda name: None)
        library.cache_clear()
        with pytest.warns(RuntimeWarning, match="no C compiler found"):
            assert library(torch.float32) is None
        assert library_module.describe(torch.float32) == "torch formulas"
        library.cache_clear()

    def test_a_cache_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("")
        supported, _, err = finish(run_program(KAN_HEADS_CACHE=str(tmp_path / "file")))
        assert supported
        assert "no fast CPU kernels" not in err
