"""``nequip-train`` with ETGNN: from YAML to a checkpoint, and on from there."""

import os
import signal
import subprocess
import sys
import time

import ase.io
import numpy as np
import pytest
import torch
from etgnn_runs import CONFIGS, MODEL, TINY, arguments, born_frames, logged, run, silica, train, write_sets
from nequip.data import compute_neighborlist_, from_ase
from nequip.model import ModelFromCheckpoint

from kan_heads.errors import ConfigError
from kan_heads.nequip import KANModelFromSaved

pytestmark = pytest.mark.slow

ROWS = sorted(path.stem for path in (CONFIGS / "etgnn").glob("sio2-*.yaml"))
FIXED = "data.train_dataloader.shuffle=false"
LOSS = "val0_epoch/mae"


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A folder with 8 training, 2 validation and 2 test structures."""
    return write_sets(tmp_path_factory.mktemp("labelled"), born_frames(12))


def predictions(models, path, field="born_effective_charges"):
    """The tensors that a model gives for the first structure of a file."""
    model = models["sole_model"]
    data = compute_neighborlist_(from_ase(ase.io.read(path, 0)), r_max=4.0)
    names = [str(name) for name in model.type_names]
    symbols = ase.io.read(path, 0).symbols
    data["atom_types"] = torch.tensor([names.index(symbol) for symbol in symbols])
    return model(data)[field].detach()


def kans(models):
    return [module for module in models.modules() if type(module).__name__ == "KAN"]


@pytest.mark.parametrize("row", ROWS)
def test_every_configuration_trains_and_is_tested_on_each_set(row, labelled):
    out = labelled / row
    train(f"etgnn/{row}", labelled, out, epochs=2)
    models = ModelFromCheckpoint(str(out / "best.ckpt"))
    assert len(kans(models)) == (2 if "gaussian" in row or "bspline" in row else 0)
    errors = [list(logged(out, f"test{k}_epoch/mae").values()) for k in range(3)]
    assert np.isfinite(errors).all()
    assert errors[0] != errors[1] != errors[2], "training, validation and test set"
    assert errors[1][0] == pytest.approx(min(logged(out, LOSS).values()), rel=1e-5), "of the best model"
    tensors = predictions(models, labelled / "test.extxyz")
    assert tensors.shape == (6, 3, 3)
    if "faithful" not in row:
        assert tensors.sum(0).abs().max() < 1e-5, "the acoustic sum rule"
    if "1layer" in row:
        widths = [kan.layers[0].basis.lower.unique().numel() for kan in kans(models)]
        assert min(widths) > 1, "CalibrateGrids gives every feature a grid of its own"


def test_training_learns(labelled):
    out = labelled / "learns"
    options = ("learning_rate=0.01", f"{MODEL}num_features=16", f"{MODEL}num_triplet_features=16")
    train("etgnn/sio2-output-bspline", labelled, out, *options, "training_module.ema_decay=0.8", epochs=40)
    losses = logged(out, "train_loss_epoch/mse")
    assert losses[39] < 0.2 * losses[0]


def test_a_restarted_run_has_the_same_losses(labelled):
    row, whole, parts = "etgnn/sio2-output-bspline-1layer", labelled / "whole", labelled / "parts"
    train(row, labelled, whole, FIXED, epochs=4)
    train(row, labelled, parts, FIXED, epochs=2)
    train(row, labelled, parts, FIXED, f"++ckpt_path={parts}/last.ckpt", epochs=4)
    for column in ("train_loss_epoch/mse", LOSS):
        losses = logged(parts, column)
        assert sorted(losses) == [0, 1, 2, 3]
        assert losses == logged(whole, column)
    assert {path.name for path in parts.glob("*.ckpt")} == {"best.ckpt", "latest.ckpt", "last.ckpt"}


def test_a_killed_run_goes_on(labelled):
    row, whole, killed = "etgnn/sio2-mlp", labelled / "unharmed", labelled / "killed"
    program = os.path.join(os.path.dirname(sys.executable), "nequip-train")
    command = [program, *arguments(row, labelled, killed, FIXED, epochs=100_000)]
    with subprocess.Popen(
        command, cwd=labelled, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            limit = time.monotonic() + 120
            while not (killed / "last.ckpt").exists() and time.monotonic() < limit:
                time.sleep(0.05)
            time.sleep(0.5)
        finally:
            process.send_signal(signal.SIGKILL)
    state = torch.load(killed / "last.ckpt", weights_only=False)
    done = state["epoch"] + 1
    train(row, labelled, killed, FIXED, f"++ckpt_path={killed}/last.ckpt", epochs=done + 2)
    train(row, labelled, whole, FIXED, epochs=done + 2)
    before, after = logged(whole, LOSS), logged(killed, LOSS)
    assert {done, done + 1} <= after.keys()
    assert all(after[epoch] == before[epoch] for epoch in (done, done + 1))


OWN = """
defaults: [/parts/tensor, _self_]
data_dir: .
type_names: [O, Si]
r_max: 4.0
field: {field}
per: {per}
"""


@pytest.mark.parametrize("per", ["atom", "crystal"])
def test_a_tensor_of_ones_own_trains_from_a_few_lines(per, tmp_path):
    """A user's folder: three files of structures and six lines of YAML."""
    field, frames = f"shielding_of_{per}", []
    for k in range(12):
        atoms, tensors = silica(k)
        if per == "atom":
            atoms.set_array(field, tensors.reshape(6, 9))
        else:
            atoms.info[field] = tensors.mean(0)
        frames.append(atoms)
    write_sets(tmp_path, frames)
    (tmp_path / "mine.yaml").write_text(OWN.format(field=field, per=per))
    run(
        "nequip-train",
        *("-cp", tmp_path, "-cn", "mine", f"hydra.searchpath=[file://{CONFIGS}]", "n_epochs=2", *TINY),
        f"hydra.run.dir={tmp_path}/out",
        cwd=tmp_path,
    )
    assert np.isfinite(list(logged(tmp_path / "out", "test2_epoch/mae").values())).all()
    # In another process, which has not heard of the field before.
    script = f"""
from nequip.model import ModelFromCheckpoint
from nequip.utils.global_state import set_global_state
set_global_state()
network = ModelFromCheckpoint("{tmp_path}/out/best.ckpt")["sole_model"].get_submodule("model.etgnn")
print(network.tensor_field, network.per)
"""
    output, _ = run("python", "-c", script, cwd=tmp_path)
    assert output.splitlines()[-1] == f"{field} {per}"


