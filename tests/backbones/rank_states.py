"""A callback for the tests: what each process of a training holds at its end."""

import pathlib

import lightning
import torch


class KeepRankStates(lightning.Callback):
    def on_train_end(self, trainer, pl_module):
        folder = pathlib.Path(trainer.logger.save_dir)
        torch.save(pl_module.model.state_dict(), folder / f"rank-{trainer.global_rank}.pt")
