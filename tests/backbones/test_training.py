"""``nequip-train`` with KANs: from YAML to a checkpoint, on, and on two processes."""

import pytest
import torch
from nequip.model import ModelFromCheckpoint
from workflow import train, validation_losses

from kan_heads.kan import KAN

pytestmark = pytest.mark.slow

ONE_LAYER = "+training_module.model.kan.hidden=[]"
CALIBRATE = "+trainer.callbacks.4={_target_: kan_heads.nequip.CalibrateGrids}"


def readout(checkpoint):
    model = ModelFromCheckpoint(str(checkpoint))
    return next(module for module in model.modules() if isinstance(module, KAN))


def test_a_restarted_run_has_the_same_losses(silver):
    # nequip 0.19 itself draws another order of the frames after a restart; a fixed order shows the rest.
    fixed = "data.train_dataloader.shuffle=false"
    whole, parts = silver / "whole", silver / "parts"
    train("allegro/ag-output-gaussian", silver, whole, fixed, epochs=2)
    train("allegro/ag-output-gaussian", silver, parts, fixed, epochs=1)
    train("allegro/ag-output-gaussian", silver, parts, fixed, f"++ckpt_path={parts}/last.ckpt", epochs=2)
    assert validation_losses(parts)[1] == validation_losses(whole)[1]


def test_two_processes_train_one_model(silver):
    out = silver / "ddp"
    train(
        "nequip/ag-output-bspline",
        silver,
        out,
        *("+trainer.devices=2", "trainer.accelerator=cpu", "+trainer.num_nodes=1", CALIBRATE),
        "+trainer.strategy={_target_: nequip.train.SimpleDDPStrategy}",
        *("training_module.model.num_features=4", "training_module.model.radial_mlp_width=4"),
        epochs=2,
    )
    losses = validation_losses(out)
    assert losses[1] < losses[0]


def test_calibration_fits_the_grids_before_the_average_of_weights_starts(silver):
    out = silver / "calibrated"
    train("allegro/ag-output-gaussian", silver, out, CALIBRATE, ONE_LAYER, "learning_rate=1e-12", epochs=1)
    kan = readout(out / "last.ckpt")
    assert kan.layers[0].basis.lower.unique().numel() > 1, "every feature has a grid of its own"
    raw = torch.load(out / "last.ckpt", weights_only=False)["state_dict"]
    name = next(key for key in raw if key.startswith("model.") and key.endswith("layers.0.coefficients"))
    # With no learning rate the raw and the averaged weights are both the calibrated ones.
    torch.testing.assert_close(kan.layers[0].coefficients, raw[name], atol=1e-6, rtol=1e-5)


def test_a_restart_keeps_the_calibrated_grids(silver):
    out = silver / "calibrated-twice"
    train("allegro/ag-output-gaussian", silver, out, CALIBRATE, ONE_LAYER, epochs=1)
    before = readout(out / "last.ckpt").layers[0].basis.lower.clone()
    train("allegro/ag-output-gaussian", silver, out, CALIBRATE, ONE_LAYER, f"++ckpt_path={out}/last.ckpt", epochs=2)
    assert torch.equal(readout(out / "last.ckpt").layers[0].basis.lower, before)
