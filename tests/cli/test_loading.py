"""Trained models are read from their files by one function, whatever the kind."""

import pathlib
import tarfile

import pytest
import torch

import kan_heads
from kan_heads.errors import ConfigError, ModelError

ARCHIVE = pathlib.Path(__file__).parents[1] / "stored" / "0.1.tar.xz"
KINDS = {
    "allegro-bspline.nequip.zip": "allegro",
    "etgnn-gaussian.ckpt": "nequip",
    "mace-bspline.model": "mace",
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stored")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("name", KINDS)
def test_a_model_of_a_backbone(name, stored, capfd):
    pytest.importorskip(KINDS[name])
    before = torch.get_default_dtype(), torch.random.get_rng_state()
    model = kan_heads.load(stored / name, trust=True)
    assert any(type(module).__name__ == "KAN" for module in model.modules())
    assert not any(module.training for module in model.modules())
    assert capfd.readouterr().out == ""
    assert torch.get_default_dtype() is before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_a_potential(tmp_path):
    from kan_heads.eam import EAMConfig, Potential

    potential = Potential(EAMConfig("Cu"))
    potential.history = {"epochs": 1}
    potential.save(tmp_path / "Cu.json")
    found = kan_heads.load(tmp_path / "Cu.json")
    r = torch.linspace(2.0, 4.0, 5, dtype=torch.float64)
    assert torch.equal(found.pair(r), potential.pair(r))


def test_a_mace_model_is_a_pickle_and_loaded_only_if_trusted(tmp_path):
    torch.save(torch.nn.Linear(1, 1), tmp_path / "a.model")
    with pytest.raises(ConfigError, match=r"a\.model: is a pickle, which can run any code"):
        kan_heads.load(tmp_path / "a.model")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.ckpt", None, r"none\.ckpt: no such file; give a checkpoint \(\.ckpt\), a package"),
        ("a.pt", "", r"a\.pt: the name says no kind of model; give a checkpoint"),
        ("a.nequip.pt2", "", r"a\.nequip\.pt2: is compiled, .*; give the checkpoint or package"),
        ("a.ckpt", "no model", r"a\.ckpt: cannot be loaded \(.*\); give a checkpoint"),
        ("a.nequip.zip", "no model", r"a\.nequip\.zip: cannot be loaded \(.*\); give a checkpoint"),
    ],
)
def test_what_is_no_model_is_one_line(name, content, message, tmp_path):
    pytest.importorskip("nequip")
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelError, match=message) as caught:
        kan_heads.load(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_device_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="--device: 'gpu' is no device of torch"):
        kan_heads.load(tmp_path / "a.ckpt", device="gpu")
