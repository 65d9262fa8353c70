"""Solved heads: planted ones are found again, and none is worse than before."""

import copy
import sys

import ase.io
import numpy as np
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from test_head_rows import ARCHIVE, silver, stored  # noqa: F401
from typer.testing import CliRunner

import kan_heads
from kan_heads.errors import ConfigError, DataError, ModelError
from kan_heads.head import Sums, files, solve
from kan_heads.head.ends import linear_ends
from kan_heads.swap import adapter_of


def labelled_by(model, frames, noise=0.0, seed=0):
    """Labels frames by a model."""
    adapter, rng = adapter_of(model), np.random.RandomState(seed)
    for atoms in frames:
        energy, positions, strain = adapter.energy(model, adapter.structure(model, atoms))
        slope, pull = torch.autograd.grad(energy, (positions, strain))
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=float(energy) + len(atoms) * noise * rng.normal(),
            forces=-slope.numpy() + 10 * noise * rng.normal(size=(len(atoms), 3)),
            stress=(pull.numpy() / atoms.get_volume()).flat[[0, 4, 8, 5, 2, 1]],
        )
    return frames


def moved(count, seed):
    frames = []
    for i in range(count):
        atoms = silver()
        atoms.rattle(0.15, seed=1000 * seed + i)
        frames.append(atoms)
    return frames


@pytest.fixture
def model(stored):  # noqa: F811
    pytest.importorskip("allegro")
    return kan_heads.load(stored / "allegro-bspline.ckpt")


def planted(model):
    """The same model with another head."""
    other = copy.deepcopy(model)
    for end in linear_ends(other, adapter_of(other)):
        theta = end.read()
        end.write(theta + 0.3 * torch.randn(len(theta), generator=torch.Generator().manual_seed(1)).double())
    return other


def test_a_planted_head_is_found(model):
    teacher = planted(model)
    frames, val, test = (labelled_by(teacher, moved(n, seed)) for seed, n in enumerate((20, 6, 6)))
    solution = solve(model, frames, val)
    assert solution.chosen is not None
    assert solution.chosen.rmse["energy"] < 0.02 * solution.before.rmse["energy"]
    assert solution.chosen.rmse["forces"] < 0.02 * solution.before.rmse["forces"]
    # What the sums say of held-out frames is what the model does, on others too.
    adapter = adapter_of(model)
    errors = [
        float(adapter.energy(model, adapter.structure(model, atoms))[0]) - atoms.get_potential_energy()
        for atoms in test
    ]
    assert np.sqrt(np.mean(np.square(errors))) / len(test[0]) < 0.03 * solution.before.rmse["energy"]


def test_a_head_that_cannot_be_bettered_stays(model):
    frames, val = labelled_by(model, moved(12, 0), 0.02), labelled_by(model, moved(6, 1), 0.0)
    before = copy.deepcopy(model.state_dict())
    solution = solve(model, frames, val)
    assert solution.chosen is None
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_only_the_head_moves(model):
    teacher = planted(model)
    before = copy.deepcopy(model.state_dict())
    solve(model, labelled_by(teacher, moved(10, 0)), labelled_by(teacher, moved(4, 1)))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all("readout" in name and name.endswith(("coefficients", "base_weight")) for name in changed)


def test_sums_add():
    rng = torch.Generator().manual_seed(0)
    rows, residuals = (
        torch.randn(9, 4, dtype=torch.float64, generator=rng),
        torch.randn(9, dtype=torch.float64),
    )
    whole, first, second = (Sums.empty(4) for _ in range(3))
    whole.add(rows, residuals, 9)
    first.add(rows[:5], residuals[:5], 5)
    second.add(rows[5:], residuals[5:], 4)
    both = first + second
    torch.testing.assert_close(both.gram, whole.gram)
    torch.testing.assert_close(both.rhs, whole.rhs)
    change = torch.randn(4, dtype=torch.float64, generator=rng)
    expected = float((residuals - rows @ change).square().mean())
    assert both.mse(change) == pytest.approx(expected, rel=1e-12)
    assert both.mse() == pytest.approx(float(residuals.square().mean()))


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"allow": -1.0}, ConfigError, "allow -1.0 must be a share"),
        ({"directions": 0}, ConfigError, "directions 0 must be at least 1"),
        ({"energy_weight": float("nan")}, ConfigError, "must be a positive number"),
        ({"val": []}, DataError, "none to choose by"),
        ({"directions": 1}, ConfigError, "rows for 144 unknowns; give more frames"),
    ],
)
def test_bad_options_are_one_line(model, options, kind, message):
    frames = labelled_by(model, moved(2, 0))
    with pytest.raises(kind, match=message) as error:
        solve(model, frames, **{"val": frames, **options})
    assert "\n" not in str(error.value)


