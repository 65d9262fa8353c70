"""The functions of lengths and angles against scipy, quadrature and torch_geometric."""

import numpy as np
import pytest
import torch
from nequip.data import AtomicDataDict
from nequip.nn.embedding import BesselEdgeLengthEncoding
from scipy.special import eval_legendre, spherical_jn

from kan_heads.etgnn.bases import RadialAngularBasis, legendre, make_cutoff
from kan_heads.etgnn.bases import spherical_bessel as spherical_bessel_rows
from kan_heads.etgnn.bessel_zeros import spherical_bessel_zeros

X = np.concatenate([np.geomspace(1e-6, 1.0, 60), np.linspace(0.05, 60.0, 2399)])
ORDERS = range(9)


def tensor(values, **options):
    return torch.tensor(np.asarray(values), dtype=torch.float64, **options)


def spherical_bessel(order, x):
    """One order; the function takes one for each row."""
    return spherical_bessel_rows(order, x.view(1, -1)).view_as(x)


def around_the_switch(order):
    """Points next to the length where the power series gives way to the recurrence."""
    offsets = np.array([-1e-3, -1e-9, 0.0, 1e-9, 1e-3])
    return order + 0.5 + offsets


def test_each_row_has_its_own_order():
    rows = spherical_bessel_rows(2, tensor([X, X, X])).numpy()
    for order, row in zip((2, 3, 4), rows, strict=True):
        np.testing.assert_allclose(row, spherical_jn(order, X), atol=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_spherical_bessel_functions_are_those_of_scipy(order):
    x = np.concatenate([X, around_the_switch(order)])
    found, expected = spherical_bessel(order, tensor(x)).numpy(), spherical_jn(order, x)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("order", ORDERS)
def test_small_arguments_keep_all_digits(order):
    x = np.geomspace(1e-6, order + 0.499, 200)
    found = spherical_bessel(order, tensor(x)).numpy()
    np.testing.assert_allclose(found, spherical_jn(order, x), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("order", ORDERS)
def test_derivatives_are_those_of_scipy(order):
    x = tensor(np.concatenate([X, around_the_switch(order)]), requires_grad=True)
    (slope,) = torch.autograd.grad(spherical_bessel(order, x).sum(), x, create_graph=True)
    expected = spherical_jn(order, x.detach().numpy(), derivative=True)
    np.testing.assert_allclose(slope.detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    # j'' from the differential equation; near 0 its terms cancel, so points from 0.1 on are compared.
    y, far = x.detach().numpy(), x.detach().numpy() > 0.1
    value = spherical_jn(order, y)
    second = -2.0 / y * expected - (1.0 - order * (order + 1) / y**2) * value
    assert torch.isfinite(curvature).all()
    np.testing.assert_allclose(curvature.numpy()[far], second[far], rtol=1e-8, atol=1e-9)


def test_values_and_slopes_at_zero():
    for order in ORDERS:
        x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        value = spherical_bessel(order, x)
        (slope,) = torch.autograd.grad(value.sum(), x)
        assert value.item() == (1.0 if order == 0 else 0.0)
        assert slope.item() == pytest.approx(1.0 / 3.0 if order == 1 else 0.0)


def test_single_precision_keeps_its_digits():
    x = np.linspace(0.01, 30.0, 500)
    for order in ORDERS:
        found = spherical_bessel(order, torch.tensor(x, dtype=torch.float32)).numpy()
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, spherical_jn(order, x.astype(np.float32)), atol=3e-6)


def test_zeros_are_zeros_in_order_and_none_is_missed():
    zeros = np.array(spherical_bessel_zeros(8, 10))
    assert zeros.shape == (9, 10)
    for order, row in enumerate(zeros):
        np.testing.assert_allclose(spherical_jn(order, row), 0.0, atol=1e-14)
        grid = np.linspace(0.5, row[-1] + 0.5, 20_001)  # j_l has no zero below 0.5
        values = spherical_jn(order, grid)
        changes = np.count_nonzero(np.sign(values[1:]) != np.sign(values[:-1]))
        assert changes == 10
    assert (np.diff(zeros, axis=1) > 0).all()


class Uncut(torch.nn.Module):
    def forward(self, x):
        return torch.ones_like(x)


def test_the_radial_functions_are_orthonormal_in_the_sphere():
    basis = RadialAngularBasis(spherical_bessel_zeros(7, 8), "polynomial")
    basis.cutoff = Uncut()
    points, weights = np.polynomial.legendre.leggauss(120)
    x, w = tensor(0.5 * (points + 1.0)), tensor(0.5 * weights)
    values = basis(x)  # (n, l_max + 1, n_radial)
    overlaps = torch.einsum("x,xln,xlm->lnm", w * x**2, values, values)
    expected = torch.eye(8, dtype=torch.float64).expand(8, 8, 8)
    torch.testing.assert_close(overlaps, expected, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("cutoff", ["polynomial", "cosine"])
def test_the_radial_functions_end_at_the_cutoff_with_their_slope(cutoff):
    basis = RadialAngularBasis(spherical_bessel_zeros(4, 5), cutoff)
    x = tensor([1.0 - 1e-7, 1.0, 1.2], requires_grad=True)
    values = basis(x)
    (slope,) = torch.autograd.grad(values.square().sum(), x)
    assert basis.l_max == 4
    assert values.shape == (3, 5, 5)
    assert values[0].abs().max() < 1e-5
    assert (values[1:] == 0.0).all()
    assert slope.abs().max() < 1e-10


def test_a_cutoff_of_another_length_only_rescales_the_cutoff():
    zeros, x = spherical_bessel_zeros(2, 3), tensor([0.2, 0.7])
    plain, wide = (RadialAngularBasis(zeros, "cosine", scale) for scale in (1.0, 6.0))
    ratio = wide(x) / plain(x)
    cut = make_cutoff("cosine")
    torch.testing.assert_close(ratio, (cut(x / 6.0) / cut(x)).view(-1, 1, 1).expand(2, 3, 3))


@pytest.mark.parametrize("name", ["polynomial", "cosine"])
def test_cutoffs_fall_from_one_to_zero(name):
    x = torch.linspace(0.0, 1.5, 301, dtype=torch.float64)
    values = make_cutoff(name)(x)
    assert values[0] == 1.0
    assert (values[x >= 1.0] == 0.0).all()
    assert (values.diff() <= 0.0).all()
    assert values[100] > 0.4


def test_legendre_polynomials_are_those_of_scipy_at_every_angle():
    cosine = np.concatenate([[-1.0, 0.0, 1.0], np.linspace(-1.0, 1.0, 401)])
    orders = np.arange(9)
    expected = np.sqrt((2 * orders + 1) / (4 * np.pi)) * eval_legendre(orders, cosine[:, None])
    np.testing.assert_allclose(legendre(8, tensor(cosine)).numpy(), expected, rtol=0.0, atol=1e-13)
    for l_max in (0, 1):
        np.testing.assert_allclose(legendre(l_max, tensor(cosine)).numpy(), expected[:, : l_max + 1])


def test_legendre_polynomials_have_finite_slopes_on_a_line():
    cosine = tensor([-1.0, 1.0], requires_grad=True)
    (slope,) = torch.autograd.grad(legendre(7, cosine).sum(), cosine)
    orders = np.arange(8)
    norms = np.sqrt((2 * orders + 1) / (4 * np.pi)) * orders * (orders + 1) / 2
    np.testing.assert_allclose(slope.numpy(), [(norms * (-1.0) ** (orders + 1)).sum(), norms.sum()])


def test_the_angular_basis_is_that_of_torch_geometric():
    dimenet = pytest.importorskip("torch_geometric.nn.models.dimenet", reason="a reference for tests")
    pytest.importorskip("sympy")
    n, l_max, cutoff = 4, 3, 5.0
    reference = dimenet.SphericalBasisLayer(l_max + 1, n, cutoff=cutoff)
    # Its closed forms cancel at small lengths, see spherical_bessel.
    distance, angle = tensor(np.linspace(2.5, 4.9, 40)), tensor(np.linspace(0.01, 3.13, 40))
    rows = torch.arange(40)
    theirs = reference(distance, angle, rows).view(40, l_max + 1, n)
    theirs = theirs / reference.envelope(distance / cutoff).view(-1, 1, 1)
    basis = RadialAngularBasis(spherical_bessel_zeros(l_max, n), "polynomial")
    basis.cutoff = Uncut()
    ours = basis(distance / cutoff) * legendre(l_max, angle.cos()).unsqueeze(2)
    torch.testing.assert_close(ours, theirs, rtol=0.0, atol=2e-6)  # its zeros are rounded to float32


def test_the_radial_basis_is_that_of_torch_geometric():
    dimenet = pytest.importorskip("torch_geometric.nn.models.dimenet", reason="a reference for tests")
    x = torch.linspace(0.1, 0.95, 30, dtype=torch.float64)
    reference = dimenet.BesselBasisLayer(8, cutoff=1.0).double()
    reference.freq.data = np.pi * torch.arange(1, 9, dtype=torch.float64)
    theirs = reference(x) / (reference.envelope(x) * x).view(-1, 1)
    encoding = BesselEdgeLengthEncoding(cutoff=Uncut(), num_bessels=8, irreps_in={})
    encoding._output_dtype = torch.float64
    ours = encoding({AtomicDataDict.NORM_LENGTH_KEY: x.view(-1, 1)})[AtomicDataDict.EDGE_EMBEDDING_KEY]
    torch.testing.assert_close(
        np.pi * ours, theirs, rtol=1e-12, atol=1e-12
    )  # nequip leaves the factor pi out
