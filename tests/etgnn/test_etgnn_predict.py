"""Predictions of tensors: what they are, and which structures and files have none."""

import functools

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from etgnn_models import BORN, SMALL, build, graph, silica

pytest.importorskip("typer")

import etgnn_predictions
from etgnn_predictions import CRYSTAL, labelled, molecule, with_nan

from kan_heads.errors import DataError, ModelError
from kan_heads.etgnn.predict import TensorPredictor


@pytest.fixture
def load(monkeypatch, tmp_path):
    return functools.partial(etgnn_predictions.load, folder=tmp_path, monkeypatch=monkeypatch)


def compiled(model, field):
    """Something with the interface of a compiled model: fixed inputs, one output."""
    from nequip.nn.compile import DictInputOutputWrapper, ListInputOutputWrapper
    from nequip.scripts._compile_utils import PAIR_NEQUIP_INPUTS as INPUTS

    lists = ListInputOutputWrapper(model, INPUTS, [field])
    return DictInputOutputWrapper(lambda inputs: lists(*inputs), INPUTS, [field])


def slab():
    atoms = silica()
    return Atoms(
        atoms.symbols, atoms.positions, cell=[atoms.cell[0], atoms.cell[1], [0, 0, 0]], pbc=[1, 1, 0]
    )


@pytest.mark.parametrize("make", [silica, slab, molecule])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_prediction_is_what_the_model_says(make, dtype, load):
    model = build(dtype=dtype)
    predictor = load(model)
    assert (predictor.field, predictor.per) == (BORN, "atom")
    assert (predictor.type_names, predictor.r_max) == (SMALL["type_names"], SMALL["r_max"])
    found = predictor.predict(make())
    assert (found.dtype, found.shape) == (np.float64, (len(make()), 3, 3))
    expected = model(graph(make()))[BORN].detach().double().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.abs(expected).max() > 0.1


def test_labels_and_order_do_not_matter(load):
    predictor = load(build())
    atoms, _ = labelled()
    atoms.arrays[BORN][:] = np.nan
    np.testing.assert_allclose(predictor.predict(atoms), predictor.predict(silica()), atol=1e-12)
    order = [5, 2, 0, 1, 4, 3]
    np.testing.assert_allclose(
        predictor.predict(silica()[order]), predictor.predict(silica())[order], atol=1e-9
    )


def test_a_tensor_of_the_crystal_has_no_atoms(load):
    predictor = load(build(**CRYSTAL))
    assert predictor.per == "crystal"
    found = predictor.predict(silica())
    assert found.shape == (3, 3)
    np.testing.assert_allclose(predictor.predict(silica() * (2, 1, 1)), found, atol=1e-9)


@pytest.mark.parametrize(("changes", "per"), [({}, "atom"), (CRYSTAL, "crystal")])
def test_a_compiled_model_tells_what_its_tensor_belongs_to(changes, per, load, monkeypatch, tmp_path):
    model = build(**changes)
    eager = load(model)
    metadata = {"type_names": SMALL["type_names"], "r_max": SMALL["r_max"]}
    monkeypatch.setattr(
        "nequip.model.inference_models.load_compiled_model",
        lambda *_: (compiled(model, eager.field), metadata),
    )
    path = tmp_path / "model.nequip.pt2"
    path.touch()
    predictor = TensorPredictor(path)
    assert (predictor.field, predictor.per) == (eager.field, per)
    for atoms in (silica(), slab(), molecule()):
        np.testing.assert_allclose(predictor.predict(atoms), eager.predict(atoms), atol=1e-9)


@pytest.mark.parametrize(
    ("atoms", "error", "message"),
    [
        (Atoms(), DataError, "no atoms"),
        (with_nan(), DataError, r"position of atom 3 \(O; the first is 0\) is NaN"),
        (Atoms("OSi", [[0, 0, 0], [1, 1, 1]], cell=[3, np.inf, 3], pbc=True), DataError, "cell is NaN"),
        (Atoms("OSi", cell=[[3, 0, 0], [0, 3, 0], [3, 3, 0]], pbc=True), DataError, "no volume"),
        (Atoms("OSi", [[0, 0, 0], [1, 1, 1]], cell=[3, 3, 0], pbc=True), DataError, "no volume"),
        (bulk("ZnO", "wurtzite", 3.2, 5.2), DataError, "holds Zn, .*it knows O, Si"),
        (Atoms("O"), DataError, "no two atoms are within r_max = 4"),
        (Atoms("O", cell=[9, 9, 9], pbc=True), DataError, "no two atoms are within r_max = 4"),
        (Atoms("OSiO", [[0, 0, 0], [0, 0, 0], [1, 1, 1]]), DataError, r"atoms 0 \(O\) and 1 .* are 0 Å"),
    ],
)
def test_a_structure_without_an_answer_is_refused(atoms, error, message, load):
    predictor = load(build())
    with pytest.raises(error, match=message):
        predictor.predict(atoms)


def test_a_file_that_holds_no_such_model_is_refused(load, tmp_path, monkeypatch):
    from nequip.model import NequIPGNNModel

    with pytest.raises(ModelError, match=r"none.ckpt: no such file; give a checkpoint"):
        TensorPredictor("none.ckpt")
    broken = tmp_path / "broken.ckpt"
    broken.write_text("no model")
    for name in ("broken.ckpt", "broken.nequip.zip", "broken.nequip.pt2"):
        (tmp_path / name).write_text("no model")
        with pytest.raises(ModelError, match=f"{name}: cannot be loaded"):
            TensorPredictor(tmp_path / name)
    energies = NequIPGNNModel(
        seed=1,
        model_dtype="float32",
        type_names=["O", "Si"],
        r_max=4.0,
        num_layers=1,
        l_max=0,
        num_features=2,
        avg_num_neighbors=8.0,
    )
    with pytest.raises(ModelError, match="predicts no tensor"):
        load(energies)
    outputs = type("Compiled", (), {"output_keys": ["total_energy", "forces"]})()
    monkeypatch.setattr("nequip.model.inference_models.load_compiled_model", lambda *_: (outputs, {}))
    with pytest.raises(ModelError, match="predicts total_energy, forces"):
        TensorPredictor(tmp_path / "broken.nequip.pt2")


def test_weights_are_not_trained_by_predicting(load):
    model = build()
    predictor = load(model)
    before = [parameter.clone() for parameter in model.parameters()]
    predictor.predict(silica())
    for parameter, old in zip(model.parameters(), before, strict=True):
        assert parameter.grad is None
        torch.testing.assert_close(parameter, old, rtol=0, atol=0)


def test_an_element_without_training_data_is_named(load):
    model = build(per_type_shifts={"O": 1.0, "Si": 0.0})
    with pytest.raises(ModelError, match="the model was not trained on Si: its training data held none"):
        load(model).predict(slab())
