"""Sums of rows: all that a least-squares problem keeps of the data."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

KINDS = ("energy", "forces", "stress")
"""The kinds of labels: eV per atom, eV/Å, eV/Å^3."""


@dataclasses.dataclass
class Sums:
    r"""The sums of the rows of one kind of label, :math:`r = b - A\,\theta_0`.

    Sums add: those of more data, or of other processes, are those of all. Their size does not grow with the
    data.

    Args:
        gram: :math:`A^T A`, shape ``(p, p)``, float64.
        rhs: :math:`A^T r`, shape ``(p,)``.
        square: :math:`r^T r`.
        rows: number of rows.
        labels: number of labels that the rows stand for: ``square / labels`` is the mean squared error.
    """

    gram: Tensor
    rhs: Tensor
    square: float = 0.0
    rows: int = 0
    labels: int = 0

    @classmethod
    def empty(cls, size: int) -> Sums:
        """Returns sums of no rows."""
        return cls(torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64))

    def add(self, rows: Tensor, residuals: Tensor, labels: int) -> None:
        """Adds rows.

        Args:
            rows: shape ``(n, p)``.
            residuals: label less the model's value, shape ``(n,)``.
            labels: how many labels they stand for.
        """
        self.gram.addmm_(rows.t(), rows)
        self.rhs.addmv_(rows.t(), residuals)
        self.square += float(residuals @ residuals)
        self.rows += len(rows)
        self.labels += labels

    def __add__(self, other: Sums) -> Sums:
        """Returns the sums of both."""
        return Sums(
            self.gram + other.gram,
            self.rhs + other.rhs,
            self.square + other.square,
            self.rows + other.rows,
            self.labels + other.labels,
        )

    def mse(self, change: Tensor | None = None) -> float:
        r"""Returns the mean squared error after a change of the coefficients.

        .. math:: (r^T r - 2 \Delta^T A^T r + \Delta^T A^T A \Delta) / n

        Args:
            change: :math:`\Delta`, shape ``(p,)``; none if ``None``.
        """
        if not self.labels:
            return 0.0
        square = self.square
        if change is not None:
            square += float(change @ (self.gram @ change)) - 2.0 * float(change @ self.rhs)
        return max(square, 0.0) / self.labels
