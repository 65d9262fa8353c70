"""What a MACE user does with a KAN model: train, restart, evaluate, deploy, fine-tune, choose a head."""

import re

import ase.io
import mace_programs
import numpy as np
import pytest
import torch
from mace_programs import difference, predict, run, train

from kan_heads.global_state import default_dtype

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alloy")
    mace_programs.write_alloy(folder)
    return folder


@pytest.fixture(scope="module")
def kan(folder):
    """A model of scope all, trained with an average of the weights and a second stage."""
    options = ("--kan", "--kan_scope=all", "--ema", "--swa", "--start_swa=2", "--max_num_epochs=3")
    return train("kan", *options, cwd=folder)


@pytest.fixture(scope="module")
def mlp(folder):
    return train("mlp", "--max_num_epochs=2", cwd=folder)[0]


def test_settings_are_logged_and_stored(kan):
    path, said = kan
    assert "KAN: preset: recommended, scope: all, calibrate: False, hidden: []" in said
    assert "KAN: readouts.1.kans.0: [8, 1]" in said
    watched = re.findall(r"Epoch (\d+): KAN inputs off the grid: interactions.*readouts\.1\.kans\.0", said)
    assert watched == ["0", "1", "2"]
    model = torch.load(path, weights_only=False)
    assert (model.kan_settings().preset, model.kan_settings().scope) == ("recommended", "all")
    extra = {"config.yaml": ""}
    torch.jit.load(path.parent / "kan_compiled.model", _extra_files=extra)
    assert b"'preset': 'recommended'" in extra["config.yaml"]


@pytest.mark.parametrize("stage", ["kan", "kan_stagetwo"])
def test_exported_torchscript_equals_the_model(kan, folder, stage):
    """MACE swallows a failure to export: the file must be there and say the same."""
    path, _ = kan
    eager = predict(path.parent / f"{stage}.model", folder)
    scripted = predict(path.parent / f"{stage}_compiled.model", folder)
    assert difference(eager, scripted) < 1e-10


def test_second_stage_goes_on_with_other_weights(kan):
    path, said = kan
    assert len(re.findall(r"Epoch \d+: head: Default", said)) == 3
    one, two = (
        torch.load(path.parent / name, weights_only=False) for name in ("kan.model", "kan_stagetwo.model")
    )
    same = [
        name
        for (name, a), b in zip(one.named_parameters(), two.parameters(), strict=True)
        if torch.equal(a, b)
    ]
    assert not [name for name in same if ".kans." in name or "conv_tp_weights" in name]


def test_training_lowers_the_errors(folder):
    _, said = train(
        "learns", "--kan", "--max_num_epochs=6", "--lr=0.02", "--scheduler_patience=50", cwd=folder
    )
    errors = [float(error) for error in re.findall(r"RMSE_F= *([\d.]+)", said)]
    assert errors[6] < 0.9 * errors[0]


@pytest.mark.parametrize("calibrate", [True, False])
def test_radial_kans_train_on_any_grid(folder, calibrate):
    """On narrow grids, in units of values, the first epoch ended at 5e9 meV/Å with exit status 0."""
    options = ("--kan", "--kan_scope=all", f"--kan_calibrate={calibrate}", "--max_num_epochs=4")
    _, said = train(f"radial-{calibrate}", *options, "--lr=0.02", cwd=folder)
    errors = [float(error) for error in re.findall(r"RMSE_F= *([\d.]+)", said)]
    assert max(errors) < 1.5 * errors[0]
    assert errors[4] < errors[0]


