"""What the figures are meant to be: the largest ratios that count as met."""

from __future__ import annotations

_RATIOS = {
    "readout-1layer": {"train": 1.0, "inference": 1.0},
    "readout-2layer-8": {"train": 2.5, "inference": 2.5},
    "readout-2layer-32": {"train": 6.5, "inference": 6.5},
    "latent": {"train": 8.0, "inference": 8.0},
    "allegro-output": {"train": 1.03, "inference": 1.02},
    "allegro-all": {"train": 2.0, "inference": 2.0},
    "nequip-output": {"train": 1.03, "inference": 1.02},
    "mace-output": {"train": 1.05},
    "etgnn-output": {"train": 1.05},
}
# Below this, overheads decide.
_FEW_ROWS = 500
_FEW_ROWS_RATIOS = {"readout-1layer": {"train": 2.0, "inference": 2.0}}
_TO_REFERENCE = {"readout-1layer": {"train": 1 / 30, "inference": 1 / 30}}
_EXTRA_MEMORY = {"allegro-output": 0.02, "nequip-output": 0.02}


def to_mlp(case: str, phase: str, rows: int) -> float | None:
    """Largest ratio to the MLP that is accepted; None where there is no target."""
    ratios = _FEW_ROWS_RATIOS if rows < _FEW_ROWS and case in _FEW_ROWS_RATIOS else _RATIOS
    return ratios.get(case, {}).get(phase)


def to_reference(case: str, phase: str) -> float | None:
    """Largest ratio to the plain definition that is accepted."""
    return _TO_REFERENCE.get(case, {}).get(phase)


def extra_memory(case: str) -> float | None:
    """Largest extra memory of a training step, as a share of the MLP model's."""
    return _EXTRA_MEMORY.get(case)
