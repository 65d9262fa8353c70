"""Pairs of edges against a loop over images, and the nearest neighbours against numpy."""

import itertools

import numpy as np
import pytest
import torch
from ase import Atoms
from etgnn_models import graph
from nequip.data import AtomicDataDict

from kan_heads.etgnn.triplets import find_triplets, nearest_edges

CUTOFF = 3.2


def random_cell(seed, n_atoms, length):
    """Makes a skewed cell with atoms anywhere, none of them on top of each other."""
    rng = np.random.RandomState(seed)
    cell = length * (np.eye(3) + 0.25 * rng.uniform(-1, 1, (3, 3)))
    while True:
        atoms = Atoms(f"O{n_atoms}", scaled_positions=rng.uniform(0, 1, (n_atoms, 3)), cell=cell, pbc=True)
        if n_atoms == 1 or atoms.get_all_distances(mic=True)[np.triu_indices(n_atoms, 1)].min() > 0.3:
            return atoms


def edges_of(data):
    center, neighbor = data[AtomicDataDict.EDGE_INDEX_KEY]
    shift = data.get(AtomicDataDict.EDGE_CELL_SHIFT_KEY)
    return center, neighbor, torch.zeros(center.shape[0], 3) if shift is None else shift


def brute_force(atoms, cutoff):
    """Lists (k, image of k, j, image of j, i) for atoms i of the cell by a loop over images."""
    cell, positions = atoms.cell.array, atoms.positions
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = np.ceil(cutoff / heights).astype(int) + 1
    images = list(itertools.product(*(range(-n, n + 1) for n in reach)))

    def neighbors(atom, image):
        here = positions[atom] + np.array(image) @ cell
        for offset in images:
            for other in range(len(atoms)):
                there = tuple(np.array(image) + offset)
                distance = np.linalg.norm(positions[other] + np.array(there) @ cell - here)
                if distance < cutoff and (other, there) != (atom, image):
                    yield other, there

    found = []
    for i in range(len(atoms)):
        home = (i, (0, 0, 0))
        for j in neighbors(*home):
            found += [(*k, *j, i) for k in neighbors(*j) if k != home]
    return sorted(found)


def listed(data, num_atoms):
    center, neighbor, shift = edges_of(data)
    kj, ji = find_triplets(center, neighbor, shift, num_atoms)
    assert (center[kj] == neighbor[ji]).all()
    whole = shift.round().int()
    rows = zip(
        neighbor[kj].tolist(),
        (whole[kj] + whole[ji]).tolist(),
        neighbor[ji].tolist(),
        whole[ji].tolist(),
        center[ji].tolist(),
        strict=True,
    )
    return sorted((k, tuple(at_k), j, tuple(at_j), i) for k, at_k, j, at_j, i in rows)


@pytest.mark.parametrize(
    ("n_atoms", "length"), [(1, 2.1), (1, 3.1), (2, 2.4), (2, 3.5), (3, 3.0), (5, 4.0), (8, 5.0)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_triplets_are_those_of_a_loop_over_images(n_atoms, length, seed):
    atoms = random_cell(seed, n_atoms, length)
    expected = brute_force(atoms, CUTOFF)
    assert expected
    assert len(set(expected)) == len(expected)
    assert listed(graph(atoms, CUTOFF), n_atoms) == expected


def test_of_the_images_of_an_atom_only_the_very_same_one_is_left_out():
    chain = Atoms("O", cell=[2.0, 9.0, 9.0], pbc=True)  # neighbours: its own images at both sides
    assert listed(graph(chain, 2.5), 1) == [
        (0, (-2, 0, 0), 0, (-1, 0, 0), 0),
        (0, (2, 0, 0), 0, (1, 0, 0), 0),
    ]


def test_one_atom_may_be_both_ends_in_different_images():
    atoms = Atoms("SiO", positions=[[0, 0, 0], [1.6, 0, 0]], cell=[3.2, 9.0, 9.0], pbc=True)
    found = listed(graph(atoms, 2.0), 2)
    assert (0, (1, 0, 0), 1, (0, 0, 0), 0) in found
    assert (0, (0, 0, 0), 1, (0, 0, 0), 0) not in found


def test_without_periods_ends_are_compared_by_index():
    water = Atoms("OSi2", positions=[[0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]])
    center, neighbor, shift = edges_of(graph(water, 1.1))
    kj, ji = find_triplets(center, neighbor, shift, 3)
    assert sorted(zip(neighbor[kj].tolist(), center[ji].tolist(), strict=True)) == [(1, 2), (2, 1)]


@pytest.mark.parametrize(
    "atoms",
    [
        Atoms("O2", positions=[[0, 0, 0], [0, 0, 9.0]]),  # no edges
        Atoms("O2", positions=[[0, 0, 0], [0, 0, 1.0]]),  # edges, and each is the other's way back
    ],
)
def test_where_there_are_none_the_lists_are_empty(atoms):
    kj, ji = find_triplets(*edges_of(graph(atoms, 2.0)), 2)
    assert kj.shape == ji.shape == (0,)
    assert kj.dtype == ji.dtype == torch.int64


def test_a_batch_has_the_triplets_of_its_structures_and_no_others():
    frames = [random_cell(seed, n, 3.3) for seed, n in ((3, 2), (4, 1), (5, 4))]
    frames.insert(1, Atoms("O", cell=[9.0] * 3, pbc=True))  # no neighbours
    batch = AtomicDataDict.batched_from_list([graph(frame, CUTOFF) for frame in frames])
    expected, first = [], 0
    for frame in frames:
        for k, at_k, j, at_j, i in listed(graph(frame, CUTOFF), len(frame)):
            expected.append((k + first, at_k, j + first, at_j, i + first))
        first += len(frame)
    assert listed(batch, first) == sorted(expected)


def test_the_order_of_the_edges_does_not_matter():
    atoms = random_cell(6, 4, 3.6)
    center, neighbor, shift = edges_of(graph(atoms, CUTOFF))
    order = torch.randperm(center.shape[0], generator=torch.Generator().manual_seed(0))
    kj, ji = find_triplets(center, neighbor, shift, 4)
    again = find_triplets(center[order], neighbor[order], shift[order], 4)
    pairs = {(int(a), int(b)) for a, b in zip(kj, ji, strict=True)}
    assert {(int(a), int(b)) for a, b in zip(order[again[0]], order[again[1]], strict=True)} == pairs


@pytest.mark.parametrize("most", [1, 3, 7, 100])
def test_the_nearest_edges_are_those_of_numpy(most):
    rng = np.random.RandomState(most)
    center = torch.tensor(rng.randint(0, 6, 60))  # atom 6 has no edges at all
    length = torch.tensor(rng.permutation(60) / 10.0)
    kept = nearest_edges(center, length, 7, most)
    expected = set()
    for atom in range(7):
        mine = np.flatnonzero(center.numpy() == atom)
        expected |= set(mine[np.argsort(length.numpy()[mine])][:most].tolist())
    assert len(set(kept.tolist())) == kept.shape[0]
    assert set(kept.tolist()) == expected
    assert kept.dtype == torch.int64


def test_of_equal_lengths_no_more_than_asked_for_are_kept():
    kept = nearest_edges(torch.zeros(9, dtype=torch.int64), torch.ones(9), 1, 4)
    assert len(set(kept.tolist())) == 4
    empty = nearest_edges(torch.zeros(0, dtype=torch.int64), torch.zeros(0), 2, 4)
    assert empty.shape == (0,)
