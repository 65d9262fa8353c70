"""The 670 strained ruthenium cells, how they are split, and which of them are the same."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.an2025.published import SPLITS
from kan_heads.data.pools import grouped_pools
from kan_heads.errors import ConfigError, DataError

if TYPE_CHECKING:
    from ase import Atoms

#: eV in a Rydberg and Å in a bohr (CODATA 2018), with which the file was made from Quantum ESPRESSO's output.
RYDBERG = 13.605693122994
BOHR = 0.529177210903

_FRACTIONS = (0.6, 0.2, 0.2)
_PUBLISHED_SEED = 42
# Å. Recovered structures of one strain agree to rounding; different strains differ by 5e-4 or more.
_SAME = 4

Split = dict[str, np.ndarray]


@dataclass(frozen=True)
class Structures:
    """The data set as arrays.

    Args:
        positions: ``(n, 16, 3)``, Å.
        cells: ``(n, 3, 3)``, Å, rows are lattice vectors.
        energies: ``(n,)``, Ry per cell.
        forces: ``(n, 16, 3)``, Ry/bohr; residuals of relaxations.
        groups: mode and size of the strain of each structure; all unstrained ones are one group.
        atoms: the structures themselves.
    """

    positions: np.ndarray
    cells: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    groups: list[Hashable]
    atoms: list[Atoms]

    def __len__(self) -> int:
        return len(self.energies)

    @property
    def n_atoms(self) -> int:
        """Atoms in a cell."""
        return self.positions.shape[1]


def find() -> Path:
    """The file of the structures, in ``$KAN_HEADS_DATA`` or the cache, its checksum verified.

    Raises:
        DataError: it is not there or damaged; the message says how to get it.
    """
    from benchmarks.datasets.fetch import fetch_all
    from benchmarks.datasets.registry import lookup

    (located,) = fetch_all(lookup("ru"), needed_only=True)
    return located.path


def read(path: str | Path | None = None) -> Structures:
    """Reads the structures with energies and forces.

    Args:
        path: extended XYZ with energies (eV), forces (eV/Å), ``mode`` and ``eta``; None for the
            registered file.

    Raises:
        DataError: the file is missing or damaged, or its frames are not the set that is expected.
    """
    from benchmarks.datasets.sources import read_ru
    from kan_heads.data.reading import iter_frames

    path = find() if path is None else Path(path)
    if not path.is_file():
        raise DataError(
            f"{path} does not exist; name the file ru_strain_recovered.extxyz or set KAN_HEADS_DATA"
        )
    groups = read_ru([path], Path()).groups
    assert groups is not None
    frames = list(iter_frames(path))
    for number, atoms in enumerate(frames):
        found = atoms.calc.results if atoms.calc is not None else {}
        if "energy" not in found or "forces" not in found:
            raise DataError(f"{path}: frame {number} lacks energy or forces, which Table 1 predicts")
        if len(atoms) != len(frames[0]):
            raise DataError(f"{path}: frame {number} has {len(atoms)} atoms, frame 0 has {len(frames[0])}")
    return Structures(
        positions=np.stack([a.positions for a in frames]),
        cells=np.stack([a.cell.array for a in frames]),
        energies=np.array([a.calc.results["energy"] for a in frames]) / RYDBERG,
        forces=np.stack([a.calc.results["forces"] for a in frames]) * (BOHR / RYDBERG),
        groups=groups,
        atoms=frames,
    )


def published_split(n: int) -> Split:
    """Splits at random, 60/20/20, with the paper's own test rows.

    The published notebook calls scikit-learn's ``train_test_split(test_size=0.2, random_state=42)``,
    whose test rows are the first of a permutation. How validation rows were drawn is not said; here a
    second such draw takes them from the rest. The user has no seed here, because the paper has one.

    Args:
        n: number of structures.

    Returns:
        Rows of each set.
    """
    n_test = int(np.ceil(_FRACTIONS[2] * n))
    order = np.random.RandomState(_PUBLISHED_SEED).permutation(n)
    test, rest = order[:n_test], order[n_test:]
    again = np.random.RandomState(_PUBLISHED_SEED).permutation(len(rest))
    n_val = int(np.ceil(_FRACTIONS[1] * n))
    return {"train": rest[again[n_val:]], "val": rest[again[:n_val]], "test": test}


def grouped_split(structures: Structures, seed: int) -> Split:
    """Splits by mode and size of the strain, 60/20/20, so that no structure is in two sets.

    Args:
        structures: the data.
        seed: seed of the order of the groups.
    """
    pools = grouped_pools(structures.groups, _FRACTIONS, seed)
    return {name: np.array(pools[name]) for name in SPLITS}


def structure_keys(structures: Structures) -> list[bytes]:
    """Names each structure by what a model sees of it: cell and positions, to 1e-4 Å."""
    seen = np.concatenate([structures.cells, structures.positions], axis=1)  # (n, 3 + n_atoms, 3)
    return [row.tobytes() for row in np.round(seen, _SAME) + 0.0]


def duplicates(keys: Sequence[Hashable], split: Split) -> int:
    """Counts the test rows whose very structure is also in the training set.

    Args:
        keys: of :func:`structure_keys`.
        split: rows of each set.
    """
    trained = {keys[i] for i in split["train"]}
    return sum(keys[i] in trained for i in split["test"])


def check_split(split: Split, n: int) -> None:
    """Makes sure that a split uses rows once each.

    Raises:
        ConfigError: a row is missing, outside or in two sets, or a set is empty.
    """
    rows = np.concatenate([split[name] for name in SPLITS])
    if any(len(split[name]) == 0 for name in SPLITS) or not np.array_equal(np.sort(rows), np.arange(n)):
        raise ConfigError(
            f"split: every row of {n} must be in exactly one of {', '.join(SPLITS)}, none empty"
        )
