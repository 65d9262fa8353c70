import numpy as np
import pytest

pytest.importorskip("ase", reason="needs the extra [eam]")

from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from kan_heads.elastic import (
    GPA,
    HEXAGONAL,
    VOIGT,
    constants_from_energies,
    deformation,
    elastic_constants,
    hexagonal,
    hexagonal_matrix,
    lagrangian_strain,
    strain_matrix,
    voigt_reuss_hill,
)
from kan_heads.errors import DataError

RU = {"C11": 605.0, "C12": 199.0, "C13": 174.0, "C33": 709.0, "C44": 206.0}


def argon(scale=1.0):
    """An fcc crystal of Lennard-Jones atoms; at rest where the scale is 1."""
    calculator = LennardJones(sigma=3.4, epsilon=0.0104, rc=6.0, ro=5.0, smooth=True)
    atoms = bulk("Ar", a=5.315)
    atoms.calc = calculator
    for _ in range(20):
        pressure = -np.trace(atoms.get_stress(voigt=False)) / 3
        slope = 3.0 / GPA  # the bulk modulus, roughly
        atoms.set_cell(atoms.cell * (1.0 - pressure / slope / 3) ** -1, scale_atoms=True)
    assert abs(pressure) < 1e-9
    atoms.set_cell(atoms.cell * scale, scale_atoms=True)
    return atoms, calculator


def copper(scale=1.0):
    return bulk("Cu", a=3.5895 * scale), EMT()


def with_calculator(calculator, atoms):
    found = atoms.copy()
    found.calc = calculator
    return found


def energy_differences(calculator, crystal, step=3e-3):
    """C in GPa by second differences of the energy; the deformation is a triangle, not a symmetric matrix."""

    def energy(voigt):
        metric = np.eye(3) + 2 * strain_matrix(voigt)
        atoms = with_calculator(calculator, crystal)
        atoms.set_cell(crystal.cell.array @ np.linalg.cholesky(metric), scale_atoms=True)
        return atoms.get_potential_energy()

    unit, c = np.eye(6) * step, np.zeros((6, 6))
    for a, b in np.ndindex(6, 6):
        c[a, b] = (
            energy(unit[a] + unit[b])
            - energy(unit[a] - unit[b])
            - energy(unit[b] - unit[a])
            + energy(-unit[a] - unit[b])
        )
    return GPA * c / (4 * step**2 * crystal.get_volume())


@pytest.mark.parametrize("scale", [1.0, 0.97, 1.02], ids=["at rest", "compressed", "stretched"])
@pytest.mark.parametrize("make", [argon, copper])
def test_constants_are_second_derivatives_of_the_energy(make, scale):
    crystal, calculator = make(scale)
    c = elastic_constants(
        lambda a: with_calculator(calculator, a).get_stress(voigt=False), crystal, step=1e-3
    )
    expected = energy_differences(calculator, crystal)
    assert np.allclose(c, expected, atol=2e-3 * np.abs(expected).max())
    assert np.array_equal(c, c.T)
    # The crystal is a cube.
    assert np.allclose(c[[0, 1, 0, 3, 4], [0, 1, 2, 3, 4]], c[[1, 2, 1, 4, 5], [1, 2, 2, 4, 5]], rtol=1e-4)
    assert np.abs(c[:3, 3:]).max() < 1e-3 * c[0, 0]


@pytest.mark.parametrize("scale", [1.0, 0.95], ids=["at rest", "under pressure"])
def test_cauchys_relation_holds_for_pairs_but_not_for_densities(scale):
    crystal, calculator = argon(scale)
    c = elastic_constants(lambda a: with_calculator(calculator, a).get_stress(voigt=False), crystal)
    assert c[0, 1] == pytest.approx(c[3, 3], rel=1e-4)
    crystal, calculator = copper()
    c = elastic_constants(lambda a: with_calculator(calculator, a).get_stress(voigt=False), crystal)
    assert c[0, 1] > 1.1 * c[3, 3]


