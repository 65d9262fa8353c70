"""What a snapshot is: crystal structures by common neighbours, and radial distribution functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kan_heads.eam.native import create, lammps

if TYPE_CHECKING:
    from ase import Atoms

#: Names of the structures that common neighbour analysis tells apart, ``other`` for the rest.
STRUCTURES = ("fcc", "hcp", "bcc", "other")

# LAMMPS' numbers of them.
_FCC, _HCP, _BCC = 1, 2, 3
# Halfway between the neighbours that count and the next ones, in lattice constants.
_CLOSE_PACKED, _CENTRED = 0.8536, 1.207


def common_neighbours(atoms: Atoms) -> np.ndarray:
    """Tells the crystal structure around each atom by common neighbour analysis, in LAMMPS.

    The distance up to which atoms are neighbours follows from the volume per atom: halfway between the
    12 neighbours of a close-packed atom and the next, and between the 14 of a body-centred one and the
    next. So the box has to be full: no surface, no large hole. Positions averaged over a fraction of a
    picosecond tell much more than those of an instant, in which vibrations hide the structure.

    Args:
        atoms: periodic structure of one element.

    Returns:
        Index into :data:`STRUCTURES`, ``(n_atoms,)``.

    Source: Honeycutt and Andersen, J. Phys. Chem. 91, 4950 (1987); An and Yeo 2025, section 3.2.2.
    """
    volume = float(atoms.get_volume()) / len(atoms)
    close, centred = _CLOSE_PACKED * (4.0 * volume) ** (1 / 3), _CENTRED * (2.0 * volume) ** (1 / 3)
    with lammps() as lmp:
        create(lmp, atoms)
        for command in (
            f"pair_style zero {centred + 0.5!r}",
            "pair_coeff * *",
            f"compute close all cna/atom {close!r}",
            f"compute centred all cna/atom {centred!r}",
            "run 0 post no",
        ):
            lmp.command(command)
        n = len(atoms)
        order = np.argsort(lmp.numpy.extract_atom("id", nelem=n).ravel())
        near, far = (
            np.array(lmp.numpy.extract_compute(name, 1, 1))[:n][order] for name in ("close", "centred")
        )
    found = np.full(n, STRUCTURES.index("other"))
    found[far == _BCC] = STRUCTURES.index("bcc")
    found[near == _HCP] = STRUCTURES.index("hcp")
    found[near == _FCC] = STRUCTURES.index("fcc")
    return found


def fractions(kinds: np.ndarray) -> dict[str, float]:
    """Returns the share of atoms in each of :data:`STRUCTURES`."""
    return {name: float((kinds == k).mean()) for k, name in enumerate(STRUCTURES)}


def radial_distribution(atoms: Atoms, edges: np.ndarray) -> np.ndarray:
    r"""Counts neighbours by distance, relative to an ideal gas of the same density.

    .. math:: g(r) = \frac{V}{4 \pi r^2 \Delta r\,N^2} \sum_{i \ne j} \delta_{\Delta r}(r - r_{ij})

    Args:
        atoms: periodic structure.
        edges: of the bins, Å, ``(n_bins + 1,)``.

    Returns:
        g, ``(n_bins,)``.
    """
    from matscipy.neighbours import neighbour_list

    counts, _ = np.histogram(neighbour_list("d", atoms, float(edges[-1])), bins=edges)
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    return counts / (len(atoms) ** 2 / atoms.get_volume() * shells)


def blocks(samples: np.ndarray, n_blocks: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Averages a series and estimates its error from the averages of consecutive blocks.

    Args:
        samples: ``(n_samples, ...)``, in the order of time.
        n_blocks: number of blocks; fewer where there are fewer samples.

    Returns:
        Mean, and standard deviation of the blocks' means, ``(...)`` each; NaN for a single block.
    """
    parts = np.array_split(samples, max(1, min(n_blocks, len(samples))))
    means = np.array([part.mean(axis=0) for part in parts])
    spread = means.std(axis=0, ddof=1) if len(means) > 1 else np.full(means.shape[1:], np.nan)
    return samples.mean(axis=0), spread
