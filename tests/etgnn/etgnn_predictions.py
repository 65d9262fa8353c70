"""Predictors of models that were never in a file, and the program run in this process."""

import numpy as np
from ase import Atoms
from etgnn_models import BORN, silica
from typer.testing import CliRunner

from kan_heads.cli.app import app
from kan_heads.errors import KanHeadsError
from kan_heads.etgnn.predict import TensorPredictor

CRYSTAL = {"field": "test_crystal_tensor", "per": "crystal", "symmetric": False}


def load(model, folder, monkeypatch):
    """Makes a predictor of a model as if it came from ``best.ckpt`` in a folder, here and for the program."""
    path = folder / "best.ckpt"
    path.touch()
    monkeypatch.setattr("nequip.model.saved_models.load_saved_model", lambda _: model)
    return TensorPredictor(path)


def run(*arguments):
    """Runs ``kan-heads predict`` in this process; expected errors come back as the exception."""
    result = CliRunner().invoke(app, ["predict", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, KanHeadsError):
        raise result.exception
    return result


def molecule():
    """Makes three atoms without a cell."""
    return Atoms("OSiO", [[0, 0, 0], [1.5, 0.1, 0], [0.2, 1.7, 0.3]])


def with_nan():
    """Makes a crystal in which the fourth atom is nowhere."""
    atoms = silica()
    atoms.positions[3, 1] = np.nan
    return atoms


def labelled(seed=0):
    """A structure with labels, energy and forces."""
    atoms = silica(seed)
    tensors = np.random.default_rng(seed).normal(size=(6, 3, 3))
    atoms.set_array(BORN, tensors.reshape(6, 9))
    atoms.set_array("forces", tensors[:, 0])
    atoms.info["energy"] = -3.5
    return atoms, tensors
