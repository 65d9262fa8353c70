"""MACE: a tiny pair on rattled diamond gives the rows of the real one; its models differ in the KANs only."""

import dataclasses
import sys
import types
import warnings

import pytest
import torch

pytest.importorskip("mace.modules", reason="MACE models need the extra [mace]")

import e3nn

from benchmarks.speed.cases import MODEL_CASES
from benchmarks.speed.config import ModelSpeedConfig
from benchmarks.speed.mace_models import ATOMS, FRAMES, build_models, read_frames, training_options
from benchmarks.speed.models import MODEL_PHASES, Pair, measure
from kan_heads.progress import Progress
from kan_heads.speed.recorder import Recorder
from kan_heads.swap import kans_of

TINY = (
    "--num_channels=4 --max_L=1 --max_ell=1 --correlation=2 --num_radial_basis=4 --radial_MLP=[8] "
    "--MLP_irreps=6x0e --r_max=2.0"
)
CASES = {
    case.name: dataclasses.replace(case, systems=("diamond",), shared_overrides=tuple(TINY.split()))
    for case in MODEL_CASES
    if case.package == "mace"
}
N_KANS = {"mace-output": 2, "mace-all": 4}  # two readouts, two radial MLPs


@pytest.fixture(scope="module", params=CASES)
def pair(request):
    """Stock model, KAN model, frames and the name of a case, in single precision."""
    case = CASES[request.param]
    options = training_options(case)
    frames = read_frames("diamond", options.r_max)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return *build_models(case, "gaussian", options, frames), frames, case.name


@pytest.fixture
def e3nn_mode():
    """Sets how e3nn compiles models, for the time of a test."""
    before = e3nn.get_optimization_defaults()
    yield lambda mode: e3nn.set_optimization_defaults(jit_mode=mode)
    e3nn.set_optimization_defaults(**before)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_tiny_pair_is_measured(name, dtype):
    settings = ModelSpeedConfig(seconds=0.0, quick=True, dtype=dtype)
    before, state = torch.get_default_dtype(), torch.get_rng_state()
    rows = measure(CASES[name], "gaussian", settings, Recorder(settings), Progress())
    assert [(row.model, row.basis, row.phase) for row in rows] == [
        ("mlp", None, "train"),
        ("kan", "gaussian", "train"),
        ("mlp", None, "inference"),
        ("kan", "gaussian", "inference"),
    ]
    assert {(row.case, row.data, row.rows, row.features, row.dtype, row.repeats) for row in rows} == {
        (name, "diamond", FRAMES * ATOMS, 6, dtype, settings.rounds)
    }
    assert {row.structures for row in rows} == {FRAMES}
    assert all(row.peak_mb > 0.1 for row in rows if row.phase == "train")
    assert torch.get_default_dtype() == before
    assert torch.equal(torch.get_rng_state(), state)


def test_a_model_that_e3nn_has_scripted_is_measured_too(e3nn_mode):
    e3nn_mode("script")  # e3nn's default for older torch
    settings = ModelSpeedConfig(seconds=0.0, quick=True)
    assert len(measure(CASES["mace-output"], "gaussian", settings, Recorder(settings), Progress())) == 4


def test_mace_does_not_inherit_what_another_framework_tells_e3nn(monkeypatch, e3nn_mode):
    def build(case, basis, settings):
        e3nn_mode("script")
        steps = dict.fromkeys(MODEL_PHASES, lambda: None)
        return Pair(steps, steps, 1, 1, "nothing")

    monkeypatch.setitem(sys.modules, "other", types.SimpleNamespace(build=build))
    e3nn_mode("eager")
    settings = ModelSpeedConfig(seconds=0.0, quick=True)
    case = dataclasses.replace(CASES["mace-output"], build="other:build")
    measure(case, "bspline", settings, Recorder(settings), Progress())
    assert e3nn.get_optimization_defaults()["jit_mode"] == "eager"


def test_both_models_have_the_same_backbone(pair):
    stock, kan, _, name = pair
    # That map makes the features of the first readout's KAN; a record tells what the KANs are.
    new = {*kans_of(kan), "readouts.0.linear_kan", *(f"readouts.{i}.record" for i in range(2))}
    replaced = {f"interactions.{i}.conv_tp_weights" for i in range(2)} if name == "mace-all" else set()

    def without(model, parts):
        own = tuple(f"{path}." for path in parts)
        state = {key.replace(".stock.", "."): value for key, value in model.state_dict().items()}
        return {key: value for key, value in state.items() if not f"{key}.".startswith(own)}

    ours, theirs = without(kan, new), without(stock, replaced)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_every_kan_is_there_and_takes_part(pair):
    stock, kan, _, name = pair
    assert len(kans_of(kan)) == N_KANS[name]
    assert not kans_of(stock)
    assert all(float(p.detach().abs().min()) > 0.0 for k in kans_of(kan).values() for p in k.parameters())


def test_the_model_is_the_default_of_mace(pair):
    stock = pair[0]
    assert type(stock).__name__ == "ScaleShiftMACE"
    assert [type(block).__name__ for block in stock.interactions] == [
        "RealAgnosticInteractionBlock",
        "RealAgnosticResidualInteractionBlock",
    ]
    readouts = [type(block).__name__ for block in stock.readouts]
    assert readouts == ["LinearReadoutBlock", "NonLinearReadoutBlock"]


def test_the_frames_have_labels_and_neighbours(pair):
    frames = pair[2]
    assert [len(frame.positions) for frame in frames] == [ATOMS] * FRAMES
    assert all(float(frame.forces.abs().max()) > 0.0 and float(frame.energy) > 0.0 for frame in frames)
    assert all(frame.edge_index.shape[1] == 4 * ATOMS for frame in frames)  # r_max is that of the first shell
