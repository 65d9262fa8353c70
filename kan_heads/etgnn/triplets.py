"""Pairs of edges k -> j -> i in periodic structures of any size, without loops."""

from typing import Tuple

import torch
from torch import Tensor


def find_triplets(center: Tensor, neighbor: Tensor, shift: Tensor, num_atoms: int) -> Tuple[Tensor, Tensor]:
    """Lists all pairs of edges of which the first ends where the second begins.

    An edge leads from its neighbour to its centre. A triplet in which k is the very atom i (the same image,
    not only the same index: small cells have many) is left out.

    Args:
        center: index of the centre of each edge, shape ``(n_edges,)``.
        neighbor: index of the neighbour, shape ``(n_edges,)``.
        shift: how many cells the neighbour is away in each direction, shape ``(n_edges, 3)``.
        num_atoms: number of atoms.

    Returns:
        Indices of the edges k -> j and j -> i, both of shape ``(n_triplets,)``.
    """
    by_center = torch.argsort(center, stable=True)
    ones = torch.ones_like(center)
    count = torch.zeros(num_atoms, dtype=center.dtype, device=center.device).index_add(0, center, ones)
    first = torch.cumsum(count, 0) - count  # (n_atoms,): where its edges begin in by_center
    partners = count[neighbor]  # (n_edges,): as many edges k -> j meet the edge j -> i
    ji = torch.repeat_interleave(partners)  # (n_pairs,)
    before = torch.cumsum(partners, 0) - partners
    rank = torch.arange(ji.shape[0], device=center.device) - before[ji]
    kj = by_center[first[neighbor[ji]] + rank]
    returns = (neighbor[kj] == center[ji]) & (shift[kj] + shift[ji] == 0).all(dim=1)
    kept = torch.nonzero(~returns).squeeze(1)
    return kj[kept], ji[kept]


def nearest_edges(center: Tensor, length: Tensor, num_atoms: int, most: int) -> Tensor:
    """Returns the indices of the edges to the nearest neighbours of each atom.

    Args:
        center: index of the centre of each edge, shape ``(n_edges,)``.
        length: length of each edge, shape ``(n_edges,)``.
        num_atoms: number of atoms.
        most: neighbours to keep; which of several at the same distance stay is arbitrary.

    Returns:
        Indices of shape ``(n_kept,)``, by centre and length.
    """
    order = torch.argsort(length, stable=True)
    order = order[torch.argsort(center[order], stable=True)]
    sorted_center = center[order]
    ones = torch.ones_like(center)
    count = torch.zeros(num_atoms, dtype=center.dtype, device=center.device).index_add(0, center, ones)
    first = torch.cumsum(count, 0) - count
    rank = torch.arange(order.shape[0], device=center.device) - first[sorted_center]
    return order[torch.nonzero(rank < most).squeeze(1)]
