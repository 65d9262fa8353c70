"""Moving and refining grids keeps the function, and bad data are refused."""

import pytest
import torch
from kan_reference import BASES, SETTINGS, options, randn, random_ranges

from kan_heads.errors import ConfigError
from kan_heads.kan import KAN, KANConfig, KANLayer
from kan_heads.kan import grid as grids

SPLINES = [f"bspline{k}" for k in range(1, 6)]
REFINEMENTS = [(name, 8, size) for name in SPLINES for size in (16, 24, 80)]
REFINEMENTS += [(name, 6, size) for name in ("fourier", "chebyshev") for size in (7, 12, 33)]


def network(name, generator, **more):
    """A network with a strong basis branch and a grid for each feature."""
    model = KAN([4, 3, 1], options(name, spline_fraction=0.5, **more), generator=generator)
    for layer in model.layers:
        random_ranges(layer, generator)
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("name", "size", "finer"), REFINEMENTS)
def test_refine_keeps_the_function(name, size, finer, dtype, generator):
    old = network(name, generator, grid_size=size).to(dtype)
    new = old.refine(finer)
    x = randn(generator, 300, 4, scale=4.0).to(dtype)
    assert float(max(share.max() for share in old.coverage(x))) > 0.1  # outside the grid as well
    assert new.config.grid_size == finer
    # Sums of rounded coefficients; in float32 the phases of the harmonics off the grid lose digits too.
    rtol, atol = (1e-9, 1e-10) if dtype == torch.float64 else (1e-4, 5e-5)
    torch.testing.assert_close(new(x), old(x), rtol=rtol, atol=atol)
    assert bool((new(torch.zeros(1, 4, dtype=dtype)) == 0.0).all())
    for a, b in zip(old.layers, new.layers, strict=True):
        assert b.coefficients.shape[-1] > a.coefficients.shape[-1]
        torch.testing.assert_close(b.basis.lower, a.basis.lower, rtol=0.0, atol=0.0)
        torch.testing.assert_close(b.basis.upper, a.basis.upper)


@pytest.mark.parametrize("units", ["slope", "value"])
@pytest.mark.parametrize("basis", ["bspline", "fourier", "chebyshev"])
def test_refine_keeps_what_was_calibrated_to_a_narrow_grid(basis, units, generator):
    """There the coefficients have units of their own, one for each function of the grid."""
    model = KAN([4, 3, 1], KANConfig(basis=basis, grid_size=4, units=units), generator=generator)
    x = 0.1 * randn(generator, 50, 4)
    model.calibrate(x)
    finer = model.refine(8)
    assert [layer.unit is None for layer in finer.layers] == [layer.unit is None for layer in model.layers]
    torch.testing.assert_close(finer(x), model(x), rtol=1e-10, atol=1e-12)


def test_refine_keeps_different_base_functions_biases_and_norms(generator):
    config = KANConfig(zero_at_origin=False, bias=True, layer_norm=True)
    old = KAN([4, 3, 1], config, base=["identity", "tanh"], generator=generator)
    with torch.no_grad():
        for name, parameter in old.named_parameters():
            if "norm" in name or "bias" in name:
                parameter.copy_(randn(generator, *parameter.shape))
    x = randn(generator, 50, 4)
    torch.testing.assert_close(old.refine(16)(x), old(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("name", "finer", "message"), [
    ("bspline3", 12, "grid_size 12 misses the function of grid_size 8 by .*a multiple of 8"),
    ("gaussian", 12, "basis 'gaussian' of grid_size 12 misses"),
    ("gaussian", 9, "basis 'gaussian' of grid_size 9 misses"),
    ("bspline3", 8, "grid_size 8 must be larger than the present 8"),
    ("fourier", 3, "grid_size 3 must be larger than the present 4"),
])  # fmt: skip
def test_refine_refuses_what_it_cannot_keep(name, finer, message, generator):
    with pytest.raises(ConfigError, match=message):
        network(name, generator).refine(finer)


def trained_like(name, generator, dtype=torch.float64):
    """A layer whose functions are smooth on the scale of the data, as training leaves them."""
    layer = KANLayer(3, 2, options(name, **({"grid_size": 16} if name == "gaussian" else {})), generator)
    points = grids.grid_points(layer)
    targets = torch.stack([torch.sin(0.5 * points), points * torch.exp(-0.1 * points**2)], 1)
    with torch.no_grad():
        values = layer.edge_basis(points)
        layer.coefficients.copy_(grids.fit_coefficients(values, targets, 1e-6))
    return layer.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ["bspline2", "bspline3", "bspline5", "gaussian", "fourier", "chebyshev"])
def test_calibrate_covers_the_data_and_keeps_the_function(name, dtype, generator):
    """To 1 % of the largest value at the data; Fourier to 10 %, since it makes the ends meet."""
    layer = trained_like(name, generator, dtype)
    model = KAN([3, 2], layer_config(layer, name))
    model.layers[0] = layer
    x = randn(generator, 500, 3).to(dtype) * torch.tensor([0.5, 1.0, 1.2], dtype=dtype) + 0.3
    before = model(x).detach()
    model.calibrate(x)
    assert float(model.coverage(x)[0].max()) == 0.0
    assert float((model(x).detach() - before).abs().max()) < (0.1 if name == "fourier" else 0.01) * float(
        before.abs().max()
    )
    assert bool((model(torch.zeros(1, 3, dtype=dtype)) == 0.0).all())
    width = x.amax(0).clamp_min(0.0) - x.amin(0).clamp_max(0.0)
    torch.testing.assert_close(layer.basis.upper - layer.basis.lower, 1.5 * width)


