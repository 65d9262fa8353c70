"""Errors of trained models on frames with labels, and the functions that a KAN has learned."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kan_heads.errors import ModelError
from kan_heads.quiet import quiet

if TYPE_CHECKING:
    import torch
    from ase import Atoms
    from ase.calculators.calculator import Calculator

_MAX_ROWS = 20_000


@dataclass(frozen=True)
class Prediction:
    """Energies per atom in eV, shape (frames,), and force components in eV/Angstrom, shape (atoms, 3)."""

    energies: np.ndarray
    forces: np.ndarray

    def errors(self, reference: Prediction) -> dict[str, float]:
        """Mean absolute errors, forces over components."""
        return {
            "force_mae_eV_per_A": float(np.abs(self.forces - reference.forces).mean()),
            "energy_mae_meV_per_atom": float(1000 * np.abs(self.energies - reference.energies).mean()),
        }


@dataclass(frozen=True)
class Functions:
    """Learned univariate functions, those with the largest spread of values first.

    Args:
        names: what each function maps, e.g. ``"feature 3"``.
        x: points, shape (n_functions, points); they reach beyond the inputs.
        y: values there, shape (n_functions, points).
        inputs: inputs that occur, shape (rows, n_functions).
        ranges: where the inputs lie but for 0.1 %, widened to hold 0, shape (n_functions, 2).
        knots: ends of the intervals of each grid, shape (n_functions, intervals + 1).
        spread: standard deviation of the values over the inputs, shape (n_functions,).
        outside: share of the inputs beyond the grid, shape (n_functions,).
    """

    names: list[str]
    x: np.ndarray
    y: np.ndarray
    inputs: np.ndarray
    ranges: np.ndarray
    knots: np.ndarray
    spread: np.ndarray
    outside: np.ndarray


def eager_calculator(checkpoint: Path, device: str = "cpu") -> Calculator:
    """An ASE calculator on the averaged weights of a checkpoint, as nequip evaluates them."""
    with quiet(logging.INFO):
        return _calculator_class()._from_saved_model(str(checkpoint), device=device)


def compiled_calculator(model: Path) -> Calculator:
    """An ASE calculator on a model that ``nequip-compile`` wrote."""
    with quiet(logging.INFO):
        return _calculator_class().from_compiled_model(str(model), device="cpu")


def read_reference(path: Path) -> tuple[list[Atoms], Prediction]:
    """Frames and their labels."""
    import ase.io

    frames = ase.io.read(path, index=":")
    energies = np.array([a.get_potential_energy() / len(a) for a in frames])
    return frames, Prediction(energies, np.concatenate([a.get_forces() for a in frames]))


def predict(calculator: Calculator, frames: Sequence[Atoms]) -> Prediction:
    """Energies and forces of frames."""
    energies, forces = [], []
    with quiet(logging.INFO):
        for frame in frames:
            atoms = frame.copy()
            atoms.calc = calculator
            energies.append(float(atoms.get_potential_energy()) / len(atoms))
            forces.append(atoms.get_forces())
    return Prediction(np.array(energies), np.concatenate(forces))


def largest_difference(a: Prediction, b: Prediction) -> dict[str, float]:
    """Largest differences between two predictions."""
    return {
        "energy_max_difference_meV_per_atom": float(1000 * np.abs(a.energies - b.energies).max()),
        "force_max_difference_eV_per_A": float(np.abs(a.forces - b.forces).max()),
    }


def count_parameters(model: torch.nn.Module) -> dict[str, int]:
    """Trainable parameters of the readout, and of the whole model."""
    from kan_heads.backbones.graph import is_readout

    readouts = [module for path, module in model.named_modules() if is_readout(path)]
    return {
        "readout_parameters": sum(p.numel() for r in readouts for p in r.parameters()),
        "total_parameters": sum(p.numel() for p in model.parameters()),
    }


def learned_functions(calculator: Calculator, frames: Sequence[Atoms], count: int = 12) -> Functions:
    r"""The functions :math:`\varphi_{oi}` of the first layer of a KAN that vary most on real inputs.

    Args:
        calculator: from :func:`eager_calculator`.
        frames: frames whose inputs are looked at.
        count: how many functions.

    Raises:
        ModelError: there is no KAN in the model.
    """
    import torch

    from kan_heads.swap import kans_of

    kans = list(kans_of(calculator.model).values())
    if not kans:
        raise ModelError("the model holds no KAN; its configuration needs a kan: section")
    layer = kans[-1].layers[0]
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach().flatten(0, -2)))
    try:
        predict(calculator, frames)
    finally:
        hook.remove()
    return _functions(layer, torch.cat(seen), count)


def _functions(layer: Any, inputs: torch.Tensor, count: int) -> Functions:
    import torch

    with torch.no_grad():
        rows = inputs[:: max(1, len(inputs) // _MAX_ROWS)]  # (n, in)
        spread = layer.edge_functions(rows).std(0)  # (out, in)
        chosen = spread.flatten().argsort(descending=True)[:count]
        out, feature = chosen // layer.in_features, chosen % layer.in_features
        lower, upper = layer.basis.lower, layer.basis.upper
        # A few rows far out must not squeeze all others into a corner of the picture.
        ends = torch.quantile(rows, torch.tensor([0.0005, 0.9995], dtype=rows.dtype), dim=0)
        low, high = ends[0].clamp_max(0.0), ends[1].clamp_min(0.0)  # (in,)
        margin = (0.25 * (high - low)).clamp_min(1e-3)
        points = _between(low - margin, high + margin, 401)  # (m, in)
        values = layer.edge_functions(points)[:, out, feature]  # (m, count)
    beyond = ((rows < lower) | (rows > upper)).double().mean(0)
    several = layer.out_features > 1
    names = [f"feature {i}" + (f" to {o}" if several else "") for o, i in zip(out, feature, strict=True)]
    return Functions(
        names=names,
        x=points[:, feature].T.numpy(),
        y=values.T.numpy(),
        inputs=rows[:, feature].numpy(),
        ranges=torch.stack([low, high], -1)[feature].numpy(),
        knots=_between(lower, upper, layer.basis.grid_size + 1)[:, feature].T.numpy(),
        spread=spread.flatten()[chosen].numpy(),
        outside=beyond[feature].numpy(),
    )


def _between(low: torch.Tensor, high: torch.Tensor, count: int) -> torch.Tensor:
    """Evenly spaced points for each feature, shape (count, in)."""
    import torch

    return low + torch.linspace(0, 1, count, dtype=low.dtype).unsqueeze(-1) * (high - low)


def _calculator_class() -> Any:
    try:
        from nequip.integrations.ase import NequIPCalculator
    except ModuleNotFoundError:  # nequip < 0.19
        from nequip.ase import NequIPCalculator
    return NequIPCalculator
