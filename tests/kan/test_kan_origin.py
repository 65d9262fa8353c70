"""phi(0) = 0 to the last bit: a feature that has faded at the cutoff adds nothing to the energy."""

import copy

import pytest
import torch
from kan_reference import BASES, SETTINGS, pairwise, random_ranges, small_layer

from kan_heads.global_state import default_dtype
from kan_heads.kan import KAN, KANConfig, KANLayer
from kan_heads.kan.layer import BASE_FUNCTIONS

DTYPES = (torch.float32, torch.float64)
GRIDS = {
    "default": {},
    "coarse": {"grid_range": (-1, 1), "grid_size": 3},
    "lopsided": {"grid_range": (-0.3, 2.7), "grid_size": 7},
    "beside 0": {"grid_range": (0.7, 3.1), "grid_size": 5},
}


def at_zero(layer, n_rows, dtype):
    return layer(torch.zeros(n_rows, layer.in_features, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_exactly_zero_for_every_size(name, dtype):
    """Sizes that leave all kinds of tails to the vector instructions."""
    grids = sorted(GRIDS)
    for i, n_in in enumerate((1, 2, 3, 5, 7, 8, 9, 13, 16, 17, 31, 33, 64, 67)):
        for n_out in (1, 3):
            layer = small_layer(name, n_in, n_out, seed=i, ranges=False, **GRIDS[grids[i % 4]]).to(dtype)
            for n_rows in (1, 17):
                assert bool((at_zero(layer, n_rows, dtype) == 0.0).all())
                assert bool((layer.plain(torch.zeros(n_rows, n_in, dtype=dtype)) == 0.0).all())


@pytest.mark.parametrize(("name", "dtype", "grid"), pairwise(sorted(SETTINGS), DTYPES, sorted(GRIDS)))
class TestExactlyZero:
    def test_with_a_grid_for_each_feature(self, name, dtype, grid):
        for seed in range(4):
            layer = small_layer(name, 11, 2, seed=seed, **GRIDS[grid]).to(dtype)
            assert bool((at_zero(layer, 5, dtype) == 0.0).all())
            assert bool((layer.edge_functions(torch.zeros(5, 11, dtype=dtype)) == 0.0).all())

    def test_among_rows_that_are_not_zero(self, name, dtype, grid, generator):
        for n_out in (1, 2):
            layer = small_layer(name, 13, n_out, **GRIDS[grid]).to(dtype)
            x = torch.randn(301, 13, generator=generator).to(dtype)
            x[::7] = 0.0
            y = layer(x)
            assert bool((y[::7] == 0.0).all())
            assert bool((y[1::7] != 0.0).any())

    def test_scripted(self, name, dtype, grid):
        layer = small_layer(name, 7, 2, **GRIDS[grid]).to(dtype)
        scripted = torch.jit.script(layer)
        for _ in range(3):  # the third call runs what the profiler has fused
            # no_grad: TorchScript keeps what it profiles for later tests, see test_kan_tracing
            with torch.no_grad():
                assert bool((at_zero(scripted, 9, dtype) == 0.0).all())


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_survives_casts_copies_and_files(name, generator):
    with default_dtype(torch.float32):
        layer = small_layer(name, 9, 2, grid_range=(-0.3, 2.7), grid_size=7)
    random_ranges(layer, generator)
    loaded = small_layer(name, 9, 2, seed=1, grid_range=(-0.3, 2.7), grid_size=7)
    loaded.load_state_dict(layer.state_dict())
    single, double = torch.float32, torch.float64
    for model, dtype in [
        (copy.deepcopy(layer).double(), double),
        (copy.deepcopy(layer).double().float(), single),
        (copy.deepcopy(layer).double().float().double(), double),
        (copy.deepcopy(layer), single),
        (loaded, double),
    ]:
        assert bool((at_zero(model, 5, dtype) == 0.0).all())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("base", sorted(BASE_FUNCTIONS))
def test_base_functions_are_zero_at_zero(base, dtype):
    function = BASE_FUNCTIONS[base]()
    for size in range(1, 70):
        assert bool((function(torch.zeros(size, dtype=dtype)) == 0.0).all())


@pytest.mark.parametrize("name", BASES)
def test_a_deep_network_keeps_it(name, generator):
    model = KAN([12, 7, 5, 1], KANConfig(basis=name, grid_range=(-1.3, 2.1)), generator=generator)
    assert bool((model(torch.zeros(4, 12)) == 0.0).all())


@pytest.mark.parametrize("n_out", [1, 3])
@pytest.mark.parametrize("name", ["bspline3", "bspline-zero", "gaussian", "fourier", "chebyshev"])
def test_can_be_turned_off(name, n_out):
    layer = small_layer(name, 4, n_out, zero_at_origin=False)
    zero = torch.zeros(1, 4)
    expected = torch.einsum("nib,oib->no", layer.basis(zero), layer.values())
    assert float(layer(zero).abs().min()) > 1e-3
    torch.testing.assert_close(layer(zero), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", BASES)
def test_energy_fades_linearly_unlike_with_layer_norm(name, generator):
    """Features fade at the cutoff as a scale u goes to 0: dE/du must stay bounded there."""

    def slopes(**more):
        layer = KANLayer(16, 1, KANConfig(basis=name, base=None, **more), torch.Generator().manual_seed(3))
        direction = torch.randn(1, 16, generator=torch.Generator().manual_seed(4))
        found = []
        for scale in (1.0, 1e-1, 1e-2, 3e-3):
            u = torch.tensor(scale, requires_grad=True)
            (slope,) = torch.autograd.grad(layer(u * direction).sum(), u)
            found.append(abs(float(slope)))
        return found

    safe = slopes()
    assert max(safe) < 20.0
    assert safe[-1] == pytest.approx(safe[-2], abs=0.1 * max(safe))  # a limit exists
    unsafe = slopes(layer_norm=True, zero_at_origin=False)
    assert unsafe[-1] > 20.0 * safe[-1]