def layer_config(layer, name):
    return options(name, grid_size=layer.basis.grid_size)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_calibrate_keeps_coefficients_small(name, dtype, generator):
    """Directions that the data leave open must not fill with noise: float32 would lose the function."""
    model = network(name, generator).to(dtype)
    x = randn(generator, 60, 4, scale=3.0).to(dtype)
    hidden = model.layers[0](x)
    sizes = [
        float(a.edge_functions(at).detach().abs().max())
        for a, at in zip(model.layers, (x, hidden), strict=True)
    ]
    model.calibrate(x)
    for layer, size in zip(model.layers, sizes, strict=True):
        assert float(layer.coefficients.detach().abs().max()) < 100.0 * size


AWKWARD = {
    "constant": torch.full((30, 4), 0.7),
    "far away": torch.full((30, 4), 1e3),
    "zero": torch.zeros(30, 4),
    "one row": torch.tensor([[0.3, -2.0, 0.0, 9.0]]),
    "duplicate": torch.tensor([[0.3, -2.0, 0.0, 9.0], [0.3, 1.0, 0.0, 9.0]]).repeat(9, 1),
    "tiny": torch.linspace(0.0, 1e-8, 120).reshape(30, 4),
    "huge": torch.linspace(-1e6, 1e6, 120).reshape(30, 4),
}


@pytest.mark.parametrize("data", sorted(AWKWARD))
@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_calibrate_survives_awkward_data(name, data, generator):
    model = network(name, generator)
    x = AWKWARD[data].double()
    model.calibrate(x)
    for layer in model.layers:
        assert bool(layer.coefficients.isfinite().all())
        assert bool((layer.basis.step > 0.0).all())
    assert bool(model(x).isfinite().all())
    assert bool((model(torch.zeros(2, 4)) == 0.0).all())


@pytest.mark.parametrize("name", BASES)
def test_a_feature_that_does_not_vary_keeps_its_grid(name, generator):
    model = network("bspline3" if name == "bspline" else name, generator)
    layer = model.layers[0]
    lower, upper = layer.basis.lower.clone(), layer.basis.upper.clone()
    x = randn(generator, 30, 4)
    x[:, 2] = 0.1
    model.calibrate(x)
    assert (layer.basis.lower == lower).tolist() == [False, False, True, False]
    torch.testing.assert_close(layer.basis.upper[2], upper[2])


@pytest.mark.parametrize(("x", "message"), [
    (torch.zeros(0, 4), "calibrate: the inputs hold no rows"),
    (torch.full((3, 4), float("nan")), "calibrate: the inputs hold NaN"),
    (torch.tensor([[0.0, 1.0, float("inf"), 2.0]]), "calibrate: the inputs hold NaN or infinite"),
])  # fmt: skip
def test_calibrate_refuses_broken_data(x, message, generator):
    model = network("bspline3", generator)
    before = [parameter.clone() for parameter in model.state_dict().values()]
    with pytest.raises(ConfigError, match=message):
        model.calibrate(x)
    for old, new in zip(before, model.state_dict().values(), strict=True):
        assert torch.equal(old, new)


def test_calibrate_refuses_layer_norm(generator):
    model = KAN([4, 1], KANConfig(layer_norm=True, zero_at_origin=False), generator=generator)
    with pytest.raises(ConfigError, match="calibrate: layer_norm"):
        model.calibrate(randn(generator, 5, 4))


@pytest.mark.parametrize("name", BASES)
def test_coverage_is_the_share_outside(name, generator):
    model = network("bspline3" if name == "bspline" else name, generator)
    x = randn(generator, 5, 20, 4, scale=2.0)
    at = x.reshape(100, 4)
    for layer, found in zip(model.layers, model.coverage(x), strict=True):
        lower, upper = layer.basis.lower.tolist(), layer.basis.upper.tolist()
        for i in range(layer.in_features):
            count = sum(not lower[i] <= value <= upper[i] for value in at[:, i].tolist())
            assert float(found[i]) == pytest.approx(count / 100)
        at = layer(at)


@pytest.mark.parametrize("case", ["enough", "one point", "equal points", "no values"])
@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_fit_coefficients(name, case, generator):
    layer = network(name, generator).layers[0]
    x = grids.grid_points(layer)
    x = {"enough": x, "one point": x[3:4], "equal points": x[3:4].expand(50, -1), "no values": x}[case]
    values = layer.basis(x) * (0.0 if case == "no values" else 1.0)
    c = randn(generator, 2, 4, layer.basis.n_basis)
    targets = torch.einsum("nib,oib->noi", values, c)
    found = grids.fit_coefficients(values, targets)
    assert bool(found.isfinite().all())
    torch.testing.assert_close(torch.einsum("nib,oib->noi", values, found), targets, rtol=1e-8, atol=1e-8)
    assert float(found.norm()) <= float(c.norm()) * (1.0 + 1e-8)  # the smallest of all solutions
