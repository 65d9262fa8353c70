"""Grids of a KAN model of MACE and its training data."""

from typing import Any, List

import torch

from kan_heads.kan.grid import spread_evenly
from kan_heads.swap import calibration

#: How many training frames of each head the grids are fitted to, spread evenly over its set.
_FRAMES = 32


def calibrate(model: torch.nn.Module, frames: List[Any], margin: float = 0.25) -> None:
    """Fits the grids of all KANs to the features that some frames give.

    Args:
        model: changed in place; a KAN whose last layer is zero stays the zero function.
        frames: MACE's ``AtomicData``, some of each head.
        margin: how far a grid reaches beyond the data, as a share of their range.

    Raises:
        ConfigError: if there are no frames, or features are NaN or infinite.
    """
    calibration.calibrate(model, [[frame] for frame in frames], margin, evaluate)


def calibration_frames(dataset: Any) -> List[Any]:
    """Draws frames for :func:`calibrate`, the same ones every time, from the data of every head.

    Args:
        dataset: MACE's training set, a concatenation of one set for each head.
    """
    drawn = []
    for part in getattr(dataset, "datasets", [dataset]):
        drawn += [part[place] for place in spread_evenly(_FRAMES, len(part))]
    return drawn


def evaluate(model: torch.nn.Module, frames: List[Any]) -> Any:
    """Evaluates MACE's ``AtomicData`` as one batch, without forces."""
    from mace.tools.torch_geometric.batch import Batch

    batch = Batch.from_data_list(list(frames)).to(next(model.parameters()).device)
    return model(batch.to_dict(), training=False, compute_force=False)
