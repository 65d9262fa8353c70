"""Distances and angles: the crystal's fixed graph, and ANI's atomic environment vectors."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from benchmarks.an2025.dataset import Structures
from kan_heads.errors import DataError

#: Neighbours of the graph are nearer than this in the undistorted crystal: between the first shells of
#: hcp, 2.64 and 2.71 Å, and the next, 3.79 Å.
SHELL = 3.2


@dataclass(frozen=True)
class Graph:
    """One connectivity for all structures, and its edges' lengths in each.

    Args:
        sender: atom j of each edge j -> i, ``(n_edges,)``.
        receiver: atom i of each edge, ``(n_edges,)``.
        lengths: ``(n, n_edges)``, Å.
    """

    sender: np.ndarray
    receiver: np.ndarray
    lengths: np.ndarray


def crystal_graph(structures: Structures) -> Graph:
    """Connects each atom with its twelve nearest neighbours in the undistorted crystal.

    The paper calls the connectivity predefined and does not print it. Edges keep their periodic image, so
    strains change lengths and never the graph.

    Raises:
        DataError: no structure is unstrained.

    Source: An and Yeo 2025, eq. IX.
    """
    from ase.neighborlist import neighbor_list

    unstrained = [k for k, group in enumerate(structures.groups) if group[0] == "none"]
    if not unstrained:
        raise DataError("the data hold no unstrained structure, from which the graph would be read")
    i, j, shift = neighbor_list("ijS", structures.atoms[unstrained[0]], SHELL)
    offsets = np.einsum("ek,nkx->nex", shift.astype(float), structures.cells)  # (n, n_edges, 3)
    vectors = structures.positions[:, j] + offsets - structures.positions[:, i]  # (n, n_edges, 3)
    return Graph(j, i, np.linalg.norm(vectors, axis=-1))


def smeared(lengths: np.ndarray, lower: float, upper: float, step: float) -> np.ndarray:
    r"""Averages Gaussians :math:`\exp(-(d - \mu)^2 / 2 w^2)` of all edges.

    Args:
        lengths: ``(n, n_edges)``, Å.
        lower: first centre, Å.
        upper: last centre, Å.
        step: distance between centres, which is the width w too, Å.

    Returns:
        ``(n, n_centres)``.

    Source: Schütt et al., NeurIPS 2017, section 4.2 (the filters' input).
    """
    centres = np.arange(lower, upper + 0.5 * step, step)  # (n_centres,)
    return np.stack([np.exp(-0.5 * ((lengths - c) / step) ** 2).mean(1) for c in centres], axis=1)


@dataclass(frozen=True)
class AEVConfig:
    """Settings of the environment vectors; the values are the paper's, section 2.7.

    Args:
        radial_cutoff: Å.
        angular_cutoff: Å.
        radial_eta: widths, 1/Å^2.
        radial_shifts: centres, Å.
        angular_eta: widths, 1/Å^2.
        zeta: sharpness of the angles.
        angular_shifts: centres, Å.
        angles: centres, rad.
    """

    radial_cutoff: float = 5.2
    angular_cutoff: float = 3.5
    radial_eta: tuple[float, ...] = (16.0, 8.0, 4.0, 2.0)
    radial_shifts: tuple[float, ...] = (0.0, 0.9, 1.8, 2.7)
    angular_eta: tuple[float, ...] = (8.0, 4.0, 2.0)
    zeta: float = 32.0
    angular_shifts: tuple[float, ...] = (0.0, 0.9, 1.8)
    angles: tuple[float, ...] = (0.0, 0.9, 1.8)


def environment_vectors(structures: Structures, settings: AEVConfig | None = None) -> np.ndarray:
    r"""Computes ANI's atomic environment vectors of one element.

    .. math::
        G^R_i = \tfrac14 \sum_j e^{-\eta (r_{ij} - R_s)^2} f_c(r_{ij}), \qquad
        G^A_i = 2^{1-\zeta} \sum_{j<k} (1 + \cos(\theta_{jik} - \theta_s))^\zeta
        e^{-\eta ((r_{ij} + r_{ik})/2 - R_s)^2} f_c(r_{ij}) f_c(r_{ik})

    with :math:`f_c(r) = \tfrac12 + \tfrac12 \cos(\pi r / r_c)`. The quarter, and angles taken as
    :math:`\arccos(0.95 \cos\theta)`, are not in the formula of the article but in the original program and in
    torchani, whose vectors these are. torchani itself would bring pyarrow, zarr 2 and huggingface_hub.

    Args:
        structures: the data; all atoms of one element.
        settings: those of the paper if None.

    Returns:
        ``(n, n_atoms, n_radial + n_angular)``; eta is the outer index and the shifts the inner ones.

    Source: Smith, Isayev, Roitberg, Chem. Sci. 8, 3192 (2017), eq. 2 to 4.
    """
    settings = AEVConfig() if settings is None else settings
    return np.stack([_of_one(atoms, settings) for atoms in structures.atoms])


def _of_one(atoms, s: AEVConfig) -> np.ndarray:
    from ase.neighborlist import neighbor_list

    i, lengths, vectors = neighbor_list("idD", atoms, s.radial_cutoff)
    eta, shift = (np.array(x) for x in zip(*itertools.product(s.radial_eta, s.radial_shifts), strict=True))
    terms = 0.25 * np.exp(-eta * (lengths[:, None] - shift) ** 2)  # (n_edges, n_radial)
    radial = np.zeros((len(atoms), len(eta)))
    np.add.at(radial, i, terms * _cutoff(lengths, s.radial_cutoff)[:, None])

    near = lengths < s.angular_cutoff
    i, lengths, vectors = i[near], lengths[near], vectors[near]
    first, second = _pairs(i)
    r1, r2 = lengths[first], lengths[second]  # (n_pairs,)
    cosine = np.einsum("px,px->p", vectors[first], vectors[second]) / (r1 * r2)
    theta = np.arccos(0.95 * cosine)  # (n_pairs,)
    weight = _cutoff(r1, s.angular_cutoff) * _cutoff(r2, s.angular_cutoff)
    grid = itertools.product(s.angular_eta, s.angular_shifts, s.angles)
    eta, shift, angle = (np.array(x) for x in zip(*grid, strict=True))
    terms = ((1.0 + np.cos(theta[:, None] - angle)) / 2.0) ** s.zeta  # (n_pairs, n_angular)
    terms = 2.0 * terms * np.exp(-eta * (0.5 * (r1 + r2)[:, None] - shift) ** 2)
    angular = np.zeros((len(atoms), len(eta)))
    np.add.at(angular, i[first], terms * weight[:, None])
    return np.concatenate([radial, angular], axis=1)  # (n_atoms, n_radial + n_angular)


def _cutoff(lengths: np.ndarray, radius: float) -> np.ndarray:
    return 0.5 + 0.5 * np.cos(np.pi * lengths / radius)


def _pairs(receivers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every two edges of one atom, once; edges are sorted by atom."""
    if len(receivers) == 0:
        return np.zeros(0, dtype=int), np.zeros(0, dtype=int)
    starts = np.flatnonzero(np.diff(receivers, prepend=-1))
    counts = np.diff(starts, append=len(receivers))
    pairs = [np.add(start, np.triu_indices(n, 1)) for start, n in zip(starts, counts, strict=True)]
    first, second = np.concatenate(pairs, axis=1)  # (2, n_pairs)
    return first, second
