"""Tables 2 and 3: elastic constants, moduli and thermal expansion from KAN potentials fitted here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kan_heads.elastic import (
    constants_from_energies,
    elastic_constants,
    hexagonal,
    hexagonal_matrix,
    lagrangian_strain,
    voigt_reuss_hill,
)
from kan_heads.errors import DataError, ModelError

if TYPE_CHECKING:
    from ase import Atoms

    from kan_heads.eam import Potential
    from kan_heads.eam.data import Frame

#: eV per atom, experiment at 0 K: Kittel, Introduction to Solid State Physics, 8th edition, Table 1 of
#: chapter 3. Strained crystals do not say how deep the crystal lies below free atoms.
COHESIVE_ENERGY = 6.74

_GROUPS = ("mode", "eta")
_RELAXED = "positions=affine_approx_unrelaxed"
# Lagrangian strains (length of Voigt's vector) up to which the labels are fitted, and the power.
_LARGEST_STRAIN = 0.075
_DEGREE = 5


@dataclasses.dataclass(frozen=True)
class Properties:
    """Mechanical properties of one potential or set of labels.

    Args:
        constants: C11, C12, C13, C33, C44 at the labels' cell, GPa.
        expansion: linear thermal expansion at 300 K, 1e-6/K; None where it was not computed.
        note: why something is missing.
    """

    constants: dict[str, float]
    expansion: float | None = None
    note: str = ""

    def rows(self) -> dict[str, float | None]:
        """All properties by name, GPa, 1e-6/K; averages by Voigt, Reuss and Hill."""
        moduli = voigt_reuss_hill(hexagonal_matrix(self.constants))
        return {
            **self.constants,
            "thermal expansion": self.expansion,
            "Poisson's ratio": moduli.poisson,
            "bulk modulus": moduli.bulk,
            "shear modulus": moduli.shear,
            "Young's modulus": moduli.young,
        }


def read_frames(path: str | Path | None = None) -> list[Frame]:
    """Reads the strained cells with energies and stresses; strains of one mode and size are one group."""
    from benchmarks.an2025.dataset import find
    from kan_heads.eam.data import read_labelled

    return read_labelled(find() if path is None else path, _GROUPS, _RELAXED)


def reference_cell(frames: Sequence[Frame]) -> Frame:
    """Returns the structure without strain.

    Raises:
        DataError: if there is none.
    """
    for frame in frames:
        if frame.atoms.info["eta"] == 0:
            return frame
    raise DataError("no structure of the data is without strain (eta=0), so nothing tells strains")


def label_constants(frames: Sequence[Frame]) -> tuple[dict[str, float], dict[str, float]]:
    """Fits the elastic constants of the labels themselves to their energies.

    Args:
        frames: strained cells.

    Returns:
        C11, C12, C13, C33, C44 in GPa at the reference cell, and their standard errors.
    """
    reference = reference_cell(frames).atoms.cell
    strains = np.array([lagrangian_strain(frame.atoms.cell.array, reference.array) for frame in frames])
    small = np.linalg.norm(strains, axis=1) < _LARGEST_STRAIN
    energies = np.array([frame.energy for frame in frames])
    return constants_from_energies(strains[small], energies[small], abs(reference.volume), _DEGREE)


def by_autograd(potential: Potential, crystal: Atoms) -> dict[str, float]:
    """Elastic constants in GPa from the potential's own stress, atoms at rest at each strain."""
    from kan_heads.eam.relaxed import relaxed_energy_and_stress

    return hexagonal(elastic_constants(lambda a: relaxed_energy_and_stress(potential, a)[1], crystal))


def by_lammps(potential: Potential, crystal: Atoms, style: str, folder: Path) -> dict[str, float]:
    """Elastic constants in GPa from LAMMPS with the exported potential, atoms minimised at each strain.

    Args:
        potential: potential.
        crystal: the labels' cell.
        style: ``eam/fs``, ``table`` or ``overlay``.
        folder: where the exported files are written.
    """
    from kan_heads.eam.export import export
    from kan_heads.eam.native import evaluate

    names = {"eam/fs": "Ru.eam.fs", "table": "Ru.table", "overlay": "overlay"}
    made = export(potential, style, folder / names[style])
    return hexagonal(elastic_constants(lambda a: evaluate(made, a, relax=True).stress, crystal))


def properties(potential: Potential, crystal: Atoms) -> Properties:
    """Elastic constants at the labels' cell and thermal expansion of the crystal at rest."""
    from kan_heads.eam.quasiharmonic import hcp_expansion
    from kan_heads.eam.relaxed import equilibrium_hcp

    constants = by_autograd(potential, crystal)
    lengths = crystal.cell.lengths() / 2  # a cell of 2 x 2 x 2
    try:
        rest = equilibrium_hcp(potential, float(lengths[0]), float(lengths[2]))
        expansion = 1e6 * hcp_expansion(potential, rest).at(300.0)
    except ModelError as error:
        return Properties(constants, None, str(error))
    return Properties(constants, expansion)


def fit_ruthenium(
    frames: Sequence[Frame], kind: str, seed: int = 0, say: Callable[[str], None] = lambda _: None
) -> tuple[Potential, dict[str, Any]]:
    """Fits a potential of ruthenium to the strained cells.

    Small strains count most: they fix the elastic constants.

    Args:
        frames: strained cells.
        kind: ``eam`` or ``pair``.
        seed: of the split.
        say: hears what is going on.

    Returns:
        The potential and its errors on the three sets.
    """
    from kan_heads.eam.config import EAMConfig
    from kan_heads.eam.data import split_by_group
    from kan_heads.eam.fitting import fit_potential
    from kan_heads.eam.training import FitConfig

    config = EAMConfig(element="Ru", kind=kind, cutoff=7.0, inner=2.0, grid_size=25)
    settings = FitConfig(
        rounds=6, energy_tolerance=5e-4, stress_tolerance=7e-5, softening=0.006, smoothness=3e-3
    )
    parts = split_by_group(frames, seed=seed)
    labels = voigt_reuss_hill(hexagonal_matrix(label_constants(frames)[0]))

    def tell(number: int, train: float, validation: float) -> None:
        say(f"{kind}: round {number}, loss {train:.3g}, validation {validation:.3g}")

    return fit_potential(config, parts, settings, COHESIVE_ENERGY, labels.bulk, tell)
