"""Runs the stock programs as a user does, on data and models of toy size."""

import os
import pathlib
import subprocess
import sys

import pandas

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"

TINY_ALLEGRO = (
    "training_module.model.num_scalar_features=8",
    "training_module.model.num_tensor_features=4",
    "training_module.model.scalar_embed_mlp_hidden_layers_width=8",
    "training_module.model.allegro_mlp_hidden_layers_width=8",
    "training_module.model.readout_mlp_hidden_layers_width=4",
    "r_max=4.0",
)


def run(program, *arguments, cwd, expect=0):
    """Runs a program of the environment that runs the tests; returns its output and errors."""
    command = [str(pathlib.Path(sys.executable).parent / program), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == expect, f"{' '.join(command)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout, done.stderr


def train(config, data, out, *overrides, epochs=1, expect=0):
    """Runs ``nequip-train`` with a configuration of the project."""
    return run(
        "nequip-train",
        *("-cp", CONFIGS, "-cn", config, f"data_dir={data}", f"hydra.run.dir={out}", f"n_epochs={epochs}"),
        *("trainer.enable_progress_bar=false", "batch_size=2", *TINY_ALLEGRO, *overrides),
        cwd=data,
        expect=expect,
    )


def validation_losses(out):
    """Reads the validation loss of every epoch from the log of a run."""
    metrics = pandas.read_csv(pathlib.Path(out) / "metrics.csv")
    rows = metrics.dropna(subset=["val0_epoch/weighted_sum"]).drop_duplicates("epoch")
    return dict(zip(rows["epoch"].astype(int), rows["val0_epoch/weighted_sum"], strict=True))


def predict(path, atoms, compiled=False):
    """Returns energy and forces from a saved or compiled model."""
    from nequip.integrations.ase import NequIPCalculator

    load = NequIPCalculator.from_compiled_model if compiled else NequIPCalculator._from_saved_model
    atoms = atoms.copy()
    atoms.calc = load(str(path), device="cpu")
    return atoms.get_potential_energy(), atoms.get_forces()
