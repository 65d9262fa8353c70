"""Pairs of ETGNN models, built from the configurations on a batch of silica."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.spacegroup import crystal

from benchmarks import datasets
from benchmarks.speed.cases import ModelCase
from benchmarks.speed.config import ModelSpeedConfig
from benchmarks.speed.models import Pair
from benchmarks.speed.nequip_models import build_from_configs

#: Structures of the batch, as published, and with ``--quick``; each has 6 atoms.
STRUCTURES, QUICK_STRUCTURES = 60, 12


def build_pair(case: ModelCase, basis: str, settings: ModelSpeedConfig) -> Pair:
    """Builds both models of a case and one batch of structures.

    Args:
        case: names the configurations and the data.
        basis: basis of the KANs.
        settings: precision, device, folder of the configurations, and how many structures.

    Raises:
        ConfigError: the configurations are not there.
        DataError: the data cannot be had.
    """
    size = f"batch_size={QUICK_STRUCTURES if settings.quick else STRUCTURES}"
    case = dataclasses.replace(case, shared_overrides=(size, *case.shared_overrides))
    return build_from_configs(case, basis, settings, write_structures)


def write_structures(system: str, folder: Path, structures: int) -> None:
    """Writes ``train.extxyz`` and ``val.extxyz``.

    Args:
        system: ``sio2`` or, made here, ``cristobalite``.
        folder: where to.
        structures: how many to train on.

    Raises:
        DataError: the data cannot be had.
    """
    if system == "cristobalite":
        made = _cristobalite(structures + 1)
        ase.io.write(folder / "train.extxyz", made[:-1])
        ase.io.write(folder / "val.extxyz", made[-1:])
        return
    datasets.prepare(system, folder / "set", train=structures, val=1, test=0, say=lambda *_: None)
    for name in ("train", "val"):
        (folder / "set" / f"{name}.extxyz").rename(folder / f"{name}.extxyz")


def _cristobalite(structures: int) -> list[Atoms]:
    """Perturbed cells Si2O4, a stand-in with as many neighbours and triplets as ``sio2``.

    Its labels are random. They do not change what a step costs.
    """
    ideal = crystal(
        ["Si", "O"],
        basis=[(0.125, 0.125, 0.125), (0.0, 0.0, 0.0)],
        spacegroup=227,
        setting=2,
        cellpar=[6.9, 6.9, 6.9, 90, 90, 90],
        primitive_cell=True,
    )
    generator = np.random.default_rng(0)
    made = []
    for _ in range(structures):
        strain = np.eye(3) + 0.03 * generator.standard_normal((3, 3))
        atoms = Atoms(ideal.symbols, scaled_positions=ideal.get_scaled_positions(), cell=ideal.cell @ strain)
        atoms.pbc = True
        atoms.positions += 0.1 * generator.standard_normal(atoms.positions.shape)  # Angstrom
        charges = np.where(atoms.numbers == 14, 3.2, -1.6)  # e
        labels = charges[:, None] * np.eye(3).ravel() + 0.3 * generator.standard_normal((len(atoms), 9))
        atoms.arrays["born_effective_charges"] = labels
        made.append(atoms)
    return made