def test_strains_are_those_of_lagrange():
    eta = np.array([0.02, -0.03, 0.01, 0.05, -0.04, 0.03])
    f = deformation(strain_matrix(eta))
    assert np.allclose(f, f.T)
    assert np.allclose((f.T @ f - np.eye(3)) / 2, strain_matrix(eta), atol=1e-15)
    cell = bulk("Ru").cell.array
    assert np.allclose(lagrangian_strain(cell @ f.T, cell), eta, atol=1e-14)
    # A cell that was only turned is not strained.
    turn = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    assert np.allclose(lagrangian_strain(cell @ f.T @ turn.T, cell), eta, atol=1e-14)
    assert VOIGT[3:] == ((1, 2), (0, 2), (0, 1))


def test_five_constants_make_the_matrix_and_are_found_in_it():
    c = hexagonal_matrix(RU)
    assert hexagonal(c) == pytest.approx(RU, rel=1e-14)
    assert c[5, 5] == (605.0 - 199.0) / 2
    assert np.array_equal(c, c.T)
    # The plane is isotropic: turned about the axis the tensor is the same.
    s, k = np.sin(0.7), np.cos(0.7)
    turn = np.array([[k, -s, 0], [s, k, 0], [0, 0, 1]])
    full = np.zeros((3, 3, 3, 3))
    for p, (i, j) in enumerate(VOIGT):
        for q, (m, n) in enumerate(VOIGT):
            full[i, j, m, n] = full[j, i, m, n] = full[i, j, n, m] = full[j, i, n, m] = c[p, q]
    turned = np.einsum("ai,bj,cm,dn,ijmn->abcd", turn, turn, turn, turn, full)
    assert np.allclose(turned, full, atol=1e-10)


def test_noise_is_averaged_over_what_is_equal():
    c, random = hexagonal_matrix(RU), np.random.default_rng(0)
    errors = []
    for _ in range(200):
        noise = random.normal(size=(6, 6))
        errors.append(np.array(list(hexagonal(c + 0.5 * (noise + noise.T)).values())) - list(RU.values()))
    assert np.abs(np.mean(errors, axis=0)).max() < 0.3
    assert (np.std(errors, axis=0) < [0.8, 0.8, 0.6, 1.2, 0.8]).all()


@pytest.mark.parametrize(("bulk_modulus", "shear"), [(100.0, 40.0), (10.0, 30.0)])
def test_isotropic_matter_has_its_own_moduli(bulk_modulus, shear):
    lame = bulk_modulus - 2 * shear / 3
    c = np.diag([2 * shear] * 3 + [shear] * 3)
    c[:3, :3] += lame
    moduli = voigt_reuss_hill(c)
    assert moduli.bulk == pytest.approx(bulk_modulus, rel=1e-12)
    assert moduli.shear == pytest.approx(shear, rel=1e-12)
    assert moduli.young == pytest.approx(9 * bulk_modulus * shear / (3 * bulk_modulus + shear), rel=1e-12)
    assert moduli.poisson == pytest.approx(lame / (2 * (lame + shear)), rel=1e-12)


def test_moduli_of_a_cube():
    """Copper, 168.4, 121.4, 75.4 GPa: bounds of the shear modulus 54.64 and 40.034."""
    c = np.diag([168.4 - 121.4] * 3 + [75.4] * 3)
    c[:3, :3] += 121.4
    moduli = voigt_reuss_hill(c)
    voigt, reuss = (47.0 + 3 * 75.4) / 5, 5 * 47.0 * 75.4 / (4 * 75.4 + 3 * 47.0)
    assert (voigt, reuss) == (pytest.approx(54.64), pytest.approx(40.034, abs=1e-3))
    assert moduli.bulk == pytest.approx((168.4 + 2 * 121.4) / 3)
    assert moduli.shear == pytest.approx(47.337, abs=1e-3)
    assert moduli.young == pytest.approx(127.35, abs=0.01)
    assert moduli.poisson == pytest.approx(0.3452, abs=1e-4)


