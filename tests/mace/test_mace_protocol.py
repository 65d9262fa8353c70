"""MACE passes what every backbone passes."""

import copy

import mace_models
import pytest
import torch
from e3nn.util import jit

from kan_heads.backbones.mace import MACEAdapter
from kan_heads.errors import ConfigError
from kan_heads.mace.models import ScaleShiftMACE
from kan_heads.swap import replace_mlps
from kan_heads.testing import BackboneTests

pytestmark = pytest.mark.usefixtures("double")

READOUTS = {"readouts.0.kans.0", "readouts.1.kans.0"}
RADIAL = {"interactions.0.conv_tp_weights", "interactions.1.conv_tp_weights"}


class TestMACE(BackboneTests):
    adapter = MACEAdapter
    scopes = {"output": READOUTS, "all": READOUTS | RADIAL}  # noqa: RUF012
    atol = 1e-11

    def build(self):
        return mace_models.stock()

    def batch(self):
        return [mace_models.frame(mace_models.crystal())]

    def predict(self, model):
        out = mace_models.predict(model, mace_models.crystal())
        return {name: out[name].detach() for name in ("energy", "node_energy", "forces", "stress")}

    def output(self, model):
        return mace_models.predict(model, mace_models.crystal(), training=True)["energy"].sum()

    def compiled(self, model):
        return jit.compile(model)


class TestHeads(TestMACE):
    """Each head has KANs of its own, so a frame of each is asked; test_mace_models.py scripts them."""

    scopes = {  # noqa: RUF012
        "output": {f"readouts.{i}.kans.{j}" for i in (0, 1) for j in (0, 1)},
        "all": {f"readouts.{i}.kans.{j}" for i in (0, 1) for j in (0, 1)} | RADIAL,
    }
    heads = ("a", "b")

    def build(self):
        return mace_models.stock(heads=self.heads)

    def batch(self):
        return [mace_models.frame(mace_models.crystal(), self.heads, head) for head in self.heads]

    def predict(self, model):
        parts = [
            mace_models.predict(model, mace_models.crystal(), heads=self.heads, head=head)
            for head in self.heads
        ]
        return {
            name: torch.stack([part[name] for part in parts]).detach()
            for name in ("energy", "forces", "stress")
        }

    def compiled(self, model):
        return None

    def output(self, model):
        return self.adapter().run(model, self.batch())["energy"].sum()


def test_the_settings_are_those_of_mace():
    model = mace_models.stock()
    paths = replace_mlps(model, kan={"preset": "published"}, keep_function=True)
    assert isinstance(model, ScaleShiftMACE)
    assert set(paths) == READOUTS
    assert model.kan_settings().preset == "published"
    with pytest.raises(ConfigError, match=r"kan option 'presett' is unknown \(did you mean 'preset'\?\)"):
        replace_mlps(mace_models.stock(), kan={"presett": "published"})


def test_sites_that_hold_kans_are_no_sites_any_more():
    model = mace_models.stock()
    assert set(MACEAdapter().find(model)) == {"readouts.0", "readouts.1", *RADIAL}
    replace_mlps(model, "output")
    assert set(MACEAdapter().find(model)) == RADIAL
    assert copy.deepcopy(model).kan_settings().scope == "output"
