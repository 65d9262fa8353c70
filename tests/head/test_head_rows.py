"""Rows are what they claim to be: a change of the coefficients changes the model by rows times change."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

import kan_heads
from kan_heads.head.ends import linear_ends
from kan_heads.head.rows import labels_of, rows_of
from kan_heads.swap import adapter_of

ARCHIVE = Path(__file__).parents[1] / "stored" / "0.1.tar.xz"
NEQUIP = [
    f"{kind}-{basis}.ckpt" for kind in ("allegro", "nequip") for basis in ("bspline", "gaussian", "fourier")
]
NEQUIP += ["allegro-chebyshev.ckpt", "nequip-chebyshev.ckpt"]
MACE = [f"mace-{kind}.model" for kind in ("bspline", "gaussian", "fourier", "heads", "published")]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


def labelled(atoms, seed=0):
    """Gives a structure any labels: rows do not depend on them."""
    rng = np.random.RandomState(seed)
    labels = {
        "energy": -3.0 * len(atoms),
        "forces": rng.normal(size=(len(atoms), 3)),
        "stress": rng.normal(size=6),
    }
    atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms


def silver():
    atoms = bulk("Ag", cubic=True) * (1, 1, 2)
    atoms.rattle(0.1, seed=1)
    return labelled(atoms)


def carbon_monoxide():
    places = [[0, 0, 0], [1.4, 0, 0], [0, 1.5, 0], [0, 0, 1.6], [1.9, 1.9, 0], [0, 2, 2]]
    atoms = Atoms("C4O2", positions=places, cell=[5, 5.5, 6], pbc=True)
    atoms.rattle(0.05, seed=1)
    return labelled(atoms)


def values(model, adapter, atoms):
    """The model's own energy per atom, forces and stress."""
    energy, positions, strain = adapter.energy(model, adapter.structure(model, atoms))
    slope, pull = torch.autograd.grad(energy, (positions, strain))
    return float(energy) / len(atoms), -slope.double(), pull.double() / atoms.get_volume()


@pytest.mark.parametrize("name", NEQUIP + MACE)
def test_rows_tell_how_labels_change(stored, name):
    pytest.importorskip("mace" if name in MACE else "allegro")
    model = kan_heads.load(stored / name, trust=True)
    adapter = adapter_of(model)
    atoms = carbon_monoxide() if name in MACE else silver()
    if "heads" in name:
        atoms.info["head"] = model.heads[1]
    ends = linear_ends(model, adapter)
    generator = torch.Generator().manual_seed(0)
    rows = rows_of(model, adapter, ends, atoms, 3 * len(atoms), generator)
    before = values(model, adapter, atoms)
    changes = [0.01 * torch.randn(end.size, dtype=torch.float64, generator=generator) for end in ends]
    for end, change in zip(ends, changes, strict=True):
        end.write(end.read() + change)
    after = values(model, adapter, atoms)
    change = torch.cat(changes)
    exact = name in MACE  # in float64
    close = {"rtol": 1e-9, "atol": 1e-11} if exact else {"rtol": 1e-3, "atol": 2e-6}
    torch.testing.assert_close(float(rows["energy"].rows[0] @ change), after[0] - before[0], **close)
    moved = (rows["forces"].rows @ change).reshape(-1, 3)
    torch.testing.assert_close(moved, after[1] - before[1], **close)
    places = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
    times = torch.tensor([1, 1, 1, 2, 2, 2], dtype=torch.float64).sqrt()
    wanted = torch.stack([(after[2] - before[2])[place] for place in places]) * times
    torch.testing.assert_close(rows["stress"].rows @ change, wanted, **close)
    # Residuals are labels less values.
    labels = labels_of(atoms)
    assert float(rows["energy"].residuals) == pytest.approx(
        labels["energy"] / len(atoms) - before[0], abs=1e-5
    )
    left = torch.as_tensor(labels["forces"]) - before[1]
    torch.testing.assert_close(rows["forces"].residuals.reshape(-1, 3), left, rtol=1e-5, atol=1e-5)
    assert float(rows["stress"].residuals.square().sum()) == pytest.approx(
        float((torch.as_tensor(labels["stress"]) - before[2]).square().sum()), rel=1e-4
    )


def test_few_directions_stand_for_all(stored):
    pytest.importorskip("allegro")
    model = kan_heads.load(stored / "allegro-bspline.ckpt")
    adapter, atoms = adapter_of(model), silver()
    ends = linear_ends(model, adapter)
    generator = torch.Generator().manual_seed(0)
    exact = rows_of(model, adapter, ends, atoms, 24, generator)["forces"]
    drawn = [rows_of(model, adapter, ends, atoms, 12, generator)["forces"] for _ in range(40)]
    assert {len(part.rows) for part in drawn} == {12}
    mean = torch.tensor([float(part.residuals.square().sum()) for part in drawn]).mean()
    assert float(mean) == pytest.approx(float(exact.residuals.square().sum()), rel=0.1)


def test_labels_that_are_missing_are_left_out(stored):
    pytest.importorskip("allegro")
    model = kan_heads.load(stored / "allegro-bspline.ckpt")
    adapter, atoms = adapter_of(model), silver()
    atoms.calc = SinglePointCalculator(atoms, forces=atoms.get_forces())
    ends = linear_ends(model, adapter)
    assert set(rows_of(model, adapter, ends, atoms, 5, torch.Generator())) == {"forces"}
