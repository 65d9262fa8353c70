"""What is wrong with the labels of a structure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kan_heads.errors import DataError

if TYPE_CHECKING:
    from ase import Atoms

_KINDS = re.compile(r"(?:.*_)?(energy|forces|stress|virials?)", re.IGNORECASE)

_ASYMMETRY = 0.05
"""Largest asymmetry of a tensor that counts as symmetric, as a share of its largest element."""


@dataclass(frozen=True)
class TensorLabel:
    """What a label that is a 3 x 3 tensor must look like.

    Args:
        per: ``atom`` or ``crystal``.
        symmetric: whether it equals its transpose; such a tensor may be given by six numbers.
    """

    per: str
    symmetric: bool = False


KNOWN_TENSORS = {
    "born_effective_charges": TensorLabel("atom"),
    "dielectric_tensor": TensorLabel("crystal", symmetric=True),
}
"""Tensors that nequip, and so ETGNN, know by name."""


def stores(atoms: Atoms) -> list[Mapping[str, Any]]:
    """The places where ASE keeps labels, the one that wins first."""
    return [atoms.calc.results if atoms.calc else {}, atoms.arrays, atoms.info]


def find_label(atoms: Atoms, name: str) -> Any:
    """Returns a label of a structure, wherever ASE keeps it, or ``None``."""
    return next((store[name] for store in stores(atoms) if store.get(name) is not None), None)


def label_names(atoms: Atoms) -> list[str]:
    """Returns the names of all that a structure has beside its atoms."""
    return sorted({key for store in stores(atoms) for key in store} - {"numbers", "positions"})


def check_labels(
    atoms: Atoms, where: str, require: Sequence[str], tensors: Mapping[str, TensorLabel]
) -> list[str]:
    """Checks required labels, and energies, forces, stresses and virials of any name.

    Args:
        atoms: a structure.
        where: what to call it in messages.
        require: labels that it must have.
        tensors: labels that are 3 x 3 tensors.

    Returns:
        The names of the labels that it has, those in ``require`` first.

    Raises:
        DataError: a label is missing, no number, NaN or infinite, or of another shape or symmetry.
    """
    have, found = label_names(atoms), []
    kinds = {name: match[1].lower() for name in have if (match := _KINDS.fullmatch(name))}
    for name in dict.fromkeys((*require, *kinds)):
        value = find_label(atoms, name)
        if value is None:
            if name in require:
                raise DataError(f"{where} has no '{name}' ({_remedy(name, have)})")
            continue
        tensor = tensors.get(name)
        _check_number(name, value, where)
        if tensor is not None:
            _check_tensor(name, np.shape(value), tensor, len(atoms), where)
        elif name in kinds:
            _check_shape(name, kinds[name], np.asarray(value), len(atoms), where)
        per_atom = tensor.per == "atom" if tensor else kinds.get(name, "forces") == "forces"
        _check_finite(name, value, where, per_atom)
        if tensor is not None and tensor.symmetric:
            _check_symmetric(name, np.asarray(value), where)
        found.append(name)
    return found


def _remedy(name: str, have: Sequence[str]) -> str:
    found = f"it has {', '.join(have)}" if have else "it has no labels"
    similar = [other for other in have if other.lower().endswith(f"_{name}".lower())]
    if similar:
        return (
            f"{found}); read {similar[0]} as it: data.key_mapping in nequip's configurations, --require "
            f"{similar[0]} to check such a file, or rename it (but for MACE keep the names that it has"
        )
    return f"{found}); label the frame, rename its label or remove it (--require names what must be there"


def _check_number(name: str, value: Any, where: str) -> None:
    array = np.asarray(value)
    if array.dtype.kind in "US":
        text = str(array.flat[0]) if array.size else ""
        raise DataError(f"{where}: {name} is text ({text!r}), expected numbers alone, without a unit")
    if array.dtype.kind not in "fiu":
        raise DataError(f"{where}: {name} is not a number but {array.dtype}; correct or remove the frame")


def _check_shape(name: str, kind: str, value: np.ndarray, n_atoms: int, where: str) -> None:
    shape = value.shape
    if kind == "energy" and value.size != 1:
        hint = " (is that a decimal comma?)" if value.dtype.kind in "iu" or value.size == 2 else ""
        raise DataError(f"{where}: {name} has shape {shape}, expected one number{hint}")
    if kind == "forces" and shape != (n_atoms, 3):
        raise DataError(f"{where}: {name} has shape {shape}, expected ({n_atoms}, 3)")
    if kind.startswith(("stress", "virial")) and shape not in ((6,), (9,), (3, 3)):
        raise DataError(f"{where}: {name} has shape {shape}, expected nine numbers or six (Voigt)")


def _check_tensor(name: str, shape: tuple[int, ...], tensor: TensorLabel, n_atoms: int, where: str) -> None:
    tails = [(9,), (3, 3), (6,)] if tensor.symmetric else [(9,), (3, 3)]
    shapes = {"atom": [(n_atoms, *tail) for tail in tails], "crystal": tails}
    if shape not in shapes[tensor.per]:
        wanted = "nine numbers (xx, xy, xz, yx, ... zz)"
        wanted += " or six (xx, yy, zz, yz, xz, xy)" if tensor.symmetric else ""
        other = "crystal" if tensor.per == "atom" else "atom"
        remedy = f"set per: {other}" if shape in shapes[other] else "correct the file or remove the frame"
        raise DataError(
            f"{where}: {name} has shape {shape}, expected {wanted} per {tensor.per}, "
            f"shape {shapes[tensor.per][0]}; {remedy}"
        )


def _check_symmetric(name: str, value: np.ndarray, where: str) -> None:
    if value.shape[-1] == 6:
        return
    matrices = value.reshape(-1, 3, 3)
    asymmetry = np.abs(matrices - matrices.swapaxes(1, 2)).max()
    if asymmetry > _ASYMMETRY * np.abs(matrices).max():
        raise DataError(
            f"{where}: {name} differs from its transpose by {asymmetry:.3g}, but is declared symmetric; "
            "set symmetric: false under a name of your own, or correct the file"
        )


def _check_finite(name: str, value: Any, where: str, per_atom: bool) -> None:
    array = np.asarray(value)
    bad = ~np.isfinite(array)
    if bad.any():
        atom = f" of atom {np.argwhere(bad)[0][0]}" if per_atom and array.ndim > 1 else ""
        raise DataError(f"{where}: {name}{atom} is NaN or infinite; correct or remove the frame")
