"""A KAN put into a trained model starts from its predictions and trains on."""

import ase.io
import pytest
import torch
from nequip.data import compute_neighborlist_, from_ase
from workflow import run, train, validation_losses

from kan_heads.errors import ConfigError, ModelError
from kan_heads.nequip import KANModelFromSaved

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stock(silver):
    out = silver / "stock"
    train("allegro/ag-mlp", silver, out)
    run("nequip-package", "build", out / "best.ckpt", out / "stock.nequip.zip", cwd=out)
    return out


SOURCES = {"checkpoint_path": "best.ckpt", "package_path": "stock.nequip.zip"}


@pytest.fixture(params=SOURCES)
def source(request, stock):
    return request.param, str(stock / SOURCES[request.param])


def predictions(models, silver):
    data = compute_neighborlist_(from_ase(ase.io.read(silver / "val.extxyz")), r_max=4.0)
    data["atom_types"] = torch.zeros(data["pos"].shape[0], dtype=torch.long)
    out = models["sole_model"](data)
    return out["total_energy"], out["forces"]


@pytest.mark.parametrize("kan", [{"basis": "bspline"}, {"scope": "all", "basis": "gaussian"}])
def test_the_first_predictions_are_those_of_the_trained_model(source, kan, stock, silver):
    from nequip.model import ModelFromCheckpoint

    before = predictions(ModelFromCheckpoint(str(stock / "best.ckpt")), silver)
    models = KANModelFromSaved(kan=kan, **{source[0]: source[1]})
    assert any(type(module).__name__ == "KAN" for module in models.modules())
    for now, then in zip(predictions(models, silver), before, strict=True):
        torch.testing.assert_close(now, then, atol=1e-5, rtol=1e-6)


def test_the_model_trains_on_restarts_and_packages(source, silver):
    out = silver / f"tuned-{source[0]}"
    model = (
        "training_module.model={_target_: kan_heads.nequip.KANModelFromSaved, %s: %s, kan: {basis: bspline}}"
    )
    override = model % source
    train("parts/finetune", silver, out, f"+{override}", epochs=1)
    train("parts/finetune", silver, out, f"+{override}", f"++ckpt_path={out}/last.ckpt", epochs=2)
    losses = validation_losses(out)
    assert losses[1] < losses[0]
    run("nequip-package", "build", out / "best.ckpt", out / "tuned.nequip.zip", cwd=out)


def test_a_single_layer_cannot_start_from_a_deeper_mlp(stock):
    with pytest.raises(ConfigError, match=r"edge_readout.*hidden.*leave hidden out"):
        KANModelFromSaved(kan={"hidden": []}, checkpoint_path=str(stock / "best.ckpt"))


def test_unusable_files_are_named(stock, tmp_path):
    with pytest.raises(ModelError, match=r"nowhere\.ckpt: no such file"):
        KANModelFromSaved(checkpoint_path=str(tmp_path / "nowhere.ckpt"))
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes((stock / "best.ckpt").read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"broken\.ckpt: cannot be loaded"):
        KANModelFromSaved(checkpoint_path=str(broken))
    other = torch.load(stock / "best.ckpt", weights_only=False)
    other["hyper_parameters"]["info_dict"]["versions"]["nequip"] = "0.1.0"
    other["state_dict"].popitem()
    torch.save(other, tmp_path / "other.ckpt")
    with pytest.raises(ModelError, match=r"other\.ckpt: cannot be loaded .*written by nequip 0\.1\.0 \(here"):
        KANModelFromSaved(checkpoint_path=str(tmp_path / "other.ckpt"))
    with pytest.raises(ConfigError, match="exactly one of"):
        KANModelFromSaved(checkpoint_path="a.ckpt", package_path="b.nequip.zip")
