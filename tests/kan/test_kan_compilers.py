"""The C kernels by every compiler that is here: phi(0) = 0 to the last bit, however products are rounded."""

import shutil

import pytest
import torch
from kan_reference import SETTINGS, chosen, pairwise, randn, small_layer

from kan_heads.kan.backends.native import kernels
from kan_heads.kan.backends.native import library as library_module

TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5}  # elementwise: sums of 13 features, rounded
BUILDS = [("fast", torch.float64), ("off", torch.float32)]  # a build takes seconds, and is kept
ROWS = (1, 17, 301)


@pytest.fixture(scope="module", params=BUILDS, ids=["fused-float64", "separate-float32"])
def build(request):
    return request.param


@pytest.fixture(scope="module", params=["gcc", "clang"])
def dtype(request, build):
    """The precision for which there are kernels by one compiler, which may or may not fuse products."""
    contract, dtype = build
    if not shutil.which(request.param):
        pytest.skip(f"{request.param} is not installed")
    flags = [flag for flag in library_module._FLAGS if not flag.startswith("-ffp-contract")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", request.param)
        patch.setattr(library_module, "_FLAGS", [*flags, f"-ffp-contract={contract}"])
        found = library_module._load(dtype)
        patch.setattr(kernels, "library", lambda asked: found if asked == dtype else None)
        kernels._functions.cache_clear()
        yield dtype
    kernels._functions.cache_clear()


@pytest.mark.parametrize(
    ("name", "n_out", "base"), pairwise(sorted(SETTINGS), [1, 3, 20], ["silu", "identity", None])
)
def test_rows_of_zeros_give_zero_and_others_what_torch_gives(name, n_out, base, dtype, generator):
    for seed in range(3):
        layer = small_layer(name, 13, n_out, seed=seed, base=base).to(dtype)
        for rows in ROWS:
            x = randn(generator, rows, 13, scale=1.5).to(dtype)
            x[::4] = 0.0
            x[::8] = -0.0
            assert chosen(layer, x) == "native"
            for slopes in (False, True):
                y = layer(x.clone().requires_grad_(slopes))
                assert torch.equal(y[::4], torch.zeros_like(y[::4]))
                assert not bool(y[::4].signbit().any())
                expected = layer.plain(x)
                torch.testing.assert_close(y, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_a_feature_that_is_zero_alone_is_no_row_of_zeros(dtype, generator):
    for n_out in (1, 3):
        layer = small_layer("gaussian", 9, n_out).to(dtype)
        x = torch.eye(9, dtype=dtype)
        torch.testing.assert_close(layer(x), layer.plain(x), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
        assert bool((layer(x) != 0.0).all())


def test_without_an_anchor_a_row_of_zeros_is_a_row_like_others(dtype):
    for n_out in (1, 3):
        layer = small_layer("gaussian", 9, n_out, zero_at_origin=False).to(dtype)
        x = torch.zeros(5, 9, dtype=dtype)
        torch.testing.assert_close(layer(x), layer.plain(x), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
        assert bool((layer(x) != 0.0).all())
