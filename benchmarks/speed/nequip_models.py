"""Pairs of models of the nequip framework, built from the configurations as ``nequip-train`` does."""

from __future__ import annotations

import contextlib
import copy
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from nequip.data import AtomicDataDict
from omegaconf import OmegaConf

from benchmarks import datasets, find_configs
from benchmarks.speed.cases import ModelCase
from benchmarks.speed.config import ModelSpeedConfig
from benchmarks.speed.models import Pair, choose_system
from kan_heads.backbones.graph import is_readout
from kan_heads.global_state import start_nequip
from kan_heads.speed.timing import Step

_STATISTICS = "training_data_stats"
_LOSS = "loss/"
#: Steps of 8 fs before the first frame of the stand-in.
_EQUILIBRATION = 50

#: Writes train.extxyz and val.extxyz of a system to a folder, so many frames to train on.
WriteFrames = Callable[[str, Path, int], None]


@dataclass(frozen=True)
class Frames:
    """What the data module of a configuration makes of its training set.

    Args:
        graphs: the frames, with neighbour lists.
        statistics: what the configuration of a model asks the data for.
        num_datasets: number of data sets of each kind.
    """

    graphs: list[dict[str, torch.Tensor]]
    statistics: dict[str, Any]
    num_datasets: dict[str, int]


def build_pair(case: ModelCase, basis: str, settings: ModelSpeedConfig) -> Pair:
    """Builds both models of a case and one batch of real frames, as many as the configuration says.

    Args:
        case: names the configurations.
        basis: basis of the KANs.
        settings: precision, device, folder of the configurations.

    Raises:
        ConfigError: the configurations are not there.
        DataError: the data cannot be had.
    """
    return build_from_configs(case, basis, settings, _write_frames)


def build_from_configs(
    case: ModelCase, basis: str, settings: ModelSpeedConfig, write_frames: WriteFrames
) -> Pair:
    """Does the same with frames of any origin."""
    system = choose_system(case.systems)
    mlp_config, kan_config = case.configs(system)
    overrides = [override.format(basis=basis) for override in case.overrides]
    with configurations(settings, [mlp_config, kan_config]) as (folder, shared):
        shared = [*shared, *case.shared_overrides]
        config = compose(mlp_config, overrides=shared)
        write_frames(system, folder, config.batch_size)
        frames = read_frames(config)
        mlp = build_module(config, frames)
        kan = build_module(compose(kan_config, overrides=[*shared, *overrides]), frames)
    batch = AtomicDataDict.batched_from_list(frames.graphs)
    batch = AtomicDataDict.to_(batch, torch.device(settings.device))
    mlp, kan = mlp.to(settings.device), kan.to(settings.device)
    rows, features = _readout_input(mlp, batch)
    return Pair(steps(mlp, batch), steps(kan, batch), rows, features, system, len(frames.graphs))


@contextlib.contextmanager
def configurations(settings: ModelSpeedConfig, names: list[str]) -> Iterator[tuple[Path, list[str]]]:
    """Lets hydra compose configurations, with an empty folder for data.

    Args:
        settings: precision, folder of the configurations.
        names: configurations that must be there.

    Yields:
        The folder, and the overrides that name it and the precision.
    """
    start_nequip()
    configs = find_configs(settings.configs, names)
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(str(configs), version_base=None):
        yield Path(folder), [f"data_dir='{folder}'", f"training_module.model.model_dtype={settings.dtype}"]


def read_frames(config: Any) -> Frames:
    """Reads the training set of a configuration."""
    section = OmegaConf.to_container(config.data, resolve=True)
    section.pop("test_file_path", None)  # a file that is not written
    datamodule = instantiate(section, _recursive_=False)
    statistics = datamodule.get_statistics(dataset="train")
    datamodule.setup("fit")
    dataset = datamodule.train_dataset[0]
    return Frames([dataset[i] for i in range(len(dataset))], statistics, datamodule.num_datasets)


def _write_frames(system: str, folder: Path, frames: int) -> None:
    if system != "ag-emt":
        datasets.prepare(system, folder / "set", train=frames, val=1, test=0, say=lambda *_: None)
        for name in ("train", "val"):
            (folder / "set" / f"{name}.extxyz").rename(folder / f"{name}.extxyz")
        return
    import ase.io

    from benchmarks.datasets.ag_emt import generate

    silver = generate(n_frames=frames + 1, equilibration=_EQUILIBRATION)
    ase.io.write(folder / "train.extxyz", silver[:-1])
    ase.io.write(folder / "val.extxyz", silver[-1:])


def build_module(config: Any, frames: Frames) -> Any:
    """Builds the training module of a configuration."""
    OmegaConf.register_new_resolver(_STATISTICS, frames.statistics.__getitem__, replace=True)
    try:
        section = OmegaConf.to_container(config.training_module, resolve=True)
    finally:
        OmegaConf.clear_resolver(_STATISTICS)
    options = {"num_datasets": frames.num_datasets, "info_dict": {}}
    return instantiate(section, _recursive_=False, _convert_="all", **options)


def steps(module: Any, batch: dict[str, torch.Tensor]) -> dict[str, Step]:
    """Steps of a training module on a batch, see :class:`benchmarks.speed.models.Pair`."""
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
    """Rows and features that enter the readouts; ETGNN has two, for edges and for triplets."""
    seen: list[torch.Tensor] = []
    readouts = [m for path, m in module.model.named_modules() if is_readout(path)]
    hooks = [m.register_forward_pre_hook(lambda _, args: seen.append(args[0])) for m in readouts]
    try:
        module({name: value.detach() for name, value in batch.items()})
    finally:
        for hook in hooks:
            hook.remove()
    return sum(x.shape[0] for x in seen), seen[0].shape[-1]
