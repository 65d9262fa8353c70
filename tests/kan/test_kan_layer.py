"""Layers and networks as modules: initial scale, randomness, shapes, copies and files."""

import copy
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from kan_reference import BASES, SETTINGS, options, pairwise, randn, small_layer

from kan_heads.errors import ConfigError
from kan_heads.kan import KAN, KANConfig, KANLayer


@pytest.mark.parametrize(("name", "n_in", "base"), pairwise(sorted(SETTINGS), [16, 64, 512], ["silu", None]))
def test_initial_variance_is_one(name, n_in, base, generator):
    layer = KANLayer(n_in, 400, options(name, base=base), generator)
    power = float(layer(randn(generator, 100, n_in)).detach().square().mean())
    assert 0.85 < power < 1.15


@pytest.mark.parametrize("name", BASES)
def test_initial_variance_with_other_grids_and_norms(name, generator):
    for more in (
        {"grid_range": (-0.3, 2.7), "grid_size": 7},
        {"zero_at_origin": False},
        {"zero_at_origin": False, "layer_norm": True},
        {"base": "tanh", "spline_fraction": 0.7},
    ):
        layer = KANLayer(64, 400, KANConfig(basis=name, **more), generator)
        power = float(layer(randn(generator, 100, 64)).detach().square().mean())
        assert 0.85 < power < 1.15, more


@pytest.mark.parametrize("grid_range", [(10.0, 12.0), (-1e4, 1e4), (-1e-4, 1e-4)])
@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_initial_weights_are_finite_for_any_grid(name, grid_range, generator):
    layer = KANLayer(4, 2, options(name, grid_range=grid_range), generator)
    assert bool(layer.coefficients.isfinite().all())
    assert bool(layer(randn(generator, 20, 4)).isfinite().all())


@pytest.mark.parametrize("base", ["silu", None])
@pytest.mark.parametrize("name", BASES)
def test_a_deep_network_neither_explodes_nor_fades(name, base, generator):
    powers = []
    for _ in range(5):
        model = KAN([64, 64, 64], KANConfig(basis=name, base=base), generator=generator)
        powers.append(float(model(randn(generator, 200, 64)).detach().square().mean()))
    assert 0.6 < sum(powers) / len(powers) < 1.6


@pytest.mark.parametrize("base", ["silu", None])
def test_construction_draws_from_its_generator_only(base):
    def states():
        return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002

    before = states()
    one = KAN([5, 4, 1], KANConfig(base=base), generator=torch.Generator().manual_seed(1))
    assert states() == before
    two = KAN([5, 4, 1], KANConfig(base=base), generator=torch.Generator().manual_seed(1))
    three = KAN([5, 4, 1], KANConfig(base=base), generator=torch.Generator().manual_seed(2))
    for a, b, c in zip(one.parameters(), two.parameters(), three.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_construction_without_a_generator_follows_the_seed_of_torch():
    with torch.random.fork_rng():
        others = random.getstate(), str(np.random.get_state())  # noqa: NPY002
        torch.manual_seed(5)
        one, two = KANLayer(3, 2), KANLayer(3, 2)
        torch.manual_seed(5)
        again = KANLayer(3, 2)
        assert others == (random.getstate(), str(np.random.get_state()))  # noqa: NPY002
    assert torch.equal(one.coefficients, again.coefficients)
    assert not torch.equal(one.coefficients, two.coefficients)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_copies_and_files_give_the_same_numbers(name, dtype, generator):
    layer = small_layer(name).to(dtype)  # with a grid for each feature
    x = randn(generator, 20, 3, scale=2.0).to(dtype)
    loaded = small_layer(name, seed=7, ranges=False).to(dtype)
    assert not torch.equal(loaded(x), layer(x))
    loaded.load_state_dict(layer.state_dict())
    for model in (loaded, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(model(x), layer(x))


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_cast_changes_nothing_beyond_rounding(name, generator):
    layer = small_layer(name, grid_range=(-0.3, 2.7), grid_size=7)
    x = randn(generator, 20, 3, scale=2.0)
    single = copy.deepcopy(layer).float()
    torch.testing.assert_close(single(x.float()).double(), layer(x), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("n_out", [1, 2])
@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_leading_dimensions(name, n_out, generator):
    layer = small_layer(name, n_out=n_out)
    x = randn(generator, 4, 5, 3)
    y = layer(x)
    assert y.shape == (4, 5, n_out)
    torch.testing.assert_close(y[2, 3], layer(x[2, 3]), rtol=1e-13, atol=1e-13)
    for shape in [(0,), (4, 0), (0, 4), ()]:
        empty = torch.zeros(*shape, 3, requires_grad=True)
        y = layer(empty)
        assert y.shape == (*shape, n_out)
        y.sum().backward()
        assert empty.grad.shape == empty.shape


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_output_is_the_sum_of_the_edge_functions(name, generator):
    layer = small_layer(name, zero_at_origin=False, bias=True)
    torch.nn.init.normal_(layer.bias, generator=generator)
    x = randn(generator, 9, 3)
    expected = layer.edge_functions(x).sum(-1) + layer.bias
    torch.testing.assert_close(layer(x), expected, rtol=1e-13, atol=1e-13)
    other = x.clone()
    other[:, 1] += 1.0  # one input moves the functions of its own edges only
    changed = (layer.edge_functions(other) - layer.edge_functions(x)).abs().amax((0, 1)) > 0
    assert changed.tolist() == [False, True, False]


def test_impossible_widths():
    with pytest.raises(ConfigError, match="in=0 and out=1"):
        KANLayer(0, 1)
    with pytest.raises(ConfigError, match=r"\[4\] needs at least an input and an output"):
        KAN([4])
    with pytest.raises(ConfigError, match=r"hidden \[8\] disagrees with the widths \[4, 7, 1\]"):
        KAN([4, 7, 1], KANConfig(hidden=(8,)))
    with pytest.raises(ConfigError, match="each of 2 layers"):
        KAN([4, 7, 1], base=["silu"])


@pytest.mark.parametrize("module", ["kan_heads", "kan_heads.kan"])
def test_import_is_light(module):
    heavy = ("e3nn", "nequip", "lightning", "mace")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
