"""The pieces of B-splines, and their values in a form for compilers: no table, no scatter.

Inductor turns a scatter, or a tensor with the basis as its last axis, into loops over single
numbers. Here every operation acts on whole (n, in) tensors and the basis is a Python loop, so the
compiler sees one long expression, which it fuses and vectorises over the features.
"""

import math
from fractions import Fraction
from typing import List

import torch
from torch import Tensor


def cardinal_pieces(order: int) -> List[List[int]]:
    r"""Polynomial pieces of the cardinal B-spline, as whole numbers.

    On a uniform grid every B-spline is a shift of one function :math:`N_k` on :math:`[0, k+1)`,
    a polynomial on each unit interval. The Cox-de Boor recursion
    :math:`N_k(v) = \frac{v}{k} N_{k-1}(v) + \frac{k+1-v}{k} N_{k-1}(v-1)`, solved once in
    rational numbers, gives coefficients that are multiples of :math:`1/k!`.

    Args:
        order: the order k.

    Returns:
        ``pieces[p][q]``, k! times the coefficient of :math:`r^p` on :math:`v = k - q + r`: the
        piece that belongs to the q-th of the k + 1 basis functions alive at a point.
    """
    pieces = [[Fraction(1)]]
    for k in range(1, order + 1):
        raised = []
        for s in range(k + 1):
            coefficients = [Fraction(0)] * (k + 1)
            if s < k:
                for p, value in enumerate(pieces[s]):
                    coefficients[p] += value * Fraction(s, k)
                    coefficients[p + 1] += value * Fraction(1, k)
            if s > 0:
                for p, value in enumerate(pieces[s - 1]):
                    coefficients[p] += value * Fraction(k + 1 - s, k)
                    coefficients[p + 1] -= value * Fraction(1, k)
            raised.append(coefficients)
        pieces = raised
    scale = math.factorial(order)
    return [[int(scale * pieces[order - q][p]) for q in range(order + 1)] for p in range(order + 1)]


def bounded(distance: Tensor) -> Tensor:
    """Cuts distances to [0, 1] with the slope 1 at both ends, which ``clamp`` has up to torch 2.13 only."""
    zero, one = torch.zeros_like(distance), torch.ones_like(distance)
    return torch.where(distance < 0.0, zero, torch.where(distance > 1.0, one, distance))


def live_values(pieces: List[List[float]], distance: Tensor, linear: bool) -> List[Tensor]:
    """Evaluates the functions alive at a point.

    Args:
        pieces: ``pieces[p][q]``, coefficient of ``r^p`` in the q-th live function.
        distance: from the left knot of the interval, in steps, shape ``(n, in)``.
        linear: go on as a straight line outside the interval; otherwise the functions are 0 there.

    Returns:
        One tensor of shape ``(n, in)`` for each live function.
    """
    order = len(pieces) - 1
    r = bounded(distance) if linear else distance
    excess = distance - r  # zero inside
    one = torch.ones(1, dtype=r.dtype, device=r.device)
    values: List[Tensor] = []
    for q in range(order + 1):
        value = pieces[order][q] * r + pieces[order - 1][q]
        for p in range(order - 2, -1, -1):
            value = value * r + pieces[p][q]
        if linear:
            # The slopes at the two ends mirror each other.
            below, above = pieces[1][q], -pieces[1][order - q]
            slope = torch.where(distance < 0.0, torch.full_like(one, below), torch.full_like(one, above))
            value = value + excess * slope
        else:
            value = torch.where((distance < 0.0) | (distance >= 1.0), torch.zeros_like(r), value)
        values.append(value)
    return values


def select_live(columns: Tensor, cell: Tensor, n_live: int) -> List[Tensor]:
    """Selects ``columns[cell + q]`` for q = 0 .. n_live - 1 by halving the range of cells.

    Comparing with every cell would take n_live selections for each; this takes about two for each
    row of ``columns``, and no gather, whose gradient compilers scatter.

    Args:
        columns: shape ``(n_cells + n_live - 1, in)``.
        cell: whole numbers from 0 to n_cells - 1, shape ``(n, in)``.
        n_live: how many neighbours to select.

    Returns:
        One tensor of shape ``(n, in)`` (or ``(in,)`` if there is one cell) for each neighbour.
    """
    window: List[Tensor] = []
    for j in range(columns.shape[0]):
        window.append(columns[j])
    stride = 1
    while 2 * stride < columns.shape[0] - n_live + 1:
        stride *= 2
    rest = cell
    while stride >= 1:
        far = rest >= stride
        rest = torch.where(far, rest - stride, rest)
        narrowed: List[Tensor] = []
        for j in range(min(len(window), n_live + stride - 1)):
            near = window[j]
            narrowed.append(torch.where(far, window[j + stride], near) if j + stride < len(window) else near)
        window = narrowed
        stride = stride // 2  # TorchScript knows no "//="
    return window


def place_live(values: List[Tensor], cell: Tensor, j: int, first: int, last: int) -> Tensor:
    """Returns the value of basis function j, shape ``(n, in)``: one of the live ones, or 0.

    Args:
        values: the live functions at each point.
        cell: whole numbers from ``first`` to ``last``, shape ``(n, in)``.
        j: which basis function.
        first: smallest cell.
        last: largest cell.
    """
    placed = torch.zeros_like(cell)
    for q in range(len(values)):
        if first <= j - q <= last:
            placed = torch.where(cell == j - q, values[q], placed)
    return placed
