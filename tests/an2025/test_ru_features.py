"""Principal components, normalisation, graph and environment vectors, on structures made here."""

import itertools
import math

import numpy as np
import pytest

pytest.importorskip("ase", reason="needs the extra [ru]")

from ase.build import bulk

from benchmarks.an2025 import features, graphs
from benchmarks.an2025.dataset import Structures
from benchmarks.an2025.features import PCA, Scaling
from kan_heads.errors import ConfigError, DataError


def crystals(n=4, seed=0, strain=0.03):
    """Strained and shaken hcp cells; the first one is perfect."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n):
        atoms = bulk("Ru", "hcp", a=2.70783, c=4.2681).repeat((2, 2, 2))
        if k:
            deformation = np.eye(3) + strain * rng.normal(size=(3, 3))
            atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
            atoms.positions += 0.02 * rng.normal(size=(16, 3))
        frames.append(atoms)
    return Structures(
        positions=np.stack([a.positions for a in frames]),
        cells=np.stack([a.cell.array for a in frames]),
        energies=rng.normal(size=n),
        forces=rng.normal(size=(n, 16, 3)),
        groups=[("none", 0) if k == 0 else ("A", k) for k in range(n)],
        atoms=frames,
    )


def test_components_are_those_of_the_covariance_matrix():
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6)) + 3.0
    pca = PCA.fit(rows, 4)
    centred = rows - rows.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / (len(rows) - 1))
    order = np.argsort(values)[::-1]
    np.testing.assert_allclose(pca.shares, values[order] / values.sum(), rtol=1e-10)
    overlap = np.abs(pca.axes @ vectors[:, order[:4]])
    np.testing.assert_allclose(overlap, np.eye(4), atol=1e-8)
    np.testing.assert_allclose(pca.transform(rows).var(0, ddof=1), values[order[:4]], rtol=1e-10)


def test_share_decides_the_number_of_components():
    rows = np.diag([10.0, 3.0, 1.0, 0.1]) @ np.eye(4)
    rows = np.concatenate([rows, -rows])
    pca = PCA.fit(rows, 0.95)
    kept = len(pca.axes)
    assert pca.shares[:kept].sum() >= 0.95 > pca.shares[: kept - 1].sum()
    full = PCA.fit(rows, 4)
    np.testing.assert_allclose(full.inverse(full.transform(rows)), rows, atol=1e-12)


def test_components_of_equal_rows_are_refused():
    with pytest.raises(ConfigError, match="all rows are equal"):
        PCA.fit(np.ones((5, 3)))
    with pytest.raises(ConfigError, match="9 components are asked for, the rows have 3"):
        PCA.fit(np.random.default_rng(0).normal(size=(5, 3)), 9)
    with pytest.raises(ConfigError, match="does not vary"):
        Scaling.fit(np.ones((5, 2)))


def test_targets_look_at_no_other_rows():
    structures = crystals(8)
    rows = np.arange(5)
    first = features.make_targets(structures, rows)
    np.testing.assert_allclose(first.normalised[rows].mean(0), 0.0, atol=1e-12)
    np.testing.assert_allclose(first.normalised[rows].std(0), 1.0, rtol=1e-12)
    np.testing.assert_allclose(first.scaling.undo(first.normalised), first.values, rtol=1e-12)
    structures.energies[5:] += 100.0
    structures.forces[5:] *= 100.0
    again = features.make_targets(structures, rows)
    np.testing.assert_array_equal(first.normalised[rows], again.normalised[rows])


def test_graph_has_the_twelve_nearest_neighbours_in_every_strained_cell():
    structures = crystals(3)
    graph = graphs.crystal_graph(structures)
    assert np.bincount(graph.receiver).tolist() == [12] * 16
    perfect = np.unique(np.round(graph.lengths[0], 6))
    a, c = 2.70783, 4.2681
    np.testing.assert_allclose(perfect, sorted([a, math.sqrt(a**2 / 3 + c**2 / 4)]), atol=1e-5)
    for k in (1, 2):
        for edge in range(0, 192, 17):
            i, j = graph.receiver[edge], graph.sender[edge]
            images = itertools.product(range(-2, 3), repeat=3)
            vectors = structures.positions[k, j] - structures.positions[k, i]
            found = [np.linalg.norm(vectors + np.array(s) @ structures.cells[k]) for s in images]
            assert np.abs(np.array(found) - graph.lengths[k, edge]).min() < 1e-9


def test_graph_needs_an_unstrained_structure():
    structures = crystals(2)
    structures.groups[0] = ("A", 1)
    with pytest.raises(DataError, match="no unstrained structure"):
        graphs.crystal_graph(structures)


def by_definition(atoms, s):
    """The formulas of the docstring, neighbour by neighbour and pair by pair, for atom 0."""
    images = itertools.product(range(-3, 4), repeat=3)
    shifts = np.array([np.array(k) @ atoms.cell.array for k in images])
    vectors = (atoms.positions[None] + shifts[:, None] - atoms.positions[0]).reshape(-1, 3)
    lengths = np.linalg.norm(vectors, axis=1)
    near = (lengths > 1e-9) & (lengths < s.radial_cutoff)
    vectors, lengths = vectors[near], lengths[near]

    def fade(r, cutoff):
        return 0.5 * (1.0 + math.cos(math.pi * r / cutoff))

    out = []
    for eta, shift in itertools.product(s.radial_eta, s.radial_shifts):
        out.append(sum(0.25 * math.exp(-eta * (r - shift) ** 2) * fade(r, s.radial_cutoff) for r in lengths))
    inner = [k for k in range(len(lengths)) if lengths[k] < s.angular_cutoff]
    for eta, shift, angle in itertools.product(s.angular_eta, s.angular_shifts, s.angles):
        total = 0.0
        for a, b in itertools.combinations(inner, 2):
            cosine = float(vectors[a] @ vectors[b]) / (lengths[a] * lengths[b])
            theta = math.acos(0.95 * cosine)
            radial = math.exp(-eta * (0.5 * (lengths[a] + lengths[b]) - shift) ** 2)
            fades = fade(lengths[a], s.angular_cutoff) * fade(lengths[b], s.angular_cutoff)
            total += 2.0 ** (1.0 - s.zeta) * (1.0 + math.cos(theta - angle)) ** s.zeta * radial * fades
        out.append(total)
    return np.array(out)


def test_environment_vectors_are_the_published_formula():
    structures = crystals(2)
    found = graphs.environment_vectors(structures)
    assert found.shape == (2, 16, 16 + 27)
    expected = by_definition(structures.atoms[1], graphs.AEVConfig())
    np.testing.assert_allclose(found[1, 0], expected, rtol=1e-9, atol=1e-12)


def test_environment_vectors_do_not_see_rotations_and_the_numbering():
    structures = crystals(2)
    before = graphs.environment_vectors(structures)[1]
    turned = structures.atoms[1].copy()
    turned.rotate(37.0, (1, 2, 3), rotate_cell=True)
    turned = turned[::-1]
    structures.atoms[1] = turned
    after = graphs.environment_vectors(structures)[1]
    np.testing.assert_allclose(after[::-1], before, rtol=1e-8, atol=1e-10)


def test_environment_vectors_of_a_lone_atom_vanish():
    structures = crystals(1)
    atoms = structures.atoms[0][:1]
    atoms.set_cell(20.0 * np.eye(3))
    structures.atoms[0] = atoms
    assert not graphs.environment_vectors(structures).any()


def test_environment_vectors_equal_those_of_torchani():
    aev = pytest.importorskip("torchani.aev")
    torch = pytest.importorskip("torch")
    structures = crystals(2)
    s = graphs.AEVConfig()
    # torchani lists shifts inside and one eta for each block.
    radial = [
        aev.ANIRadial(eta, list(s.radial_shifts), s.radial_cutoff, cutoff_fn="cosine") for eta in s.radial_eta
    ]
    atoms = structures.atoms[1].repeat((2, 2, 2))  # its list of neighbours wants cells wider than the cutoff
    structures.atoms[1] = atoms
    found = graphs._of_one(atoms, s)[:16]
    coordinates = torch.tensor(atoms.positions).unsqueeze(0)
    cell, pbc = torch.tensor(atoms.cell.array), torch.ones(3, dtype=torch.bool)
    elements = torch.zeros(1, len(atoms), dtype=torch.long)
    n_radial = len(s.radial_shifts)
    for k, eta in enumerate(s.angular_eta):
        angular = aev.ANIAngular(
            eta, s.zeta, list(s.angular_shifts), list(s.angles), s.angular_cutoff, cutoff_fn="cosine"
        )
        computer = aev.AEVComputer(radial[k], angular, num_species=1).double()
        theirs = computer(elements, coordinates, cell, pbc)[0, :16].detach().numpy()
        np.testing.assert_allclose(
            found[:, k * n_radial : (k + 1) * n_radial], theirs[:, :n_radial], rtol=1e-5, atol=1e-7
        )
        start = 16 + 9 * k
        np.testing.assert_allclose(found[:, start : start + 9], theirs[:, n_radial:], rtol=1e-5, atol=1e-7)


def test_soap_does_not_see_rotations():
    pytest.importorskip("dscribe", reason="needs the extra [ru]")
    structures = crystals(3)
    before = features.soap(structures)
    structures.atoms[1] = structures.atoms[1].copy()
    structures.atoms[1].rotate(50.0, (1, 1, 0), rotate_cell=True)
    after = features.soap(structures)
    spread = np.abs(before[2] - before[1]).max()
    assert np.abs(after - before).max() < 1e-6 * np.abs(before).max() < spread
