import functools

import numpy as np
import pytest
import torch

pytest.importorskip("ase", reason="needs the extra [eam]")
pytest.importorskip("matscipy", reason="needs the extra [eam]")

from ase import Atoms
from ase.build import bulk
from eam_data import KINDS, bound, emt, energy_of, frame, frames_of, strained, strained_copper, stress_of
from scipy.optimize import brentq

from kan_heads.eam import EAMConfig
from kan_heads.eam.binding import rose_frames
from kan_heads.eam.data import split_by_group
from kan_heads.eam.fitting import fit_potential
from kan_heads.eam.relaxed import relaxed_energy_and_stress
from kan_heads.eam.training import FitConfig, errors_of, roughness
from kan_heads.elastic import elastic_constants, hexagonal
from kan_heads.errors import ConfigError, DataError

# Copper in ASE's effective medium theory, where a free atom has no energy.
EMT_ATOM = 3.51


def fitted(kind, label, rounds=3, smoothness=1e-10, inner=1.8, grids=(16, 12), cohesive=EMT_ATOM, **settings):
    """A potential fitted to crystals of copper, its errors, and the sets."""
    parts = split_by_group(frames_of(label, strained_copper()))
    config = EAMConfig("Cu", kind, inner=inner, grid_size=grids[0], density_grid_size=grids[1])
    options = FitConfig(rounds=rounds, smoothness=smoothness, **settings)
    return (*fit_potential(config, parts, options, cohesive), parts)


def constants(stress, crystal):
    c = elastic_constants(stress, crystal)
    return np.array([c[0, 0], c[0, 1], c[3, 3]])


def errors_of_a_constant(parts):
    """What always saying the mean of the training set gives on the test set: meV per atom, GPa."""
    train, _, test = parts
    energy = np.mean([f.energy for f in train])
    stress = np.mean([f.stress for f in train], axis=0)
    errors = [(abs(f.energy - energy), np.abs(f.stress - stress).mean()) for f in test]
    return np.mean(errors, axis=0) * [1e3, 160.21766208]


@functools.lru_cache
def recovered(kind):
    truth = bound(kind)
    rest = energy_of(truth, bulk("Cu", a=3.6))
    lowest = min(energy_of(truth, a) for a in strained_copper())
    assert lowest <= rest
    return fitted(kind, lambda a: (energy_of(truth, a), stress_of(truth, a)), cohesive=-lowest)


@pytest.mark.parametrize("kind", KINDS)
def test_potential_is_recovered_from_its_own_labels(kind):
    found, errors, parts = recovered(kind)
    energy, stress = errors_of_a_constant(parts)
    assert errors["test"].energy < 0.003 * energy
    assert errors["test"].stress < 0.006 * stress
    assert (errors["test"].n_frames, errors["test"].n_stresses) == (8, 8)
    crystal = bulk("Cu", a=3.6)
    truth = constants(lambda a: stress_of(bound(kind), a), crystal)
    assert constants(lambda a: stress_of(found, a), crystal) == pytest.approx(truth, rel=0.01)


@functools.lru_cache
def copper_of_emt(kind):
    return fitted(kind, emt, rounds=2, smoothness=1e-4, inner=2.2, grids=(10, 6))


def test_copper_of_effective_medium_theory_is_learned():
    """Labels of another potential, of another form."""
    found, errors, parts = copper_of_emt("eam")
    energy, stress = errors_of_a_constant(parts)
    assert errors["test"].energy < 0.02 * energy
    assert errors["test"].stress < 0.03 * stress
    crystal = bulk("Cu", a=3.6)
    truth = constants(lambda a: emt(a)[1], crystal)
    assert constants(lambda a: stress_of(found, a), crystal) == pytest.approx(truth, rel=0.03)


def test_pair_potential_cannot_leave_cauchys_relation():
    """Nor would it be one if it could; a density can."""
    found, errors, _ = copper_of_emt("pair")
    c = constants(lambda a: stress_of(found, a), bulk("Cu", a=3.6))
    assert c[1] == pytest.approx(c[2], rel=1e-4)
    assert errors["test"].energy > 5 * copper_of_emt("eam")[1]["test"].energy


def test_crystal_is_as_deep_as_was_asked_for():
    found, _, parts = copper_of_emt("eam")
    lowest = min((f for f in parts[0]), key=lambda f: f.energy)
    assert energy_of(found, lowest.atoms) == pytest.approx(-EMT_ATOM, abs=2e-3)
    assert found.reference == pytest.approx(lowest.energy + EMT_ATOM, abs=1e-12)


def test_history_tells_of_the_fit():
    found, errors, parts = copper_of_emt("eam")
    assert found.fitted
    assert found.history["rounds"] == 2
    assert 1 <= found.history["best_round"] <= 2
    assert found.history["n_training"] == len(parts[0])
    assert found.history["errors"]["test"]["energy"] == errors["test"].energy
    assert errors_of(found, parts[2]) == errors["test"]