def test_double_precision_trains_in_double_precision(labelled):
    out = labelled / "double"
    train("etgnn/sio2-output-gaussian", labelled, out, f"{MODEL}model_dtype=float64")
    models = ModelFromCheckpoint(str(out / "best.ckpt"))
    assert {p.dtype for p in models.parameters()} == {torch.float64}
    tensors = predictions(models, labelled / "test.extxyz")
    assert tensors.dtype == torch.float64
    assert tensors.sum(0).abs().max() < 1e-12


@pytest.fixture(scope="module")
def stock(labelled):
    out = labelled / "stock"
    train("etgnn/sio2-mlp", labelled, out)
    return out / "best.ckpt"


# The stock MLPs have biases, which a KAN that vanishes at 0 cannot take over.
BIASED = {"zero_at_origin": False}


@pytest.mark.parametrize("kan", [{"basis": "bspline"}, {"scope": "all", "basis": "gaussian"}])
def test_kans_in_a_trained_model_start_equal_to_it(kan, stock, labelled):
    before = predictions(ModelFromCheckpoint(str(stock)), labelled / "val.extxyz")
    models = KANModelFromSaved(kan={**kan, **BIASED}, checkpoint_path=str(stock))
    assert len(kans(models)) >= 2
    torch.testing.assert_close(predictions(models, labelled / "val.extxyz"), before, atol=1e-5, rtol=1e-5)
    with pytest.raises(ConfigError, match=r"has biases.*set zero_at_origin: false"):
        KANModelFromSaved(kan=kan, checkpoint_path=str(stock))


def test_kans_in_a_trained_model_train_on(stock, labelled):
    out = labelled / "tuned"
    model = f"_target_: kan_heads.nequip.KANModelFromSaved, checkpoint_path: {stock}"
    run(
        *("nequip-train", "-cp", CONFIGS, "-cn", "parts/finetune-tensor", f"hydra.run.dir={out}"),
        *(f"data_dir={labelled}", "r_max=4.0", "batch_size=4", "n_epochs=2"),
        f"+training_module.model={{{model}, kan: {{zero_at_origin: false}}}}",
        cwd=labelled,
    )
    assert len(kans(ModelFromCheckpoint(str(out / "best.ckpt")))) == 2
    assert np.isfinite(list(logged(out, LOSS).values())).all()