def test_moduli_of_a_hexagonal_crystal():
    """Watt and Peselnick, J. Appl. Phys. 51, 1525 (1980), in closed form."""
    c11, c12, c13, c33, c44 = RU.values()
    c66, m = (c11 - c12) / 2, c11 + c12 + 2 * c33 - 4 * c13
    square = (c11 + c12) * c33 - 2 * c13**2
    bulk_v, bulk_r = (2 * (c11 + c12) + 4 * c13 + c33) / 9, square / m
    shear_v = (m + 12 * c44 + 12 * c66) / 30
    shear_r = 2.5 * square * c44 * c66 / (3 * bulk_v * c44 * c66 + square * (c44 + c66))
    moduli = voigt_reuss_hill(hexagonal_matrix(RU))
    assert moduli.bulk == pytest.approx((bulk_v + bulk_r) / 2, rel=1e-12)
    assert moduli.shear == pytest.approx((shear_v + shear_r) / 2, rel=1e-12)


@pytest.mark.parametrize("change", [{"C44": -10.0}, {"C12": 700.0}, {"C33": 10.0}, {"C44": 0.0}])
def test_unstable_crystals_have_no_moduli(change):
    with pytest.raises(DataError, match="no stable crystal"):
        voigt_reuss_hill(hexagonal_matrix({**RU, **change}))


# Seven ways to strain a hexagonal crystal; as those of the ruthenium set.
WAYS = [
    [1, 1, 1, 0, 0, 0],
    [1, 0, 0, 0, 0, 0],
    [0, 0, 1, 0, 0, 0],
    [1, 0, 1, 0, 0, 0],
    [0, 0, 1, 2, 0, 0],
    [1, 1, 0, 0, 0, 0],
    [0, 0, 0, 2, 0, 0],
]
VOLUME = 27.1


def synthetic(ways, n, stress=(0.02, -0.05), third=-20.0, noise=0.0, widest=0.05, fourth=30.0):
    """Strains and energies of a crystal under stress whose energy has terms of third and fourth order."""
    amounts = np.linspace(-widest, widest, n)
    strains = np.array([x * np.array(way, float) for way in ways for x in amounts])
    c = hexagonal_matrix(RU) / GPA
    first = strains[:, :2].sum(1) * stress[0] + strains[:, 2] * stress[1]
    second = 0.5 * np.einsum("na,ab,nb->n", strains, c, strains)
    normal = strains[:, :3].sum(1)
    higher = third * normal**3 + third * strains[:, 0] * strains[:, 3] ** 2 + fourth * normal**4
    energies = -17.0 + VOLUME * (first + second + higher)
    return strains, energies + noise * np.random.default_rng(0).normal(size=len(energies))


def test_constants_come_back_from_energies():
    found, errors = constants_from_energies(*synthetic(WAYS, 11), VOLUME)
    assert found == pytest.approx(RU, rel=1e-6)
    assert max(errors.values()) < 1e-3


def test_third_order_would_spoil_the_constants_if_left_out():
    """What the powers of each direction are for."""
    strains, energies = synthetic(WAYS, 11)
    found, _ = constants_from_energies(strains, energies, VOLUME, degree=2)
    assert max(abs(found[name] - RU[name]) for name in HEXAGONAL) > 1.0


def test_standard_errors_say_how_far_the_constants_are_off():
    noise = 1e-4
    found, errors = constants_from_energies(*synthetic(WAYS, 21, noise=noise), VOLUME)
    for name in HEXAGONAL:
        assert 0.01 < errors[name] < 50.0
        assert abs(found[name] - RU[name]) < 4 * errors[name]
    _, wider = constants_from_energies(*synthetic(WAYS, 21, noise=3 * noise), VOLUME)
    assert wider["C11"] == pytest.approx(3 * errors["C11"], rel=1e-3)


@pytest.mark.parametrize(
    "ways",
    [[[1, 0, 0, 0, 0, 0]], [[1, 1, 1, 0, 0, 0], [0, 0, 1, 0, 0, 0]], WAYS[:4]],
    ids=["one way", "no shear", "no C44"],
)
def test_strains_that_do_not_fix_all_constants_are_refused(ways):
    with pytest.raises(DataError, match="do not fix all of C11, C12, C13, C33 and C44"):
        constants_from_energies(*synthetic(ways, 11), VOLUME)


@pytest.mark.parametrize("n", [3, 5])
def test_too_few_amounts_of_strain_are_refused(n):
    """Orders up to the sixth need six cells in each direction: of fewer, any constants would be wrong."""
    with pytest.raises(DataError, match="do not fix"):
        constants_from_energies(*synthetic(WAYS, n), VOLUME)
