"""ETGNN: a reduced pair on perturbed cristobalite gives the rows of the real one; only KANs differ."""

import dataclasses

import numpy as np
import pytest
import torch

pytest.importorskip("nequip", reason="ETGNN needs the extra [etgnn]")

import ase.io
from ase.neighborlist import neighbor_list
from hydra import compose
from nequip.data import AtomicDataDict

from benchmarks.speed.cases import MODEL_CASES
from benchmarks.speed.config import ModelSpeedConfig
from benchmarks.speed.etgnn_models import QUICK_STRUCTURES, build_pair, write_structures
from benchmarks.speed.models import measure
from benchmarks.speed.nequip_models import build_module, configurations, read_frames, steps
from kan_heads.kan import KAN
from kan_heads.progress import Progress
from kan_heads.speed.recorder import Recorder

FIELD = "born_effective_charges"
MODEL = "training_module.model"
SMALL = (
    f"{MODEL}.num_layers=1",
    *(f"{MODEL}.{name}=8" for name in ("num_features", "num_triplet_features", "projection_width")),
)
(CASE,) = (case for case in MODEL_CASES if case.name == "etgnn-output")
CASE = dataclasses.replace(CASE, systems=("cristobalite",), shared_overrides=SMALL)


@pytest.fixture(scope="module")
def structures(tmp_path_factory):
    """The stand-in for a quick run."""
    folder = tmp_path_factory.mktemp("cristobalite")
    write_structures("cristobalite", folder, QUICK_STRUCTURES)
    return ase.io.read(folder / "train.extxyz", ":")


@pytest.fixture(scope="module")
def modules():
    """Both training modules in double precision, their steps, and a batch of two structures."""
    settings, (mlp_config, kan_config) = ModelSpeedConfig(dtype="float64"), CASE.configs("cristobalite")
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]), configurations(settings, [mlp_config, kan_config]) as found:
        folder, shared = found
        config = compose(mlp_config, overrides=[*shared, *SMALL])
        write_structures("cristobalite", folder, 2)
        frames = read_frames(config)
        mlp = build_module(config, frames)
        overrides = [override.format(basis="gaussian") for override in CASE.overrides]
        kan = build_module(compose(kan_config, overrides=[*shared, *SMALL, *overrides]), frames)
    batch = AtomicDataDict.batched_from_list(frames.graphs)
    yield [mlp, kan], [steps(mlp, batch), steps(kan, batch)], batch
    torch.set_default_dtype(dtype)


def count(atoms, r_max):
    """Numbers of edges and of pairs of them that meet, by ASE."""
    neighbors = np.bincount(neighbor_list("i", atoms, r_max), minlength=len(atoms))
    return neighbors.sum(), (neighbors * (neighbors - 1)).sum()


def test_a_reduced_pair_is_measured(structures):
    settings = ModelSpeedConfig(seconds=0.0, quick=True)
    before, state = torch.get_default_dtype(), torch.get_rng_state()
    rows = measure(CASE, "gaussian", settings, Recorder(settings), Progress())
    assert [(row.model, row.basis, row.phase) for row in rows] == [
        ("mlp", None, "train"),
        ("kan", "gaussian", "train"),
        ("mlp", None, "inference"),
        ("kan", "gaussian", "inference"),
    ]
    into_regressions = sum(count(atoms, 6.0)[0] + count(atoms, 4.0)[1] for atoms in structures)
    assert {(row.case, row.data, row.structures, row.rows, row.features, row.repeats) for row in rows} == {
        ("etgnn-output", "cristobalite", QUICK_STRUCTURES, into_regressions, 8, 9)
    }
    for row in rows:
        assert row.structures_per_second == pytest.approx(QUICK_STRUCTURES / (1e-3 * row.median_ms))
    assert all(row.peak_mb > 0.1 for row in rows if row.phase == "train")
    assert torch.get_default_dtype() == before
    assert torch.equal(torch.get_rng_state(), state)


def test_the_stand_in_has_as_many_neighbours_and_triplets_as_silica(structures):
    edges = np.mean([count(atoms, 6.0)[0] for atoms in structures])
    triplets = np.mean([count(atoms, 4.0)[1] for atoms in structures])
    assert edges == pytest.approx(381, rel=0.1)  # means of the training set of sio2
    assert triplets == pytest.approx(1520, rel=0.1)


def test_the_batch_is_the_published_one(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "benchmarks.speed.etgnn_models.build_from_configs",
        lambda case, *_: asked.append(case.shared_overrides),
    )
    build_pair(CASE, "bspline", ModelSpeedConfig())
    build_pair(CASE, "bspline", ModelSpeedConfig(quick=True))
    assert asked == [("batch_size=60", *SMALL), ("batch_size=12", *SMALL)]


def test_both_regressions_are_kans_and_the_rest_is_the_same(modules):
    mlp, kan = modules[0]
    paths = [path for path, module in kan.named_modules() if isinstance(module, KAN)]
    assert [path.split(".")[-2] for path in paths] == ["edge_readout", "triplet_readout"]
    assert not any(isinstance(module, KAN) for module in mlp.modules())

    def backbone(module):
        return {key: value for key, value in module.model.state_dict().items() if "_readout." not in key}

    ours, theirs = backbone(kan), backbone(mlp)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("who", [0, 1], ids=["mlp", "kan"])
def test_a_training_step_is_the_gradient_of_the_squared_error(modules, who):
    module, step, batch = modules[0][who], modules[1][who]["train"], modules[2]
    parameters = [p for p in module.parameters() if p.requires_grad]
    step()
    found = [p.grad for p in parameters]
    error = module(dict(batch))[FIELD] - batch[FIELD]
    expected = torch.autograd.grad(error.square().mean(), parameters, materialize_grads=True)
    for mine, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(torch.zeros_like(reference) if mine is None else mine, reference)
    assert sum(bool(g.any()) for g in expected) > len(expected) / 2


def test_inference_gives_the_tensors_without_gradients(modules):
    for module, step in zip(*modules[:2], strict=True):
        tensors = step["inference"]()[FIELD]
        assert tensors.shape == (12, 3, 3)
        assert not tensors.requires_grad
        torch.testing.assert_close(tensors, module(dict(modules[2]))[FIELD].detach())
