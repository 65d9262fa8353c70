"""NequIP's calculator for processes whose default precision belongs to somebody else."""

from __future__ import annotations

from typing import Any

import torch

from kan_heads.global_state import default_dtype, nequip_state

try:
    from nequip.integrations.ase import NequIPCalculator
except ModuleNotFoundError as error:
    if error.name != "nequip.integrations":
        raise
    from nequip.ase import NequIPCalculator  # nequip < 0.19


class IndependentCalculator(NequIPCalculator):
    """Answers the same whatever torch's default precision is, and leaves it as it is.

    nequip hands structures to a model in the default precision. It sets float64 once in a process; after a
    change to float32 it would hand float32 to a compiled model, which reads it as float64 and answers with
    noise.
    """

    def calculate(self, *arguments: Any, **options: Any) -> None:
        """Evaluates a structure, see ``ase.calculators.calculator.Calculator.calculate``."""
        with default_dtype(torch.float64):
            super().calculate(*arguments, **options)


def load(path: str, device: str, compiled: bool) -> IndependentCalculator:
    """Loads a model of nequip; torch's default precision and random numbers go on as if it had not been.

    Args:
        path: a compiled model, a checkpoint or a package.
        device: ``cpu`` or ``cuda``.
        compiled: whether it is a compiled model.
    """
    kind = IndependentCalculator
    load_file = kind.from_compiled_model if compiled else kind._from_saved_model
    with nequip_state():
        return load_file(path, device=device, chemical_species_to_atom_type_map=True)
