"""What makes a structure unfit for any model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kan_heads.errors import DataError

if TYPE_CHECKING:
    from ase import Atoms

SHORTEST = 0.5
"""Å; no two atoms come closer, not even in shock waves. Where one is hydrogen: ``SHORTEST_OF_HYDROGEN``."""

SHORTEST_OF_HYDROGEN = 0.3

_FULL = 0.99
"""Occupancy of a site that counts as full."""


def check_structure(
    atoms: Atoms, where: str = "the structure", elements: Sequence[str] | None = None
) -> None:
    """Finds what no model can answer to.

    Args:
        atoms: a structure.
        where: what to call it in messages.
        elements: those that the model knows; ``None`` allows all.

    Raises:
        DataError: if there are no atoms, NaN or infinite coordinates, a flat periodic cell, two atoms on one
            another (also through a periodic boundary), a site that is not one atom, or an unknown element.
    """
    if len(atoms) == 0:
        raise DataError(f"{where} has no atoms; remove it")
    if not np.isfinite(atoms.cell.array).all():
        raise DataError(f"{where}: the cell is NaN or infinite; correct it")
    bad = ~np.isfinite(atoms.positions).all(axis=1)
    if bad.any():
        first = int(np.argmax(bad))
        raise DataError(
            f"{where}: the position of atom {first} ({atoms.symbols[first]}; the first is 0) is NaN or "
            "infinite; correct it"
        )
    flat = atoms.pbc.any() and abs(np.linalg.det(atoms.cell.complete().array)) < 1e-6
    if flat or (atoms.cell.lengths()[atoms.pbc] < 1e-6).any():
        raise DataError(f'{where} is periodic but its cell has no volume; set the Lattice or pbc="F F F"')
    _check_sites(atoms, where)
    if elements is not None:
        check_elements(atoms, elements, where)
    _check_distances(atoms, where)


def check_elements(atoms: Atoms, elements: Sequence[str], where: str = "the structure") -> None:
    """Stops at elements that a model does not know, see :func:`check_structure`."""
    strange = sorted(set(atoms.symbols) - set(elements))
    if strange:
        raise DataError(
            f"{where} holds {', '.join(strange)}, which the model does not know; it knows "
            f"{', '.join(elements)}: add it to type_names and train on it, or leave the structure out"
        )


def neighbours(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lists the pairs of atoms within a distance, images through periodic boundaries included.

    Args:
        atoms: periodic or not.
        cutoff: in Å.

    Returns:
        First atoms, second atoms and distances in Å, each of shape ``(n_pairs,)``; each pair in both orders.
    """
    if not atoms.pbc.any():
        return _neighbours_in_space(atoms.positions, cutoff)
    from matscipy.neighbours import neighbour_list

    return neighbour_list("ijd", boxed(atoms), float(cutoff))


def _neighbours_in_space(positions: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Does it by a tree, since cells would fill the room between atoms that are far apart."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(positions).query_pairs(float(cutoff), output_type="ndarray")  # (n_pairs / 2, 2)
    first, second = np.concatenate([pairs, pairs[:, ::-1]]).T
    distances = np.linalg.norm(positions[second] - positions[first], axis=1)
    kept = np.flatnonzero(distances < cutoff)
    order = kept[np.lexsort((second[kept], first[kept]))]
    return first[order], second[order], distances[order]


def is_free_atom(atoms: Atoms, cutoff: float) -> bool:
    """Tells whether a structure is one atom that sees no other, nor its own images, within a cutoff in Å."""
    return len(atoms) == 1 and not len(neighbours(atoms, cutoff)[0])


def boxed(atoms: Atoms) -> Atoms:
    """Gives a structure that is not periodic a cell: the list of neighbours does not know flat ones."""
    from ase.cell import Cell

    if atoms.pbc.all():
        return atoms
    boxed = atoms.copy()
    vectors = np.where(atoms.pbc[:, None], atoms.cell.array, 0.0)
    vectors = Cell(vectors).complete().array
    vectors[~atoms.pbc] *= 2.0 * np.ptp(atoms.positions) + 10.0
    boxed.set_cell(vectors, scale_atoms=False)
    return boxed


def _check_distances(atoms: Atoms, where: str) -> None:
    first, second, distances = neighbours(atoms, SHORTEST)
    hydrogen = (atoms.numbers[first] == 1) | (atoms.numbers[second] == 1)
    close = np.flatnonzero(distances < np.where(hydrogen, SHORTEST_OF_HYDROGEN, SHORTEST))
    if not len(close):
        return
    worst = close[distances[close].argmin()]
    i, j = sorted((int(first[worst]), int(second[worst])))
    names = f"atoms {i} ({atoms.symbols[i]}) and {j} ({atoms.symbols[j]}; the first is 0)"
    if i == j:
        names = f"atom {i} ({atoms.symbols[i]}; the first is 0) and its periodic image"
    raise DataError(
        f"{where}: {names} are {distances[worst]:.3g} Å apart; correct it, or check whether positions and "
        "cell are in Å and belong together"
    )


def _check_sites(atoms: Atoms, where: str) -> None:
    """Stops at sites that ASE has made one pure element, with their true content as a note only."""
    sites = atoms.info.get("occupancy")
    kinds = atoms.arrays.get("spacegroup_kinds", range(len(atoms)))
    if isinstance(sites, dict):
        for i, kind in enumerate(kinds):
            site = sites.get(str(kind), sites.get(kind, {}))
            if isinstance(site, dict) and site and (len(site) > 1 or sum(site.values()) < _FULL):
                held = ", ".join(f"{share:g} {symbol}" for symbol, share in site.items())
                raise DataError(
                    f"{where}: the site of atom {i} holds {held}, not one atom; make an ordered structure of "
                    "it first, e.g. with pymatgen's OrderDisorderedStructureTransformation"
                )
    shares = atoms.arrays.get("occupancy") if atoms.has("residuenames") else None  # of a PDB file
    if shares is not None and (np.asarray(shares, dtype=float) < _FULL).any():
        i = int(np.argmin(shares))
        raise DataError(
            f"{where}: atom {i} ({atoms.symbols[i]}) has an occupancy of {float(shares[i]):g}; keep one of "
            "the alternatives and set it to 1"
        )
