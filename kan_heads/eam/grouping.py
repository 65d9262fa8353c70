"""Which structures are the same, and must not be on both sides of a split."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

# Å, in lengths and distances; what codes print agrees better, strains that are labelled differ by more.
_SAME = 2e-4


def merged_groups(structures: Sequence[Atoms], groups: Sequence[Hashable]) -> list[Hashable]:
    """Joins groups that have a structure in common, whatever way it is turned and its atoms numbered.

    Args:
        structures: all of them.
        groups: the group of each.

    Returns:
        A group for each structure.
    """
    leader: dict[Hashable, Hashable] = {group: group for group in groups}

    def find(group: Hashable) -> Hashable:
        while leader[group] != group:
            group = leader[group]
        return group

    shapes = [_shape(atoms) for atoms in structures]
    sizes = np.array([shape.sum() / len(shape) for shape in shapes])
    order = np.argsort(sizes, kind="stable")
    for place, k in enumerate(order):
        for other in order[place + 1 :]:
            if sizes[other] - sizes[k] > _SAME:
                break
            near = shapes[k].shape == shapes[other].shape and np.abs(shapes[k] - shapes[other]).max() < _SAME
            if near:
                leader[find(groups[other])] = find(groups[k])
    return [find(group) for group in groups]


def _shape(atoms: Atoms) -> np.ndarray:
    """Lengths and angles of the cell, and all distances in order."""
    distances = np.sort(atoms.get_all_distances(mic=bool(atoms.pbc.all())), axis=None)
    return np.concatenate([atoms.cell.cellpar(), distances])
