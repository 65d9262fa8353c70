"""Runs the stock programs as a user does, on data and models of toy size."""

import pathlib

import pandas
from programs import run

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"

MODEL = "training_module.model."
TINY = {
    "allegro": (
        f"{MODEL}num_scalar_features=8",
        f"{MODEL}num_tensor_features=4",
        f"{MODEL}scalar_embed_mlp_hidden_layers_width=8",
        f"{MODEL}allegro_mlp_hidden_layers_width=8",
        f"{MODEL}readout_mlp_hidden_layers_width=4",
    ),
    "nequip": (f"{MODEL}num_features=4", f"{MODEL}radial_mlp_width=4", f"{MODEL}num_layers=2"),
    "parts": (),
}


def train(config, data, out, *overrides, epochs=1, expect=0, **options):
    """Runs ``nequip-train`` with a configuration of the project."""
    return run(
        "nequip-train",
        *("-cp", CONFIGS, "-cn", config, f"data_dir={data}", f"hydra.run.dir={out}", f"n_epochs={epochs}"),
        *("trainer.enable_progress_bar=false", "batch_size=2", "r_max=4.0"),
        *(*TINY[config.split("/")[0]], *overrides),
        cwd=data,
        expect=expect,
        **options,
    )


def validation_losses(out):
    """Reads the validation loss of every epoch from the logs of a run and its restarts."""
    losses = {}
    for log in sorted((pathlib.Path(out) / "metrics").glob("version_*/metrics.csv")):
        rows = pandas.read_csv(log).dropna(subset=["val0_epoch/weighted_sum"])[:-1]  # last: best model
        losses.update(zip(rows["epoch"].astype(int), rows["val0_epoch/weighted_sum"], strict=True))
    return losses


def predict(path, atoms, compiled=False):
    """Returns energy and forces from a saved or compiled model."""
    from nequip.integrations.ase import NequIPCalculator

    load = NequIPCalculator.from_compiled_model if compiled else NequIPCalculator._from_saved_model
    atoms = atoms.copy()
    atoms.calc = load(str(path), device="cpu")
    return atoms.get_potential_energy(), atoms.get_forces()
