"""What a KAN model tells between two epochs of ``mace_run_train``."""

import itertools
import logging
import re
import weakref
from typing import Any, Dict, List, Set

import torch
from torch import Tensor

from kan_heads.kan import grid
from kan_heads.kan.grid import OFTEN_OFF_GRID, inputs_seen
from kan_heads.mace.calibration import calibration_frames, evaluate
from kan_heads.mace.settings import MACEKANConfig
from kan_heads.swap import kans_of

# Beside the models, not in them: what a run has said is no part of the model that it saves.
_warned: "weakref.WeakKeyDictionary[torch.nn.Module, Set[str]]" = weakref.WeakKeyDictionary()


def log_off_grid(model: torch.nn.Module, epoch: int, train_loader: Any) -> None:
    """Logs the share of the inputs of each KAN that lie off its grid, and warns once of each large one.

    Args:
        model: stays as it is.
        epoch: number of the epoch, as MACE logs it.
        train_loader: MACE's loader; only its data set and batch size are read.
    """
    frames = calibration_frames(train_loader.dataset)
    shares = off_grid(model, frames, getattr(train_loader, "batch_size", None) or 1)
    said = ", ".join(f"{path} {100 * share:.1f} %" for path, share in shares.items())
    logging.info(f"Epoch {epoch}: KAN inputs off the grid: {said}")
    warned = _warned.setdefault(model, set())
    new = [path for path, share in shares.items() if share > OFTEN_OFF_GRID and path not in warned]
    if new:
        warned.update(new)
        logging.warning(
            f"KAN: over {100 * OFTEN_OFF_GRID:.0f} % of the inputs of {', '.join(new)} are off the grid, "
            f"where functions are extrapolated; {_remedy(model.kan_settings())}"
        )


def _remedy(settings: MACEKANConfig) -> str:
    if settings.calibrate:
        return "start again with --kan_calibrate False: features grow in training, and grids do not"
    lower, upper = settings.kan.grid_range
    return f"start again with a grid_range wider than [{lower}, {upper}] in the file of --kan_config"


def off_grid(model: torch.nn.Module, frames: List[Any], batch_size: int = 1) -> Dict[str, float]:
    """Returns the share of the inputs of each KAN that lie off its grid.

    Args:
        model: stays as it is.
        frames: MACE's ``AtomicData``, those of a head side by side.
        batch_size: how many frames are evaluated at once.

    Returns:
        Shares from 0 to 1 by module path, those of the worst layer of each KAN. A KAN of one head counts
        the frames of that head only.
    """
    kans = kans_of(model)
    rows: Dict[str, List[Tensor]] = {path: [] for path in kans}
    with torch.no_grad():
        for head, group in itertools.groupby(frames, key=lambda frame: int(frame.head)):
            own = {path: kan for path, kan in kans.items() if _serves(path, head)}
            members = list(group)
            with inputs_seen(own) as seen:
                for start in range(0, len(members), batch_size):
                    evaluate(model, members[start : start + batch_size])
            for path, inputs in seen.items():
                rows[path] += inputs
        return {
            path: grid.off_grid(kan, torch.cat(rows[path])) if rows[path] else 0.0
            for path, kan in kans.items()
        }


def _serves(path: str, head: int) -> bool:
    """Tells whether the KAN at a path has a part in the energies of a head; radial KANs have in all."""
    match = re.fullmatch(r"readouts\.\d+\.kans\.(\d+)", path)
    return match is None or int(match[1]) == head