def test_restart_continues_with_the_same_grids(kan, folder):
    """Without calibration the second run starts on other grids: the checkpoint must bring the first ones."""
    path, _ = kan
    before = torch.load(path.parent / "kan_stagetwo.model", weights_only=False).state_dict()
    options = ("--kan", "--kan_scope=all", "--ema", "--swa", "--start_swa=2", "--max_num_epochs=5")
    (folder / "again" / "checkpoints").mkdir(parents=True)
    for file in (path.parent / "checkpoints").glob("*.pt"):
        name = file.name.replace("kan_run", "again_run")
        (folder / "again" / "checkpoints" / name).write_bytes(file.read_bytes())
    again, said = train("again", *options, "--kan_calibrate=False", "--restart_latest", cwd=folder)
    assert "Epoch 0:" not in said
    assert "Epoch 4:" in said
    after = torch.load(again.parent / "again_stagetwo.model", weights_only=False).state_dict()
    grids = [name for name in before if ".basis." in name]
    assert grids
    assert all(torch.equal(before[name], after[name]) for name in grids)
    _, said = train("again", "--restart_latest", "--max_num_epochs=6", cwd=folder, expect=2)
    assert "this run has no KANs; give the options of that run, or another --name" in said


def test_mace_eval_configs(kan, folder):
    path, _ = kan
    words = ("--configs=val.extxyz", f"--model={path}", "--output=said.extxyz", "--default_dtype=float64")
    run("mace_eval_configs", *words, cwd=folder)
    said, expected = ase.io.read(folder / "said.extxyz"), predict(path, folder)
    assert said.info["MACE_energy"] == pytest.approx(expected[0], abs=1e-6)
    assert np.abs(said.arrays["MACE_forces"] - expected[1]).max() < 1e-6


def test_mace_create_lammps_model_is_torchscript_with_the_same_forces(kan, folder):
    from mace import data
    from mace.tools import torch_geometric, utils

    path, _ = kan
    run("mace_create_lammps_model", path, cwd=folder)
    lammps = torch.jit.load(f"{path}-lammps.pt")
    atoms = ase.io.read(folder / "val.extxyz")
    with default_dtype(torch.float64):
        record = data.AtomicData.from_config(
            data.config_from_atoms(atoms), z_table=utils.AtomicNumberTable([29, 47]), cutoff=4.0
        )
        batch = torch_geometric.batch.Batch.from_data_list([record]).to_dict()
        expected = predict(path, folder)
        for _ in range(3):
            found = lammps(batch, torch.ones(len(atoms), dtype=torch.bool), compute_virials=True)
            assert float(found["total_energy_local"]) == pytest.approx(expected[0], abs=1e-9)
            assert np.abs(found["forces"].detach().numpy() - expected[1]).max() < 1e-9


def test_extracted_model_predicts_the_same(kan, folder):
    """``MACECalculator(compile_mode=...)`` begins with this."""
    from mace.tools.scripts_utils import extract_load

    path, _ = kan
    with default_dtype(torch.float64):
        torch.save(extract_load(path), folder / "extracted.model")
    assert difference(predict(path, folder), predict(folder / "extracted.model", folder)) == 0.0


def test_fine_tuning_starts_from_the_trained_model(mlp, folder):
    """A learning rate of 0 shows the start; the readouts are KANs, the rest is frozen."""
    options = (f"--foundation_model={mlp}", "--kan", "--kan_freeze_backbone", "--max_num_epochs=1", "--lr=0")
    path, said = train("tuned", *options, cwd=folder)
    assert "the backbone is frozen" in said
    assert difference(predict(mlp, folder), predict(path, folder)) < 1e-6
    assert torch.load(path, weights_only=False).kan_settings().scope == "output"


def test_frozen_backbone_stays_and_the_kans_learn(mlp, folder):
    options = (f"--foundation_model={mlp}", "--kan", "--kan_freeze_backbone", "--max_num_epochs=2", "--ema")
    path, _ = train("frozen", *options, cwd=folder)
    before, after = (torch.load(p, weights_only=False).state_dict() for p in (mlp, path))
    after = {name.replace(".stock.", "."): value for name, value in after.items()}
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if not name.startswith("readouts.")} <= same
    assert not {name for name in before if name.startswith("readouts.") and name.endswith("weight")} & same
    assert float(after["readouts.0.kans.0.layers.0.coefficients"].abs().max()) > 0.0


