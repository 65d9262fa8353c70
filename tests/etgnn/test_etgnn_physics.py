"""The laws that a tensor of an atom or a crystal obeys, for random weights in float64."""

import ase.build
import numpy as np
import pytest
import torch
from ase import Atoms
from etgnn_models import BORN, FIELDS, KANS, SMALL, build, graph, network, orthogonal, predict, silica, turned
from nequip.data import AtomicDataDict

TIGHT = {"rtol": 1e-8, "atol": 1e-8}
RANDOM = [*((field, "mlp") for field in FIELDS), *(("charges", kan) for kan in KANS if kan != "mlp")]
RANDOM.append(("dielectric", "all-bspline"))


@pytest.fixture(scope="module", params=RANDOM, ids="-".join)
def model(request):
    field, kan = request.param
    return build(KANS[kan], **FIELDS[field])


def is_trivial(tensors):
    """Tells whether tensors are too simple to prove anything: equal, isotropic or symmetric."""
    isotropic = tensors.diagonal(dim1=1, dim2=2).mean(dim=1).view(-1, 1, 1) * torch.eye(3)
    return (tensors - isotropic).abs().max() < 1e-2


def test_the_tensor_turns_with_the_crystal(model):
    atoms = silica()
    before = predict(model, atoms)
    assert not is_trivial(before)
    for seed in range(3):
        for improper in (False, True):
            matrix = orthogonal(seed, improper)
            r = torch.tensor(matrix)
            torch.testing.assert_close(predict(model, turned(atoms, matrix)), r @ before @ r.T, **TIGHT)


def test_inversion_leaves_the_tensor_as_it_is(model):
    atoms = silica(1)
    torch.testing.assert_close(predict(model, turned(atoms, -np.eye(3))), predict(model, atoms), **TIGHT)


def test_only_declared_tensors_are_symmetric(model):
    tensors = predict(model, silica(2))
    asymmetry = (tensors - tensors.transpose(1, 2)).abs().max()
    assert asymmetry == 0.0 if network(model).symmetric else asymmetry > 1e-3


def test_renumbering_atoms_renumbers_tensors(model):
    atoms, order = silica(3), [4, 2, 5, 0, 3, 1]
    before, after = predict(model, atoms), predict(model, atoms[order])
    torch.testing.assert_close(after, before[order] if network(model).per == "atom" else before, **TIGHT)


def test_neither_origin_nor_choice_of_images_matters(model):
    atoms = silica(4)
    before = predict(model, atoms)
    shifted = atoms.copy()
    shifted.positions += [0.7, -3.1, 12.9]
    torch.testing.assert_close(predict(model, shifted), before, **TIGHT)
    shifted.wrap()
    torch.testing.assert_close(predict(model, shifted), before, **TIGHT)
    images = atoms.copy()
    images.positions += np.random.RandomState(0).randint(-2, 3, (6, 3)) @ atoms.cell.array
    torch.testing.assert_close(predict(model, images), before, **TIGHT)


def test_another_cell_of_the_same_crystal_changes_nothing(model):
    atoms = silica(5)
    other = atoms.copy()
    other.set_cell(np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]]) @ atoms.cell.array)
    torch.testing.assert_close(predict(model, other), predict(model, atoms), **TIGHT)


def test_a_supercell_has_the_tensors_of_its_cell(model):
    atoms = silica(6)
    before, after = predict(model, atoms), predict(model, atoms * (2, 2, 2))
    if network(model).per == "atom":
        before = before.repeat(8, 1, 1)
    torch.testing.assert_close(after, before, **TIGHT)


def test_a_batch_has_the_tensors_of_its_structures(model):
    silicon = ase.build.bulk("Si")
    frames = [silica(7), Atoms("O", cell=[9.0] * 3, pbc=True), silica(8) * (2, 1, 1), silicon]
    batch = AtomicDataDict.batched_from_list([graph(frame) for frame in frames])
    expected = torch.cat([predict(model, frame) for frame in frames])
    torch.testing.assert_close(model(batch)[network(model).tensor_field].detach(), expected, **TIGHT)


def test_a_crystal_has_the_mean_of_its_atoms():
    crystal, atom = build(field="dielectric_tensor"), build(**FIELDS["charges-symmetric"], sum_rule=False)
    atoms = silica(9)
    mean = predict(atom, atoms).mean(dim=0, keepdim=True)
    torch.testing.assert_close(predict(crystal, atoms), mean, **TIGHT)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kan", ["mlp", "output-bspline"])
def test_charges_of_a_crystal_sum_to_zero_unless_told_otherwise(kan, dtype):
    frames = [silica(seed) * (1, 1, 1 + seed % 2) for seed in range(4)]
    batch = AtomicDataDict.batched_from_list([graph(frame) for frame in frames])

    def largest_mean(**options):
        model = build(KANS[kan], dtype, **options)
        tensors = model(dict(batch))[BORN].detach()
        crystals = [*tensors.split([len(frame) for frame in frames]), predict(model, frames[0])]
        return max(crystal.mean(dim=0).abs().max() for crystal in crystals)

    assert largest_mean() < (1e-6 if dtype == "float32" else 1e-13)
    assert largest_mean(sum_rule=False) > 0.1
    assert largest_mean(preset="faithful") > 0.1


def test_the_sum_rule_moves_all_atoms_alike():
    ruled, free = (predict(build(sum_rule=rule), silica(3)) for rule in (True, False))
    torch.testing.assert_close(ruled, free - free.mean(dim=0), **TIGHT)


