import numpy as np
import pytest
import torch

pytest.importorskip("ase", reason="needs the extra [eam]")

from ase.units import Bohr, _e, _eps0

from kan_heads.eam.functions import DensityFunction, EmbeddingFunction, PairFunction, envelope, zbl

INNER, CUTOFF, UPPER = 2.0, 6.0, 3.0
ORDERS = (3, 4, 5)


def with_noise(function, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = function.edge.coefficients.shape
    with torch.no_grad():
        function.edge.coefficients.add_(torch.randn(shape, generator=generator, dtype=torch.float64))
    return function


def pair(order=3):
    return with_noise(PairFunction(INNER, CUTOFF, 16, order, 44))


def density(order=3):
    return with_noise(DensityFunction(INNER, CUTOFF, 16, order))


def embedding(order=3):
    return with_noise(EmbeddingFunction(UPPER, 12, order))


def derivatives(function, places, order=2):
    """Values and derivatives by autograd, (order + 1, n)."""
    x = torch.as_tensor(places, dtype=torch.float64).requires_grad_()
    found = [function(x)]
    for _ in range(order):
        found.append(torch.autograd.grad(found[-1].sum(), x, create_graph=True)[0])
    return torch.stack(found).detach().numpy()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("make", [pair, density])
def test_value_slope_and_curvature_fade_at_the_cutoff(make, order):
    function = make(order)
    h = 1e-4
    far, near = derivatives(function, [CUTOFF - h, CUTOFF - h / 2]).T
    # Third, second and first power of what is left to the cutoff.
    for power, a, b in zip((3, 2, 1), far, near, strict=True):
        assert 0 < abs(a) < 10.0 * h**power
        assert a / b == pytest.approx(2**power, rel=0.02)
    beyond = derivatives(function, [CUTOFF, CUTOFF + 1e-9, CUTOFF + 3.0])
    assert np.array_equal(beyond, np.zeros((3, 3)))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("make", [pair, density])
def test_functions_of_the_distance_have_two_continuous_derivatives_inside(make, order):
    function = make(order)
    knots = INNER + (CUTOFF - INNER) / 16 * np.arange(1, 16)
    below, above = (derivatives(function, knots + side) for side in (-1e-9, 1e-9))
    assert np.allclose(below, above, atol=1e-5)
    # Where the grid starts and the nuclei's repulsion ends, forces are continuous.
    below, above = (derivatives(function, [INNER + side]) for side in (-1e-9, 1e-9))
    assert np.allclose(below[:2], above[:2], atol=1e-6)


@pytest.mark.parametrize("order", ORDERS)
def test_atom_alone_has_no_energy(order):
    zero = torch.zeros(1, dtype=torch.float64)
    function = embedding(order)
    assert function(zero).item() == 0.0
    assert np.isfinite(derivatives(function, [0.0])).all()


@pytest.mark.parametrize("order", ORDERS)
def test_embedding_function_goes_on_as_a_line(order):
    function = embedding(order)
    below, above = (derivatives(function, [UPPER + side]) for side in (-1e-9, 1e-9))
    assert np.allclose(below[:2], above[:2], atol=1e-7)
    value, slope, curvature = derivatives(function, [UPPER + 1e-9, UPPER + 1.0, UPPER + 40.0])
    assert np.ptp(slope) < 1e-10
    assert np.abs(curvature).max() < 1e-10
    assert np.diff(value) == pytest.approx(slope[0] * np.array([1.0, 39.0]), rel=1e-7)


@pytest.mark.parametrize("strength", [0.0, 2.5])
def test_embedding_function_starts_as_that_of_finnis_and_sinclair(strength):
    function = EmbeddingFunction(UPPER, 12, 3)
    with torch.no_grad():
        function.strength.fill_(strength)
    rho = np.linspace(0.2, UPPER, 30)
    found = derivatives(function, rho, 0)[0]
    # The rounding of the root moves it by less than its radius, 0.1.
    assert np.abs(found + strength * np.sqrt(rho)).max() <= 0.1 * strength + 1e-15
    assert np.abs(derivatives(function, [0.0])).max() < np.inf


@pytest.mark.parametrize("seed", range(3))
def test_density_is_never_negative(seed):
    function = with_noise(DensityFunction(INNER, CUTOFF, 16, 3), seed)
    with torch.no_grad():
        function.edge.coefficients.mul_(5.0)
    values = derivatives(function, np.linspace(0.01, CUTOFF - 1e-3, 500), 0)[0]
    assert (values > 0).all()
    assert np.isfinite(values).all()


@pytest.mark.parametrize("decay", [0.5, 3.0])
@pytest.mark.parametrize("order", ORDERS)
def test_decay_is_a_straight_line_in_the_logarithm(order, decay):
    function = density(order)
    function.set_decay(decay)
    r = torch.linspace(0.5, CUTOFF - 0.2, 60, dtype=torch.float64)
    with torch.no_grad():
        line = torch.log(function(r) / envelope(r, CUTOFF))
    assert np.allclose(np.diff(line) / np.diff(r), -decay, rtol=1e-9)


def test_scaled_density_is_a_multiple():
    function, r = density(), torch.linspace(0.5, 5.9, 60, dtype=torch.float64)
    with torch.no_grad():
        before = function(r)
        function.scale(3.7)
        assert np.allclose(function(r), 3.7 * before, rtol=1e-12)


@pytest.mark.parametrize("number", [1, 13, 44, 79])
def test_repulsion_of_nuclei_is_that_of_ziegler_biersack_and_littmark(number):
    r = np.array([0.01, 0.1, 0.5, 1.0])
    x = r / (0.88534 * Bohr / (2 * number**0.23))
    weights, decays = (0.18175, 0.50986, 0.28022, 0.02817), (3.1998, 0.94229, 0.4029, 0.20162)
    screening = sum(w * np.exp(-d * x) for w, d in zip(weights, decays, strict=True))
    expected = number**2 * _e / (4e-10 * np.pi * _eps0) / r * screening
    far = 1e6  # so that the envelope is 1
    found = zbl(torch.tensor(r), number, far).numpy()
    assert np.allclose(found, expected, rtol=2e-4)


@pytest.mark.parametrize("seed", range(3))
def test_atoms_repel_each_other_at_short_range_whatever_was_learned(seed):
    function = with_noise(PairFunction(INNER, CUTOFF, 16, 3, 44), seed)
    energy, slope = derivatives(function, np.linspace(0.05, 0.5 * INNER, 100), 1)
    assert (energy > 0).all()
    assert (slope < 0).all()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("make", [pair, density, embedding])
def test_coefficients_of_its_own_for_each_place(make, order):
    """What differentiates every row of a fit at once gives the values of the layer, and its derivatives."""
    first, second = make(order), with_noise(make(order), 1)
    places = torch.linspace(0.7, 7.0, 80, dtype=torch.float64)  # also outside the grids
    flat = [f.edge.coefficients.detach().flatten() for f in (first, second)]
    own = torch.stack([flat[k % 2] for k in range(80)])  # (80, n_basis)
    expected = [derivatives(f, places) for f in (first, second)]
    found = derivatives(lambda x: first(x, own), places)
    even = np.arange(80) % 2 == 0
    assert np.allclose(found, np.where(even, *expected), rtol=1e-11, atol=1e-11)


def test_strength_of_its_own_for_each_density():
    function, rho = embedding(), torch.linspace(0.0, 4.0, 9, dtype=torch.float64)
    with torch.no_grad():
        found = function(rho, strength=torch.linspace(0.0, 2.0, 9, dtype=torch.float64))
        for k in range(9):
            function.strength.fill_(0.25 * k)
            assert found[k].item() == pytest.approx(function(rho)[k].item(), rel=1e-13, abs=1e-14)
