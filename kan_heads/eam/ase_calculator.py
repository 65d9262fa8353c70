"""A potential as a calculator of ASE."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from kan_heads.eam.batch import make_batch
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
        batch = make_batch([self.atoms], self.potential.config.cutoff)
        energy, forces, virial = self.potential.energy_forces_and_virial(batch)
        total = float(energy) + self.reference * len(self.atoms)
        self.results = {"energy": total, "free_energy": total, "forces": forces.numpy()}
        if self.atoms.cell.rank == 3:
            self.results["stress"] = full_3x3_to_voigt_6_stress(virial[0].numpy() / self.atoms.get_volume())
        elif "stress" in properties:
            raise PropertyNotImplementedError("a structure without a cell has no stress")