def test_same_data_give_the_same_potential():
    options = {"rounds": 1, "smoothness": 1e-4, "inner": 2.2, "grids": (6, 4)}
    one, two = (fitted("eam", emt, **options)[0].state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_round_that_is_best_on_the_validation_set_is_kept():
    """Validation labels that the first round gets right: fitting on makes them worse."""
    train, validation, test = split_by_group(frames_of(emt, strained_copper()))
    config = EAMConfig("Cu", "eam", inner=2.2, grid_size=6, density_grid_size=4)
    first, _ = fit_potential(config, (train, validation, test), FitConfig(rounds=1), EMT_ATOM)
    labels = [
        frame(f.atoms, energy_of(first, f.atoms) + first.reference, stress_of(first, f.atoms), group=f.group)
        for f in validation
    ]
    heard = []
    found, errors = fit_potential(
        config, (train, labels, test), FitConfig(rounds=3), EMT_ATOM, say=lambda *x: heard.append(x)
    )
    assert [number for number, *_ in heard] == [1, 2, 3]
    losses = [loss for *_, loss in heard]
    assert losses[0] < 1e-9 * min(losses[1:])
    assert found.history["best_round"] == 1
    assert errors["validation"].energy < 1e-6
    assert all(torch.equal(found.state_dict()[name], value) for name, value in first.state_dict().items())


def free_atom(energy, pbc=False):
    return frame(Atoms("Cu", cell=[20.0] * 3, pbc=pbc), energy, group="free", number=99)


@pytest.mark.parametrize("pbc", [False, True], ids=["alone", "in a periodic box"])
def test_cohesive_energy_comes_from_a_free_atom(pbc):
    train, validation, test = split_by_group(frames_of(emt, strained_copper()))
    config = EAMConfig("Cu", "pair", inner=2.2, grid_size=6)
    lowest = min(f.energy for f in train)
    parts = train, validation, [*test, free_atom(2.0, pbc)]
    found, errors = fit_potential(config, parts, FitConfig(rounds=1))
    assert found.history["cohesive_energy_eV"] == pytest.approx(2.0 - lowest, abs=1e-12)
    # The constant of the labels is the free atom's energy, and the atom is no structure to be fitted.
    assert found.reference == pytest.approx(2.0, abs=1e-12)
    assert errors["test"].n_frames == len(test)
    with pytest.raises(DataError, match=r"no free atom.*pass --cohesive-energy in eV per atom"):
        fit_potential(config, (train, validation, test), FitConfig(rounds=1))
    for parts, name in (
        (([free_atom(2.0, pbc)], validation, test), "training"),
        ((train, [], test), "validation"),
    ):
        with pytest.raises(DataError, match=f"the {name} set holds free atoms only"):
            fit_potential(config, parts, FitConfig(rounds=1))


def test_labels_without_stress_are_fitted_to_their_energies():
    structures = strained_copper()
    frames = [frame(a, emt(a)[0], None, group=k, number=k) for k, a in enumerate(structures)]
    parts = split_by_group(frames)
    config = EAMConfig("Cu", "eam", inner=2.2, grid_size=6, density_grid_size=4)
    _, errors = fit_potential(config, parts, FitConfig(rounds=2), EMT_ATOM)
    constant = 1e3 * np.mean([abs(f.energy - np.mean([g.energy for g in parts[0]])) for f in parts[2]])
    assert errors["test"].energy < 0.1 * constant
    assert np.isnan(errors["test"].stress)
    assert errors["test"].n_stresses == 0


def test_weight_of_stresses_is_heard():
    """Without it, energies alone are fitted, and stresses are worse."""
    with_stress, without = (
        fitted("eam", emt, rounds=1, smoothness=1e-4, inner=2.2, grids=(10, 6), stress_weight=w)[1]
        for w in (1.0, 0.0)
    )
    assert without["training"].stress > 1.5 * with_stress["training"].stress
    assert without["training"].energy <= with_stress["training"].energy


def test_smooth_functions_are_cheaper():
    rough, smooth = (fitted("pair", emt, rounds=1, smoothness=s)[0] for s in (1e-8, 1.0))

    def curvature(potential):
        x = torch.nn.utils.parameters_to_vector(potential.parameters()).detach()
        return float((roughness(potential) @ x).square().sum())

    assert curvature(smooth) < 0.1 * curvature(rough)


@pytest.mark.parametrize("kind", KINDS)
def test_roughness_is_the_second_derivative_at_the_knots(kind):
    potential = bound(kind)
    x = torch.nn.utils.parameters_to_vector(potential.parameters()).detach()
    found = (roughness(potential) @ x)[: potential.pair.edge.basis.n_basis - 2]
    assert len(found) == 17
    basis = potential.pair.edge.basis
    knots = (basis.lower + basis.step * torch.arange(1, 16, dtype=torch.float64)).requires_grad_()
    (slope,) = torch.autograd.grad(potential.pair.edge(knots.unsqueeze(-1)).sum(), knots, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), knots)
    assert torch.allclose(found[1:-1] * 17**0.5, curvature, rtol=1e-5)


