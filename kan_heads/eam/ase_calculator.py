"""A potential as a calculator of ASE."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, ClassVar

import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from kan_heads.eam.batch import Batch, make_batch
from kan_heads.eam.potential import Potential, load_potential
from kan_heads.errors import DataError


class EAMCalculator(Calculator):
    """Energy, forces and stress of a pair or embedded-atom potential.

    Args:
        potential: a potential, or the file of one.
        reference: add the constant per atom that the code of the labels has. Without it energies count
            from free atoms and equal LAMMPS' of the exported files.

    Example:
        >>> atoms.calc = EAMCalculator("ru.json")  # doctest: +SKIP

    Raises:
        ConfigError: if the file holds no fitted potential.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(
        self, potential: Potential | str | os.PathLike[str], reference: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.potential = potential if isinstance(potential, Potential) else load_potential(potential)
        self.reference = self.potential.reference if reference else 0.0

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: tuple[str, ...] = ("energy",),
        system_changes: list[str] = all_changes,
    ) -> None:
        """Computes everything at once.

        Raises:
            DataError: if there is another element.
        """
        super().calculate(atoms, properties, system_changes)
        element = self.potential.config.element
        others = sorted(set(self.atoms.get_chemical_symbols()) - {element})
        if others:
            raise DataError(f"the structure has {', '.join(others)}; the potential is of {element}")
        energy, forces, virial = _evaluate(
            self.potential, make_batch([self.atoms], self.potential.config.cutoff)
        )
        total = energy + self.reference * len(self.atoms)
        self.results = {"energy": total, "free_energy": total, "forces": forces.numpy()}
        if self.atoms.cell.rank == 3:
            self.results["stress"] = full_3x3_to_voigt_6_stress(virial.numpy() / self.atoms.get_volume())
        elif "stress" in properties:
            raise PropertyNotImplementedError("a structure without a cell has no stress")


def _evaluate(potential: Potential, batch: Batch) -> tuple[float, torch.Tensor, torch.Tensor]:
    """Energy in eV, forces in eV/Å, ``(n_atoms, 3)``, and derivative by strain in eV, ``(3, 3)``."""
    vectors = batch.vectors.clone().requires_grad_()  # (n_edges, 3)
    with torch.enable_grad():
        energy = potential(dataclasses.replace(batch, vectors=vectors)).sum()
        (slope,) = torch.autograd.grad(energy, vectors)  # (n_edges, 3)
    forces = torch.zeros(len(batch.frame), 3, dtype=torch.float64)
    forces = forces.index_add(0, batch.first, slope).index_add(0, batch.second, -slope)
    virial = batch.vectors.mT @ slope
    return float(energy.detach()), forces, 0.5 * (virial + virial.mT)
