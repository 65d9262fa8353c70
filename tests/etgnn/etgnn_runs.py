"""Labelled structures, and the stock programs run on them as a user does."""

import pathlib

import ase.io
import numpy as np
import pandas
from ase import Atoms
from ase.neighborlist import neighbor_list
from programs import run

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = ROOT / "configs"

BORN = "born_effective_charges"
LOADER = {"_target_": "torch.utils.data.DataLoader", "batch_size": 2}
MODEL = "training_module.model."
TINY = (
    *("r_max=4.0", f"{MODEL}triplet_r_max=3.0", f"{MODEL}num_layers=1", f"{MODEL}num_features=4"),
    *(f"{MODEL}num_triplet_features=4", f"{MODEL}projection_width=4", "batch_size=4"),
    *("trainer.enable_progress_bar=false", "trainer.accelerator=cpu"),
)


def silica(seed, symbols="Si2O4"):
    """Six atoms in a random cell, and a tensor of each that turns with it and is not symmetric, (6, 3, 3)."""
    rng = np.random.default_rng(seed)
    cell = np.diag([4.7, 4.9, 5.1]) + rng.normal(scale=0.2, size=(3, 3))
    sites = [
        [0.0, 0.0, 0.0],
        [0.5, 0.5, 0.5],
        [0.3, 0.3, 0.0],
        [0.7, 0.7, 0.0],
        [0.2, 0.8, 0.5],
        [0.8, 0.2, 0.5],
    ]
    atoms = Atoms(symbols, scaled_positions=sites, cell=cell, pbc=True)
    atoms.positions += rng.normal(scale=0.1, size=(6, 3))
    i, j, vectors = neighbor_list("ijD", atoms, 3.0)
    tensors = np.where(atoms.symbols == "Si", 3.0, -1.5)[:, None, None] * np.eye(3)
    pulls = np.zeros((6, 3))
    np.add.at(pulls, i, vectors * np.exp(-((vectors**2).sum(1, keepdims=True))))
    np.add.at(tensors, i, 0.3 * vectors[:, :, None] * (vectors + pulls[j])[:, None, :])
    return atoms, tensors


def born_frames(n, seed=0):
    """Frames labelled as the data set sio2 is: charges of a crystal sum to 0."""
    frames = []
    for k in range(n):
        atoms, tensors = silica(seed + k)
        atoms.set_array(BORN, (tensors - tensors.mean(0)).reshape(6, 9))
        frames.append(atoms)
    return frames


def write_sets(folder, frames):
    """Writes eight frames to train on, two to validate on and the others to test on."""
    for name, part in (("train", frames[:8]), ("val", frames[8:10]), ("test", frames[10:])):
        ase.io.write(folder / f"{name}.extxyz", part)
    return folder


def module(path, field=BORN, r_max=4.0, type_names=("O", "Si"), **options):
    """The data module for one file, with two frames to a batch."""
    files = {"train_file_path": str(path), "val_file_path": str(path)}
    from kan_heads.etgnn import TensorDataModule

    options = {"seed": 1, "train_dataloader": LOADER, **files, **options}
    return TensorDataModule(field, r_max, list(type_names), **options)


def arguments(config, data, out, *overrides, epochs=1):
    """The arguments of ``nequip-train`` for a configuration of the project at toy size."""
    where = ("-cp", CONFIGS, "-cn", config, f"data_dir={data}", f"hydra.run.dir={out}")
    return [*map(str, where), f"n_epochs={epochs}", *TINY, *overrides]


def train(config, data, out, *overrides, epochs=1, expect=0):
    """Runs ``nequip-train`` with a configuration of the project."""
    return run(
        "nequip-train", *arguments(config, data, out, *overrides, epochs=epochs), cwd=data, expect=expect
    )


def logged(out, column):
    """Reads a column of the logs of a run and its restarts, by epoch."""
    values = {}
    for log in sorted((pathlib.Path(out) / "metrics").glob("version_*/metrics.csv")):
        rows = pandas.read_csv(log)
        if column in rows:
            rows = rows.dropna(subset=[column])
            values.update(zip(rows["epoch"].astype(int), rows[column], strict=True))
    return values
