"""Fit the grids of a model to its training data, once, before training."""

import itertools
from typing import Any, Dict, Iterator

import lightning
import torch
from nequip.data import AtomicDataDict
from torch import Tensor

from kan_heads.errors import ConfigError
from kan_heads.kan import KAN
from kan_heads.kan.grid import inputs_seen


class CalibrateGrids(lightning.Callback):
    """Lightning callback that calibrates every KAN when ``nequip-train`` starts.

    It shows a few training batches to the model, fits each layer's grid to the inputs that it
    saw (:meth:`kan_heads.kan.KAN.calibrate`), gives every rank the same result and restarts the
    running average of the weights. A run that continues from a checkpoint keeps its grids.

    Args:
        n_batches: training batches to look at.
        margin: how far a grid reaches beyond the data, as a share of their range.

    Raises:
        ConfigError: if an argument is out of range, or there is no KAN in the model.
    """

    def __init__(self, n_batches: int = 4, margin: float = 0.25) -> None:
        super().__init__()
        if n_batches < 1 or margin < 0.0:
            raise ConfigError(
                f"CalibrateGrids: n_batches {n_batches} and margin {margin} must be at least 1 and 0"
            )
        self.n_batches = n_batches
        self.margin = margin

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Calibrates, unless the run continues from a checkpoint."""
        if trainer.ckpt_path is not None:
            return
        # By name: the classes out of a packaged model are copies.
        kans = {p: module for p, module in pl_module.model.named_modules() if type(module).__name__ == "KAN"}
        if not kans:
            raise ConfigError(
                "CalibrateGrids: the model holds no KAN; remove the callback or add a kan: section"
            )
        for path, inputs in self._inputs(trainer, pl_module, kans).items():
            kans[path].calibrate(inputs, self.margin)
        state = trainer.strategy.broadcast({path: kan.state_dict() for path, kan in kans.items()})
        for path, kan in kans.items():
            kan.load_state_dict(state[path])
        average = getattr(pl_module, "ema", None)
        if average is not None:
            average.num_updates = 0
            average.update_parameters(pl_module.model)

    def _inputs(self, trainer: Any, pl_module: Any, kans: Dict[str, KAN]) -> Dict[str, Tensor]:
        """Returns what enters each KAN, shape ``(rows, in_features)`` by module path."""
        with inputs_seen(kans) as seen:
            for batch in itertools.islice(self._batches(trainer.datamodule), self.n_batches):
                for model in pl_module.model.values():
                    names = [name for name in model.model_input_fields if name in batch]
                    # The eager module: a compiled model calls its KANs from inside, unseen.
                    model.model({name: batch[name].to(pl_module.device) for name in names})
        unused = [path for path, rows in seen.items() if not rows]
        if unused:
            raise ConfigError(
                f"CalibrateGrids: no input reached {', '.join(unused)}; is it part of the model?"
            )
        return {path: torch.cat(rows) for path, rows in seen.items()}

    @staticmethod
    def _batches(datamodule: Any) -> Iterator[Dict[str, Tensor]]:
        """Reads the training data in their stored order, so that no random state moves."""
        dataset = datamodule.train_dataset[0]
        size = datamodule.train_dataloader_config.get("batch_size", 1)
        for start in range(0, len(dataset), size):
            stop = min(start + size, len(dataset))
            yield AtomicDataDict.batched_from_list([dataset[index] for index in range(start, stop)])