def test_fine_tuning_with_fewer_elements_in_another_precision(kan, folder):
    """MACE rebuilds the KAN model for the elements of the new data and copies what fits; the KANs follow."""
    frames = ase.io.read(folder / "val.extxyz", ":")
    for atoms in frames:
        atoms.symbols[:] = "Ag"
    ase.io.write(folder / "silver.extxyz", frames)
    words = ("--train_file=silver.extxyz", "--valid_file=silver.extxyz", "--E0s={47: 0.05}", "--lr=0")
    options = (f"--foundation_model={kan[0]}", "--default_dtype=float32", "--max_num_epochs=1")
    path, _ = train("silver", *words, *options, cwd=folder)
    model = torch.load(path, weights_only=False)
    assert model.atomic_numbers.tolist() == [47]
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    both = [predict(p, folder, file="silver.extxyz") for p in (kan[0], path)]
    assert difference(*both) < 1e-3


def test_fine_tuning_with_the_options_of_the_kan_model(kan, folder):
    """The options may stay in a configuration; those of other KANs may not."""
    options = (f"--foundation_model={kan[0]}", "--kan", "--max_num_epochs=1", "--lr=0")
    path, _ = train("same", *options, "--kan_scope=all", cwd=folder)
    assert difference(predict(kan[0], folder), predict(path, folder)) < 1e-6
    _, said = train("other", *options, cwd=folder, expect=2)
    error = said.splitlines()[-1]
    assert error.startswith("kan-heads: error: --kan: the foundation model has KANs ")
    assert re.search(r'"scope": "all".* these options ask for .*"scope": "output"', error)


def test_multihead_fine_tuning_keeps_predictions_for_every_head(kan, mlp, folder):
    replay = ("--multiheads_finetuning=True", "--pt_train_file=val.extxyz", "--force_mh_ft_lr=True")
    common = (*replay, "--atomic_numbers=[29,47]", "--max_num_epochs=1", "--lr=0")
    for name, start, words in (("mhm", mlp, ("--kan",)), ("mhk", kan[0], ())):
        path, said = train(name, f"--foundation_model={start}", *words, *common, cwd=folder)
        assert "readouts.0.kans.1" in said
        for head in ("Default", "pt_head"):
            assert difference(predict(start, folder), predict(path, folder, head=head)) < 1e-6


def test_selected_head_predicts_the_same(folder):
    each = "'train_file': 'train.extxyz', 'valid_file': 'val.extxyz', 'E0s': '{29: 0.3, 47: 0.05}'"
    heads = f"--heads={{'a': {{{each}}}, 'b': {{{each}}}}}"
    path, _ = train("heads", "--kan", heads, "--max_num_epochs=2", cwd=folder)
    run("mace_select_head", "-n", "b", "-o", "b.model", path, cwd=folder)
    both = [predict(path, folder, head=head) for head in "ab"]
    assert difference(*both) > 1e-4
    assert difference(both[1], predict(folder / "b.model", folder)) < 1e-9
    run("mace_create_lammps_model", "--head", "a", path, cwd=folder)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--kan", "--kan_basis=gausian"),
            "--kan_basis: basis 'gausian' is unknown (did you mean 'gaussian'?)",
        ),
        (("--kan", "--kan_config=kan.yaml"), "--kan_config kan.yaml: kan option 'bassis' is unknown"),
        (("--kan_hidden=[8]",), "--kan_hidden needs --kan; add it, or leave --kan_hidden out"),
        (("--kan", "--model=AtomicDipolesMACE"), None),
    ],
)
def test_wrong_options_are_one_line(folder, words, message):
    (folder / "kan.yaml").write_text("bassis: gaussian\n")
    if message is None:
        said = train("wrong", *words, "--loss=dipole", "--error_table=DipoleRMSE", cwd=folder, expect=2)[1]
        message = "the model is a AtomicDipolesMACE; only ScaleShiftMACE, which --model MACE"
    else:
        fresh = "--kan_basis=gausian" in words
        said = train("wrong", *words, cwd=folder, expect=2, fresh=fresh)[1]
    assert said.splitlines()[-1].startswith(f"kan-heads: error: {message}")
    assert "Traceback" not in said
