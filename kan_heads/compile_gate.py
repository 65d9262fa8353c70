"""Judges whether a compiled model differs from the original by more than rounding."""

import math
from typing import Any, Dict, Optional, Tuple

import torch
from torch import Tensor

from kan_heads.errors import ModelError

# What is compared of a potential; stresses follow from the same derivatives as forces.
COMPARED = ("total_energy", "atomic_energy", "forces")

# Largest difference that rounding explains, relative to the largest value.
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}


def energy_shifts(model: torch.nn.Module, types: Tensor) -> Optional[Tensor]:
    """Returns what the energies of the elements, the per-type shifts, add to the energy of each atom.

    It goes by the name of the class, since a packaged model brings copies of the classes.

    Args:
        model: any model of the nequip framework.
        types: type of each atom, shape ``(n_atoms,)``.

    Returns:
        Shape ``(n_atoms, 1)`` in the precision of the shifts, or ``None`` if the model has none.
    """
    total = None
    for module in model.modules():
        if type(module).__name__ != "PerTypeScaleShift" or module.out_field != "atomic_energy":
            continue
        values = module.shifts.detach().cpu().reshape(-1)  # one for all types, one each, or none
        if values.numel() > 0:
            each = values.expand(len(types)) if values.numel() == 1 else values[types.cpu()]
            total = each if total is None else total + each
    return None if total is None else total[:, None]


def compare(
    path: str,
    expected: Dict[str, Tensor],
    found: Dict[str, Tensor],
    model_dtype: Any,
    shifts: Optional[Tensor] = None,
) -> Tuple[Dict[str, float], Dict[str, float]]:
    """Compares what two models say of one structure.

    Args:
        path: file of the compiled model, for messages.
        expected: energies and forces, or a tensor, by the original.
        found: the same by the compiled model.
        model_dtype: precision of the original.
        shifts: see :func:`energy_shifts`.

    Returns:
        The largest differences by field, absolute and relative to the largest value; for energies to that
        of the interaction, without shifts.

    Raises:
        ModelError: if rounding cannot explain a difference.
    """
    tolerance = _TOLERANCE.get(model_dtype, 1e-2)
    differences, relative = {}, {}
    for name, value in expected.items():
        difference = float((found[name] - value).abs().max())
        scale, floor = _scale_and_floor(name, expected, found, shifts)
        differences[name], relative[name] = difference, difference / (scale or 1.0)
        if not difference <= tolerance * (scale or 1.0) + floor:
            raise ModelError(
                f"{path}: the compiled model differs from the original by {difference:.1e} in {name}, "
                "more than rounding explains; do not use it, and please report this"
            )
    return differences, relative


def _scale_and_floor(
    name: str, expected: Dict[str, Tensor], found: Dict[str, Tensor], shifts: Optional[Tensor]
) -> Tuple[float, float]:
    """Returns the size of what the network computes, and how far rounding of shifted energies goes.

    Shifts of some hundred eV would hide errors of many meV, so that they do not count for the scale. The sum
    of interactions of both signs can be near zero, the rounding in it cannot: their sizes are summed.

    A shifted energy is rounded to the precision in which it is formed and handed over, in each model by up
    to eps / 2 of its size, twice if that is in two places: 2 eps |E|. In a sum of n of them each level of the
    tree of additions rounds once more: (2 + log2 n) eps sum |E|. nequip adds shifts in float64, where this
    is nothing; in float32 and with 100 eV it is 0.02 meV for an atom, 0.1 meV/atom for the sum of 71.
    """
    value = expected[name]
    atomic = expected.get("atomic_energy")
    if name not in ("atomic_energy", "total_energy") or atomic is None:
        return float(value.abs().max()), 0.0
    n = atomic.shape[0]
    interaction = atomic if shifts is None else atomic - shifts[:n]
    precisions = [value.dtype, atomic.dtype, found[name].dtype, *([] if shifts is None else [shifts.dtype])]
    eps = max(torch.finfo(dtype).eps for dtype in precisions)
    if name == "atomic_energy":
        return float(interaction.abs().max()), 2 * eps * float(value.abs().max())
    frames = value.numel()
    rounded = (2 + math.log2(n)) * eps * float(atomic.abs().sum()) / frames
    return float(interaction.abs().sum()) / frames, rounded
