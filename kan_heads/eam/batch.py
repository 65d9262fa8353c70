"""Structures as tensors: one batch of neighbour vectors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from kan_heads.data.structure import boxed
from kan_heads.errors import ConfigError

if TYPE_CHECKING:
    from ase import Atoms


@dataclasses.dataclass
class Batch:
    """Structures side by side, with every pair of neighbours listed from both sides.

    Args:
        vectors: from the first to the second atom of each pair, Å, ``(n_edges, 3)``.
        first, second: the atoms of each pair, ``(n_edges,)``.
        frame: the structure of each atom, ``(n_atoms,)``.
        volumes: of the structures, Å^3, ``(n_frames,)``; infinite without a cell, so that stresses are 0.
    """

    vectors: Tensor
    first: Tensor
    second: Tensor
    frame: Tensor
    volumes: Tensor

    @property
    def n_frames(self) -> int:
        """Number of structures."""
        return len(self.volumes)

    @property
    def counts(self) -> Tensor:
        """Number of atoms of each structure, ``(n_frames,)``."""
        return torch.bincount(self.frame, minlength=self.n_frames)

    def moved(self, displacements: Tensor) -> Batch:
        """Returns the batch with its atoms moved, ``displacements`` in Å, ``(n_atoms, 3)``."""
        shift = displacements[self.second] - displacements[self.first]  # (n_edges, 3)
        return dataclasses.replace(self, vectors=self.vectors + shift)


def make_batch(structures: Sequence[Atoms], cutoff: float) -> Batch:
    """Lists the neighbours of structures.

    Args:
        structures: any number, periodic or not.
        cutoff: in Å; pairs farther apart are left out.

    Raises:
        ConfigError: if a structure without a full cell claims to be periodic.
    """
    from matscipy.neighbours import neighbour_list

    vectors, first, second, frame, volumes = [], [], [], [], []
    offset = 0
    for number, atoms in enumerate(structures):
        if atoms.pbc.any() and abs(atoms.cell.volume) < 1e-6:
            raise ConfigError(f"structure {number}: is periodic and has no cell; give it a Lattice")
        i, j, d = neighbour_list("ijD", boxed(atoms), cutoff)
        vectors.append(d.reshape(-1, 3))
        first.append(i + offset)
        second.append(j + offset)
        frame.append(np.full(len(atoms), number))
        volumes.append(abs(atoms.cell.volume) if atoms.cell.rank == 3 else np.inf)
        offset += len(atoms)
    return Batch(
        vectors=torch.from_numpy(np.concatenate(vectors).astype(float)),
        first=torch.from_numpy(np.concatenate(first).astype(np.int64)),
        second=torch.from_numpy(np.concatenate(second).astype(np.int64)),
        frame=torch.from_numpy(np.concatenate(frame).astype(np.int64)),
        volumes=torch.tensor(volumes, dtype=torch.float64),
    )
