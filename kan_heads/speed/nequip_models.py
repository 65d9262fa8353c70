"""Pairs of models of the nequip framework, built from the configurations as ``nequip-train`` does."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from nequip.data import AtomicDataDict
from nequip.utils.global_dtype import _GLOBAL_DTYPE
from nequip.utils.global_state import set_global_state
from omegaconf import OmegaConf

from kan_heads import data
from kan_heads.demo.settings import find_configs
from kan_heads.speed.cases import ModelCase
from kan_heads.speed.models import Pair, choose_system
from kan_heads.speed.settings import Settings
from kan_heads.speed.timing import Step
from kan_heads.swap.replace import is_readout

_STATISTICS = "training_data_stats"
_LOSS = "loss/"
#: Steps of 8 fs before the first frame of the stand-in.
_EQUILIBRATION = 50


def build_pair(case: ModelCase, basis: str, settings: Settings) -> Pair:
    """Builds both models of a case and one batch of real frames, as many as the configuration says.

    Args:
        case: names the configurations.
        basis: basis of the KANs.
        settings: precision, device, folder of the configurations.

    Raises:
        ConfigError: the configurations are not there.
        DataError: the data cannot be had.
    """
    set_global_state()
    torch.set_default_dtype(_GLOBAL_DTYPE)  # which that does only once in a process
    system = choose_system(case.systems)
    mlp_config, kan_config = case.configs(system)
    configs = find_configs(settings.configs, [mlp_config, kan_config])
    overrides = [override.format(basis=basis) for override in case.overrides]
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(str(configs), version_base=None):
        shared = [
            f"data_dir='{folder}'",
            f"training_module.model.model_dtype={settings.dtype}",
            *case.shared_overrides,
        ]
        config = compose(mlp_config, overrides=shared)
        _write_frames(system, Path(folder), config.batch_size)
        datamodule = instantiate(OmegaConf.to_container(config.data, resolve=True), _recursive_=False)
        statistics = datamodule.get_statistics(dataset="train")
        datamodule.setup("fit")
        mlp = _module(config, statistics, datamodule.num_datasets)
        config = compose(kan_config, overrides=[*shared, *overrides])
        kan = _module(config, statistics, datamodule.num_datasets)
        frames = datamodule.train_dataset[0]
        batch = AtomicDataDict.batched_from_list([frames[i] for i in range(len(frames))])
    batch = AtomicDataDict.to_(batch, torch.device(settings.device))
    mlp, kan = mlp.to(settings.device), kan.to(settings.device)
    rows, features = _readout_input(mlp, batch)
    return Pair(_steps(mlp, batch), _steps(kan, batch), rows, features, system)


def _write_frames(system: str, folder: Path, frames: int) -> None:
    if system != "ag-emt":
        data.prepare(system, folder / "set", train=frames, val=1, test=0, say=lambda *_: None)
        for name in ("train", "val"):
            (folder / "set" / f"{name}.extxyz").rename(folder / f"{name}.extxyz")
        return
    import ase.io

    from kan_heads.data.ag_emt import generate

    silver = generate(n_frames=frames + 1, equilibration=_EQUILIBRATION)
    ase.io.write(folder / "train.extxyz", silver[:-1])
    ase.io.write(folder / "val.extxyz", silver[-1:])


def _module(config: Any, statistics: dict[str, Any], num_datasets: dict[str, int]) -> Any:
    """Builds the training module of a configuration."""
    OmegaConf.register_new_resolver(_STATISTICS, statistics.__getitem__, replace=True)
    try:
        section = OmegaConf.to_container(config.training_module, resolve=True)
    finally:
        OmegaConf.clear_resolver(_STATISTICS)
    options = {"num_datasets": num_datasets, "info_dict": {}}
    return instantiate(section, _recursive_=False, _convert_="all", **options)


def _steps(module: Any, batch: dict[str, torch.Tensor]) -> dict[str, Step]:
    deployed = copy.deepcopy(module).eval().requires_grad_(False)
    module.train()
    parameters = list(module.parameters())

    def fresh() -> dict[str, torch.Tensor]:
        # The model turns positions into leaves that need a gradient.
        return {name: value.detach() for name, value in batch.items()}

    def train() -> None:
        for parameter in parameters:
            parameter.grad = None
        losses = module.loss(module(fresh()), fresh(), prefix=_LOSS)
        losses[f"{_LOSS}weighted_sum"].backward()

    return {"train": train, "inference": lambda: deployed(fresh())}


def _readout_input(module: Any, batch: dict[str, torch.Tensor]) -> tuple[int, int]:
    """Rows and features that enter the readout."""
    seen: list[torch.Tensor] = []
    readout = next(m for path, m in module.model.named_modules() if is_readout(path))
    hook = readout.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    try:
        module({name: value.detach() for name, value in batch.items()})
    finally:
        hook.remove()
    return seen[0].shape[0], seen[0].shape[-1]