def test_atoms_at_unknown_places_are_placed_while_fitting():
    """Labels of hcp crystals at rest, of which the atoms are given where the strain put them."""
    truth, random = bound("pair"), np.random.default_rng(3)
    crystal = bulk("Cu", "hcp", a=2.6, c=4.25)
    structures = [crystal]
    for _ in range(29):
        noise = 0.012 * random.normal(size=(3, 3))
        structures.append(strained(crystal, noise + noise.T))
    labels = [relaxed_energy_and_stress(truth, a) for a in structures]
    depth = -min(energy for energy, _ in labels)
    c = [hexagonal(elastic_constants(lambda a: relaxed_energy_and_stress(truth, a)[1], crystal))]
    errors = {}
    for relax in (False, True):
        frames = [
            frame(a, 2 * e, s, relax, group=k, number=k)
            for k, (a, (e, s)) in enumerate(zip(structures, labels, strict=True))
        ]
        found, measured = fit_potential(truth.config, split_by_group(frames), FitConfig(rounds=4), depth)
        errors[relax] = measured["test"]
        c.append(hexagonal(elastic_constants(lambda a, p=found: relaxed_energy_and_stress(p, a)[1], crystal)))
    assert errors[True].energy < 0.1 * errors[False].energy
    assert errors[True].stress < 0.2 * errors[False].stress
    assert c[2] == pytest.approx(c[0], rel=0.03)
    # Taken as they are, the places teach another crystal.
    assert abs(c[1]["C11"] / c[0]["C11"] - 1) > 0.2


def test_binding_curve_has_the_depth_and_the_bulk_modulus():
    lowest = frame(bulk("Cu", a=3.6).repeat(2), -8 * 7.0)
    found = rose_frames(lowest, 3.5, 140.0)
    volume = 3.6**3 / 4
    stretch = np.array([(f.atoms.get_volume() / 8 / volume) ** (1 / 3) for f in found])
    energy = np.array([f.energy / 8 for f in found]) + 7.0 - 3.5
    assert 1.0 < stretch.min() < stretch.max()
    assert not any(f.stress is not None or f.relax for f in found)
    # (1 + x) exp(-x): x is proportional to the stretch, and its scale tells the bulk modulus.
    x = [brentq(lambda x, e=e: (1 + x) * np.exp(-x) + e / 3.5, 0.0, 50.0) for e in energy]
    scale = (stretch - 1) / x
    assert np.allclose(scale, scale[0], rtol=1e-6)
    assert 3.5 / (9 * volume * scale[0] ** 2) * 160.21766208 == pytest.approx(140.0, rel=1e-6)
    with pytest.raises(ConfigError, match="bulk_modulus: -1 GPa must be above 0"):
        rose_frames(lowest, 3.5, -1.0)


def test_binding_curve_holds_the_crystal_where_there_are_no_labels():
    parts = split_by_group(frames_of(emt, strained_copper()))
    config = EAMConfig("Cu", "eam", inner=2.2, grid_size=10, density_grid_size=6)
    found, errors = fit_potential(config, parts, FitConfig(rounds=2), EMT_ATOM, bulk_modulus=130.0)
    assert found.history["n_training"] == errors["training"].n_frames == len(parts[0])
    lowest = min(parts[0], key=lambda f: f.energy)
    off = [
        abs(energy_of(found, f.atoms) + found.reference - f.energy)
        for f in rose_frames(lowest, EMT_ATOM, 130.0)
    ]
    free = copper_of_emt("eam")[0]
    without = [
        abs(energy_of(free, f.atoms) + free.reference - f.energy)
        for f in rose_frames(lowest, EMT_ATOM, 130.0)
    ]
    assert max(off) < 0.05, "the tolerance of the curve, eV per atom"
    assert max(off) < max(without)
    assert errors["test"].energy < 0.1 * errors_of_a_constant(parts)[0]


def test_errors_are_means_of_absolute_differences():
    truth = bound("eam")
    truth.reference = -5.0
    one, two = strained_copper()[1:3]
    labels = [
        frame(one, energy_of(truth, one) - 5.0 + 0.002, stress_of(truth, one) + 0.01 * np.eye(3)),
        frame(two.repeat(2), 8 * (energy_of(truth, two) - 5.0 - 0.004)),
    ]
    errors = errors_of(truth, labels)
    assert errors.energy == pytest.approx(3.0, rel=1e-6)
    assert errors.stress == pytest.approx(1.6021766208 / 3, rel=1e-6)
    assert (errors.n_frames, errors.n_stresses) == (2, 1)


WRONG = {
    "rounds": (0, "rounds: 0 must be at least 1"),
    "energy_tolerance": (0.0, "energy_tolerance: 0 must be above 0"),
    "stress_tolerance": (-1.0, "stress_tolerance: -1 must be above 0"),
    "softening": (float("inf"), "softening: inf must be above 0"),
    "stress_weight": (-0.5, r"stress_weight: -0\.5 must be 0 or more"),
    "smoothness": (float("nan"), "smoothness: nan must be 0 or more"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_settings_are_named(name):
    value, message = WRONG[name]
    with pytest.raises(ConfigError, match=message):
        FitConfig(**{name: value})