def test_a_symmetric_site_has_a_tensor_of_its_symmetry():
    silicon = predict(build(sum_rule=False), ase.build.bulk("Si"))
    isotropic = silicon[0, 0, 0] * torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(silicon, isotropic.expand(2, 3, 3), **TIGHT)
    axial = predict(build(sum_rule=False), ase.build.bulk("Si", "hcp", a=2.6, c=4.4))[0]
    assert abs(axial[2, 2] - axial[0, 0]) > 1e-3
    torch.testing.assert_close(axial, torch.diag(axial.diagonal()), **TIGHT)
    assert axial[0, 0].item() == pytest.approx(axial[1, 1].item())


@pytest.mark.parametrize("field", ["charges", "dielectric"])
@pytest.mark.parametrize("kan", ["mlp", "all-bspline"])
def test_single_precision_agrees_with_double(kan, field):
    double, single = (build(KANS[kan], dtype, **FIELDS[field]) for dtype in ("float64", "float32"))
    single.load_state_dict(double.state_dict())
    atoms = silica(10)
    expected, found = predict(double, atoms), predict(single, atoms)
    assert (expected.dtype, found.dtype) == (torch.float64, torch.float32)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-4)


def gradient(model, atoms):
    """Differentiates a mixture of all elements by positions."""
    data = graph(atoms)
    data["pos"].requires_grad_(True)
    tensors = model(data)[network(model).tensor_field]
    weights = torch.randn(tensors.shape, generator=torch.Generator().manual_seed(0)).to(tensors.dtype)
    (slope,) = torch.autograd.grad((tensors * weights).sum(), data["pos"], allow_unused=True)
    return tensors.detach(), torch.zeros_like(data["pos"]) if slope is None else slope


LONELY = {
    "one atom": Atoms("Si", positions=[[0, 0, 0]]),
    "one atom in a large cell": Atoms("Si", cell=[9.0] * 3, pbc=True),
    "one atom in a small cell": ase.build.bulk("Si", "fcc", a=3.8),
    "chain of one atom": Atoms("O", cell=[1.7, 20.0, 20.0], pbc=True),
    "linear chain": Atoms(
        "SiO2", cell=[4.8, 20.0, 20.0], pbc=True, positions=[[x, 0, 0] for x in (0, 1.6, 3.2)]
    ),
    "dimer": Atoms("SiO", positions=[[0, 0, 0], [0, 0, 1.6]]),
    "linear molecule": Atoms("OSiO", positions=[[0, 0, -1.6], [0, 0, 0], [0, 0, 1.6]]),
    "dimer and an atom far away": Atoms("SiO2", positions=[[0, 0, 0], [0, 0, 1.6], [30, 0, 0]]),
    "pairs without triplets": Atoms("O3", positions=[[0, 0, 0], [3.9, 0, 0], [-3.9, 0, 0]]),
    "square with right angles": Atoms("OSiOSi", positions=[[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]]),
}


@pytest.mark.parametrize("name", LONELY)
@pytest.mark.parametrize("options", ["sound", "faithful", "dielectric", "kan"])
def test_sparse_and_degenerate_structures_have_finite_tensors_and_gradients(name, options):
    changes = {
        "sound": {},
        "faithful": {"preset": "faithful"},
        "dielectric": FIELDS["dielectric"],
        "kan": {"kan": KANS["all-bspline"]},
    }[options]
    tensors, slope = gradient(build(**changes), LONELY[name])
    assert tensors.shape[0] == (1 if options == "dielectric" else len(LONELY[name]))
    assert torch.isfinite(tensors).all()
    assert torch.isfinite(slope).all()


def test_an_atom_without_neighbours_has_its_shift():
    lonely = predict(build(sum_rule=False), LONELY["dimer and an atom far away"])[2]
    torch.testing.assert_close(lonely, -1.5 * torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("name", ["mlp", "all-bspline"])
def test_gradients_are_those_of_finite_differences(name):
    model, atoms = build(KANS[name]), silica(11)
    weights = torch.randn(6, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    _, slope = gradient(model, atoms)
    for atom, axis in ((0, 0), (3, 2)):
        values = []
        for step in (-1e-5, 1e-5):
            moved = atoms.copy()
            moved.positions[atom, axis] += step
            values.append((predict(model, moved) * weights).sum().item())
        assert slope[atom, axis].item() == pytest.approx((values[1] - values[0]) / 2e-5, rel=1e-5, abs=1e-6)


def silence(readout):
    with torch.no_grad():
        for parameter in readout.parameters():
            parameter.zero_()


def test_a_triplet_belongs_to_its_middle_atom():
    model = build(sum_rule=False, per_type_shifts=None)
    silence(network(model).edge_readout)
    bent = Atoms(
        "OSiO", positions=[[1.7, 0, 0], [0, 0, 0], [-1.2, 1.5, 0]]
    )  # O-O is longer than triplet_r_max
    tensors = predict(model, bent)
    assert bent.get_distance(0, 2) > SMALL["triplet_r_max"]
    assert (tensors[[0, 2]] == 0.0).all()
    assert tensors[1].abs().max() > 1e-3
    assert (tensors[1, 2] == 0.0).all()


def test_an_edge_belongs_to_the_atom_that_it_ends_at():
    model = build(sum_rule=False, per_type_shifts=None)
    silence(network(model).triplet_readout)
    dimer = predict(model, Atoms("OSi", positions=[[0, 0, 0], [0, 0, 1.6]]))
    assert (dimer[:, 2, 2].abs() > 1e-3).all()
    assert abs(dimer[0, 2, 2] - dimer[1, 2, 2]) > 1e-3  # the two directions have features of their own
    dimer[:, 2, 2] = 0.0
    assert (dimer == 0.0).all()
