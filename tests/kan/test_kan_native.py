"""The C kernels: threads, tensors that they cannot read, and what happens without them.

That their numbers are right is in test_kan_backends.
"""

import os
import subprocess
import sys

import pytest
import torch
from kan_reference import chosen, force_gradients, randn, small_layer

from kan_heads.kan.backends.native import library as library_module
from kan_heads.kan.backends.native.library import library


def flat(result):
    energy, forces, gradients = result
    return [energy, forces, *gradients]


def test_there_are_kernels():
    """Every other test of this file would pass without any."""
    assert library(torch.float32) is not None
    assert library(torch.float64) is not None


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
        torch.testing.assert_close(results[1], results[0], rtol=1e-11, atol=1e-11)
        assert all(torch.equal(a, b) for a, b in zip(results[1], results[2], strict=True))

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
        layer = small_layer("bspline3", 4, 2).to("meta")
        assert chosen(layer, torch.zeros(3, 4)) == "analytic"
        with pytest.raises(RuntimeError, match="device"):
            layer(torch.zeros(3, 4))

    def test_mixed_precision(self, generator):
        layer = small_layer("bspline3", 4, 2).float()
        state = {name: value.double() for name, value in layer.state_dict().items()}
        layer.load_state_dict(state, assign=True)  # the pieces of the splines are not in it
        x = randn(generator, 3, 4)
        assert chosen(layer, x) == "analytic"
        torch.testing.assert_close(layer(x), layer.plain(x))

    def test_fake_tensors(self):
        fake = pytest.importorskip("torch._subclasses.fake_tensor")
        layer = small_layer("gaussian", 4, 1)
        with fake.FakeTensorMode(allow_non_fake_inputs=True) as mode:
            assert layer(mode.from_tensor(torch.zeros(3, 4))).shape == (3, 1)

    def test_a_basis_too_large_for_the_stack(self, generator):
        layer = small_layer("gaussian", 3, 2, grid_size=300)
        x = randn(generator, 5, 3)
        assert chosen(layer, x) == "analytic"
        torch.testing.assert_close(layer(x), layer.plain(x))


PROGRAM = """
import torch
from kan_heads.kan import KAN, KANConfig
from kan_heads.kan.backends import choose
torch.manual_seed(0)
model = KAN([4, 3, 1], KANConfig())
x = torch.linspace(-3.0, 3.0, 40).view(10, 4).requires_grad_(True)
for _ in range(2):
    (force,) = torch.autograd.grad(model(x).sum(), x)
print(choose(model.layers[0], x).name == 'native', float(force.double().square().sum()))
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

    @pytest.mark.slow  # compiles
    def test_a_cache_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("")
        supported, _, err = finish(run_program(KAN_HEADS_CACHE=str(tmp_path / "file")))
        assert supported
        assert "no fast CPU kernels" not in err
