"""A tiny run of every block case gives one complete row for each model and phase."""

import importlib.machinery
import json
import math
import sys
import types

import pytest
import torch

from kan_heads.kan import basis_names
from kan_heads.progress import Progress
from kan_heads.speed import SpeedConfig, run
from kan_heads.speed.blocks import make_mlp
from kan_heads.speed.cases import BLOCK_CASES, PHASES
from kan_heads.speed.report import to_json

KEYS = (
    "case basis rows dtype device threads phase median_ms ratio_to_mlp ratio_to_reference peak_mb "
    "features model repeats ratio_error data host torch kernels structures"
)
TINY = {"rows": (16,), "features": (4,), "seconds": 0.0, "quick": True, "threads": 1}


class Notes(Progress):
    def __init__(self):
        self.notes, self.groups = [], []

    def step(self, number, what=""):
        self.groups.append(what)

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(scope="module")
def rows():
    return json.loads(to_json(run(SpeedConfig(**TINY))))


def test_every_row_has_the_promised_keys(rows):
    assert {" ".join(row) for row in rows} == {KEYS}


@pytest.mark.parametrize("case", [case.name for case in BLOCK_CASES])
def test_every_model_and_phase_is_there_once(rows, case):
    models = [("mlp", None), *(("kan", basis) for basis in basis_names())]
    found = [(r["model"], r["basis"], r["phase"]) for r in rows if r["case"] == case]
    expected = {(*model, phase) for model in models for phase in PHASES}
    assert expected <= set(found)
    assert len(set(found)) == len(found)


def test_ratios_are_those_of_the_medians(rows):
    medians = {(r["case"], r["model"], r["basis"], r["phase"]): r["median_ms"] for r in rows}
    for r in rows:
        mlp = medians[r["case"], "mlp", None, r["phase"]]
        assert r["ratio_to_mlp"] == pytest.approx(r["median_ms"] / mlp, rel=1e-4)
        definition = medians.get((r["case"], "reference", r["basis"], r["phase"]))
        expected = None if definition is None else pytest.approx(r["median_ms"] / definition, rel=1e-4)
        assert r["ratio_to_reference"] == expected


def test_the_definition_is_timed_where_it_is_asked_for(rows):
    timed = {(r["case"], r["phase"]) for r in rows if r["model"] == "reference"}
    assert timed == {("readout-1layer", "train"), ("readout-1layer", "inference")}


def test_medians_are_over_several_steps(rows):
    assert all(r["repeats"] >= (5 if r["model"] in ("kan", "mlp") else 3) for r in rows)
    assert all(r["median_ms"] > 0.0 and math.isfinite(r["median_ms"]) for r in rows)


def test_memory_belongs_to_training_steps(rows):
    assert all((r["peak_mb"] is not None) == (r["phase"] == "train") for r in rows)
    assert all(r["peak_mb"] > 0.0 for r in rows if r["phase"] == "train")


def test_threads_and_precision_are_those_asked_for():
    before = torch.get_num_threads(), torch.get_default_dtype(), torch.get_rng_state()
    found = run(
        SpeedConfig(**{**TINY, "cases": ("readout-2layer-8",), "bases": ("fourier",)}, dtype="float64")
    )
    assert {(row.threads, row.dtype) for row in found} == {(1, "float64")}
    assert (torch.get_num_threads(), torch.get_default_dtype()) == before[:2]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_the_mlp_is_that_of_the_stock_models():
    kinds = [type(module).__name__ for module in make_mlp([8, 32, 1])]
    assert kinds == ["Linear", "SiLU", "Linear"]
    assert sum(parameter.numel() for parameter in make_mlp([8, 32, 1]).parameters()) == 8 * 32 + 32


class Once(torch.autograd.Function):
    """A function that cannot be differentiated twice."""

    @staticmethod
    def forward(ctx, x):
        return x.sum(-1, keepdim=True)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        return g.expand(-1, 4)


class Rival(torch.nn.Module):
    def __init__(self, width, **_):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.weight * Once.apply(x)


def test_a_library_that_cannot_train_on_forces_is_noted(monkeypatch):
    module = types.ModuleType("kan")
    module.__spec__ = importlib.machinery.ModuleSpec("kan", None)
    module.KAN = Rival
    monkeypatch.setitem(sys.modules, "kan", module)
    heard = Notes()
    found = run(SpeedConfig(**{**TINY, "cases": ("readout-1layer",), "bases": ("bspline",)}), heard)
    assert [row.phase for row in found if row.model == "pykan"] == ["inference"]
    assert len(heard.groups) == 1
    (note,) = [note for note in heard.notes if "pykan" in note]
    assert note.startswith("pykan: train is not timed, it fails:")
    assert "\n" not in note


def test_a_missing_library_is_noted_once_with_the_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    heard = Notes()
    run(
        SpeedConfig(**{**TINY, "cases": ("readout-1layer", "readout-2layer-32"), "bases": ("bspline",)}),
        heard,
    )
    assert [note.split()[0] for note in heard.notes] == ["pykan", "efficient-kan"]
    assert all("pip install" in note for note in heard.notes)
