"""Pairs of MACE models, built from the options of ``mace_run_train`` as that program does."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import ase.build
import ase.io
import numpy as np
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from mace import data as mace_data
from mace import modules, tools
from mace.tools.model_script_utils import configure_model
from mace.tools.torch_geometric.batch import Batch

from benchmarks import datasets
from benchmarks.speed.cases import ModelCase
from benchmarks.speed.config import ModelSpeedConfig
from benchmarks.speed.models import Pair, choose_system
from kan_heads.mace.arguments import add_arguments, settings_from
from kan_heads.mace.calibration import calibrate
from kan_heads.mace.models import ScaleShiftMACE, to_kan
from kan_heads.mace.settings import MACEKANConfig
from kan_heads.speed.timing import Step
from kan_heads.swap import kans_of

#: Frames of the batch, and atoms of each.
FRAMES, ATOMS = 2, 64
# About half of the frames of carbon have that many atoms.
_DRAWN = 8 * FRAMES
_HEADS = ["Default"]
_NOISE = 0.01


def build_pair(case: ModelCase, basis: str, settings: ModelSpeedConfig) -> Pair:
    """Builds both models of a case and one batch of frames.

    MACE builds and runs models in torch's default type, so this sets it; the caller restores it.

    Args:
        case: names the options and the data.
        basis: basis of the KANs.
        settings: precision and device.

    Raises:
        DataError: the data cannot be had.
    """
    torch.set_default_dtype(settings.torch_dtype)
    system = choose_system(case.systems)
    options = training_options(case)
    frames = read_frames(system, options.r_max)
    # Twice, since models that e3nn has scripted, as it does for older torch, cannot be copied.
    trained = build_models(case, basis, options, frames)
    deployed = build_models(case, basis, options, frames)
    batch = Batch.from_data_list(frames).to(settings.device)
    loss = modules.WeightedEnergyForcesLoss(options.energy_weight, options.forces_weight)
    stock, kan = (
        _steps(mine.to(settings.device), its.to(settings.device), batch, loss.to(settings.device))
        for mine, its in zip(trained, deployed, strict=True)
    )
    return Pair(stock, kan, batch.num_nodes, trained[1].kan_settings().features, system, FRAMES)


def build_models(
    case: ModelCase, basis: str, options: argparse.Namespace, frames: list[mace_data.AtomicData]
) -> tuple[torch.nn.Module, ScaleShiftMACE]:
    """Builds MACE's own model, and the same with KANs, none of which is zero.

    Args:
        case: names the options of the KANs.
        basis: basis of the KANs.
        options: those of ``mace_run_train``, see :func:`training_options`.
        frames: training data; they decide the scale of the energy and the grids of the KANs.
    """
    stock = _stock(options, frames)
    kan = to_kan(_stock(options, frames), _kan_settings(case, basis))
    if kan.kan_settings().calibrate:
        calibrate(kan, frames)
    with torch.no_grad():
        for network in kans_of(kan).values():
            for parameter in network.parameters():
                parameter.add_(_NOISE * torch.randn_like(parameter))
    return stock, kan


def _stock(options: argparse.Namespace, frames: list[mace_data.AtomicData]) -> torch.nn.Module:
    """Builds MACE's own model; always the same one, since the options have a seed."""
    batches = [Batch.from_data_list(frames)]
    neighbors = modules.compute_avg_num_neighbors(batches)
    options = argparse.Namespace(**{**vars(options), "avg_num_neighbors": neighbors})  # MACE writes into it
    energy = float(batches[0].energy.sum() / batches[0].num_nodes)  # that of an atom, on average
    torch.manual_seed(options.seed)
    model, _ = configure_model(
        options,
        batches,
        atomic_energies=np.array([[energy]]),
        heads=_HEADS,
        z_table=tools.AtomicNumberTable([6]),
    )
    return model


def training_options(case: ModelCase) -> argparse.Namespace:
    """Reads MACE's defaults and what the case says beyond them."""
    parser = tools.build_default_arg_parser()
    options, _ = tools.check_args(parser.parse_args(["--name", case.name, *case.shared_overrides]))
    options.compute_energy, options.compute_dipole = True, False  # as the main program does
    return options


def _kan_settings(case: ModelCase, basis: str) -> MACEKANConfig:
    parser = argparse.ArgumentParser()
    add_arguments(parser)  # as a patched MACE does; an unpatched one does as well here
    return settings_from(parser.parse_args([option.format(basis=basis) for option in case.overrides]))


def read_frames(system: str, r_max: float) -> list[mace_data.AtomicData]:
    """Returns labelled frames of 64 atoms.

    Args:
        system: ``carbon`` or, made here, ``diamond``.
        r_max: length of the longest edges in Angstrom.

    Raises:
        DataError: the data cannot be had.
    """
    table = tools.AtomicNumberTable([6])
    keys = mace_data.KeySpecification(info_keys={"energy": "energy"}, arrays_keys={"forces": "forces"})
    found = []
    for atoms in _diamond() if system == "diamond" else _carbon():
        atoms.info["energy"], atoms.arrays["forces"] = atoms.get_potential_energy(), atoms.get_forces()
        config = mace_data.config_from_atoms(atoms, keys)
        found.append(mace_data.AtomicData.from_config(config, z_table=table, cutoff=r_max, heads=_HEADS))
    return found


def _carbon() -> list[Atoms]:
    with tempfile.TemporaryDirectory() as folder:
        datasets.prepare("carbon", Path(folder) / "set", train=_DRAWN, val=1, test=0, say=lambda *_: None)
        drawn = ase.io.read(Path(folder) / "set" / "train.extxyz", index=":")
    return [atoms for atoms in drawn if len(atoms) == ATOMS][:FRAMES]


def _diamond() -> list[Atoms]:
    """Rattled diamond, a stand-in whose labels are those of springs: they do not change what a step costs."""
    crystal = ase.build.bulk("C", "diamond", a=3.57, cubic=True).repeat(2)  # 64 atoms
    frames = []
    for seed in range(FRAMES):
        atoms = crystal.copy()
        atoms.rattle(0.1, seed=seed)
        moved = atoms.positions - crystal.positions  # (n_atoms, 3), in Angstrom
        atoms.calc = SinglePointCalculator(atoms, energy=5.0 * (moved**2).sum(), forces=-10.0 * moved)
        frames.append(atoms)
    return frames


def _steps(
    model: torch.nn.Module, deployed: torch.nn.Module, batch: Batch, loss: torch.nn.Module
) -> dict[str, Step]:
    deployed.eval().requires_grad_(False)
    model.train()
    parameters = list(model.parameters())

    def fresh() -> dict[str, Any]:
        # The model turns positions into leaves that need a gradient.
        return {k: v.detach() if isinstance(v, torch.Tensor) else v for k, v in batch.to_dict().items()}

    def train() -> None:
        for parameter in parameters:
            parameter.grad = None
        loss(pred=model(fresh(), training=True), ref=batch).backward()

    return {"train": train, "inference": lambda: deployed(fresh(), training=False)}
