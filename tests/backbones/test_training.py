"""``nequip-train`` with KANs: from YAML to a checkpoint, on, and on two processes."""

import pytest
import torch
from nequip.model import ModelFromCheckpoint
from workflow import train, validation_losses

from kan_heads.errors import ConfigError
from kan_heads.kan import KAN
from kan_heads.nequip import CalibrateGrids

pytestmark = pytest.mark.slow

ONE_LAYER = "+training_module.model.kan.hidden=[]"
CALIBRATE = "+callbacks.calibrate={_target_: kan_heads.nequip.CalibrateGrids}"


def readout(checkpoint):
    model = ModelFromCheckpoint(str(checkpoint))
    return next(module for module in model.modules() if isinstance(module, KAN))


def test_a_restarted_run_has_the_same_losses(silver):
    # nequip 0.19 itself draws another order of the frames after a restart; a fixed order shows the rest.
    fixed = "data.train_dataloader.shuffle=false"
    whole, parts = silver / "whole", silver / "parts"
    train("allegro/ag-output-gaussian", silver, whole, CALIBRATE, fixed, epochs=2)
    train("allegro/ag-output-gaussian", silver, parts, CALIBRATE, fixed, epochs=1)
    before = readout(parts / "last.ckpt").layers[0].basis.lower.clone()
    train(
        "allegro/ag-output-gaussian",
        silver,
        parts,
        CALIBRATE,
        fixed,
        f"++ckpt_path={parts}/last.ckpt",
        epochs=2,
    )
    assert validation_losses(parts)[1] == validation_losses(whole)[1]
    assert torch.equal(readout(parts / "last.ckpt").layers[0].basis.lower, before), "grids are kept"
    assert {path.name for path in parts.glob("*.ckpt")} == {"best.ckpt", "latest.ckpt", "last.ckpt"}


RANKS = (
    *("+trainer.devices=2", "trainer.accelerator=cpu", "batch_size=1"),
    "+trainer.strategy={_target_: nequip.train.SimpleDDPStrategy}",
)


def test_two_processes_train_the_model_that_one_trains(silver):
    one, two = silver / "one", silver / "two"
    statistics = "data.stats_manager.dataloader_kwargs.batch_size=1"
    fixed = ("data.train_dataloader.shuffle=false", "learning_rate=1e-4", statistics)
    train("nequip/ag-output-bspline", silver, one, *fixed, epochs=2)
    train("nequip/ag-output-bspline", silver, two, *fixed, *RANKS, epochs=2)
    assert "Starting with 2 processes" in (two / "train.log").read_text()
    assert validation_losses(two) == pytest.approx(validation_losses(one), rel=1e-4)


def test_calibration_gives_every_process_the_same_model(silver):
    out = silver / "ranks"
    keep = "+callbacks.keep={_target_: rank_states.KeepRankStates}"
    train("nequip/ag-output-bspline", silver, out, CALIBRATE, keep, *RANKS)
    ranks = [torch.load(out / f"rank-{rank}.pt") for rank in (0, 1)]
    assert ranks[0].keys() == ranks[1].keys()
    assert all(torch.equal(ranks[0][name], ranks[1][name]) for name in ranks[0])


def test_calibration_fits_the_grids_before_the_average_of_weights_starts(silver):
    out = silver / "calibrated"
    train("allegro/ag-output-gaussian", silver, out, CALIBRATE, ONE_LAYER, "learning_rate=1e-12", epochs=1)
    kan = readout(out / "last.ckpt")
    assert kan.layers[0].basis.lower.unique().numel() > 1, "every feature has a grid of its own"
    raw = torch.load(out / "last.ckpt", weights_only=False)["state_dict"]
    name = next(key for key in raw if key.startswith("model.") and key.endswith("layers.0.coefficients"))
    # With no learning rate the raw and the averaged weights are both the calibrated ones.
    torch.testing.assert_close(kan.layers[0].coefficients, raw[name], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("wrong", [{"n_batches": 0}, {"margin": -0.6}])
def test_calibration_refuses_what_makes_no_sense(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        CalibrateGrids(**wrong)
