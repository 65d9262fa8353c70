"""``nequip-train`` with KANs: from YAML to a checkpoint, on, and on two processes."""

import itertools
import os
import pathlib
from typing import ClassVar

import pandas
import pytest
import torch
from nequip.model import ModelFromCheckpoint
from workflow import train, validation_losses

from kan_heads.errors import ConfigError
from kan_heads.kan import KAN
from kan_heads.nequip import CalibrateGrids, GridCoverage, calibration

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
    path = f"{pathlib.Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    train("nequip/ag-output-bspline", silver, out, CALIBRATE, keep, *RANKS, PYTHONPATH=path)
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


def test_mixed_precision_trains_as_full_precision_does(silver):
    """nequip's manual recommends it for Allegro."""
    losses = []
    for name, options in (("full", ()), ("mixed", ("+trainer.precision=bf16-mixed",))):
        out = silver / f"{name}-precision"
        train("allegro/ag-output-gaussian", silver, out, CALIBRATE, ONE_LAYER, *options, epochs=2)
        losses.append(validation_losses(out)[1])
    assert losses[1] == pytest.approx(losses[0], rel=0.1)


def test_fourier_functions_everywhere_train(silver):
    """In units of values their harmonics took steps that were too long."""
    out = silver / "fourier"
    train("allegro/ag-all-fourier", silver, out, epochs=6)
    losses = validation_losses(out)
    assert losses[5] < 0.5 * losses[0]


def test_each_epoch_logs_what_the_grids_miss(silver):
    """Grids that are far too narrow miss nearly all; the training is the same with and without the log."""
    narrow, losses = "+training_module.model.kan.grid_range=[-1e-3,1e-3]", []
    watch = "+callbacks.coverage={_target_: kan_heads.nequip.GridCoverage}"
    for name, callbacks in (("watched", (watch,)), ("unwatched", ())):
        out = silver / name
        _, said = train("allegro/ag-output-gaussian", silver, out, ONE_LAYER, narrow, *callbacks, epochs=2)
        losses.append(validation_losses(out))
        if callbacks:
            rows = pandas.concat(map(pandas.read_csv, (out / "metrics").glob("version_*/metrics.csv")))
            shares = rows["off_grid/edge_readout.mlp_module"].dropna()
            assert len(shares) == 2
            assert shares.between(0.5, 1.0).all()
            assert said.count("lie off the grid, where functions are straight lines") == 1
    assert losses[0] == losses[1]


class Frames:
    """A training set whose frames are their places."""

    train_dataloader_config: ClassVar = {"batch_size": 5}

    def __init__(self, length):
        self.train_dataset = [list(range(length))]


def test_frames_are_drawn_from_the_whole_training_set(monkeypatch):
    """Data are often stored by phase or temperature: the first frames are all of a kind."""
    monkeypatch.setattr(calibration.AtomicDataDict, "batched_from_list", list)
    batches = list(GridCoverage(n_batches=4)._batches(Frames(1000)))
    assert [len(batch) for batch in batches] == [5, 5, 5, 5]
    drawn = list(itertools.chain(*batches))
    assert (drawn[0], drawn[-1]) == (0, 999)
    assert {b - a for a, b in itertools.pairwise(drawn)} <= {52, 53}
    few = GridCoverage(n_batches=4)._batches(Frames(7))
    assert list(itertools.chain(*few)) == list(range(7))


@pytest.mark.parametrize("wrong", [{"n_batches": 0}, {"margin": -0.6}])
def test_calibration_refuses_what_makes_no_sense(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        CalibrateGrids(**wrong)
