"""Calculators on trained models, whatever the file."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kan_heads.errors import ConfigError, ModelError, first_line
from kan_heads.loading import COMPILED, KINDS, MACE, SAVED, check_device, check_file, remedy
from kan_heads.quiet import quiet

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


def load_calculator(
    path: str,
    device: str = "cpu",
    dtype: str | None = None,
    head: str | None = None,
    trust: bool = False,
) -> Calculator:
    """Loads a model as a calculator of ASE; torch's default precision stays as it is, here and in use.

    Args:
        path: a model that ``kan-heads compile`` or ``nequip-compile --target ase`` wrote, a checkpoint, a
            package, or a ``.model`` of MACE. Checkpoints and packages hold pickles, which can run code and
            are loaded without a question, as nequip's own programs do: only use files from sources you
            trust.
        device: ``cpu`` or ``cuda``.
        dtype: precision of a MACE model, ``float32`` or ``float64``; None stands for ``float64``.
        head: head of a MACE model with several.
        trust: load a ``.model`` although it is a pickle, see :func:`kan_heads.trust.require_trust`.

    Raises:
        ModelError: if the file is missing, of another kind, or cannot be loaded.
        ConfigError: if the device is not there, an option does not fit the kind of model, or a ``.model`` is
            a pickle and ``trust`` is not given.
    """
    check_kind(path, dtype, head, trust)
    check_device(device)
    try:
        with quiet(logging.WARNING):
            if path.endswith(MACE):
                return _mace(path, device, dtype or "float64", head)
            return _nequip(path, device)
    except (ConfigError, ModelError, ModuleNotFoundError):
        raise
    except Exception as error:  # whatever the damage of a file leads to
        if "keys do not match" in str(error):
            raise ModelError(
                f"{path}: was compiled for something else, or predicts a tensor; compile a potential with "
                "--target ase"
            ) from error
        raise ModelError(f"{path}: cannot be loaded ({first_line(error)}); {_remedy(path, error)}") from error


def check_kind(path: str, dtype: str | None = None, head: str | None = None, trust: bool = False) -> None:
    """Finds what is wrong with the name of a model and with options that do not fit it, and loads nothing.

    Raises:
        ModelError: if there is no such file, or no such kind of model.
        ConfigError: if an option is about another kind, or a ``.model`` is a pickle and not trusted.
    """
    check_file(path, (*COMPILED, *SAVED, *MACE), KINDS, trust)
    for option, value in (("--dtype", dtype), ("--head", head)):
        if value is not None and not path.endswith(MACE):
            raise ConfigError(f"{option}: is about a MACE .model; {os.path.basename(path)} is none")


def known_elements(calculator: Calculator) -> list[str] | None:
    """The elements that a calculator knows; None if it does not say."""
    table = getattr(calculator, "z_table", None)  # MACE
    if table is not None:
        from ase.data import chemical_symbols

        return [chemical_symbols[z] for z in table.zs]
    for transform in getattr(calculator, "transforms", ()):  # nequip
        if hasattr(transform, "model_type_names"):
            return list(transform.model_type_names)
    return None


def untrained_elements(calculator: Calculator, elements: Sequence[str]) -> list[str]:
    """Returns those of some elements that a model has a name for and no training data of.

    It answers NaN for two atoms of them, and not for two atoms of another element that it knows.

    Args:
        calculator: on the model.
        elements: chemical symbols, those of a structure.
    """
    import numpy as np
    from ase import Atoms
    from ase.data import atomic_numbers, covalent_radii

    lost, known = [], known_elements(calculator) or list(elements)
    for element in known:
        bond = 2.2 * covalent_radii[atomic_numbers[element]]
        pair = Atoms(
            [element] * 2, [[0, 0, 0], [0, 0, bond]], cell=[20.0] * 3, pbc=True, calculator=calculator
        )
        try:
            if not np.isfinite(pair.get_potential_energy()):
                lost.append(element)
        except Exception:  # of something else than the element; the caller has the first error
            continue
    return [element for element in elements if element in lost] if len(lost) < len(known) else []


def _nequip(path: str, device: str) -> Calculator:
    from kan_heads.lammps.nequip_calculator import load

    return load(path, device, compiled=path.endswith(COMPILED))


def _mace(path: str, device: str, dtype: str, head: str | None) -> Calculator:
    # It prints what it could use, and standard output may be for results.
    with contextlib.redirect_stdout(io.StringIO()):
        from mace.calculators import MACECalculator

        options = {} if head is None else {"head": head}
        # As a text the name would be a pattern, and find other files than the one that was checked.
        calculator = MACECalculator(Path(path), device=device, default_dtype=dtype, **options)
    # MACE itself would take the last head and go on.
    if head is not None and head not in calculator.available_heads:
        heads = ", ".join(calculator.available_heads)
        raise ConfigError(f"--head {head}: {path} has no such head; it has {heads}")
    return calculator


def _remedy(path: str, error: Exception) -> str:
    if path.endswith(COMPILED):
        return "compile it again here and for that device: kan-heads compile best.ckpt NAME.nequip.pt2"
    return remedy(error, KINDS)
