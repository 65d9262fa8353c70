"""Whole models of the nequip framework: a reduced pair on the stand-in gives the rows of the real ones."""

import dataclasses

import pytest
import torch

pytest.importorskip("nequip", reason="whole models need the extra [allegro]")
pytest.importorskip("allegro", reason="whole models need the extra [allegro]")

from benchmarks.speed.cases import MODEL_CASES
from benchmarks.speed.config import ModelSpeedConfig
from benchmarks.speed.models import measure
from kan_heads.progress import Progress
from kan_heads.speed.recorder import Recorder

SIZES = {
    "allegro": ("num_scalar_features=8", "num_tensor_features=4", "allegro_mlp_hidden_layers_width=8"),
    "nequip": ("num_features=4", "radial_mlp_width=4", "num_layers=2"),
}
SMALL = {
    key: ("r_max=4.0", "batch_size=2", *(f"training_module.model.{size}" for size in sizes))
    for key, sizes in SIZES.items()
}
CASES = [case for case in MODEL_CASES if case.build.endswith("nequip_models:build_pair")]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_reduced_pair_is_measured(case):
    case = dataclasses.replace(case, systems=("ag-emt",), shared_overrides=SMALL[case.package])
    settings = ModelSpeedConfig(seconds=0.0, quick=True)
    dtype, state = torch.get_default_dtype(), torch.get_rng_state()
    rows = measure(case, "gaussian", settings, Recorder(settings), Progress())
    assert [(row.model, row.basis, row.phase) for row in rows] == [
        ("mlp", None, "train"),
        ("kan", "gaussian", "train"),
        ("mlp", None, "inference"),
        ("kan", "gaussian", "inference"),
    ]
    assert {(row.case, row.data, row.features > 1, row.structures, row.repeats) for row in rows} == {
        (case.name, "ag-emt", True, 2, settings.rounds)
    }
    # Two frames of 71 atoms; Allegro's readout sees edges.
    assert all((row.rows == 142) == (case.package == "nequip") for row in rows)
    assert all(row.peak_mb > 0.1 for row in rows if row.phase == "train")
    assert torch.get_default_dtype() == dtype
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.slow
def test_cases_measured_one_after_the_other_have_the_same_mlp():
    settings, progress = ModelSpeedConfig(seconds=0.0, quick=True), Progress()
    cases = [case for case in CASES if case.package == "allegro"]
    cases = [dataclasses.replace(c, systems=("ag-emt",), shared_overrides=SMALL["allegro"]) for c in cases]
    rows = [measure(case, "bspline", settings, Recorder(settings), progress)[0] for case in cases]
    assert {row.model for row in rows} == {"mlp"}
    assert rows[0].peak_mb == pytest.approx(rows[1].peak_mb, rel=1e-3)
