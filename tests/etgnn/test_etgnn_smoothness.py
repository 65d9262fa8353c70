"""What happens when an atom crosses a cutoff: nothing, unless a published quirk is asked for."""

import pytest
import torch
from ase import Atoms
from etgnn_models import BORN, KANS, SMALL, build, graph

# Steps to both sides of a cutoff: a smooth change shrinks with the step, a jump stays as it is.
WIDE, NARROW = 1e-3, 1e-5

CROSSINGS = {name: SMALL[name] for name in ("r_max", "angular_r_max", "triplet_r_max")}


def cluster(distance):
    """Makes five atoms, the last of them at this distance from the first and near others."""
    positions = [[0, 0, 0], [1.3, 0.9, 0.2], [1.5, -1.0, 0.7], [-0.9, 0.6, 1.1], [distance, 0, 0]]
    return Atoms("SiO3Si", positions=positions)


def along(model, distance):
    """Returns a mixture of all elements of all tensors, and its slope along the way of the last atom."""
    data = graph(cluster(distance))
    data["pos"].requires_grad_(True)
    tensors = model(data)[BORN]
    weights = torch.randn(tensors.shape, generator=torch.Generator().manual_seed(0)).to(tensors.dtype)
    value = (tensors * weights).sum()
    (slope,) = torch.autograd.grad(value, data["pos"])
    return value.item(), slope[4, 0].item()


def steps(model, cutoff):
    """Returns the changes of value and slope across a cutoff, for the wide and the narrow step."""
    changes = []
    for step in (WIDE, NARROW):
        inside, outside = along(model, cutoff - step), along(model, cutoff + step)
        changes.append([abs(a - b) for a, b in zip(inside, outside, strict=True)])
    return list(zip(*changes, strict=True))


def is_continuous(wide, narrow):
    return narrow < 0.1 * wide or narrow < 1e-9


@pytest.mark.parametrize("crossing", CROSSINGS)
@pytest.mark.parametrize("kan", KANS)
@pytest.mark.parametrize("cutoff", ["polynomial", "cosine"])
def test_tensor_and_slope_are_continuous_at_every_cutoff(crossing, kan, cutoff):
    model = build(KANS[kan], cutoff=cutoff)
    value, slope = steps(model, CROSSINGS[crossing])
    assert value[0] > 1e-7, "the atoms do not feel each other; the test would prove nothing"
    assert is_continuous(*value)
    assert is_continuous(*slope)


@pytest.mark.parametrize("cutoff", ["polynomial", "cosine"])
def test_cutoffs_that_coincide_are_as_smooth(cutoff):
    model = build(cutoff=cutoff, triplet_r_max=4.0, angular_r_max=4.0)
    value, slope = steps(model, 4.0)
    assert is_continuous(*value)
    assert is_continuous(*slope)


QUIRKS = {
    "edge_envelope": ({"edge_envelope": False}, "r_max"),
    "triplet_envelope": ({"triplet_envelope": "step"}, "triplet_r_max"),
}


@pytest.mark.parametrize("quirk", QUIRKS)
@pytest.mark.parametrize("crossing", CROSSINGS)
def test_each_quirk_makes_the_tensor_jump_at_its_own_cutoff(quirk, crossing):
    options, at = QUIRKS[quirk]
    value, _ = steps(build(**options), CROSSINGS[crossing])
    if crossing == at:
        assert value[1] > 1e-3
    elif (quirk, crossing) != ("triplet_envelope", "angular_r_max"):  # a step ends messages unsmoothly too
        assert is_continuous(*value)


@pytest.mark.parametrize("crossing", ["r_max", "triplet_r_max"])
def test_the_faithful_model_jumps_as_the_published_one_does(crossing):
    value, _ = steps(build(preset="faithful"), CROSSINGS[crossing])
    assert value[1] > 1e-3
    assert not is_continuous(*value)


def test_a_limit_on_neighbours_makes_the_tensor_jump_where_they_trade_places():
    model = build(max_neighbors=1)
    others = cluster(0.0).get_distances(0, [1, 2, 3])
    value, _ = steps(model, float(min(others)))
    assert value[1] > 1e-3
    assert is_continuous(*steps(build(), float(min(others)))[0])


def test_a_cutoff_of_the_angular_basis_that_never_cuts_leaves_a_kink():
    model = build(angular_cutoff_in_angstrom=False)
    value, slope = steps(model, CROSSINGS["angular_r_max"])
    assert is_continuous(*value)
    assert not is_continuous(*slope)