def test_structures_that_do_not_fit_are_named(model):
    frames = labelled_by(model, moved(2, 0))
    wrong = [frames[0], frames[1].copy()]
    wrong[1].numbers[0] = 79
    with pytest.raises(DataError, match=r"training frames: frame 1: .*Au"):
        solve(model, wrong, frames)
    bare = [atoms.copy() for atoms in frames]
    with pytest.raises(DataError, match="training frames: frame 0 has no label"):
        solve(model, bare, frames)


@pytest.fixture
def run(stored, tmp_path, monkeypatch):  # noqa: F811
    from kan_heads.cli.app import app

    monkeypatch.setattr(sys, "argv", ["kan-heads"])
    model = kan_heads.load(stored / "allegro-bspline.ckpt")
    teacher = planted(model)
    for name, count in (("train", 20), ("val", 5)):
        ase.io.write(tmp_path / f"{name}.extxyz", labelled_by(teacher, moved(count, len(name))))

    def call(*words):
        place = {"CKPT": stored / "allegro-bspline.ckpt", "TRAIN": tmp_path / "train.extxyz"}
        place |= {"VAL": tmp_path / "val.extxyz", "OUT": tmp_path / "solved.ckpt"}
        words = [str(place.get(word, word)) for word in words]
        return CliRunner().invoke(app, ["solve", *words])

    return call


def test_the_program_writes_a_checkpoint_of_the_solved_model(run, stored, tmp_path):  # noqa: F811
    done = run(
        "CKPT", "--data", "TRAIN", "--val", "VAL", "--out", "OUT", "--picture", str(tmp_path / "a.png")
    )
    assert done.exit_code == 0, done.output
    assert "<- chosen" in done.output
    assert (tmp_path / "a.png").stat().st_size > 10_000
    solved = torch.load(tmp_path / "solved.ckpt", weights_only=False)
    source = torch.load(stored / "allegro-bspline.ckpt", weights_only=False)
    assert solved.keys() == source.keys()
    model = kan_heads.load(tmp_path / "solved.ckpt")
    atoms = ase.io.read(tmp_path / "val.extxyz", 0)
    adapter = adapter_of(model)
    energy = float(adapter.energy(model, adapter.structure(model, atoms))[0])
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-3 * len(atoms))
    # Raw and averaged weights are the same now, so that either way of loading gives the solved model.
    places = dict(enumerate(name for name, _ in model.named_parameters()))
    for place, name in places.items():
        raw = solved["state_dict"][f"model.sole_model.{name}"]
        assert torch.equal(raw, solved["state_dict"][f"ema.ema_weight_{place}"])
        assert torch.equal(raw, dict(model.named_parameters())[name])


def test_without_validation_frames_some_are_held_out_with_a_warning(run):
    done = run("CKPT", "--data", "TRAIN", "--out", "OUT")
    assert done.exit_code == 0, done.output
    assert "every tenth frame" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere.ckpt", "--data", "TRAIN", "--out", "OUT"), "nowhere.ckpt: no such file"),
        (("CKPT", "--data", "nowhere.xyz", "--out", "OUT"), "nowhere.xyz: no such file"),
        (("CKPT", "--data", "TRAIN", "--out", "a.model"), r"name it \*.ckpt"),
        (("CKPT", "--data", "TRAIN", "--out", "CKPT"), "this is the input"),
        (("CKPT", "--data", "VAL", "--out", "OUT"), "too few to keep some; give --val"),
    ],
)
def test_bad_input_is_one_line(run, words, message):
    done = run(*words)
    assert isinstance(done.exception, (ConfigError, DataError, ModelError))
    with pytest.raises(type(done.exception), match=message):
        raise done.exception
    assert "\n" not in str(done.exception)


def test_a_model_of_mace_is_written_whole(stored, tmp_path):  # noqa: F811
    pytest.importorskip("mace")
    from test_head_rows import carbon_monoxide

    model = kan_heads.load(stored / "mace-bspline.model", trust=True)
    teacher = planted(model)
    frames = []
    for i in range(30):
        atoms = carbon_monoxide()
        atoms.rattle(0.1, seed=i)
        frames.append(atoms)
    labelled_by(teacher, frames)
    solution = solve(model, frames[:24], frames[24:])
    assert solution.chosen.rmse["energy"] < 0.1 * solution.before.rmse["energy"]
    files.save(model, stored / "mace-bspline.model", tmp_path / "new.model")
    again = kan_heads.load(tmp_path / "new.model", trust=True)
    adapter = adapter_of(again)
    errors = [
        float(adapter.energy(again, adapter.structure(again, atoms))[0]) - atoms.get_potential_energy()
        for atoms in frames[24:]
    ]
    assert np.sqrt(np.mean(np.square(errors))) / 6 == pytest.approx(solution.chosen.rmse["energy"], rel=1e-3)
