"""Our layers against pykan, with which the paper's KAN was trained: same coefficients, same numbers."""

import math
import random

import numpy as np
import pytest
import torch

pykan = pytest.importorskip("kan", reason="needs the extra [rivals]")

from benchmarks.an2025 import models  # noqa: E402
from kan_heads.kan import regularization  # noqa: E402


@pytest.fixture
def both():
    """A KAN of pykan, ours with its coefficients, and inputs of which some lie outside the grid."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002  its constructor seeds everything
    try:
        with torch.random.fork_rng(devices=[]):
            theirs = pykan.KAN(
                width=[3, 4, 3], grid=8, k=3, seed=3, grid_range=[-2, 2], noise_scale=1.0, auto_save=False
            ).double()
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
    ours = models.kan(3).double()
    for mine, layer in zip(ours.layers, theirs.act_fun, strict=True):
        grid = layer.grid[:, 3:-3]
        mine.basis.set_range(grid[:, 0].clone(), grid[:, -1].clone())
        with torch.no_grad():
            scaled = layer.coef * layer.scale_sp.unsqueeze(-1)  # (in, out, n_basis)
            mine.coefficients.copy_(scaled.permute(1, 0, 2))
            mine.base_weight.copy_(layer.scale_base.T)
    x = 1.2 * torch.randn(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return ours, theirs, x


def test_outputs_are_equal(both):
    ours, theirs, x = both
    expected = theirs(x)
    assert (x.abs() > 2.0).any()
    torch.testing.assert_close(ours(x), expected, rtol=1e-6, atol=1e-6)


def test_penalties_are_those_of_its_functions(both):
    ours, theirs, x = both
    with torch.no_grad():
        theirs(x)
    l1 = bits = 0.0
    for functions in theirs.spline_postacts:  # (n, out, in), base branch included
        sizes = functions.abs().mean(0)
        share = sizes / sizes.sum()
        l1 += float(sizes.sum())
        bits += float(-(share * torch.log2(share)).sum())
    found_l1 = regularization.penalty(ours, 1.0, 0.0, x=x).item()
    found_bits = regularization.penalty(ours, 0.0, 1.0 / math.log(2.0), x=x).item()
    assert found_l1 == pytest.approx(l1, rel=1e-5)
    assert found_bits == pytest.approx(bits, rel=1e-5)
