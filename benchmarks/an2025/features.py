"""Inputs and targets: principal components of coordinates, descriptors and forces, normalised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.an2025.dataset import Structures
from kan_heads.errors import ConfigError

#: The share of the variance that the paper keeps.
SHARE = 0.95
#: Components of the forces. The published code asks for two, whatever they explain.
N_FORCE_COMPONENTS = 2
#: SOAP: the paper names the descriptor but none of its settings. The cutoff is that of its ANI model.
SOAP = {"r_cut": 5.2, "n_max": 8, "l_max": 6}


@dataclass(frozen=True)
class PCA:
    """Principal components of some rows.

    Args:
        mean: ``(n_features,)``.
        axes: ``(n_kept, n_features)``, orthonormal rows.
        shares: share of the variance of every component, kept or not, falling.
    """

    mean: np.ndarray
    axes: np.ndarray
    shares: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray, keep: float | int = SHARE) -> PCA:
        r"""Finds the components.

        .. math:: C = X^T X / (m - 1), \quad C V = V \Lambda

        computed as a singular value decomposition of the centred rows X, which loses no digits to the
        square. An axis points where its largest entry is positive, so that runs agree in sign.

        Args:
            rows: ``(n, n_features)``.
            keep: share of the variance to reach (below 1), or a number of components.

        Raises:
            ConfigError: nothing varies, or fewer components exist than are asked for.

        Source: An and Yeo 2025, eq. III to VI.
        """
        mean = rows.mean(0)
        _, spread, axes = np.linalg.svd(rows - mean, full_matrices=False)
        power = spread**2
        if not power.sum() > 0.0:
            raise ConfigError("PCA: all rows are equal, so there is nothing to decompose")
        shares = power / power.sum()
        count = int(np.searchsorted(np.cumsum(shares), keep) + 1) if keep < 1 else int(keep)
        if count > len(shares):
            raise ConfigError(f"PCA: {count} components are asked for, the rows have {len(shares)}")
        kept = axes[:count]
        signs = np.sign(kept[np.arange(count), np.abs(kept).argmax(1)])
        return cls(mean, kept * signs[:, None], shares)

    def transform(self, rows: np.ndarray) -> np.ndarray:
        """Projects rows, ``(n, n_features)``, onto the axes, ``(n, n_kept)``. Source: eq. VI."""
        return (rows - self.mean) @ self.axes.T

    def inverse(self, scores: np.ndarray) -> np.ndarray:
        """Returns rows from their scores, less what the left-out components hold."""
        return scores @ self.axes + self.mean


@dataclass(frozen=True)
class Scaling:
    """Normalisation of each column.

    Args:
        mean: ``(n_columns,)``.
        spread: standard deviations, ``(n_columns,)``.
    """

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> Scaling:
        """Takes mean and standard deviation of rows, ``(n, n_columns)``."""
        spread = values.std(0)
        if not (spread > 0.0).all():
            raise ConfigError("normalisation: a column does not vary; check the data")
        return cls(values.mean(0), spread)

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Returns Z = (X - mean) / spread. Source: An and Yeo 2025, eq. VII."""
        return (values - self.mean) / self.spread

    def undo(self, normalised: np.ndarray) -> np.ndarray:
        """Returns values from normalised ones."""
        return normalised * self.spread + self.mean


@dataclass(frozen=True)
class Targets:
    """Energy and force components of all structures, and how they were made.

    Args:
        values: ``(n, 3)``: Ry per cell, then scores of the forces in Ry/bohr.
        normalised: the same, normalised.
        forces: components of the forces.
        scaling: normalisation.
    """

    values: np.ndarray
    normalised: np.ndarray
    forces: PCA
    scaling: Scaling


def coordinates(structures: Structures) -> np.ndarray:
    """Flattens the positions, ``(n, 3 * n_atoms)``, Å. Source: An and Yeo 2025, eq. I and II."""
    return structures.positions.reshape(len(structures), -1)


def soap(structures: Structures) -> np.ndarray:
    """SOAP vectors averaged over the atoms, ``(n, n_features)``, from dscribe.

    The paper computes SOAP of each structure and says no more; its code does not use it. Averaged over
    the atoms ("inner": before the power spectrum is taken) it is one vector for each structure, the
    same however the structure is turned.

    Source: An and Yeo 2025, section 2.3; Bartok, Kondor, Csanyi, Phys. Rev. B 87, 184115 (2013).
    """
    from dscribe.descriptors import SOAP as Descriptor  # noqa: N811  its name is that of the settings

    species = sorted(set(structures.atoms[0].get_chemical_symbols()))
    descriptor = Descriptor(species=species, periodic=True, average="inner", **SOAP)
    return np.asarray(descriptor.create(structures.atoms))


def make_targets(structures: Structures, rows: np.ndarray) -> Targets:
    """Makes the targets of all structures.

    Args:
        structures: the data.
        rows: what components and normalisation are fitted to: all rows as published, training rows to
            be sound.
    """
    flat = structures.forces.reshape(len(structures), -1)
    components = PCA.fit(flat[rows], N_FORCE_COMPONENTS)
    values = np.concatenate([structures.energies[:, None], components.transform(flat)], axis=1)  # (n, 3)
    scaling = Scaling.fit(values[rows])
    return Targets(values, scaling.apply(values), components, scaling)
