"""Grids and the training data: fit them before training, and tell during training what they miss."""

import warnings
from typing import Any, Dict, Iterator, Set

import lightning
from nequip.data import AtomicDataDict
from torch import Tensor

from kan_heads.backbones.graph import short_path
from kan_heads.errors import ConfigError
from kan_heads.kan import KAN
from kan_heads.kan.grid import OFTEN_OFF_GRID, off_grid, spread_evenly
from kan_heads.swap import calibrate, kans_of
from kan_heads.swap.calibration import kan_inputs


class GridCoverage(lightning.Callback):
    """Lightning callback that logs after each epoch what share of a KAN's inputs lies off its grid.

    Off the grid a B-spline is a straight line, so a KAN most of whose inputs lie there has lost its
    functions. The shares, from 0 to 1 and of the worst layer, are logged as ``off_grid/MODULE``; a share
    above 20 % is warned of, once for each KAN.

    Args:
        n_batches: training batches to look at, drawn evenly from the whole training set.

    Raises:
        ConfigError: if the number is not positive, or there is no KAN in the model.
    """

    def __init__(self, n_batches: int = 4) -> None:
        super().__init__()
        if n_batches < 1:
            raise ConfigError(f"{type(self).__name__}: n_batches {n_batches} must be at least 1")
        self.n_batches = n_batches
        self._warned: Set[str] = set()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Logs the shares; training goes on as it would without this."""
        if not trainer.is_global_zero:
            return
        kans = self._kans(pl_module)
        inputs = kan_inputs(pl_module.model, kans, self._batches(trainer.datamodule))
        shares = {path: off_grid(kans[path], x) for path, x in inputs.items()}
        for path, share in shares.items():
            pl_module.log(f"off_grid/{short_path(path)}", share, rank_zero_only=True)
        often = [
            path for path, share in shares.items() if share > OFTEN_OFF_GRID and path not in self._warned
        ]
        if often:
            self._warned.update(often)
            names = ", ".join(f"{short_path(path)} ({100 * shares[path]:.0f} %)" for path in often)
            warnings.warn(
                f"kan-heads: many inputs of {names} lie off the grid, where functions are straight lines; "
                "choose a wider grid_range under kan:, or calibrate (kan_heads.nequip.CalibrateGrids) with a "
                "larger margin",
                stacklevel=2,
            )

    def _kans(self, pl_module: Any) -> Dict[str, KAN]:
        kans = kans_of(pl_module.model)
        if not kans:
            raise ConfigError(
                f"{type(self).__name__}: the model holds no KAN; remove the callback or add a kan: section"
            )
        return kans

    def _batches(self, datamodule: Any) -> Iterator[Dict[str, Tensor]]:
        """Reads frames spread evenly over the training set, the same each time: no random state moves."""
        dataset = datamodule.train_dataset[0]
        size = datamodule.train_dataloader_config.get("batch_size", 1)
        places = spread_evenly(self.n_batches * size, len(dataset))
        for start in range(0, len(places), size):
            yield AtomicDataDict.batched_from_list([dataset[place] for place in places[start : start + size]])


class CalibrateGrids(GridCoverage):
    """Lightning callback that calibrates every KAN when ``nequip-train`` starts.

    It shows a few training batches to the model, fits each layer's grid to the inputs that it
    saw (:func:`kan_heads.swap.calibrate`), gives every rank the same result and restarts the
    running average of the weights. A run that continues from a checkpoint keeps its grids. After each epoch
    it does what :class:`GridCoverage` does.

    Args:
        n_batches: training batches to look at, drawn evenly from the whole training set.
        margin: how far a grid reaches beyond the data, as a share of their range.

    Raises:
        ConfigError: if an argument is out of range, or there is no KAN in the model.
    """

    def __init__(self, n_batches: int = 4, margin: float = 0.25) -> None:
        super().__init__(n_batches)
        if margin < 0.0:
            raise ConfigError(f"CalibrateGrids: margin {margin} must be at least 0")
        self.margin = margin

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Calibrates, unless the run continues from a checkpoint."""
        if trainer.ckpt_path is not None:
            return
        self._kans(pl_module)
        calibrate(pl_module.model, self._batches(trainer.datamodule), self.margin)
        average = getattr(pl_module, "ema", None)
        if average is not None:
            average.num_updates = 0
            average.update_parameters(pl_module.model)
