"""What a user sees of ``nequip-train`` when something is wrong: one line, status 2, nothing written."""

import ase.io
import numpy as np
import pytest
from workflow import run, train

ROW = "allegro/ag-output-gaussian"
KAN = "training_module.model.kan"


def refused(data, out, *overrides, config=ROW, fresh=False):
    """Trains in vain and returns the one line on standard error that is ours."""
    _, errors = train(config, data, out, *overrides, expect=2, fresh=fresh)
    assert "Traceback" not in errors
    lines = [line for line in errors.splitlines() if line.startswith("kan-heads: error:")]
    assert len(lines) == 1
    assert not list(out.glob("*.ckpt"))
    return lines[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "words"),
    [
        (f"+{KAN}.bais=bspline", ["'bais'", "did you mean 'basis'"]),
        (f"{KAN}.basis=gausian", ["'gausian'", "did you mean 'gaussian'", "bspline"]),
        (f"{KAN}.scope=[nothing*]", ["'nothing*'", "edge_readout.mlp_module", "allegro.latents.0"]),
        ("r_max=0.5", ["train.extxyz", "0.5", "larger"]),
    ],
)
def test_a_wrong_configuration(override, words, silver, tmp_path):
    line = refused(silver, tmp_path / "run", override, fresh="bais" in override)
    assert all(word in line for word in words), line


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["nan", "missing", "empty", "absent"])
def test_a_damaged_data_file(damage, silver, tmp_path):
    frames = ase.io.read(silver / "train.extxyz", ":")
    path = tmp_path / "train.extxyz"
    (tmp_path / "val.extxyz").write_bytes((silver / "val.extxyz").read_bytes())
    if damage == "nan":
        frames[3].calc.results["forces"][5, 1] = np.nan
        ase.io.write(path, frames)
    elif damage == "missing":
        del frames[3].calc.results["forces"]
        ase.io.write(path, frames)
    elif damage == "empty":
        path.write_text("")
    line = refused(tmp_path, tmp_path / "run")
    assert "train.extxyz" in line
    if damage in ("nan", "missing"):
        assert "forces" in line
        assert "3" in line


@pytest.mark.slow
def test_a_damaged_checkpoint(silver, tmp_path):
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(b"not a checkpoint")
    model = (
        f"+training_module.model={{_target_: kan_heads.nequip.KANModelFromSaved, checkpoint_path: {broken}}}"
    )
    line = refused(silver, tmp_path / "run", model, config="parts/finetune")
    assert "broken.ckpt: cannot be loaded" in line
    assert "is it a checkpoint of nequip-train" in line


def test_the_program_says_what_is_unknown(tmp_path):
    _, errors = run("kan-heads", "data", "split", "hfo", "--out", "set", cwd=tmp_path, expect=2, fresh=True)
    assert errors.startswith("kan-heads: error: hfo: no such file")
    assert errors.count("\n") == 1
    assert not list(tmp_path.iterdir())
